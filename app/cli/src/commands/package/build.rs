//! `banyan package build`: signs a release and writes it, with its files, to one package file.

use crate::{
    commands::{
        keys::complete_request::{SigningArgs, SigningOutcome},
        progress_bar::{ProgressMode, progress_bar},
        publish::read_release,
        release_args::ReleaseArgs,
        release_summary::describe_release,
        run_blocking,
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note},
};
use banyan_proto::{Digest, UnixSeconds, format_size};
use banyan_publisher::{SigningRequest, package_file, release_list, verified_state};
use banyan_trust::package::{Head, file_name};
use serde::Serialize;
use std::path::PathBuf;

/// Sign a release and write it to one package file (NAME-VERSION.banyan)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan package build release.toml --key keys\n  \
    banyan package build hello_2.10-3_amd64.deb --key keys --to hello.banyan\n  \
    # After the other signers have signed that file\n  \
    banyan package build release.toml --key keys --signed releases-7.tosign\n\n\
    The server is not contacted: the release is added to the list that this folder\n\
    recorded last. `banyan publish FILE.banyan` uploads the package; with --key, it\n\
    adds the release to the current list instead.")]
pub(super) struct Args {
    /// File to package, or a release.toml that describes the release
    #[arg(value_name = "FILE|release.toml")]
    file: PathBuf,
    /// Package file to write [default: NAME-VERSION.banyan]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Signing request for this release that the other signers have signed
    #[arg(long, value_name = "FILE")]
    signed: Option<PathBuf>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    release_args: ReleaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct BuildResult {
    file: PathBuf,
    package: String,
    version: String,
    sequence: u64,
    manifest: Digest,
    bytes: u64,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let action = || format!("build a package from {}", args.file.display());
    let state = verified_state::load_recorded_state(args.signing.trusted_folder()).with_context(action)?;
    let progress = if args.output.json { ProgressMode::Hidden } else { ProgressMode::Shown };
    let given = args.release_args.to_overrides();
    let draft = read_release(&args.file, given, state.published.clone(), progress, action()).await?;
    if progress == ProgressMode::Shown {
        print_note(&describe_release(&draft.manifest, draft.is_derived));
    }
    let list = release_list::add_release(&state, &draft.manifest, UnixSeconds::now()).with_context(action)?;
    let mut request = match &args.signed {
        None => SigningRequest::for_changes(&state, None, Some(list)).with_context(action)?,
        Some(path) => {
            let request = SigningRequest::read(path).with_context(action)?;
            request.review(args.signing.trusted_folder()).with_context(action)?;
            let other = request.manifest != list.manifest || request.root.is_some();
            if other {
                Err(banyan_publisher::PublisherError::RequestForOtherRelease(path.clone())).with_context(action)?
            } else {
                request
            }
        }
    };
    request.sign(&args.signing.keys).with_context(action)?;
    let missing = request.missing_signatures().with_context(action)?;
    if !missing.is_empty() {
        let file = args.signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).with_context(action)?;
        return SigningOutcome::Unsigned { file, missing }.print(args.output, "");
    }
    request.verify_as_machine().with_context(action)?;
    let (Some(targets), Some(text)) = (request.targets, request.manifest) else {
        return Err(Failure::bug(action(), "the signed release is incomplete"));
    };
    let manifest = Digest::of(text.as_bytes());
    let head = Head { roots: request.roots, targets, manifest: text };
    let file = args.to.clone().unwrap_or_else(|| file_name(&draft.manifest).into());
    let (to, what) = (file.clone(), action());
    let (described, sources) = (draft.manifest.clone(), draft.files);
    run_blocking("prepare the release", move || {
        let bar = progress_bar(progress, "packing");
        bar.set_length(described.artifacts.iter().map(|artifact| artifact.size).sum());
        let done = package_file::write_package(&to, &head, &described, &sources, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        done.with_context(|| what)
    })
    .await?;
    let size = std::fs::metadata(&file).with_context(action)?.len();
    let banyan_proto::Manifest { package, version, sequence, .. } = draft.manifest;
    let built = BuildResult { file, package, version, sequence, manifest, bytes: size };
    args.output.print(&built, |built| built.file.display().to_string()).map_err(|failure| {
        let next = format!("see it with `banyan package inspect {}`", built.file.display());
        failure.after_success("the package file is written", next)
    })?;
    print_note(&format!("{}; next: run `banyan publish {}`", format_size(size), built.file.display()));
    Ok(Exit::Success)
}
