//! `banyan keys init`: creates the root of trust, registers it and records it in the profile.

use crate::{
    api_client::ApiClient,
    commands::{
        client_of,
        keys::{
            complete_request::{self, SigningArgs, SigningOutcome},
            sign_and_send,
        },
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note},
    profile::{self, ProfileArg},
};
use banyan_proto::{Digest, UnixSeconds, admin::Profile};
use banyan_publisher::{
    first_root::{RootOptions, request_first_root},
    verified_state,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    output: OutputArgs,
}

/// The JSON result of `init`.
#[derive(Debug, Serialize)]
struct InitResult {
    root: Digest,
    profile: PathBuf,
}

/// What became of a new root.
pub(crate) enum RootRegistration {
    /// It is registered, and recorded in this profile.
    Registered(Profile),
    /// Others must sign it first.
    Unsigned(SigningOutcome),
}

pub(super) async fn run(args: &InitArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "register the root".to_owned();
    let (path, profile) = profile::load(given).with_context(action)?;
    let client = client_of(&profile).with_context(action)?;
    let wanted = RootOptions { with: &args.with, threshold: args.threshold.map(u64::from) };
    match init_root(&client, &profile, &path, &args.signing, &wanted).await? {
        RootRegistration::Registered(profile) => {
            let root = profile.root.unwrap_or(Digest([0; 32]));
            args.output
                .print(&InitResult { root, profile: path.clone() }, |done| done.root.to_string())
                .map_err(|failure| failure.after_success("the root is registered", "see it with `banyan keys list`"))?;
            print_note(&format!(
                "registered the root and recorded it in {}; next: run `banyan tokens create`",
                path.display()
            ));
            Ok(Exit::Success)
        }
        RootRegistration::Unsigned(unsigned) => unsigned.print(args.output, ""),
    }
}

/// Creates the root, registers it and records it in the profile. Repeating it is harmless.
pub(crate) async fn init_root(
    client: &ApiClient,
    profile: &Profile,
    path: &Path,
    signing: &SigningArgs,
    wanted: &RootOptions<'_>,
) -> Result<RootRegistration, Failure> {
    let action = || "register the root".to_owned();
    let info = client.info().await.with_context(action)?;
    let make = || format!("create the root from {}", signing.trusted_folder().display());
    let mut request = request_first_root(&signing.keys, wanted, &info, UnixSeconds::now()).with_context(make)?;
    request.sign(&signing.keys).with_context(make)?;
    let missing = request.missing_signatures().with_context(make)?;
    if !missing.is_empty() {
        let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).with_context(make)?;
        return Ok(RootRegistration::Unsigned(SigningOutcome::Unsigned { file, missing }));
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
    Ok(RootRegistration::Registered(profile))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn arguments() {
        let args: InitArgs = parse("--key k --key l --with m/public.json --threshold 2 --json").unwrap();
        assert_eq!((args.signing.keys.len(), args.with.len(), args.threshold, args.output.json), (2, 1, Some(2), true));
        assert!(parse::<InitArgs>("--json").is_err(), "without a folder there are no keys");
    }
}
