//! `banyan releases`: lists the published releases, or withdraws one.

mod withdraw;

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_table},
    profile::ProfileArg,
};
use banyan_proto::{admin::Release, format_size};

/// List the published releases, or withdraw one
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
                  # Packages, versions, platforms\n  \
                  banyan releases\n  \
                  # For scripts\n  \
                  banyan releases --json\n  \
                  banyan releases withdraw hello@1.2 --key keys"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Withdraw(withdraw::Args),
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    if let Some(Command::Withdraw(args)) = &args.command {
        return withdraw::run(args, profile).await;
    }
    let action = || "list the releases".to_owned();
    let mut releases = connect(profile, action)?.releases().await.with_context(action)?;
    releases.sort_by(|a, b| (&a.package, b.sequence).cmp(&(&b.package, a.sequence)));
    args.output.print(&releases, |releases| format_releases(releases))?;
    Ok(Exit::Success)
}

fn format_releases(releases: &[Release]) -> String {
    if releases.is_empty() {
        return "no releases yet; publish one with `banyan publish`".into();
    }
    let mut rows = vec![["PACKAGE", "VERSION", "SEQUENCE", "FILES"].map(str::to_owned).to_vec()];
    for release in releases {
        let mut files: Vec<String> =
            release.artifacts.iter().map(|(platform, size)| format!("{platform} ({})", format_size(*size))).collect();
        if let Some(newer) = newer_of_same_version(releases, release) {
            files.push(format!("replaced by sequence {newer} of the same version"));
        }
        rows.push(vec![
            release.package.clone(),
            release.version.clone(),
            release.sequence.to_string(),
            files.join(", "),
        ]);
    }
    format_table(&rows)
}

/// Returns the highest sequence of the same version, if it is not this release's.
fn newer_of_same_version(releases: &[Release], of: &Release) -> Option<u64> {
    let same = |other: &&Release| (&other.package, &other.version) == (&of.package, &of.version);
    let newest = releases.iter().filter(same).map(|release| release.sequence).max();
    newest.filter(|sequence| *sequence > of.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_their_platforms_and_sizes() {
        let release = Release {
            package: "hello".into(),
            version: "1.0".into(),
            sequence: 3,
            artifacts: vec![("any".into(), 2048), ("windows-x86_64".into(), 4096)],
        };
        assert_eq!(
            format_releases(std::slice::from_ref(&release)).lines().nth(1).unwrap(),
            "hello    1.0      3         any (2.0 kB), windows-x86_64 (4.1 kB)"
        );
        assert!(format_releases(&[]).contains("banyan publish"));
        let again = Release { sequence: 5, ..release.clone() };
        let text = format_releases(&[again, release]);
        assert_eq!(text.matches("replaced by sequence 5").count(), 1, "{text}");
        assert!(text.lines().nth(2).unwrap().contains("replaced"), "{text}");
    }
}
