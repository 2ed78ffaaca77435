//! `banyan package build`: signs a release and writes it, with its files, to one package file.

use crate::{
    commands::{
        keys::complete_request::{Finished, Signing},
        publish::{About, Progress, bar, blocking, description, read},
    },
    output::{Exit, Failure, Json, Tried as _, say},
};
use banyan_proto::{Digest, UnixSeconds, format_size};
use banyan_publisher::{Request, package_file, release_list, verified_state};
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
    signing: Signing,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct Built {
    file: PathBuf,
    package: String,
    version: String,
    sequence: u64,
    manifest: Digest,
    bytes: u64,
}

pub(super) async fn run(args: &Args) -> Result<Exit, Failure> {
    let tried = || format!("build a package from {}", args.file.display());
    let known = verified_state::remembered(args.signing.first()).tried(tried)?;
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let draft = read(&args.file, args.about.given(), known.published.clone(), progress).await?;
    if progress == Progress::Shown {
        say(&description(&draft.manifest, draft.derived));
    }
    let list = release_list::with(&known, &draft.manifest, UnixSeconds::now()).tried(tried)?;
    let mut request = match &args.signed {
        None => Request::next(&known, None, Some(list)).tried(tried)?,
        Some(path) => {
            let request = Request::read(path).tried(tried)?;
            request.judge(args.signing.first()).tried(tried)?;
            let other = request.manifest != list.manifest || request.root.is_some();
            if other {
                Err(banyan_publisher::PublisherError::OtherRelease(path.clone())).tried(tried)?
            } else {
                request
            }
        }
    };
    request.sign(&args.signing.keys).tried(tried)?;
    let missing = request.missing().tried(tried)?;
    if !missing.is_empty() {
        let file = args.signing.out.clone().unwrap_or_else(|| request.file_name().into());
        request.write(&file).tried(tried)?;
        return Finished::Unsigned { file, missing }.answer(args.json, "");
    }
    request.would_be_trusted().tried(tried)?;
    let (Some(targets), Some(text)) = (request.targets, request.manifest) else {
        return Err(Failure::new(
            tried(),
            "the signed release is incomplete",
            "report this bug in Banyan with the output of `banyan --version`",
        ));
    };
    let manifest = Digest::of(text.as_bytes());
    let head = Head { roots: request.roots, targets, manifest: text };
    let file = args.to.clone().unwrap_or_else(|| file_name(&draft.manifest).into());
    let (to, what) = (file.clone(), tried());
    let (described, sources) = (draft.manifest.clone(), draft.files);
    blocking(move || {
        let bar = bar(progress, "packing");
        bar.set_length(described.artifacts.iter().map(|artifact| artifact.size).sum());
        let done = package_file::write(&to, &head, &described, &sources, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        done.tried(|| what)
    })
    .await?;
    let size = std::fs::metadata(&file).tried(tried)?.len();
    let banyan_proto::Manifest { package, version, sequence, .. } = draft.manifest;
    let built = Built { file, package, version, sequence, manifest, bytes: size };
    args.json.answer(&built, |built| built.file.display().to_string())?;
    say(&format!("{}; next: run `banyan publish {}`", format_size(size), built.file.display()));
    Ok(Exit::Success)
}
