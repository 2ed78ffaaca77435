//! `banyan tags`: lists the tags of machines, and deletes one.

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_table, print_json, print_note},
    profile::ProfileArg,
};
use banyan_proto::assignments::{DeleteAssigned, Tag};
use serde::Serialize;

/// List the tags of machines, or delete one
///
/// A tag exists while a machine has it. Deployments leave out machines with the tag `protected`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
                  banyan tags\n  \
                  # Take a tag from its 12 machines\n  \
                  banyan tags delete exam --machines 12\n\n\
                  `banyan machines tag` and `untag` change the tags of machines."
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

/// Take a tag from all machines
///
/// Deployments that have begun keep their machines.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan tags delete exam --machines 12")]
struct DeleteArgs {
    /// Tag
    tag: String,
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
            let action = || "list the tags".to_owned();
            let tags = connect(profile, action)?.tags().await.with_context(action)?;
            args.output.print(&tags, |tags| format_tags(tags))?;
        }
        Some(Command::Delete(args)) => {
            let action = || format!("delete the tag {:?}", args.tag);
            let request = DeleteAssigned { name: args.tag.clone(), expect: args.machines };
            connect(profile, action)?.delete_tag(&request).await.with_context(action)?;
            if args.output.json {
                print_json(&DeleteResult { deleted: &args.tag, machines: args.machines })
                    .map_err(|failure| failure.after_success("the tag is deleted", "see it with `banyan tags`"))?;
            }
            print_note(&format!("the tag {} was deleted", args.tag));
        }
    }
    Ok(Exit::Success)
}

fn format_tags(tags: &[Tag]) -> String {
    if tags.is_empty() {
        return "no tags yet; `banyan machines tag` gives machines one".into();
    }
    let mut rows = vec![["TAG", "MACHINES"].map(str::to_owned).to_vec()];
    rows.extend(tags.iter().map(|tag| vec![tag.name.clone(), tag.machines.to_string()]));
    format_table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_uses_a_tag() {
        let tags = [Tag { name: "protected".into(), machines: 3 }];
        assert!(format_tags(&tags).contains("protected  3\n"));
        assert!(format_tags(&[]).contains("banyan machines tag"));
    }
}
