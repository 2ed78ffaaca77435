//! `banyan keys`: creates and uses the publisher's signing keys on the publisher's computer, never on the server.

mod change_root;
pub(crate) mod complete_request;
mod list;
mod sign_and_send;

use crate::{
    api_client::Client,
    commands::connect,
    output::{Exit, Failure, Json, Tried as _, say},
    profile::{self, ProfileArg},
};
use banyan_proto::{Digest, UnixSeconds, admin::Profile};
use banyan_publisher::{
    self,
    first_root::{Wanted, first},
    verified_state,
};
use complete_request::{Finished, Signing};
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
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
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
    json: Json,
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
    signing: Signing,
    /// Another signer's public keys: the public.json that `banyan keys generate` wrote
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Number of keys of each role that must sign [default: as given to `generate`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    json: Json,
}

/// The JSON result of `generate`.
#[derive(Debug, Serialize)]
struct Generated {
    keys: Vec<PathBuf>,
}

/// The JSON result of `init`.
#[derive(Debug, Serialize)]
struct Initialised {
    root: Digest,
    profile: PathBuf,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    let client = |tried: &str| connect(given, || tried.to_owned());
    match &args.verb {
        Verb::Generate(args) => {
            let keys = generate(&args.out, args.keys, args.threshold)?;
            let text = |made: &Generated| {
                made.keys.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
            };
            args.json.answer(&Generated { keys }, text)?;
            say(&format!(
                "keep a copy of {} in a safe place; next: run `banyan keys init --key {0}`",
                args.out.display()
            ));
            Ok(Exit::Success)
        }
        Verb::Init(args) => {
            let tried = || "register the root".to_owned();
            let (path, profile) = profile::load(given).tried(tried)?;
            let client = Client::new(&profile).tried(tried)?;
            let wanted = Wanted { with: &args.with, threshold: args.threshold.map(u64::from) };
            match init(&client, &profile, &path, &args.signing, &wanted).await? {
                Ok(profile) => {
                    let root = profile.root.unwrap_or(Digest([0; 32]));
                    args.json.answer(&Initialised { root, profile: path.clone() }, |done| done.root.to_string())?;
                    say(&format!(
                        "registered the root and recorded it in {}; next: run `banyan tokens create`",
                        path.display()
                    ));
                    Ok(Exit::Success)
                }
                Err(unsigned) => unsigned.answer(args.json, ""),
            }
        }
        Verb::List(args) => list::run(&client("list the keys")?, args).await,
        Verb::Add(args) => change_root::add(&client("add a key")?, args).await,
        Verb::Rotate(args) => change_root::rotate(&client("replace keys")?, args).await,
        Verb::Revoke(args) => change_root::revoke(&client("revoke keys")?, args).await,
        Verb::Renew(args) => change_root::renew(&client("sign again")?, args).await,
        Verb::Sign(args) => sign_and_send::sign(args),
        Verb::Send(args) => sign_and_send::send(args, given).await,
    }
}

/// Creates keys for every role. Returns the paths of the key files.
pub(crate) fn generate(out: &Path, keys: u8, threshold: u8) -> Result<Vec<PathBuf>, Failure> {
    let tried = || format!("create keys in {}", out.display());
    if threshold > keys {
        let wrong = format!("a threshold of {threshold} needs more than {keys} keys");
        return Err(
            Failure::new(tried(), wrong, "choose a threshold no higher than the number of keys").ending(Exit::Usage)
        );
    }
    banyan_publisher::keys::generate(out, usize::from(keys), u64::from(threshold)).tried(tried)
}

/// Creates the root, registers it and records it in the profile. Returns the changed profile, or what still needs
/// signatures. Repeating it is harmless.
pub(crate) async fn init(
    client: &Client,
    profile: &Profile,
    path: &Path,
    signing: &Signing,
    wanted: &Wanted<'_>,
) -> Result<Result<Profile, Finished>, Failure> {
    let tried = || "register the root".to_owned();
    let info = client.info().await.tried(tried)?;
    let make = || format!("create the root from {}", signing.first().display());
    let mut request = first(&signing.keys, wanted, &info, UnixSeconds::now()).tried(make)?;
    request.sign(&signing.keys).tried(make)?;
    let missing = request.missing().tried(make)?;
    if !missing.is_empty() {
        let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).tried(make)?;
        return Ok(Err(Finished::Unsigned { file, missing }));
    }
    let digest = request.first_digest().unwrap_or(Digest([0; 32]));
    sign_and_send::note_root(profile, digest, tried)?;
    // The root is stored before it is registered. Otherwise a failure could leave the only copy on the server.
    for folder in &signing.keys {
        verified_state::remember(folder, request.root.as_slice(), None).tried(make)?;
    }
    complete_request::send(client, &request, &signing.keys, tried).await?;
    let profile = Profile { root: Some(digest), ..profile.clone() };
    profile::save(path, &profile).tried(|| "record the root in the profile".into())?;
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
        let failure = generate(&out, 2, 3).unwrap_err();
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
