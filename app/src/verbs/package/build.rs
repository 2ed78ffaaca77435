//! `banyan package build`: signs a release and puts it, with its files, into one file that can be carried by hand.

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, bytes, say},
    publisher::{Request, lists, package, trusted},
    verbs::{
        keys::finish::{Finished, Signing},
        publish::{About, Progress, bar, blocking, description, read},
    },
};
use banyan_proto::{Digest, UnixSeconds};
use banyan_trust::package::{Head, file_name};
use serde::Serialize;
use std::path::PathBuf;

/// Sign a release and put it into one package file (NAME-VERSION.banyan)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan package build release.toml --key keys\n  \
    banyan package build hello_2.10-3_amd64.deb --key keys --to hello.banyan\n  \
    banyan package build release.toml --key keys --signed releases-7.tosign     after the others have signed that file\n\n\
    No server is asked: the list of releases is the one that this folder saw accepted last, with this release added.\n\
    `banyan publish FILE.banyan` sends it; with --key it is signed onto whatever the list is then.")]
pub(super) struct Args {
    /// The file, or a release.toml that describes the release
    #[arg(value_name = "FILE|release.toml")]
    file: PathBuf,
    /// Where to write the package file; NAME-VERSION.banyan here unless given
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// A signing request for this very release that others have signed
    #[arg(long, value_name = "FILE")]
    signed: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

/// The answer to scripts.
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
    let known = trusted::remembered(args.signing.first()).tried(tried)?;
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let draft = read(&args.file, args.about.given(), known.published.clone(), progress).await?;
    if progress == Progress::Shown {
        say(&description(&draft.manifest, draft.derived));
    }
    let list = lists::with(&known, &draft.manifest, UnixSeconds::now()).tried(tried)?;
    let mut request = match &args.signed {
        None => Request::next(&known, None, Some(list)).tried(tried)?,
        Some(path) => {
            let request = Request::read(path).tried(tried)?;
            request.judge(args.signing.first()).tried(tried)?;
            let other = request.manifest != list.manifest || request.root.is_some();
            if other {
                Err(crate::publisher::PublisherError::OtherRelease(path.clone())).tried(tried)?
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
        return Err(Failure::new(tried(), "nothing was signed", "report this: it is a defect of Banyan"));
    };
    let manifest = Digest::of(text.as_bytes());
    let head = Head { roots: request.roots, targets, manifest: text };
    let file = args.to.clone().unwrap_or_else(|| file_name(&draft.manifest).into());
    let (to, what) = (file.clone(), tried());
    let (described, sources) = (draft.manifest.clone(), draft.files);
    blocking(move || {
        let bar = bar(progress, "packing");
        bar.set_length(described.artifacts.iter().map(|artifact| artifact.size).sum());
        let done = package::write(&to, &head, &described, &sources, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        done.tried(|| what)
    })
    .await?;
    let size = std::fs::metadata(&file).tried(tried)?.len();
    let banyan_proto::Manifest { package, version, sequence, .. } = draft.manifest;
    let built = Built { file, package, version, sequence, manifest, bytes: size };
    args.json.answer(&built, |built| built.file.display().to_string())?;
    say(&format!("{}; next: banyan publish {}", bytes(size), built.file.display()));
    Ok(Exit::Success)
}
