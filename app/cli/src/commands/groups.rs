//! `banyan groups`: lists the groups of machines and where they are used, and deletes one.

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_table, print_json, print_note},
    profile::ProfileArg,
};
use banyan_proto::{
    Digest,
    assignments::{DeleteAssigned, Group},
};
use serde::Serialize;

/// List the groups of machines, or delete one
///
/// A group exists while machines, a policy or a join code have it.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
                  banyan groups\n  \
                  # Take a group from its 12 machines\n  \
                  banyan groups delete lab --machines 12\n\n\
                  `banyan machines group` and `ungroup` change the groups of machines."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Delete(DeleteArgs),
}

/// Take a group from all machines
///
/// It is refused while the group has a policy or an open join code uses it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan groups delete lab --machines 12")]
struct DeleteArgs {
    /// Group
    group: String,
    /// How many machines have it; with another number, nothing is deleted
    #[arg(long, value_name = "N", default_value_t = 0)]
    machines: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result of `delete`.
#[derive(Debug, Serialize)]
struct DeleteResult<'a> {
    deleted: &'a str,
    machines: u32,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        None => {
            let action = || "list the groups".to_owned();
            let groups = connect(profile, action)?.groups().await.with_context(action)?;
            args.output.print(&groups, |groups| format_groups(groups))?;
        }
        Some(Command::Delete(args)) => {
            let action = || format!("delete the group {:?}", args.group);
            let request = DeleteAssigned { name: args.group.clone(), expect: args.machines };
            connect(profile, action)?.delete_group(&request).await.with_context(action)?;
            if args.output.json {
                print_json(&DeleteResult { deleted: &args.group, machines: args.machines })
                    .map_err(|failure| failure.after_success("the group is deleted", "see it with `banyan groups`"))?;
            }
            print_note(&format!("the group {} was deleted", args.group));
        }
    }
    Ok(Exit::Success)
}

fn format_groups(groups: &[Group]) -> String {
    if groups.is_empty() {
        return "no groups yet; `banyan machines group` puts machines into one".into();
    }
    let mut rows = vec![["GROUP", "MACHINES", "POLICY", "JOIN CODES"].map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(|group| {
        let policy = group.policy_rank.map_or_else(|| "-".to_owned(), |rank| format!("rank {rank}"));
        let codes: Vec<String> = group.join_codes.iter().map(short_id).collect();
        let codes = if codes.is_empty() { "-".to_owned() } else { codes.join(" ") };
        vec![group.name.clone(), group.machines.to_string(), policy, codes]
    }));
    format_table(&rows)
}

/// Returns the beginning of a join code's id, as in `banyan tokens list`.
fn short_id(id: &Digest) -> String {
    id.to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_uses_a_group() {
        let group = |name: &str, machines, policy_rank, join_codes| Group {
            name: name.into(),
            machines,
            policy_rank,
            join_codes,
        };
        let groups = [group("lab", 12, Some(-3), vec![Digest([0xab; 32])]), group("office", 0, None, vec![])];
        let shown = format_groups(&groups);
        assert!(shown.contains("lab     12        rank -3  abababab\n"), "{shown}");
        assert!(shown.contains("office  0         -        -\n"), "{shown}");
        assert!(format_groups(&[]).contains("banyan machines group"));
    }
}
