//! `banyan machines tag`, `untag`, `group`, `ungroup` and `rename`: changes what machines are assigned.

use super::find_machine;
use crate::{
    commands::{connect, selection::parse_machines},
    output::{Failure, OutputArgs, WithContext as _, format_count, print_json, print_note},
    profile::ProfileArg,
};
use banyan_proto::{
    admin::Selection,
    assignments::{EditMachines, EditedMachines, RenameMachine},
};

/// Which machines to change, and how carefully.
#[derive(Debug, clap::Args)]
struct EditArgs {
    /// Machines: a filter, `all`, or names separated by commas
    #[arg(value_name = "FILTER-OR-NAMES", value_parser = parse_machines)]
    machines: Selection,
    /// Number of machines that you expect; with another one, nothing is changed
    #[arg(long, value_name = "N")]
    expect: Option<u32>,
    /// Only say how many machines would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Give machines tags
///
/// Deployments leave out machines with the tag `protected`, unless they are named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines tag till-3,till-4 exam\n  \
    banyan machines tag 'group:lab and os = linux' exam room-7 --expect 24\n  \
    banyan machines tag 'name = server-*' protected --dry-run")]
pub(super) struct TagArgs {
    #[command(flatten)]
    edit: EditArgs,
    /// Tags
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<String>,
}

/// Take tags from machines
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines untag till-3 exam\n  \
    banyan machines untag tag:exam exam")]
pub(super) struct UntagArgs {
    #[command(flatten)]
    edit: EditArgs,
    /// Tags
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<String>,
}

/// Put machines into groups, beside those that they are in
///
/// Of the policies of a machine's groups, the one with the highest rank applies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines group till-3,till-4 tills\n  \
    banyan machines group 'site = 10.1.2.0/24' branch")]
pub(super) struct GroupArgs {
    #[command(flatten)]
    edit: EditArgs,
    /// Groups
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<String>,
}

/// Take machines out of groups
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines ungroup till-3 tills\n  \
    banyan machines ungroup group:tills tills")]
pub(super) struct UngroupArgs {
    #[command(flatten)]
    edit: EditArgs,
    /// Groups
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<String>,
}

/// Give a machine a name, which replaces the label that it reports
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines rename till-3 kiosk\n  \
    banyan machines rename 1f3a90c2 --reset")]
pub(super) struct RenameArgs {
    /// Machine: its name, or the first digits of its id
    machine: String,
    /// New name
    #[arg(required_unless_present = "reset", conflicts_with = "reset")]
    name: Option<String>,
    /// Go back to the label that the machine reports
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn tag(args: &TagArgs, profile: &ProfileArg) -> Result<(), Failure> {
    let change = EditMachines { add_tags: args.tags.clone(), ..nothing(&args.edit) };
    edit("tag the machines", &args.edit, &change, profile).await
}

pub(super) async fn untag(args: &UntagArgs, profile: &ProfileArg) -> Result<(), Failure> {
    let change = EditMachines { remove_tags: args.tags.clone(), ..nothing(&args.edit) };
    edit("untag the machines", &args.edit, &change, profile).await
}

pub(super) async fn group(args: &GroupArgs, profile: &ProfileArg) -> Result<(), Failure> {
    let change = EditMachines { add_groups: args.groups.clone(), ..nothing(&args.edit) };
    edit("group the machines", &args.edit, &change, profile).await
}

pub(super) async fn ungroup(args: &UngroupArgs, profile: &ProfileArg) -> Result<(), Failure> {
    let change = EditMachines { remove_groups: args.groups.clone(), ..nothing(&args.edit) };
    edit("ungroup the machines", &args.edit, &change, profile).await
}

/// Returns a request that changes nothing about these machines.
fn nothing(args: &EditArgs) -> EditMachines {
    EditMachines {
        machines: args.machines.clone(),
        add_groups: vec![],
        remove_groups: vec![],
        add_tags: vec![],
        remove_tags: vec![],
        expect: args.expect,
        preview: args.dry_run,
    }
}

async fn edit(action: &str, args: &EditArgs, change: &EditMachines, profile: &ProfileArg) -> Result<(), Failure> {
    let action = || action.to_owned();
    let done = connect(profile, action)?.edit_machines(change).await.with_context(action)?;
    if args.output.json {
        print_json(&done).map_err(|failure| failure.after_success("the machines are changed", super::SEE_MACHINES))?;
    }
    print_note(&describe(&done, args.dry_run));
    Ok(())
}

fn describe(done: &EditedMachines, is_dry_run: bool) -> String {
    let count = |number| format_count(usize::try_from(number).unwrap_or(usize::MAX), "machine");
    let verb = if is_dry_run { "would change" } else { "changed" };
    let mut text = format!("{} selected, {} {verb}", count(done.matched), done.changed);
    if done.unknown > 0 {
        text += &format!("; {} left out, because what the filter asks for is not known of them", count(done.unknown));
    }
    text
}

pub(super) async fn rename(args: &RenameArgs, profile: &ProfileArg) -> Result<(), Failure> {
    let action = || format!("rename {:?}", args.machine);
    let client = connect(profile, action)?;
    let id = find_machine(&client, &args.machine, action).await?;
    let done = client.rename_machine(id, &RenameMachine { name: args.name.clone() }).await.with_context(action)?;
    if args.output.json {
        print_json(&done).map_err(|failure| failure.after_success("the machine is renamed", super::SEE_MACHINES))?;
    }
    print_note(&format!("{} has the name {}", done.id.short(), crate::output::sanitise(&done.name)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn an_edit_says_how_many_machines_it_concerns() {
        let done = EditedMachines { matched: 3, changed: 1, unknown: 0 };
        assert_eq!(describe(&done, false), "3 machines selected, 1 changed");
        let done = EditedMachines { matched: 1, unknown: 2, ..done };
        let text = describe(&done, true);
        assert!(text.starts_with("1 machine selected, 1 would change; 2 machines left out"), "{text}");
    }

    #[test]
    fn a_name_is_given_or_taken_back() {
        assert!(parse::<RenameArgs>("a b").is_ok() && parse::<RenameArgs>("a --reset").is_ok());
        assert!(parse::<RenameArgs>("a").is_err() && parse::<RenameArgs>("a b --reset").is_err());
    }
}
