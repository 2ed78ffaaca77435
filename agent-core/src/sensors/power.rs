//! Reads battery and mains state from the kernel, for machines without a power service.

use std::path::Path;

/// The state of the machine's battery.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Battery {
    /// Whether the machine runs on it.
    pub(super) in_use: bool,
    /// The charge (percent), if it is known.
    pub(super) charge: Option<u8>,
}

/// Reads the battery's state from a folder like `/sys/class/power_supply`; `None` when there is no battery.
pub(super) fn read_battery(folder: &Path) -> Option<Battery> {
    let read = |supply: &Path, name: &str| Some(std::fs::read_to_string(supply.join(name)).ok()?.trim().to_owned());
    let (mut on_mains, mut discharging, mut charges) = (false, false, Vec::new());
    for supply in std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
        match read(&supply, "type").as_deref() {
            // Mice and keyboards have batteries too.
            Some("Battery") if read(&supply, "scope").as_deref() != Some("Device") => {
                discharging |= read(&supply, "status").as_deref() == Some("Discharging");
                charges.push(read(&supply, "capacity").and_then(|text| text.parse::<u8>().ok()));
            }
            Some("Mains" | "USB") => on_mains |= read(&supply, "online").as_deref() == Some("1"),
            _ => {}
        }
    }
    // With several batteries the lowest charge counts; if one reports no charge, the charge is unknown.
    let charge = charges.iter().copied().min()?.map(|charge| charge.min(100));
    Some(Battery { in_use: discharging && !on_mains, charge })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn supplies(all: &[(&str, &[(&str, &str)])]) -> Option<Battery> {
        let folder = tempfile::tempdir().unwrap();
        for (name, files) in all {
            fs::create_dir(folder.path().join(name)).unwrap();
            for (file, text) in *files {
                fs::write(folder.path().join(name).join(file), format!("{text}\n")).unwrap();
            }
        }
        read_battery(folder.path())
    }

    #[test]
    fn mains_and_batteries_are_read_as_the_kernel_shows_them() {
        let battery = |status| ("BAT0", vec![("type", "Battery"), ("status", status), ("capacity", "57")]);
        let (discharging, charging) = (battery("Discharging"), battery("Charging"));
        let (off, on) =
            (("AC", vec![("type", "Mains"), ("online", "0")]), ("AC", vec![("type", "Mains"), ("online", "1")]));
        let some = |in_use| Some(Battery { in_use, charge: Some(57) });
        assert_eq!(supplies(&[(discharging.0, &discharging.1), (off.0, &off.1)]), some(true));
        assert_eq!(supplies(&[(charging.0, &charging.1), (on.0, &on.1)]), some(false));
        assert_eq!(
            supplies(&[(discharging.0, &discharging.1), (on.0, &on.1)]),
            some(false),
            "a weak charger counts as mains"
        );
        assert_eq!(supplies(&[(on.0, &on.1)]), None, "no battery");
        let mouse = [("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("capacity", "5")];
        assert_eq!(supplies(&[("mouse", &mouse)]), None);
        let silent = [("type", "Battery"), ("status", "Discharging")];
        assert_eq!(supplies(&[("BAT0", &silent)]), Some(Battery { in_use: true, charge: None }));
    }
}
