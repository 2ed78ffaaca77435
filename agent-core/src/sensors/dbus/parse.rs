//! Converts the properties of system services into conditions. Pure: needs no bus.

use super::value::Properties;
use crate::sensors::power::Battery;
use banyan_proto::schedule::{Network, NetworkId, Presence};

/// Returns the battery's state.
pub(super) fn battery(manager: &Properties, display: Option<&Properties>) -> Option<Battery> {
    let in_use = manager.bool("OnBattery")?;
    let present = display.filter(|display| display.bool("IsPresent").unwrap_or(false));
    let percent = present.and_then(|display| display.double("Percentage")).filter(|percent| percent.is_finite());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
    let charge = percent.map(|percent| percent.clamp(0.0, 100.0) as u8);
    Some(Battery { in_use, charge })
}

/// Returns whether power saving is switched on.
pub(super) fn power_saver(profiles: &Properties) -> Option<bool> {
    Some(profiles.text("ActiveProfile")? == "power-saver")
}

/// Returns the primary network. It is identified by its connection's permanent `Uuid`, so a network with a copied name
/// is a different one.
pub(super) fn network(manager: &Properties, primary: &Properties) -> Option<Network> {
    // NMMetered: 0 unknown, 1 yes, 2 no, 3 guessed yes, 4 guessed no.
    let metered = matches!(manager.number("Metered")?, 1 | 3);
    let id = primary.text("Uuid").filter(|id| !id.is_empty())?;
    Some(Network { id: NetworkId(id.to_owned()), name: primary.text("Id").unwrap_or(id).to_owned(), metered })
}

/// Returns whether a user is at the machine, from all its sessions; `None` when it cannot be determined.
pub(super) fn presence(sessions: &[Properties]) -> Option<Presence> {
    let here: Vec<_> = sessions.iter().filter(|session| is_active_user(session)).map(is_in_use).collect();
    if here.contains(&Some(true)) {
        return Some(Presence::Here);
    }
    here.iter().all(Option::is_some).then_some(Presence::Away)
}

/// Returns whether a session belongs to a person, is at this machine, and is in front.
fn is_active_user(session: &Properties) -> bool {
    session.text("Class") == Some("user")
        && session.bool("Remote") == Some(false)
        && session.bool("Active") == Some(true)
}

/// Returns whether the session's user has been active recently; `None` when unknown.
fn is_in_use(session: &Properties) -> Option<bool> {
    if session.bool("LockedHint") == Some(true) || session.bool("IdleHint") == Some(true) {
        return Some(false);
    }
    match session.text("Type") {
        // The system itself tracks a terminal's idle time.
        Some("tty") => Some(true),
        // A desktop must report it, and not all do: one that never has (no time is set) is unknown.
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
    fn battery_as_upower_reports_it() {
        let manager = |on| Properties::from_pairs(&[("OnBattery", Value::Bool(on))]);
        let display = |present, percent| {
            Properties::from_pairs(&[("IsPresent", Value::Bool(present)), ("Percentage", Value::Double(percent))])
        };
        let state = |in_use, charge| Some(Battery { in_use, charge });
        assert_eq!(battery(&manager(true), Some(&display(true, 57.9))), state(true, Some(57)));
        assert_eq!(battery(&manager(false), Some(&display(false, 0.0))), state(false, None), "no battery");
        assert_eq!(battery(&manager(true), None), state(true, None));
        assert_eq!(battery(&manager(true), Some(&display(true, f64::NAN))), state(true, None));
        assert_eq!(battery(&manager(true), Some(&display(true, 1e9))), state(true, Some(100)));
        assert_eq!(battery(&Properties::default(), Some(&display(true, 50.0))), None, "another program with that name");
    }

    #[test]
    fn power_saving_follows_the_active_profile() {
        let profile = |name| power_saver(&Properties::from_pairs(&[("ActiveProfile", text(name))]));
        assert_eq!((profile("power-saver"), profile("balanced")), (Some(true), Some(false)));
        assert_eq!(power_saver(&Properties::default()), None);
    }

    #[test]
    fn a_network_is_identified_by_its_uuid_and_metered_even_if_only_guessed() {
        let primary = Properties::from_pairs(&[("Uuid", text("f1-2")), ("Id", text("Phone"))]);
        let metered = |number| {
            network(&Properties::from_pairs(&[("Metered", Value::Number(number))]), &primary)
                .map(|network| network.metered)
        };
        let all: Vec<_> = (0..5).map(metered).collect();
        assert_eq!(all, [Some(false), Some(true), Some(false), Some(true), Some(false)]);
        let manager = Properties::from_pairs(&[("Metered", Value::Number(1))]);
        let expected = Network { id: NetworkId("f1-2".into()), name: "Phone".into(), metered: true };
        assert_eq!(network(&manager, &primary), Some(expected));
        assert_eq!(network(&manager, &Properties::default()), None, "no primary network");
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
        // If a name occurs twice, the later value counts.
        all.extend(changes.iter().cloned());
        Properties::from_pairs(&all)
    }

    #[test]
    fn a_user_is_present_as_long_as_any_session_is_used() {
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
        assert_eq!(presence(&[]), Some(Presence::Away), "no user is logged in");
        assert_eq!(presence(&[silent.clone(), used]), Some(Presence::Here));
        assert_eq!(presence(&[silent, session(&[("IdleHint", yes)])]), None);
    }
}
