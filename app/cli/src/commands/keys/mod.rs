//! `banyan keys`: creates and uses the publisher's signing keys on the publisher's computer, never on the server.

mod change_root;
pub(crate) mod complete_request;
mod list;
mod sign_and_send;

use crate::{
    api_client::ApiClient,
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note},
    profile::{self, ProfileArg},
};
use banyan_proto::{Digest, UnixSeconds, admin::Profile};
use banyan_publisher::{
    self,
    first_root::{RootOptions, request_first_root},
    verified_state,
};
use complete_request::{SigningArgs, SigningOutcome};
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    Generate(GenerateArgs),
    Init(InitArgs),
    List(list::ListArgs),
    Add(change_root::AddArgs),
    Rotate(change_root::RotateArgs),
    Revoke(change_root::RevokeArgs),
    Renew(change_root::RenewArgs),
    Sign(sign_and_send::SignArgs),
    Send(sign_and_send::SendArgs),
}

/// Create new signing keys in a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys generate --out keys\n  \
    # Two of three must sign\n  \
    banyan keys generate --out keys --keys 3 --threshold 2\n\n\
    Existing keys are never overwritten. No server is needed. The file public.json\n\
    in the folder contains no secret; give it to others who create a root with these\n\
    keys and theirs.")]
pub(crate) struct GenerateArgs {
    /// Output folder, created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of keys of each role (root, targets)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    keys: u8,
    /// Number of keys of each role that must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: u8,
    #[command(flatten)]
    json: OutputArgs,
}

/// Create the root of trust, register it, and record it in the profile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys init --key keys\n  \
    banyan keys init --key alice --with bob/public.json --with carol/public.json --threshold 2\n\n\
    The hash of the root goes into the profile, and from there into every join code:\n\
    machines trust this root only. Machines cannot enrol before a root is\n\
    registered. If several people hold the keys, a signing request is written for\n\
    the others.")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    signing: SigningArgs,
    /// Another signer's public keys: the public.json that `banyan keys generate` wrote
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Number of keys of each role that must sign [default: as given to `generate`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    json: OutputArgs,
}

/// The JSON result of `generate`.
#[derive(Debug, Serialize)]
struct GenerateResult {
    keys: Vec<PathBuf>,
}

/// The JSON result of `init`.
#[derive(Debug, Serialize)]
struct InitResult {
    root: Digest,
    profile: PathBuf,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    let client = |action: &str| connect(given, || action.to_owned());
    match &args.command {
        Command::Generate(args) => {
            let keys = generate_keys(&args.out, args.keys, args.threshold)?;
            let text = |made: &GenerateResult| {
                made.keys.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
            };
            args.json.print(&GenerateResult { keys }, text)?;
            print_note(&format!(
                "keep a copy of {} in a safe place; next: run `banyan keys init --key {0}`",
                args.out.display()
            ));
            Ok(Exit::Success)
        }
        Command::Init(args) => {
            let action = || "register the root".to_owned();
            let (path, profile) = profile::load(given).with_context(action)?;
            let client = ApiClient::new(&profile).with_context(action)?;
            let wanted = RootOptions { with: &args.with, threshold: args.threshold.map(u64::from) };
            match init_root(&client, &profile, &path, &args.signing, &wanted).await? {
                Ok(profile) => {
                    let root = profile.root.unwrap_or(Digest([0; 32]));
                    args.json.print(&InitResult { root, profile: path.clone() }, |done| done.root.to_string())?;
                    print_note(&format!(
                        "registered the root and recorded it in {}; next: run `banyan tokens create`",
                        path.display()
                    ));
                    Ok(Exit::Success)
                }
                Err(unsigned) => unsigned.print(args.json, ""),
            }
        }
        Command::List(args) => list::run(&client("list the keys")?, args).await,
        Command::Add(args) => change_root::add(&client("add a key")?, args).await,
        Command::Rotate(args) => change_root::rotate(&client("replace keys")?, args).await,
        Command::Revoke(args) => change_root::revoke(&client("revoke keys")?, args).await,
        Command::Renew(args) => change_root::renew(&client("sign again")?, args).await,
        Command::Sign(args) => sign_and_send::sign(args),
        Command::Send(args) => sign_and_send::send(args, given).await,
    }
}

/// Creates keys for every role. Returns the paths of the key files.
pub(crate) fn generate_keys(out: &Path, keys: u8, threshold: u8) -> Result<Vec<PathBuf>, Failure> {
    let action = || format!("create keys in {}", out.display());
    if threshold > keys {
        let wrong = format!("a threshold of {threshold} needs more than {keys} keys");
        return Err(Failure::new(action(), wrong, "choose a threshold no higher than the number of keys")
            .with_exit(Exit::Usage));
    }
    banyan_publisher::keys::generate_keys(out, usize::from(keys), u64::from(threshold)).with_context(action)
}

/// Creates the root, registers it and records it in the profile. Returns the changed profile, or what still needs
/// signatures. Repeating it is harmless.
pub(crate) async fn init_root(
    client: &ApiClient,
    profile: &Profile,
    path: &Path,
    signing: &SigningArgs,
    wanted: &RootOptions<'_>,
) -> Result<Result<Profile, SigningOutcome>, Failure> {
    let action = || "register the root".to_owned();
    let info = client.info().await.with_context(action)?;
    let make = || format!("create the root from {}", signing.trusted_folder().display());
    let mut request = request_first_root(&signing.keys, wanted, &info, UnixSeconds::now()).with_context(make)?;
    request.sign(&signing.keys).with_context(make)?;
    let missing = request.missing_signatures().with_context(make)?;
    if !missing.is_empty() {
        let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).with_context(make)?;
        return Ok(Err(SigningOutcome::Unsigned { file, missing }));
    }
    let digest = request.first_root_digest().unwrap_or(Digest([0; 32]));
    sign_and_send::check_root_of_profile(profile, digest, action)?;
    // The root is stored before it is registered. Otherwise a failure could leave the only copy on the server.
    for folder in &signing.keys {
        verified_state::record_state(folder, request.root.as_slice(), None).with_context(make)?;
    }
    complete_request::submit_complete(client, &request, &signing.keys, action).await?;
    let profile = Profile { root: Some(digest), ..profile.clone() };
    profile::save(path, &profile).with_context(|| "record the root in the profile".into())?;
    Ok(Ok(profile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn a_threshold_that_cannot_be_met_is_refused_before_any_key_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("keys");
        let failure = generate_keys(&out, 2, 3).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!out.exists(), "a key was created");
    }

    #[test]
    fn arguments() {
        let args: GenerateArgs = parse("--out k --keys 3 --threshold 2").unwrap();
        assert_eq!((args.keys, args.threshold), (3, 2));
        assert!(parse::<GenerateArgs>("").is_err());
        let args: InitArgs = parse("--key k --key l --with m/public.json --threshold 2 --json").unwrap();
        assert_eq!((args.signing.keys.len(), args.with.len(), args.threshold, args.json.json), (2, 1, Some(2), true));
        assert!(parse::<InitArgs>("--json").is_err(), "without a folder there are no keys");
    }
}
