//! `banyan doctor`: runs the checks that are possible from here, and says what to do about each problem.

mod agent;
mod clocks;
mod disk;
mod server;
mod suspicions;

use crate::{
    output::{Exit, Failure, OutputArgs, sanitise},
    profile::ProfileArg,
};
use banyan_proto::text;
use serde::Serialize;
use std::path::PathBuf;

/// Diagnose problems: profile, server, CA, token, root, clocks, agent data
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # The server of the profile, as seen from here\n  \
    banyan doctor\n  \
    # The same, and the agent with this data folder\n  \
    banyan doctor --data /var/lib/banyan-agent\n  \
    # For scripts\n  \
    banyan doctor --json\n\n\
    The command changes nothing. The exit code is 0 if nothing needs attention, and\n\
    7 otherwise.")]
pub(crate) struct Args {
    /// Data folder of an agent on this machine, to check too
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// No problem was found.
    Good,
    /// It works, but needs attention.
    Doubtful,
    /// It does not work.
    Bad,
    /// An earlier check failed, so this one was not run.
    Skipped,
}

/// One check in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    /// What was checked.
    what: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    /// What the finding says is not said again in the advice.
    fn new(what: &'static str, verdict: Verdict, found: &str, next: Option<String>) -> Self {
        let found = text::without_error_numbers(found);
        let next = next.map(|next| text::without_repeats(&next, &[&found])).filter(|next| !next.is_empty());
        Self { what, verdict, found, next }
    }
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, Verdict::Good, &found.into(), None)
    }
    fn doubtful(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(what, Verdict::Doubtful, &found.into(), Some(next.into()))
    }
    fn bad(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(what, Verdict::Bad, &found.into(), Some(next.into()))
    }
    fn skipped(what: &'static str, because: &str) -> Self {
        Self::new(what, Verdict::Skipped, &format!("not checked: {because}"), None)
    }
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let mut checks = server::check(profile).await;
    if let Some(data) = &args.data {
        checks.extend(agent::check(data).await);
    }
    args.output.print(&checks, |checks| format_report(checks))?;
    Ok(exit_for(&checks))
}

/// Formats the report as text.
fn format_report(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = match check.verdict {
            Verdict::Good => "ok  ",
            Verdict::Doubtful => "warn",
            Verdict::Bad => "FAIL",
            Verdict::Skipped => "-   ",
        };
        let next = check.next.as_ref().map(|next| format!("\n      next: {next}")).unwrap_or_default();
        sanitise(&format!("{mark}  {}: {}{next}", check.what, check.found))
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn exit_for(checks: &[Check]) -> Exit {
    let fine = checks.iter().all(|check| matches!(check.verdict, Verdict::Good | Verdict::Skipped));
    if fine { Exit::Success } else { Exit::Unhealthy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{Digest, admin::Profile};

    #[test]
    fn what_is_wrong_comes_with_what_to_do_and_decides_the_exit_code() {
        let good = Check::good("profile", "fine");
        let bad = Check::bad("server", "no response", "start it");
        assert_eq!(
            format_report(&[good.clone(), bad.clone()]),
            "ok    profile: fine\nFAIL  server: no response\n      next: start it"
        );
        assert_eq!(exit_for(std::slice::from_ref(&good)), Exit::Success);
        assert_eq!(exit_for(&[good.clone(), Check::doubtful("clocks", "far", "look")]), Exit::Unhealthy);
        assert_eq!(exit_for(&[good, bad]), Exit::Unhealthy);
    }

    #[test]
    fn a_check_says_nothing_twice_and_shows_no_error_numbers() {
        let check =
            Check::bad("agent", "waits for permission; ask the server (os error 2)", "ask the server; start it");
        assert_eq!(format_report(&[check]), "FAIL  agent: waits for permission; ask the server\n      next: start it");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_found_and_what_depends_on_it_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.toml");
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let profile = Profile { servers: vec![server.into()], ca: Digest([1; 32]), token: "t".into(), root: None };
        crate::profile::save(&path, &profile).unwrap();
        let checks = server::check(&ProfileArg { profile: Some(path) }).await;
        let of = |what: &str| checks.iter().find(|check| check.what == what).unwrap().verdict;
        assert_eq!((of("profile"), of("server"), of("token")), (Verdict::Good, Verdict::Bad, Verdict::Skipped));
    }

    #[tokio::test]
    async fn without_a_profile_the_first_check_says_so() {
        let checks = server::check(&ProfileArg { profile: Some("nowhere/admin.toml".into()) }).await;
        assert_eq!((checks[0].what, checks[0].verdict), ("profile", Verdict::Bad));
        assert!(checks[1..].iter().all(|check| check.verdict == Verdict::Skipped));
    }
}
