//! `banyan keys`: creates and uses the publisher's signing keys on the publisher's computer, never on the server.

mod change_root;
pub(crate) mod complete_request;
pub(crate) mod generate;
pub(crate) mod init;
mod list;
mod sign_and_send;

use crate::{
    commands::connect,
    output::{Exit, Failure},
    profile::ProfileArg,
};

/// Create and manage the publisher's signing keys and root of trust
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        # Once, on a computer other than the server\n  \
        banyan keys generate --out keys\n  \
        # Create the root of trust from the keys and register it with the server\n  \
        banyan keys init --key keys\n  \
        # Show who may sign what, and until when\n  \
        banyan keys list --key keys\n  \
        # Once a year\n  \
        banyan keys renew --key keys\n\n\
        The holder of these keys decides what may be installed. Keep them offline, with\n\
        a copy. The server never sees them."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Generate(generate::GenerateArgs),
    Init(init::InitArgs),
    List(list::ListArgs),
    Add(change_root::AddArgs),
    Rotate(change_root::RotateArgs),
    Revoke(change_root::RevokeArgs),
    Renew(change_root::RenewArgs),
    Sign(sign_and_send::SignArgs),
    Send(sign_and_send::SendArgs),
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    let client = |action: &str| connect(given, || action.to_owned());
    match &args.command {
        Command::Generate(args) => generate::run(args),
        Command::Init(args) => init::run(args, given).await,
        Command::List(args) => list::run(&client("list the keys")?, args).await,
        Command::Add(args) => change_root::add(&client("add a key")?, args).await,
        Command::Rotate(args) => change_root::rotate(&client("replace keys")?, args).await,
        Command::Revoke(args) => change_root::revoke(&client("revoke keys")?, args).await,
        Command::Renew(args) => change_root::renew(&client("sign again")?, args).await,
        Command::Sign(args) => sign_and_send::sign(args),
        Command::Send(args) => sign_and_send::send(args, given).await,
    }
}
