//! Checks the server with the administrator's profile.

use crate::{
    api_client::{ApiClient, ApiClientError},
    commands::{
        doctor::{Check, clocks, disk, suspicions},
        signature_expiry,
    },
    output::{Advice as _, format_count},
    platform,
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Address, Digest, Reason, UnixSeconds,
    admin::{Capacity, CurrentTargets, Info, Machine, Profile},
};
use std::{fs, path::Path};

const AFTER_PROFILE: [&str; 9] =
    ["server", "ca", "token", "root", "signatures", "clocks", "machines", "machine clocks", "addresses"];

const SERVER_DATA: &str = "server data";

/// Most machines that are named.
const MAX_NAMED: usize = 5;

/// The connections that each machine needs at times: its long poll and a request beside it.
const CONNECTIONS_OF_MACHINE: usize = 2;

pub(super) async fn check(given: &ProfileArg) -> Vec<Check> {
    let (path, profile) = match profile::load(given) {
        Ok(loaded) => loaded,
        Err(error) => {
            return failed_with_dependents(
                Check::bad("profile", banyan_proto::text::error_chain(&error), error.next_step()),
                &AFTER_PROFILE,
                "no usable profile",
            );
        }
    };
    let mut checks = vec![match platform::is_private(&path) {
        Ok(false) => Check::doubtful(
            "profile",
            format!("others can read {}, which contains the admin token", path.display()),
            format!("run `chmod 600 {}`", path.display()),
        ),
        Ok(true) | Err(_) => {
            Check::good("profile", format!("{}, server {}", path.display(), Address::list(&profile.servers)))
        }
    }];
    let client = match ApiClient::new(&profile) {
        Ok(client) => client,
        Err(error) => {
            checks.extend(failed_with_dependents(
                Check::bad("server", error.to_string(), error.next_step()),
                &AFTER_PROFILE[1..],
                "no TLS configuration",
            ));
            return checks;
        }
    };
    let answer = client.info().await;
    if answer.is_err() {
        checks.extend(check_data_folder(&path));
    }
    let capacity = answer.as_ref().ok().and_then(|info| info.capacity);
    let free = answer.as_ref().ok().and_then(|info| info.free_bytes);
    let files = answer.as_ref().ok().and_then(|info| info.file_room);
    checks.extend(evaluate_answer(&profile, answer, UnixSeconds::now()));
    checks.extend(disk::check("server disk", "the server's data folder", free, files));
    // A second request is sent only to a server that answered the first.
    if checks.iter().any(|check| check.what == "token" && check.verdict == crate::commands::doctor::Verdict::Good) {
        let targets = client.targets().await;
        checks.extend(targets.as_ref().ok().map(|current| check_signatures(current, UnixSeconds::now())));
        checks.push(check_root(&profile, targets));
        let machines = client.machines().await;
        if let (Some(capacity), Ok(machines)) = (capacity, &machines) {
            let enrolled = machines.iter().filter(|machine| !machine.revoked).count();
            checks.push(check_capacity(capacity, enrolled));
        }
        let suspicions = client.suspicions().await;
        checks.extend(suspicions::check(suspicions, machines.as_deref().unwrap_or_default(), UnixSeconds::now()));
        checks.extend(check_machines(machines));
    }
    checks
}

/// Checks, when the server does not answer, whether its data folder is here and why it could not start with it.
fn check_data_folder(profile: &Path) -> Option<Check> {
    let folder = profile.parent().filter(|folder| folder.join("keys/ca.key").exists())?;
    let database = folder.join("server.sqlite");
    if fs::metadata(&database).map_or(0, |found| found.len()) == 0 {
        let found = format!(
            "{} is missing or empty, but the server's keys are there, so it does not start",
            database.display()
        );
        return Some(Check::bad(
            SERVER_DATA,
            found,
            "restore it from the backup, then run `banyan-server raise-epoch`",
        ));
    }
    check_server_process(folder)
}

/// Checks whether a server runs with this data folder, and whether one could.
fn check_server_process(folder: &Path) -> Option<Check> {
    let lock = folder.join("lock");
    // A running server holds the lock. It is not kept here.
    if matches!(fs::File::open(&lock).ok()?.try_lock_shared(), Err(fs::TryLockError::WouldBlock)) {
        return Some(Check::doubtful(
            SERVER_DATA,
            format!("a server is running with {}, but not responding at the profile's address", folder.display()),
            "compare its `--listen` and `--advertise` with the profile, and read its log",
        ));
    }
    Some(match fs::OpenOptions::new().write(true).open(&lock) {
        Err(error) => Check::bad(
            SERVER_DATA,
            format!("{} cannot be written: {error}", folder.display()),
            banyan_proto::text::disk_advice(&error),
        ),
        Ok(_) => Check::bad(
            SERVER_DATA,
            format!("no server is running with {}", folder.display()),
            format!("start it with `banyan-server --data {}`, and read its log", folder.display()),
        ),
    })
}

/// Checks whether the open files that the server's system allows are enough for all machines.
fn check_capacity(capacity: Capacity, enrolled: usize) -> Check {
    let Capacity { open_files, machine_places, machines: _, refused } = capacity;
    let found = format!("{open_files} allowed at the server: {machine_places} connections of {enrolled} machines");
    let next = "raise the hard limit of open files of the server's service (systemd: LimitNOFILE)";
    if refused > 0 {
        Check::bad("open files", format!("{found}; {refused} were refused"), next)
    } else if machine_places < CONNECTIONS_OF_MACHINE * enrolled {
        Check::doubtful("open files", found, next)
    } else {
        Check::good("open files", found)
    }
}

/// Returns a failed check, and the checks that depend on it as skipped.
fn failed_with_dependents(check: Check, others: &[&'static str], because: &str) -> Vec<Check> {
    std::iter::once(check).chain(others.iter().map(|what| Check::skipped(what, because))).collect()
}

/// Evaluates the first answer, or its absence: server, CA, token and clocks.
fn evaluate_answer(profile: &Profile, answer: Result<Info, ApiClientError>, now: UnixSeconds) -> Vec<Check> {
    let server = format!("responding at {}", Address::list(&profile.servers));
    let ca = || Check::good("ca", "matches the profile");
    match answer {
        Ok(info) => vec![
            check_storage(info.storage_fault).unwrap_or_else(|| {
                Check::good("server", format!("{server} ({}, epoch {})", info.software, info.epoch))
            }),
            ca(),
            Check::good("token", "accepted"),
            clocks::compare(info.now, info.unconfirmed_clock, now),
        ],
        Err(error) => {
            let bad = |what| Check::bad(what, error.to_string(), error.next_step());
            match &error {
                ApiClientError::WrongServer { .. } => {
                    let checks =
                        failed_with_dependents(bad("ca"), &AFTER_PROFILE[2..], "the server does not match the profile");
                    std::iter::once(Check::good("server", server)).chain(checks).collect()
                }
                ApiClientError::TokenRejected | ApiClientError::Refused(_) => {
                    let checks = failed_with_dependents(
                        bad("token"),
                        &AFTER_PROFILE[3..],
                        "the server did not accept the token",
                    );
                    [Check::good("server", server), ca()].into_iter().chain(checks).collect()
                }
                ApiClientError::Setup(_)
                | ApiClientError::Unreachable { .. }
                | ApiClientError::NotAdmitted { .. }
                | ApiClientError::Stalled { .. }
                | ApiClientError::ClockWrong { .. }
                | ApiClientError::NotFound
                | ApiClientError::MalformedResponse(_)
                | ApiClientError::File(_) => {
                    failed_with_dependents(bad("server"), &AFTER_PROFILE[1..], "no response from the server")
                }
            }
        }
    }
}

/// Reports that the server responds but cannot store anything, so that it refuses what changes something.
fn check_storage(fault: Option<Reason>) -> Option<Check> {
    let fault = fault?;
    let (what, next) = match fault {
        Reason::ServerDiskFull => (fault.for_admin().what, "make room for its data folder; no restart is needed"),
        _ => ("the server cannot write to its data folder", "read the server's log, and check its disk"),
    };
    Some(Check::bad("server", format!("responding, but refuses changes: {what} [{}]", fault.code()), next))
}

fn check_root(profile: &Profile, targets: Result<CurrentTargets, ApiClientError>) -> Check {
    let init = "run `banyan keys init --key DIR`";
    match (profile.root, targets) {
        (_, Err(ApiClientError::Refused(error))) => {
            Check::bad("root", format!("no root is registered: {}", error.detail), init)
        }
        (_, Err(error)) => Check::bad("root", error.to_string(), error.next_step()),
        (None, Ok(_)) => Check::bad("root", "the profile names no root, so no join codes can be created", init),
        // A newer root has a different hash. The publisher's tool and the machines verify its chain back to the first
        // root.
        (Some(expected), Ok(current))
            if version(&current.root) == Some(1) && Digest::of(current.root.as_bytes()) != expected =>
        {
            Check::bad(
                "root",
                "the server's root differs from the one in this profile",
                "find out who registered the other root; new machines would refuse everything from this server",
            )
        }
        (Some(expected), Ok(_)) => Check::good("root", format!("registered ({})", expected.short())),
    }
}

/// Checks how long the publisher's signatures remain valid.
fn check_signatures(current: &CurrentTargets, now: UnixSeconds) -> Check {
    let Some((root, list)) = signature_expiry::read_expiry(current) else {
        return Check::bad("signatures", "the server's root cannot be read", "check the server's log");
    };
    let warnings = signature_expiry::expiry_warnings(root, list, now);
    let expired = list.map_or(root, |list| list.min(root)) <= now;
    let split: Vec<(&str, &str)> = warnings.iter().filter_map(|line| line.split_once("; next: ")).collect();
    let (found, next): (Vec<&str>, Vec<&str>) = split.into_iter().unzip();
    match (warnings.is_empty(), expired) {
        (true, _) => {
            let list = list.map_or_else(
                || "no list yet".into(),
                |list| format!("list until {}", signature_expiry::format_date(list)),
            );
            Check::good("signatures", format!("root until {}, {list}", signature_expiry::format_date(root)))
        }
        (false, false) => Check::doubtful("signatures", found.join("; "), next.join("; ")),
        (false, true) => Check::bad("signatures", found.join("; "), next.join("; ")),
    }
}

fn version(root: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(root).ok()?.get("signed")?.get("version")?.as_u64()
}

fn check_machines(machines: Result<Vec<Machine>, ApiClientError>) -> Vec<Check> {
    match machines {
        Ok(machines) => std::iter::once(check_online(&machines))
            .chain(check_quarantine(&machines))
            .chain([clocks::of_machines(&machines), check_addresses(&machines)])
            .collect(),
        Err(error) => failed_with_dependents(
            Check::bad("machines", error.to_string(), error.next_step()),
            &AFTER_PROFILE[7..],
            "the list of machines is missing",
        ),
    }
}

/// Checks whether machines are connected.
fn check_online(machines: &[Machine]) -> Check {
    let expected: Vec<&Machine> = machines.iter().filter(|machine| !machine.revoked && machine.out.is_none()).collect();
    let online = expected.iter().filter(|machine| machine.online).count();
    let found = format!("{online} of {} online", expected.len());
    if online > 0 || expected.is_empty() {
        return Check::good("machines", found);
    }
    Check::bad(
        "machines",
        found,
        "check the network and the firewall between machines and server, then run `banyan doctor --data DIR` on a machine",
    )
}

/// Reports machines that take no part until an administrator readmits them. Returns nothing if there are none.
fn check_quarantine(machines: &[Machine]) -> Option<Check> {
    let aside: Vec<(&Machine, Reason)> = machines
        .iter()
        .filter(|machine| !machine.revoked)
        .filter_map(|machine| Some((machine, machine.out?)))
        .collect();
    let (_, reason) = *aside.first()?;
    let labels: Vec<&str> = aside.iter().take(MAX_NAMED).map(|(machine, _)| machine.label.as_str()).collect();
    let more = if aside.len() > MAX_NAMED { ", …" } else { "" };
    let texts = reason.for_admin();
    let found = format!("{}{more}: {} [{}]", labels.join(", "), texts.what, reason.code());
    Some(Check::bad("quarantine", found, texts.advice))
}

/// Checks whether the machines know where the server is, so that a previous address can go.
fn check_addresses(machines: &[Machine]) -> Check {
    const WHAT: &str = "addresses";
    let behind: Vec<&str> = machines
        .iter()
        .filter(|machine| !machine.revoked && machine.knows_server_addresses == Some(false))
        .map(|machine| machine.label.as_str())
        .collect();
    let known = machines.iter().filter(|machine| machine.knows_server_addresses == Some(true)).count();
    let unheard = machines.iter().filter(|one| !one.revoked && one.knows_server_addresses.is_none()).count();
    if behind.is_empty() {
        let unheard = if unheard > 0 {
            format!("; {unheard} have not checked in since the server was started")
        } else {
            String::new()
        };
        return Check::good(
            WHAT,
            format!("{} informed of the server's current addresses{unheard}", format_count(known, "machine")),
        );
    }
    let found = format!(
        "{} not informed of the server's current addresses: {}",
        format_count(behind.len(), "machine"),
        behind.join(", ")
    );
    Check::doubtful(WHAT, found, "keep the server's previous addresses working until they do")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{doctor::Verdict, test_machine::machine};

    fn profile(root: Option<Digest>) -> Profile {
        Profile { servers: vec!["127.0.0.1:1".parse().unwrap()], ca: Digest([0; 32]), token: "".into(), root }
    }

    #[test]
    fn nobody_online_who_should_be_is_a_failure() {
        let with = |online, revoked| Machine { online, revoked, ..machine(1, "a") };
        let verdict = |machines: &[Machine]| check_online(machines).verdict;
        assert_eq!(verdict(&[]), Verdict::Good);
        assert_eq!(verdict(&[with(false, false), with(true, false)]), Verdict::Good);
        assert_eq!(verdict(&[with(false, false), with(true, true)]), Verdict::Bad, "a revoked one does not count");
    }

    #[test]
    fn a_quarantined_machine_is_named_with_what_to_do() {
        assert_eq!(check_quarantine(&[machine(1, "desk")]), None);
        let out = |revoked| Machine { out: Some(Reason::Cloned), revoked, ..machine(1, "desk") };
        assert_eq!(check_quarantine(&[out(true)]), None);
        let found = check_quarantine(&[out(false)]).unwrap();
        assert!(found.verdict == Verdict::Bad && found.found.contains("desk: ") && found.found.contains("[cloned]"));
        assert!(found.next.unwrap().contains("banyan machines readmit"));
    }

    #[test]
    fn machines_that_would_lose_a_moving_server_are_named() {
        let with = |label: &str, knows| Machine { knows_server_addresses: knows, ..machine(1, label) };
        assert_eq!(check_addresses(&[with("a", Some(true)), with("b", None)]).verdict, Verdict::Good);
        let behind = check_addresses(&[with("a", Some(true)), with("late", Some(false))]);
        assert!(behind.verdict == Verdict::Doubtful && behind.found.contains("late"), "{behind:?}");
    }

    #[test]
    fn another_ca_and_a_wrong_token_are_told_apart() {
        let stranger =
            ApiClientError::WrongServer { server: "127.0.0.1:1".parse().unwrap(), why: "unknown issuer".into() };
        let of = |error, what: &str| {
            let checks = evaluate_answer(&profile(None), Err(error), UnixSeconds(0));
            checks.iter().find(|check| check.what == what).unwrap().verdict
        };
        assert_eq!(of(stranger, "ca"), Verdict::Bad);
        assert_eq!(
            (of(ApiClientError::TokenRejected, "ca"), of(ApiClientError::TokenRejected, "token")),
            (Verdict::Good, Verdict::Bad)
        );
    }

    #[test]
    fn too_few_open_files_are_noticed_before_and_after_machines_are_refused() {
        let capacity = |machine_places, refused| Capacity { open_files: 4096, machine_places, machines: 40, refused };
        let verdict = |capacity| check_capacity(capacity, 50).verdict;
        assert_eq!(verdict(capacity(100, 0)), Verdict::Good);
        assert_eq!(verdict(capacity(99, 0)), Verdict::Doubtful);
        assert_eq!(verdict(capacity(100, 1)), Verdict::Bad);
    }

    #[test]
    fn a_server_that_cannot_store_anything_is_not_well() {
        assert_eq!(check_storage(None), None);
        let full = check_storage(Some(Reason::ServerDiskFull)).unwrap();
        assert_eq!(full.verdict, Verdict::Bad);
        assert!(full.found.contains("the server's disk is full [server-disk-full]"), "{full:?}");
        assert_eq!(check_storage(Some(Reason::InternalError)).unwrap().verdict, Verdict::Bad);
    }

    #[test]
    fn a_lost_database_beside_the_keys_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("admin.toml");
        assert_eq!(check_data_folder(&profile), None, "another computer's profile");
        fs::create_dir(folder.path().join("keys")).unwrap();
        fs::write(folder.path().join("keys/ca.key"), "key").unwrap();
        assert_eq!(check_data_folder(&profile).unwrap().verdict, Verdict::Bad);
        fs::write(folder.path().join("server.sqlite"), "").unwrap();
        assert_eq!(check_data_folder(&profile).unwrap().verdict, Verdict::Bad);
        fs::write(folder.path().join("server.sqlite"), "data").unwrap();
        assert_eq!(check_data_folder(&profile), None);
        fs::write(folder.path().join("lock"), "").unwrap();
        let stopped = check_data_folder(&profile).unwrap();
        assert!(stopped.verdict == Verdict::Bad && stopped.found.starts_with("no server is running"), "{stopped:?}");
        let server = fs::File::open(folder.path().join("lock")).unwrap();
        server.lock().unwrap();
        let running = check_data_folder(&profile).unwrap();
        assert!(running.found.starts_with("a server is running"), "{running:?}");
    }

    #[test]
    fn a_root_of_somebody_else_is_noticed() {
        let text = r#"{"signed":{"version":1}}"#;
        let current = |root: &str| Ok(CurrentTargets { root: root.into(), targets: None, roots: vec![] });
        assert_eq!(check_root(&profile(Some(Digest::of(text.as_bytes()))), current(text)).verdict, Verdict::Good);
        assert_eq!(check_root(&profile(Some(Digest([1; 32]))), current(text)).verdict, Verdict::Bad);
        assert_eq!(check_root(&profile(None), current(text)).verdict, Verdict::Bad);
        let newer = r#"{"signed":{"version":2}}"#;
        assert_eq!(check_root(&profile(Some(Digest([1; 32]))), current(newer)).verdict, Verdict::Good);
    }
}
