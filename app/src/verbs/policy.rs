//! `banyan policy`: what administrators lay down for the people at their machines.

mod catalogue;
mod file;

use super::connect;
use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, clean, count, print, say},
    profile::ProfileArg,
};
use banyan_proto::{
    admin::{GroupPolicy, SetPolicy},
    schedule::Policy,
};
use std::path::PathBuf;

/// Show, set or take back what holds for transfers and installs on machines, whatever the people there choose, and what is
/// offered to them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
    banyan policy show                             what holds for all machines, and for which groups something else\n  \
    banyan policy show --group lab > lab.toml      what holds in a group, to be changed and set again\n  \
    banyan policy set lab.toml --group lab\n  \
    banyan policy set --catalogue drawing,maths-tools --group lab\n  \
    \x20                                              what people there may get for themselves; all else stays\n  \
    banyan policy reset --group lab                the group goes by the policy for all machines again",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Show(ShowArgs),
    Set(SetArgs),
    Reset(ResetArgs),
}

/// Show the policy that holds for all machines, or for a group
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy show\n  \
    banyan policy show --group lab > lab.toml\n  \
    banyan policy show --json                      every group, for scripts")]
struct ShowArgs {
    /// The group; all machines unless given
    #[arg(long, value_name = "G")]
    group: Option<String>,
    #[command(flatten)]
    json: Json,
}

/// Lay down what holds for all machines, or for a group; machines that are connected go by it at once
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy set policy.toml\n  \
    banyan policy set lab.toml --group lab\n  \
    banyan policy set --catalogue drawing,maths-tools\n  \
    banyan policy set --catalogue none --group lab\n\n\
    The file has the form that `banyan policy show` writes; what is left out is as without a policy. A group's policy takes\n\
    the place of the one for all machines, as a whole. Of two limits, the policy's and the person's, the stricter one holds.")]
struct SetArgs {
    /// The policy
    #[arg(value_name = "FILE", required_unless_present = "catalogue")]
    file: Option<PathBuf>,
    /// Offer these packages to the people at the machines, who get them by themselves when they like: the newest release of
    /// each; `none` offers nothing. Without FILE all else stays as it holds now
    #[arg(long, value_name = "NAME[,NAME…]|none", value_delimiter = ',')]
    catalogue: Option<Vec<String>>,
    /// The group; all machines unless given
    #[arg(long, value_name = "G")]
    group: Option<String>,
}

/// Take a policy back: a group goes by the one for all machines again, all machines go by none
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan policy reset\n  \
    banyan policy reset --group lab")]
struct ResetArgs {
    /// The group; all machines unless given
    #[arg(long, value_name = "G")]
    group: Option<String>,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Show(args) => show(args, profile).await,
        Verb::Set(args) => set(args, profile).await,
        Verb::Reset(args) => change(args.group.as_deref(), None, profile).await,
    }
}

fn of(group: Option<&str>) -> String {
    group.map_or_else(|| "all machines".to_owned(), |group| format!("the group {group}"))
}

async fn set(args: &SetArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let group = args.group.as_deref();
    let mut policy = match &args.file {
        Some(file) => file::read(file)?,
        None => catalogue::present(group, profile).await?,
    };
    if let Some(names) = &args.catalogue {
        policy.catalogue.packages = catalogue::named(names);
        catalogue::mention_unpublished(&policy, profile).await?;
    }
    change(group, Some(policy), profile).await
}

async fn show(args: &ShowArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let group = args.group.as_deref();
    let tried = || format!("show the policy for {}", of(group));
    let policies = connect(profile, tried)?.policies().await.tried(tried)?;
    if args.json.json {
        let wanted: Vec<&GroupPolicy> =
            policies.iter().filter(|one| group.is_none() || one.group.as_deref() == group).collect();
        args.json.answer(&wanted, |_| String::new())?;
        return Ok(Exit::Success);
    }
    let all = policies.iter().find(|one| one.group.is_none());
    let found = policies.iter().find(|one| one.group.as_deref() == group).or(all);
    let Some(found) = found else {
        return Err(Failure::new(tried(), "the server did not say it", "compare the versions on both sides"));
    };
    print(&clean(&text(found, group, &policies)))?;
    Ok(Exit::Success)
}

/// The policy as a file that can be set again, with what is to be known about it in comments.
fn text(found: &GroupPolicy, group: Option<&str>, all: &[GroupPolicy]) -> String {
    let mut lines = vec![format!("# What holds for {}.", of(group))];
    lines.push(match (found.policy.number, group) {
        (0, _) => "# Nobody has set a policy: this is what holds without one.".to_owned(),
        (_, Some(_)) if !found.own => {
            "# The group has no policy of its own: this is the one for all machines.".to_owned()
        }
        (number, _) => format!("# Change number {number}."),
    });
    if group.is_none() {
        let own: Vec<String> = all
            .iter()
            .filter(|one| one.own)
            .filter_map(|one| Some(format!("{} ({})", one.group.as_ref()?, count(one.machines, "machine"))))
            .collect();
        if !own.is_empty() {
            lines.push(format!("# Groups with a policy of their own: {}.", own.join(", ")));
        }
    }
    lines.push(String::new());
    lines.push(file::write(&found.policy));
    lines.join("\n")
}

async fn change(group: Option<&str>, policy: Option<Policy>, profile: &ProfileArg) -> Result<Exit, Failure> {
    let verb = if policy.is_some() { "set" } else { "reset" };
    let tried = || format!("{verb} the policy for {}", of(group));
    let asked = SetPolicy { group: group.map(str::to_owned), policy };
    connect(profile, tried)?.set_policy(&asked).await.tried(tried)?;
    say(&format!(
        "the policy for {} was {verb}; connected machines go by it at once, the others when they check in",
        of(group)
    ));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_says_whose_it_is_and_can_be_set_again() {
        let policy = Policy { upload: Some(5), number: 3, ..Policy::default() };
        let entry = |group: Option<&str>, own| GroupPolicy {
            group: group.map(str::to_owned),
            own,
            policy: policy.clone(),
            machines: 2,
        };
        let all = [entry(None, true), entry(Some("lab"), true), entry(Some("office"), false)];
        let shown = text(&all[0], None, &all);
        assert!(shown.contains("all machines") && shown.contains("lab (2 machines)") && !shown.contains("office"));
        assert!(text(&all[2], Some("office"), &all).contains("no policy of its own"));
        assert_eq!(file::parse(&shown).unwrap(), Policy { number: 0, ..policy });
    }
}
