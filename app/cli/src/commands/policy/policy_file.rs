//! Reads and writes a policy as a TOML file, with the keys of `banyan_proto::schedule`.
//!
//! Machines ignore unknown keys, so that newer servers can add some. In a file written by hand an unknown key is
//! probably a mistake, so the reader rejects any key that has no effect.

use crate::output::{Failure, WithContext as _};
use banyan_proto::schedule::Policy;
use std::path::Path;

/// Keys that only the server sets.
const SERVER_KEYS: [&str; 2] = ["number", "issued"];

/// Reads a policy file.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let action = || format!("read the policy {}", path.display());
    let text = std::fs::read_to_string(path).with_context(action)?;
    parse_policy(&text)
        .map_err(|wrong| Failure::new(action(), wrong, "correct the file; `banyan policy show` prints a valid one"))
}

/// Parses a policy. The error is a sentence.
pub(super) fn parse_policy(text: &str) -> Result<Policy, String> {
    let said: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    let policy: Policy = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    // Older machines read no empty `free-disk`, so a policy without one leaves the key out.
    let full = Policy { free_disk: policy.free_disk.or(Some(0)), ..policy.clone() };
    let state = serde_json::to_value(&full).map_err(|error| error.to_string())?;
    if let Some(key) = said.keys().find(|key| SERVER_KEYS.contains(&key.as_str())) {
        return Err(format!("`{key}` is set by the server; remove it"));
    }
    reject_unknown_keys(&said, &state, "")?;
    policy.check()?;
    Ok(policy)
}

/// Returns an error for the first unknown key.
fn reject_unknown_keys(said: &toml::Table, state: &serde_json::Value, above: &str) -> Result<(), String> {
    let Some(state) = state.as_object() else { return Ok(()) };
    for (key, value) in said {
        let Some(inside) = state.get(key) else {
            let at_top = above.is_empty();
            let names: Vec<&str> =
                state.keys().map(String::as_str).filter(|name| !at_top || !SERVER_KEYS.contains(name)).collect();
            return Err(format!("`{above}{key}` is not a valid key; valid keys here: {}", names.join(", ")));
        };
        if let toml::Value::Table(said) = value {
            reject_unknown_keys(said, inside, &format!("{above}{key}."))?;
        }
    }
    Ok(())
}

/// Writes every key. Limits without a value are left out, because TOML has no null.
pub(super) fn format_policy(policy: &Policy) -> String {
    let mut table = toml::Table::try_from(policy).unwrap_or_default();
    SERVER_KEYS.iter().for_each(|key| drop(table.remove(*key)));
    if let Some(toml::Value::Table(defaults)) = table.get_mut("defaults")
        && let Some(toml::Value::Table(overrule)) = defaults.get_mut("overrule")
    {
        overrule.remove("metered");
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::schedule::{Bounds, ByHand, Catalogue, Kind, Who, Window};

    #[test]
    fn a_file_says_what_it_means_and_leaves_out_the_rest() {
        let policy = parse_policy(
            "upload = 1000000\nwindow = \"night\"\nnight = \"21:00-05:00\"\n[bounds]\nwindows = [\"night\", \"weekly\"]\n\
             [by-hand]\nwho = \"everyone\"\npackages = [\"drawing\"]\n[catalogue]\npackages = [\"maths\"]\n",
        )
        .unwrap();
        let bounds = Bounds { windows: vec![Kind::Night, Kind::Weekly], ..Bounds::default() };
        let by_hand = ByHand { who: Who::Everyone, packages: vec!["drawing".into()] };
        let wanted = Policy {
            upload: Some(1_000_000),
            window: Window::Night,
            night: "21:00-05:00".parse().unwrap(),
            bounds,
            by_hand,
            catalogue: Catalogue { who: Who::Everyone, packages: vec!["maths".into()] },
            ..Policy::default()
        };
        assert_eq!(policy, wanted);
        assert_eq!(parse_policy(&format_policy(&policy)).unwrap(), policy);
        assert_eq!(parse_policy("").unwrap(), Policy::default());
    }

    #[test]
    fn the_free_disk_space_can_be_set_and_is_a_valid_key() {
        let policy = parse_policy("free-disk = 5000000000").unwrap();
        assert_eq!(policy, Policy { free_disk: Some(5_000_000_000), ..Policy::default() });
        assert_eq!(parse_policy(&format_policy(&policy)).unwrap(), policy);
        let wrong = parse_policy("free-disc = 5").unwrap_err();
        assert!(wrong.contains("free-disk"), "{wrong}");
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, named) in [
            ("uplaod = 5", "`uplaod`"),
            ("[bounds]\npauze = 5", "`bounds.pauze`"),
            ("[rules.battery]\nrecieve = 5", "`rules.battery.recieve`"),
            ("[by-hand]\nwhom = \"everyone\"", "whom"),
            ("[catalogue]\npackages = [\"*\"]", "catalogue.packages"),
            ("number = 7", "`number`"),
            ("window = \"sometimes\"", "window"),
            ("[bounds]\nwindows = []", "bounds.windows"),
            ("[rules.battery]\nreceive = 101", "100 percent"),
            ("upload = ", "upload"),
        ] {
            let wrong = parse_policy(text).unwrap_err();
            assert!(wrong.contains(named), "{text}: {wrong}");
        }
    }
}
