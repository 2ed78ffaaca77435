//! `banyan package`: builds and inspects package files. Does not contact the server.

mod build;
mod inspect;

use crate::{
    output::{Exit, Failure},
    profile::ProfileArg,
};

/// Build package files, and inspect packages and release descriptions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
                  # NAME-VERSION.banyan: signed, all in one file\n  \
                  banyan package build release.toml --key keys\n  \
                  # Who signed it, and what it will do\n  \
                  banyan package inspect tool-1.4.banyan\n  \
                  # What would be published from this file\n  \
                  banyan package inspect tool-1.4.tar.gz",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Build(build::Args),
    Inspect(inspect::Args),
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::Build(args) => build::run(args).await,
        Command::Inspect(args) => inspect::run(args, profile).await,
    }
}
