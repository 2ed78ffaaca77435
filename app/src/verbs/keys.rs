//! `banyan keys`: the publishers' signing keys, made and used on the administrator's machine, never on the server.

use crate::{
    client::Client,
    exit::Exit,
    failure::{Explain, Failure, Tried as _},
    output::{Json, say},
    profile::{self, ProfileArg},
    publisher::{self, PublisherError},
};
use banyan_proto::{
    Digest, UnixSeconds,
    admin::{Profile, RegisterRoot},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make the publishers' signing keys, and the root that machines believe
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    banyan keys generate --out keys        once, on a machine that is not the server\n  \
    banyan keys init --key keys            makes the root from them and registers it with the server\n\n\
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
}

/// Make new signing keys in a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys generate --out keys\n  \
    banyan keys generate --out keys --keys 3 --threshold 2     two of three must sign\n\n\
    Existing keys are never overwritten. No server is needed.")]
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
#[command(after_help = "Example:\n  \
    banyan keys init --key keys\n\n\
    Its hash goes into the profile, and from there into every join code: machines believe this root and no other.\n\
    Until a root is registered no machine can enrol.")]
pub(crate) struct InitArgs {
    /// The folder with the keys
    #[arg(long, value_name = "DIR")]
    key: PathBuf,
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

impl Explain for PublisherError {
    fn next(&self) -> String {
        "put right what is named above and try again; nothing has been signed".into()
    }
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Generate(args) => {
            let keys = generate(&args.out, args.keys, args.threshold)?;
            let text = |made: &Generated| {
                made.keys.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
            };
            args.json.answer(&Generated { keys }, text)?;
            say(&format!("keep a copy of {} in a safe place; next: banyan keys init --key {0}", args.out.display()));
        }
        Verb::Init(args) => {
            let tried = || "register the root".to_owned();
            let (path, profile) = profile::load(given).tried(tried)?;
            let client = Client::new(&profile).tried(tried)?;
            let profile = init(&client, &profile, &path, &args.key).await?;
            let root = profile.root.unwrap_or(Digest([0; 32]));
            args.json.answer(&Initialised { root, profile: path.clone() }, |done| done.root.to_string())?;
            say(&format!("the root is registered and noted in {}; next: banyan tokens create", path.display()));
        }
    }
    Ok(Exit::Success)
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

/// Makes the root, registers it, and notes it in the profile, which is given back. Doing it twice does no harm.
pub(crate) async fn init(client: &Client, profile: &Profile, path: &Path, keys: &Path) -> Result<Profile, Failure> {
    let tried = || "register the root".to_owned();
    let info = client.info().await.tried(tried)?;
    let first = publisher::keys::init(keys, &info, UnixSeconds::now())
        .tried(|| format!("make the root from {}", keys.display()))?;
    if let Some(other) = profile.root.filter(|root| *root != first.digest) {
        return Err(Failure::new(
            tried(),
            format!("the profile already names another root ({})", other.short()),
            "use the folder of the keys that root was made from; machines that have enrolled believe that one only",
        ));
    }
    client.register_root(&RegisterRoot { root: first.json }).await.tried(tried)?;
    let profile = Profile { root: Some(first.digest), ..profile.clone() };
    profile::save(path, &profile).tried(|| "note the root in the profile".into())?;
    Ok(profile)
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
        assert!(parse::<InitArgs>("--key k --json").unwrap().json.json);
    }
}
