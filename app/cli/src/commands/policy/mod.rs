//! `banyan policy`: shows and changes the administrator's policies for machines.

mod catalogue;
mod policy_file;

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, print_note, print_text, sanitise},
    profile::ProfileArg,
};
use banyan_proto::{
    admin::{GroupPolicy, SetPolicy},
    schedule::Policy,
};
use std::path::PathBuf;

/// Show, set or remove policies for transfers, installs and the catalogue
///
/// A policy applies on every machine, and limits what its users can choose.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
        # The policy for all machines, and which groups have their own\n  \
        banyan policy show\n  \
        # The policy of a group, to edit and set again\n  \
        banyan policy show --group lab > lab.toml\n  \
        banyan policy set lab.toml --group lab\n  \
        # What users in the group can install themselves; the rest of the policy stays\n  \
        banyan policy set --catalogue drawing,maths-tools --group lab\n  \
        # Where a machine is in several groups, this policy goes before those of rank 0\n  \
        banyan policy set lab.toml --group lab --rank 5\n  \
        # The group follows the policy for all machines again\n  \
        banyan policy reset --group lab\n\n\
        Of several groups of a machine that have a policy, the one with the highest rank\n\
        applies as a whole; of equal ranks, the group whose name comes first.\n\
        `banyan groups` lists the ranks.",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(ShowArgs),
    Set(SetArgs),
    Reset(ResetArgs),
}

/// Show the policy for all machines, or for a group
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy show\n  \
    banyan policy show --group lab > lab.toml\n  \
    # Every group, for scripts\n  \
    banyan policy show --json")]
struct ShowArgs {
    /// Group [default: all machines]
    #[arg(long, value_name = "G")]
    group: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Set the policy for all machines or a group
///
/// Connected machines follow it at once, the others when they next check in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy set policy.toml\n  \
    banyan policy set lab.toml --group lab\n  \
    banyan policy set --catalogue drawing,maths-tools\n  \
    banyan policy set --catalogue none --group lab\n  \
    banyan policy set --rank 5 --group lab\n\n\
    The file has the format that `banyan policy show` writes; omitted keys get their\n\
    defaults. A group's policy replaces the one for all machines entirely. Of several\n\
    groups of a machine, the policy with the highest rank applies; of equal ranks, the\n\
    one of the group whose name comes first. Of two limits, the policy's and the user's, the stricter one applies.")]
struct SetArgs {
    /// Policy file
    #[arg(value_name = "FILE", required_unless_present_any = ["catalogue", "rank"])]
    file: Option<PathBuf>,
    /// Packages that users can install themselves; `none` offers nothing
    ///
    /// Users get the newest release of each package. Without FILE, the rest of the current policy stays.
    #[arg(long, value_name = "NAME[,NAME…]|none", value_delimiter = ',')]
    catalogue: Option<Vec<String>>,
    /// Rank among the policies of a machine's groups; the highest applies [default: as it is, 0 at first]
    ///
    /// Without FILE, the current policy of the group stays.
    #[arg(long, value_name = "N", requires = "group", allow_negative_numbers = true)]
    rank: Option<i32>,
    /// Group [default: all machines]
    #[arg(long, value_name = "G")]
    group: Option<String>,
}

/// Remove a policy
///
/// A group then follows the policy for all machines again. If that one is removed, no policy applies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy reset\n  \
    banyan policy reset --group lab")]
struct ResetArgs {
    /// Group [default: all machines]
    #[arg(long, value_name = "G")]
    group: Option<String>,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::Show(args) => show(args, profile).await,
        Command::Set(args) => set(args, profile).await,
        Command::Reset(args) => send_policy(args.group.as_deref(), None, None, None, profile).await,
    }
}

fn scope_name(group: Option<&str>) -> String {
    group.map_or_else(|| "all machines".to_owned(), |group| format!("the group {group}"))
}

async fn set(args: &SetArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let group = args.group.as_deref();
    // A part of the policy is changed: what somebody else changes meanwhile must not be lost.
    let (mut policy, version) = match &args.file {
        Some(file) => (policy_file::read_policy(file)?, None),
        None => catalogue::current_policy(group, profile).await?,
    };
    if let Some(names) = &args.catalogue {
        policy.catalogue.packages = catalogue::parse_names(names).map_err(|wrong| {
            let action = format!("set the catalogue for {}", scope_name(group));
            Failure::new(action, wrong, "pass the packages' names, or `none` to offer nothing").with_exit(Exit::Usage)
        })?;
        catalogue::warn_of_unpublished(&policy, profile).await?;
    }
    send_policy(group, Some(policy), args.rank, version.as_deref(), profile).await
}

async fn show(args: &ShowArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let group = args.group.as_deref();
    let action = || format!("show the policy for {}", scope_name(group));
    let policies = connect(profile, action)?.policies().await.with_context(action)?;
    if args.output.json {
        let wanted: Vec<&GroupPolicy> =
            policies.iter().filter(|one| group.is_none() || one.group.as_deref() == group).collect();
        args.output.print(&wanted, |_| String::new())?;
        return Ok(Exit::Success);
    }
    if let Some(note) = warn_of_empty_group(group, &policies) {
        print_note(&note);
    }
    let all = policies.iter().find(|one| one.group.is_none());
    let found = policies.iter().find(|one| one.group.as_deref() == group).or(all);
    let Some(found) = found else {
        return Err(Failure::new(
            action(),
            "the server's answer does not contain it",
            "compare `banyan --version` here and on the server",
        ));
    };
    print_text(&sanitise(&format_policy(found, group, &policies)))?;
    Ok(Exit::Success)
}

/// Formats the policy as a file that can be set again, with explanatory comments.
fn format_policy(found: &GroupPolicy, group: Option<&str>, all: &[GroupPolicy]) -> String {
    let mut lines = vec![format!("# Policy for {}.", scope_name(group))];
    lines.push(match (found.policy.number, group) {
        (0, _) => "# No policy has been set; these are the defaults.".to_owned(),
        (_, Some(_)) if !found.own => {
            "# The group has no policy of its own; this is the one for all machines.".to_owned()
        }
        (number, _) => format!("# Change number {number}."),
    });
    if found.own && group.is_some() {
        lines.push(format!(
            "# Rank {}: of several groups of a machine, the policy with the highest rank applies.",
            found.rank
        ));
    }
    if let Some(machines) = found.applies_to.filter(|_| found.own) {
        lines.push(format!("# It applies to {}.", format_count(machines, "machine")));
    }
    if group.is_none() {
        let own: Vec<String> = all
            .iter()
            .filter(|one| one.own)
            .filter_map(|one| {
                let machines = format_count(one.machines, "machine");
                Some(format!("{} ({machines}, rank {})", one.group.as_ref()?, one.rank))
            })
            .collect();
        if !own.is_empty() {
            lines.push(format!("# Groups with a policy of their own: {}.", own.join(", ")));
        }
    }
    lines.push(String::new());
    lines.push(policy_file::format_policy(&found.policy));
    lines.join("\n")
}

async fn send_policy(
    group: Option<&str>,
    policy: Option<Policy>,
    rank: Option<i32>,
    version: Option<&str>,
    profile: &ProfileArg,
) -> Result<Exit, Failure> {
    let verb = if policy.is_some() { "set" } else { "reset" };
    let action = || format!("{verb} the policy for {}", scope_name(group));
    let asked = SetPolicy { group: group.map(str::to_owned), policy, rank };
    let client = connect(profile, action)?;
    client.set_policy(&asked, version).await.with_context(action)?;
    print_note(&format!(
        "the policy for {} was {verb}; connected machines follow it at once, the others when they next check in",
        scope_name(group)
    ));
    if group.is_some()
        && let Some(note) = warn_of_empty_group(group, &client.policies().await.with_context(action)?)
    {
        print_note(&note);
    }
    Ok(Exit::Success)
}

/// Returns a note about a group without machines, which may be a typing error.
fn warn_of_empty_group(group: Option<&str>, policies: &[GroupPolicy]) -> Option<String> {
    let group = group?;
    if policies.iter().any(|one| one.group.as_deref() == Some(group) && one.machines > 0) {
        return None;
    }
    let others: Vec<&str> =
        policies.iter().filter(|one| one.machines > 0).filter_map(|one| one.group.as_deref()).collect();
    let others =
        if others.is_empty() { String::new() } else { format!("; groups with machines: {}", others.join(", ")) };
    Some(sanitise(&format!("warning: no machine is in the group {group}{others}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_machines_is_noticed() {
        let entry = |group: Option<&str>, machines| GroupPolicy {
            version: None,
            group: group.map(str::to_owned),
            own: true,
            policy: Policy::default(),
            machines,
            rank: 0,
            applies_to: None,
        };
        let all = [entry(None, 1), entry(Some("lab"), 2), entry(Some("labb"), 0)];
        let note = |group| warn_of_empty_group(group, &all);
        assert_eq!((note(None), note(Some("lab"))), (None, None));
        for group in ["labb", "office"] {
            let note = note(Some(group)).unwrap();
            assert!(note.contains(group) && note.ends_with("groups with machines: lab"), "{note}");
        }
    }

    #[test]
    fn what_is_shown_says_whose_it_is_and_can_be_set_again() {
        let policy = Policy { upload: Some(5), number: 3, ..Policy::default() };
        let entry = |group: Option<&str>, own| GroupPolicy {
            version: None,
            group: group.map(str::to_owned),
            own,
            policy: policy.clone(),
            machines: 2,
            rank: 4,
            applies_to: Some(1),
        };
        let all = [entry(None, true), entry(Some("lab"), true), entry(Some("office"), false)];
        let shown = format_policy(&all[0], None, &all);
        assert!(
            shown.contains("all machines") && shown.contains("lab (2 machines, rank 4)") && !shown.contains("office")
        );
        let of_lab = format_policy(&all[1], Some("lab"), &all);
        assert!(of_lab.contains("# Rank 4: ") && of_lab.contains("applies to 1 machine."), "{of_lab}");
        assert!(format_policy(&all[2], Some("office"), &all).contains("no policy of its own"));
        assert_eq!(policy_file::parse_policy(&shown).unwrap(), Policy { number: 0, ..policy });
    }
}
