//! What services of the system say, as signals: from properties to values, without a bus.

use super::value::Properties;
use banyan_proto::schedule::{Network, NetworkId, Presence};

/// Whether the machine runs on its battery, and how full that is (percent).
pub(super) fn battery(manager: &Properties, display: Option<&Properties>) -> Option<(bool, Option<u8>)> {
    let on_battery = manager.bool("OnBattery")?;
    let present = display.filter(|display| display.bool("IsPresent").unwrap_or(false));
    let percent = present.and_then(|display| display.double("Percentage")).filter(|percent| percent.is_finite());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
    let charge = percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
    Some((on_battery, charge))
}

/// Whether the system saves power because it was told to.
pub(super) fn saver(profiles: &Properties) -> Option<bool> {
    Some(profiles.text("ActiveProfile")? == "power-saver")
}

/// The network that leads out, known by the number that its connection keeps (`Uuid`), so that one with a copied name is
/// another one.
pub(super) fn network(manager: &Properties, primary: &Properties) -> Option<Network> {
    // NMMetered: 0 nobody knows, 1 yes, 2 no, 3 yes by guess, 4 no by guess.
    let metered = matches!(manager.number("Metered")?, 1 | 3);
    let id = primary.text("Uuid").filter(|id| !id.is_empty())?;
    Some(Network { id: NetworkId(id.to_owned()), name: primary.text("Id").unwrap_or(id).to_owned(), metered })
}

/// Whether somebody is at the machine, by all its sessions. None: somebody may be, and nobody can tell.
pub(super) fn presence(sessions: &[Properties]) -> Option<Presence> {
    let here: Vec<_> = sessions.iter().filter(|session| counts(session)).map(uses_it).collect();
    if here.contains(&Some(true)) {
        return Some(Presence::Here);
    }
    here.iter().all(Option::is_some).then_some(Presence::Away)
}

/// Of a person, at this machine, in front.
fn counts(session: &Properties) -> bool {
    session.text("Class") == Some("user")
        && session.bool("Remote") == Some(false)
        && session.bool("Active") == Some(true)
}

/// Whether the person of a session has touched anything lately.
fn uses_it(session: &Properties) -> Option<bool> {
    if session.bool("LockedHint") == Some(true) || session.bool("IdleHint") == Some(true) {
        return Some(false);
    }
    match session.text("Type") {
        // A terminal's time is the system's own.
        Some("tty") => Some(true),
        // A desktop has to say it, and not every one does: one that never has (no time stands there) says nothing.
        Some("x11" | "wayland" | "mir") => (session.number("IdleSinceHint")? > 0).then_some(true),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::value::Value, *};

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn battery_as_upower_says_it() {
        let manager = |on| Properties::with(&[("OnBattery", Value::Bool(on))]);
        let display = |present, percent| {
            Properties::with(&[("IsPresent", Value::Bool(present)), ("Percentage", Value::Double(percent))])
        };
        assert_eq!(battery(&manager(true), Some(&display(true, 57.9))), Some((true, Some(57))));
        assert_eq!(battery(&manager(false), Some(&display(false, 0.0))), Some((false, None)), "no battery");
        assert_eq!(battery(&manager(true), None), Some((true, None)));
        assert_eq!(battery(&manager(true), Some(&display(true, f64::NAN))), Some((true, None)));
        assert_eq!(battery(&manager(true), Some(&display(true, 1e9))), Some((true, Some(100))));
        assert_eq!(battery(&Properties::default(), Some(&display(true, 50.0))), None, "another program of that name");
    }

    #[test]
    fn power_is_saved_when_the_profile_says_so() {
        let profile = |name| saver(&Properties::with(&[("ActiveProfile", text(name))]));
        assert_eq!((profile("power-saver"), profile("balanced")), (Some(true), Some(false)));
        assert_eq!(saver(&Properties::default()), None);
    }

    #[test]
    fn a_network_is_known_by_its_number_and_metered_also_by_guess() {
        let primary = Properties::with(&[("Uuid", text("f1-2")), ("Id", text("Phone"))]);
        let metered = |number| {
            network(&Properties::with(&[("Metered", Value::Number(number))]), &primary).map(|network| network.metered)
        };
        let all: Vec<_> = (0..5).map(metered).collect();
        assert_eq!(all, [Some(false), Some(true), Some(false), Some(true), Some(false)]);
        let manager = Properties::with(&[("Metered", Value::Number(1))]);
        let expected = Network { id: NetworkId("f1-2".into()), name: "Phone".into(), metered: true };
        assert_eq!(network(&manager, &primary), Some(expected));
        assert_eq!(network(&manager, &Properties::default()), None, "no network leads out");
    }

    fn session(changes: &[(&str, Value)]) -> Properties {
        let mut all = vec![
            ("Class", text("user")),
            ("Remote", Value::Bool(false)),
            ("Active", Value::Bool(true)),
            ("Type", text("wayland")),
            ("IdleHint", Value::Bool(false)),
            ("IdleSinceHint", Value::Number(1)),
            ("LockedHint", Value::Bool(false)),
        ];
        // The later one of two counts.
        all.extend(changes.iter().cloned());
        Properties::with(&all)
    }

    #[test]
    fn somebody_is_here_as_long_as_any_session_is_used() {
        let (yes, no, number) = (Value::Bool(true), Value::Bool(false), Value::Number);
        let used = session(&[]);
        let silent = session(&[("IdleSinceHint", number(0))]);
        for (changes, expected) in [
            (vec![], Some(Presence::Here)),
            (vec![("IdleHint", yes.clone())], Some(Presence::Away)),
            (vec![("LockedHint", yes.clone())], Some(Presence::Away)),
            (vec![("Active", no.clone())], Some(Presence::Away)),
            (vec![("Remote", yes.clone())], Some(Presence::Away)),
            (vec![("Class", text("greeter"))], Some(Presence::Away)),
            (vec![("IdleSinceHint", number(0))], None),
            (vec![("IdleSinceHint", number(0)), ("LockedHint", yes.clone())], Some(Presence::Away)),
            (vec![("IdleSinceHint", number(0)), ("Type", text("tty"))], Some(Presence::Here)),
            (vec![("Type", text("unspecified"))], Some(Presence::Away)),
        ] {
            assert_eq!(presence(&[session(&changes)]), expected, "{changes:?}");
        }
        assert_eq!(presence(&[]), Some(Presence::Away), "nobody has logged in");
        assert_eq!(presence(&[silent.clone(), used]), Some(Presence::Here));
        assert_eq!(presence(&[silent, session(&[("IdleHint", yes)])]), None);
    }
}
