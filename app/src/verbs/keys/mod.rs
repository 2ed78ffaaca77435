//! `banyan keys`: the publishers' signing keys, made and used on the publisher's machine, never on the server.

mod change;
pub(crate) mod finish;
mod list;
mod pass;

use crate::{
    client::Client,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, say},
    profile::{self, ProfileArg},
    publisher::{
        self,
        first::{Wanted, first},
        trusted,
    },
    verbs::connect,
};
use banyan_proto::{Digest, UnixSeconds, admin::Profile};
use finish::{Finished, Signing};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make the publishers' signing keys and the root that machines believe; replace, revoke and renew them
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    banyan keys generate --out keys        once, on a machine that is not the server\n  \
    banyan keys init --key keys            makes the root from them and registers it with the server\n  \
    banyan keys list --key keys            who may sign what, and until when it is believed\n  \
    banyan keys renew --key keys           once a year\n\n\
    Whoever holds these keys decides what may be installed; keep them offline and keep a copy. The server never sees them."
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
    Add(change::AddArgs),
    Rotate(change::RotateArgs),
    Revoke(change::RevokeArgs),
    Renew(change::RenewArgs),
    Sign(pass::SignArgs),
    Send(pass::SendArgs),
}

/// Make new signing keys in a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys generate --out keys\n  \
    banyan keys generate --out keys --keys 3 --threshold 2     two of three must sign\n\n\
    Existing keys are never overwritten. No server is needed. The file public.json in the folder holds no secret: it is for\n\
    others, who make a root with these keys and theirs.")]
pub(crate) struct GenerateArgs {
    /// The folder; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many keys of each role (root, targets)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    keys: u8,
    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: u8,
    #[command(flatten)]
    json: Json,
}

/// Make the root from the keys, register it with the server, and note it in the profile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys init --key keys\n  \
    banyan keys init --key alice --with bob/public.json --with carol/public.json --threshold 2\n\n\
    Its hash goes into the profile, and from there into every join code: machines believe this root and no other.\n\
    Until a root is registered no machine can enrol. With keys of several people a file is written for the others to sign.")]
pub(crate) struct InitArgs {
    #[command(flatten)]
    signing: Signing,
    /// The public keys of somebody else who may sign too: the public.json that `banyan keys generate` wrote there
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// How many keys of each role must sign; what `generate` was told unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    json: Json,
}

/// The answer of `generate` to scripts.
#[derive(Debug, Serialize)]
struct Generated {
    keys: Vec<PathBuf>,
}

/// The answer of `init` to scripts.
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
            say(&format!("keep a copy of {} in a safe place; next: banyan keys init --key {0}", args.out.display()));
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
                    say(&format!("the root is registered and noted in {}; next: banyan tokens create", path.display()));
                    Ok(Exit::Success)
                }
                Err(unsigned) => unsigned.answer(args.json, ""),
            }
        }
        Verb::List(args) => list::run(&client("list the keys")?, args).await,
        Verb::Add(args) => change::add(&client("add a key")?, args).await,
        Verb::Rotate(args) => change::rotate(&client("replace keys")?, args).await,
        Verb::Revoke(args) => change::revoke(&client("revoke keys")?, args).await,
        Verb::Renew(args) => change::renew(&client("sign again")?, args).await,
        Verb::Sign(args) => pass::sign(args),
        Verb::Send(args) => pass::send(args, given).await,
    }
}

/// Makes keys for every role.
pub(crate) fn generate(out: &Path, keys: u8, threshold: u8) -> Result<Vec<PathBuf>, Failure> {
    let tried = || format!("make keys in {}", out.display());
    if threshold > keys {
        let wrong = format!("{threshold} of {keys} keys can never sign");
        return Err(
            Failure::new(tried(), wrong, "choose a threshold that is not above the number of keys").ending(Exit::Usage)
        );
    }
    publisher::keys::generate(out, usize::from(keys), u64::from(threshold)).tried(tried)
}

/// Makes the root, registers it, and notes it in the profile, which is given back; or gives what is still to be signed.
/// Doing it twice does no harm.
pub(crate) async fn init(
    client: &Client,
    profile: &Profile,
    path: &Path,
    signing: &Signing,
    wanted: &Wanted<'_>,
) -> Result<Result<Profile, Finished>, Failure> {
    let tried = || "register the root".to_owned();
    let info = client.info().await.tried(tried)?;
    let make = || format!("make the root from {}", signing.first().display());
    let mut request = first(&signing.keys, wanted, &info, UnixSeconds::now()).tried(make)?;
    request.sign(&signing.keys).tried(make)?;
    let missing = request.missing().tried(make)?;
    if !missing.is_empty() {
        let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).tried(make)?;
        return Ok(Err(Finished::Unsigned { file, missing }));
    }
    let digest = request.first_digest().unwrap_or(Digest([0; 32]));
    pass::note_root(profile, digest, tried)?;
    // Before it is registered: a root that the server has and nobody else would be lost.
    for folder in &signing.keys {
        trusted::remember(folder, request.root.as_slice(), None).tried(make)?;
    }
    finish::send(client, &request, &signing.keys, tried).await?;
    let profile = Profile { root: Some(digest), ..profile.clone() };
    profile::save(path, &profile).tried(|| "note the root in the profile".into())?;
    Ok(Ok(profile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::test_args::parse;

    #[test]
    fn a_threshold_that_cannot_be_met_is_refused_before_any_key_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("keys");
        let failure = generate(&out, 2, 3).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!out.exists(), "something was made");
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
