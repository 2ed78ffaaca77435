//! An agent, as seen from its data folder: who it is, whom it believes, and whether it runs.
//!
//! A running agent holds its database; then the agent itself is asked, over its local API.

use super::Check;
use crate::{
    failure::{Explain as _, with_causes},
    output::{ago, count},
    system,
};
use agent_core::state::{Enrolment, State, StateError};
use banyan_proto::{UnixSeconds, local::Status};
use std::{path::Path, time::Duration};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// An agent hears from the server every five minutes; longer than this (seconds) without is worth a look.
const SILENT: u64 = 900;

const AFTER_FOLDER: [&str; 2] = ["agent: enrolment", "agent: way to the server"];

pub(super) async fn check(data: &Path) -> Vec<Check> {
    let database = data.join("agent.redb");
    // Opening would make one.
    match std::fs::metadata(&database) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return broken("it has no agent's database (agent.redb is no file)".into(), "give an agent's data folder");
        }
        Err(error) => {
            let next = format!("{}: an agent's data folder holds agent.redb once it was started", error.next());
            return broken(format!("{}: {error}", database.display()), &next);
        }
    }
    let mut checks = vec![key(data)];
    let opened = tokio::task::spawn_blocking(move || State::open(&database).and_then(|state| state.enrolment())).await;
    match opened {
        Ok(Ok(enrolment)) => {
            checks.push(Check::doubtful("agent", "it does not run", "start banyan-agent with this --data folder"));
            match enrolment {
                Some(enrolment) => checks.extend(enrolled(&enrolment).await),
                None => checks.push(Check::bad(
                    AFTER_FOLDER[0],
                    "it has not enrolled with any server",
                    "start it once with --join CODE; `banyan tokens create` makes a code",
                )),
            }
        }
        Ok(Err(error)) if in_use(&error) => checks.extend(running(data).await),
        Ok(Err(error)) => checks.push(Check::bad(
            "agent",
            with_causes(&error),
            "check the disk and who may read the folder, or enrol the machine again with an empty data folder",
        )),
        Err(error) => checks.push(Check::bad("agent", error.to_string(), "report this: it is a defect of Banyan")),
    }
    checks
}

/// Asks a running agent.
async fn running(data: &Path) -> Vec<Check> {
    match tokio::time::timeout(CONNECT, agent_core::local::ask(data)).await {
        Ok(Ok(status)) => told(&status, UnixSeconds::now()),
        Ok(Err(error)) => {
            let next = "ask again as the user that the agent runs as, or as root; its log says more";
            vec![Check::doubtful("agent", format!("it runs, but does not answer: {error}"), next)]
        }
        Err(_) => {
            let found = format!("it runs, but does not answer within {} seconds", CONNECT.as_secs());
            vec![Check::bad("agent", found, "look into its log, and restart it")]
        }
    }
}

/// What a running agent says of itself.
fn told(status: &Status, now: UnixSeconds) -> Vec<Check> {
    let enrolment = format!("machine {} ({}), server at {}", status.machine, status.label, status.server);
    let way = match (&status.trouble, status.heard) {
        (Some(trouble), _) => Check::bad(AFTER_FOLDER[1], trouble.to_string(), trouble.reason.next()),
        (None, Some(at)) => {
            let since = now.0.saturating_sub(at.0);
            let found = format!("the server last answered it {}", ago(since));
            if since < SILENT {
                Check::good(AFTER_FOLDER[1], found)
            } else {
                Check::doubtful(AFTER_FOLDER[1], found, "check the network between them, and whether the server runs")
            }
        }
        (None, None) => Check::bad(
            AFTER_FOLDER[1],
            format!("{} has not answered it since it was started", status.server),
            "check the network and the firewall between them",
        ),
    };
    let done = status.orders.iter().filter(|order| order.ended.is_some()).count();
    let found = format!("it runs and answers; {}, {done} of them ended", count(status.orders.len(), "order"));
    vec![Check::good("agent", found), Check::good(AFTER_FOLDER[0], enrolment), way]
}

fn broken(found: String, next: &str) -> Vec<Check> {
    let skipped = AFTER_FOLDER.map(|what| Check::skipped(what, "no agent's folder"));
    std::iter::once(Check::bad("agent", found, next)).chain(skipped).collect()
}

/// Whether another process, the agent, has the database open.
fn in_use(error: &StateError) -> bool {
    matches!(error, StateError::Database(redb) if redb.to_string().contains("already open"))
}

/// Whoever can read the key can be this machine.
fn key(data: &Path) -> Check {
    let path = data.join("machine.key");
    match system::is_private(&path) {
        Ok(true) => Check::good("agent: key", "nobody else can read it"),
        Ok(false) => Check::bad(
            "agent: key",
            format!("{} can be read by others, who could then pass for this machine", path.display()),
            "revoke the machine, chmod 600 its key, and enrol it again",
        ),
        Err(error) => Check::bad("agent: key", format!("{}: {error}", path.display()), error.next()),
    }
}

async fn enrolled(enrolment: &Enrolment) -> Vec<Check> {
    let server = enrolment.server_address;
    let way = match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(server)).await {
        Ok(Ok(_)) => Check::good(AFTER_FOLDER[1], format!("something listens at {server}")),
        Ok(Err(error)) => {
            Check::bad(AFTER_FOLDER[1], format!("{server}: {error}"), "check the network and the firewall between them")
        }
        Err(_) => Check::bad(
            AFTER_FOLDER[1],
            format!("{server} does not answer within {} seconds", CONNECT.as_secs()),
            "check the network and the firewall between them",
        ),
    };
    vec![Check::good(AFTER_FOLDER[0], format!("machine {}, server at {server}", enrolment.machine)), way]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::doctor::Verdict;
    use banyan_proto::{KeyRing, MachineId, Reason, api::ApiError};

    fn verdict(checks: &[Check], what: &str) -> Verdict {
        checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("no {what}: {checks:?}")).verdict
    }
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        // Made with mode 600 where there are modes.
        let key = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        key.persist(folder.path().join("machine.key")).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_folder_without_an_agent_is_told_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verdict(&check(folder.path()).await, "agent"), Verdict::Bad);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was made in it");
    }

    #[test]
    fn an_agent_that_has_not_heard_from_its_server_is_told() {
        let status = |heard: Option<u64>| Status {
            machine: MachineId([1; 16]),
            label: "desk".into(),
            server: "127.0.0.1:1".parse().unwrap(),
            heard: heard.map(UnixSeconds),
            trouble: None,
            certificate_until: None,
            crl_number: 1,
            orders: vec![],
        };
        let way = |heard| verdict(&told(&status(heard), UnixSeconds(10_000)), "agent: way to the server");
        assert_eq!([way(Some(9_700)), way(Some(100)), way(None)], [Verdict::Good, Verdict::Doubtful, Verdict::Bad]);
        assert_eq!(verdict(&told(&status(None), UnixSeconds(0)), "agent"), Verdict::Good);
        let trouble = ApiError { reason: Reason::CertificateExpired, detail: "too long ago".into() };
        let refused = told(&Status { trouble: Some(trouble), ..status(Some(9_900)) }, UnixSeconds(10_000));
        assert_eq!(verdict(&refused, "agent: way to the server"), Verdict::Bad);
    }

    #[tokio::test]
    async fn a_silent_agent_one_that_never_enrolled_and_one_that_does_not_run_are_told_apart() {
        let folder = folder();
        let state = State::open(&folder.path().join("agent.redb")).unwrap();
        // The database is held, as by a running agent, but nobody listens on the local socket.
        let silent = check(folder.path()).await;
        assert_eq!((verdict(&silent, "agent"), verdict(&silent, "agent: key")), (Verdict::Doubtful, Verdict::Good));
        assert!(silent.iter().any(|check| check.found.contains("runs, but does not answer")), "{silent:?}");
        drop(state);
        assert_eq!(verdict(&check(folder.path()).await, "agent: enrolment"), Verdict::Bad);
        let state = State::open(&folder.path().join("agent.redb")).unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let enrolment = Enrolment {
            machine: MachineId([1; 16]),
            certificate: String::new(),
            ca: String::new(),
            server: MachineId([2; 16]),
            server_address: nobody,
            keys: KeyRing::default(),
            epoch: 1,
        };
        state.set_enrolment(&enrolment).unwrap();
        drop(state);
        let idle = check(folder.path()).await;
        let of = |what| verdict(&idle, what);
        let all = (of("agent"), of("agent: enrolment"), of("agent: way to the server"));
        assert_eq!(all, (Verdict::Doubtful, Verdict::Good, Verdict::Bad));
    }
}
