//! Checks an agent from its data folder: its identity, its enrolment, its connection, and whether it is running.
//!
//! A running agent locks its database, so the check then asks the agent itself over its local API.

use crate::{
    commands::doctor::{Check, disk},
    output::{Advice as _, REPORT_BUG, format_age, format_count},
    platform,
};
use agent_core::{
    database::{Database, DatabaseError, Enrolment},
    identity::server_addresses::ServerAddresses,
};
use banyan_proto::{Address, MachineId, Reason, UnixSeconds, api::ApiError, local::Status};
use banyan_wire::{
    file_room::file_room,
    lookup::{Names, connect},
};
use std::{path::Path, sync::Arc, time::Duration};

/// Timeout for the agent's answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for name servers, of which the first may be away.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(20);

/// An agent contacts the server every five minutes. A longer silence (seconds) is reported.
const MAX_SILENCE_SECONDS: u64 = 900;

const AFTER_FOLDER: [&str; 2] = ["agent: enrolment", "agent: connection"];

pub(super) async fn check(data: &Path) -> Vec<Check> {
    let database = data.join("agent.redb");
    // Opening the database would create it.
    match std::fs::metadata(&database) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return unusable_folder("agent.redb in this folder is not a file".into(), "pass an agent's data folder");
        }
        Err(error) => {
            let next =
                format!("{}; an agent's data folder contains agent.redb after its first start", error.next_step());
            return unusable_folder(format!("{}: {error}", database.display()), &next);
        }
    }
    let mut checks = vec![check_key_file(data)];
    let (free, files) = (fs4::available_space(data).ok(), file_room(data));
    checks.extend(disk::check("agent: disk", &data.display().to_string(), free, files));
    match tokio::task::spawn_blocking(move || read_identity(&database)).await {
        Ok(Ok(identity)) => {
            checks.push(Check::doubtful(
                "agent",
                "the agent is not running",
                "start banyan-agent with this --data folder",
            ));
            match identity {
                Some(identity) => checks.extend(check_enrolled(&identity).await),
                None => checks.push(Check::bad(
                    AFTER_FOLDER[0],
                    "the agent has not enrolled with any server",
                    "create a join code with `banyan tokens create`, then start the agent once with --join-file FILE",
                )),
            }
        }
        Ok(Err(DatabaseError::InUse)) => checks.extend(check_running(data).await),
        Ok(Err(error)) => checks.push(Check::bad(
            "agent",
            banyan_proto::text::error_chain(&error),
            "check the disk and the folder's permissions, or enrol the machine again with an empty data folder",
        )),
        Err(error) => checks.push(Check::bad("agent", error.to_string(), REPORT_BUG)),
    }
    checks
}

/// Whom a stopped agent belongs to, and where it would look for its server.
struct StoredIdentity {
    machine: MachineId,
    servers: Vec<Address>,
}

/// Reads it from the agent's database; `None` for a machine that has not enrolled.
fn read_identity(database: &Path) -> Result<Option<StoredIdentity>, DatabaseError> {
    let database = Arc::new(Database::open(database)?);
    let Some(Enrolment { machine, server, server_addresses, keys, .. }) = database.load_enrolment()? else {
        return Ok(None);
    };
    // The server may have moved since the enrolment.
    let servers = ServerAddresses::open(database, server, keys, &server_addresses)?.current();
    Ok(Some(StoredIdentity { machine, servers }))
}

/// Asks a running agent for its status.
async fn check_running(data: &Path) -> Vec<Check> {
    match tokio::time::timeout(TIMEOUT, banyan_local_api::query_status(data)).await {
        Ok(Ok(status)) => evaluate_status(&status, UnixSeconds::now()),
        Ok(Err(error)) => {
            let refusal = error.get_ref().and_then(|error| error.downcast_ref::<ApiError>());
            if let Some(waits) = refusal.filter(|refusal| refusal.reason != Reason::NotFound) {
                let (waits, next) = (waits.detail.clone(), waits.reason.for_admin().advice);
                return vec![Check::good("agent", "running and responding"), Check::bad(AFTER_FOLDER[0], waits, next)];
            }
            let next = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "run this again as the agent's user or as root",
                _ => "read in the agent's log why its local socket is missing, then restart the agent",
            };
            let socket = data.join("agent.sock");
            let found = format!("the agent is running, but not responding at {}: {error}", socket.display());
            vec![Check::doubtful("agent", found, next)]
        }
        Err(_) => {
            let found = format!("the agent is running, but did not respond within {} seconds", TIMEOUT.as_secs());
            vec![Check::bad("agent", found, "check the agent's log, then restart the agent")]
        }
    }
}

/// Evaluates the status of a running agent.
fn evaluate_status(status: &Status, now: UnixSeconds) -> Vec<Check> {
    let enrolment =
        format!("machine {} ({}), server at {}", status.machine, status.label, Address::list(&status.servers));
    let connection = match (&status.trouble, status.heard) {
        (Some(trouble), _) => Check::bad(AFTER_FOLDER[1], trouble.to_string(), trouble.reason.for_admin().advice),
        (None, _) if status.failure.is_some() => Check::bad(
            AFTER_FOLDER[1],
            status.failure.clone().unwrap_or_default(),
            "check the network and the firewall between agent and server, and whether the server is running",
        ),
        (None, Some(at)) => {
            let since = now.0.saturating_sub(at.0);
            let found = format!("last contact with the server: {}", format_age(since));
            if since < MAX_SILENCE_SECONDS {
                Check::good(AFTER_FOLDER[1], found)
            } else {
                Check::doubtful(
                    AFTER_FOLDER[1],
                    found,
                    "check the network to the server, and whether the server is running",
                )
            }
        }
        (None, None) => Check::bad(
            AFTER_FOLDER[1],
            format!("no response from {} since the agent was started", Address::list(&status.servers)),
            "check the network and the firewall between agent and server",
        ),
    };
    let done = status.orders.iter().filter(|order| order.ended.is_some()).count();
    let found =
        format!("running and responding; {}, of which {done} ended", format_count(status.orders.len(), "order"));
    vec![Check::good("agent", found), Check::good(AFTER_FOLDER[0], enrolment), connection]
}

fn unusable_folder(found: String, next: &str) -> Vec<Check> {
    let skipped = AFTER_FOLDER.map(|what| Check::skipped(what, "not an agent's data folder"));
    std::iter::once(Check::bad("agent", found, next)).chain(skipped).collect()
}

/// Checks that only its owner can read the machine's key: anyone who can read it can impersonate the machine.
fn check_key_file(data: &Path) -> Check {
    let path = data.join("machine.key");
    match platform::is_private(&path) {
        Ok(true) => Check::good("agent: key", "only its owner can read it"),
        Ok(false) => Check::bad(
            "agent: key",
            format!("others can read {}, and so impersonate this machine", path.display()),
            "revoke the machine, run `chmod 600` on its key, and enrol the machine again",
        ),
        Err(error) => Check::bad("agent: key", format!("{}: {error}", path.display()), error.next_step()),
    }
}

async fn check_enrolled(identity: &StoredIdentity) -> Vec<Check> {
    let server = Address::list(&identity.servers);
    let connection = match Arc::new(Names::default()).look_up(&identity.servers, LOOKUP_PATIENCE).await {
        Err(error) => {
            Check::bad(AFTER_FOLDER[1], error.to_string(), "check the server's name and the name servers (DNS)")
        }
        Ok(sockets) => match connect(&sockets).await {
            Ok(_) => Check::good(AFTER_FOLDER[1], format!("{server} accepts connections")),
            Err(error) => Check::bad(
                AFTER_FOLDER[1],
                format!("{server}: {error}"),
                "check the network and the firewall between agent and server",
            ),
        },
    };
    vec![Check::good(AFTER_FOLDER[0], format!("machine {}, server at {server}", identity.machine)), connection]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;
    use banyan_proto::{KeyRing, MachineId};

    fn verdict(checks: &[Check], what: &str) -> Verdict {
        checks
            .iter()
            .find(|check| check.what == what)
            .unwrap_or_else(|| panic!("{what} is missing: {checks:?}"))
            .verdict
    }
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        // `NamedTempFile` creates the file with mode 600 on Unix.
        let key = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        key.persist(folder.path().join("machine.key")).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_folder_without_an_agent_is_reported_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verdict(&check(folder.path()).await, "agent"), Verdict::Bad);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the check created a file");
    }

    #[test]
    fn an_agent_without_contact_to_its_server_is_reported() {
        let status = |heard: Option<u64>| Status {
            machine: MachineId([1; 16]),
            label: "desk".into(),
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            heard: heard.map(UnixSeconds),
            trouble: None,
            failure: None,
            certificate_until: None,
            crl_number: 1,
            orders: vec![],
        };
        let connection = |heard| verdict(&evaluate_status(&status(heard), UnixSeconds(10_000)), "agent: connection");
        assert_eq!(
            [connection(Some(9_700)), connection(Some(100)), connection(None)],
            [Verdict::Good, Verdict::Doubtful, Verdict::Bad]
        );
        assert_eq!(verdict(&evaluate_status(&status(None), UnixSeconds(0)), "agent"), Verdict::Good);
        let trouble = ApiError { reason: Reason::CertificateExpired, detail: "too long ago".into() };
        let refused = evaluate_status(&Status { trouble: Some(trouble), ..status(Some(9_900)) }, UnixSeconds(10_000));
        assert_eq!(verdict(&refused, "agent: connection"), Verdict::Bad);
    }

    #[tokio::test]
    async fn a_silent_agent_one_that_never_enrolled_and_one_that_does_not_run_are_told_apart() {
        let folder = folder();
        let database = Database::open(&folder.path().join("agent.redb")).unwrap();
        // The test holds the database, as a running agent would, but nothing listens on the local socket.
        let silent = check(folder.path()).await;
        assert_eq!((verdict(&silent, "agent"), verdict(&silent, "agent: key")), (Verdict::Doubtful, Verdict::Good));
        assert!(silent.iter().any(|check| check.found.contains("running, but not responding")), "{silent:?}");
        drop(database);
        assert_eq!(verdict(&check(folder.path()).await, "agent: enrolment"), Verdict::Bad);
        let database = Database::open(&folder.path().join("agent.redb")).unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let enrolment = Enrolment {
            machine: MachineId([1; 16]),
            certificate: String::new(),
            ca: String::new(),
            server: MachineId([2; 16]),
            server_addresses: vec![nobody.into()],
            keys: KeyRing::default(),
            epoch: 1,
        };
        database.store_enrolment(&enrolment).unwrap();
        drop(database);
        let idle = check(folder.path()).await;
        let of = |what| verdict(&idle, what);
        let all = (of("agent"), of("agent: enrolment"), of("agent: connection"));
        assert_eq!(all, (Verdict::Doubtful, Verdict::Good, Verdict::Bad));
    }
}
