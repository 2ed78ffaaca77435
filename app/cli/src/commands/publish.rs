//! `banyan publish`: describes a release, uploads its files, signs it with the publisher's keys and registers it.

use crate::{
    api_client::ApiClient,
    commands::{
        connect,
        keys::complete_request::{self, SigningArgs, SigningOutcome},
        progress_bar::{ProgressMode, progress_bar},
        published_before::{self, PublishedBefore},
        release_args::ReleaseArgs,
        release_summary::describe_release,
        run_blocking, signature_expiry,
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note, sanitise},
    profile::ProfileArg,
};
use banyan_proto::{Digest, UnixSeconds, admin::Publish, manifest::Manifest};
use banyan_publisher::{
    self, SigningRequest,
    package_file::{self, ArtifactSection},
    release_draft::{ReleaseDraft, ReleaseOverrides, SourceFile, draft_release},
    release_list,
    verified_state::VerifiedState,
};
use banyan_trust::package::{EXTENSION, Head};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Sign a release and upload it to the server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Name, version and platform come from the package\n  \
    banyan publish hello_2.10-3_amd64.deb --key keys\n  \
    # Name and version come from the file name\n  \
    banyan publish tool-1.4.tar.gz --key keys\n  \
    banyan publish build.zip --name tool --version 1.4 --key keys\n  \
    # With probe, detect, several platforms\n  \
    banyan publish release.toml --key keys\n  \
    # A package file, signed when it was built\n  \
    banyan publish tool-1.4.banyan\n\n\
    A release.toml looks like this (paths are relative to it):\n  \
    name = \"tool\"\n  \
    version = \"1.4\"\n  \
    sequence = 14\n\n  \
    [platform.linux-x86_64]\n  \
    file = \"tool-1.4.tar.gz\"\n  \
    kind = \"archive\"\n  \
    probe = [\"{dir}/tool\", \"--version\"]\n\n\
    The probe checks on every machine that the new version works. If it fails, the\n\
    previous version is restored. Derived properties are shown before anything is\n\
    signed. If others must sign too, a signing request is written for them; the\n\
    release is published when the request comes back complete (`banyan keys send`).")]
pub(crate) struct Args {
    /// File to publish, release.toml, or package file (NAME-VERSION.banyan)
    #[arg(value_name = "FILE|release.toml|FILE.banyan")]
    file: PathBuf,
    /// Folder with the publisher's keys; not needed for a package file
    ///
    /// Repeat the option to sign with several folders.
    #[arg(long = "key", value_name = "DIR")]
    keys: Vec<PathBuf>,
    /// Publish although this version is already published with other content
    ///
    /// Machines that have the version install the new content when it is deployed.
    #[arg(long)]
    again: bool,
    /// File for the signing request, if these keys are not enough [default: named after the list of releases]
    #[arg(long, value_name = "FILE", requires = "keys")]
    out: Option<PathBuf>,
    #[command(flatten)]
    release_args: ReleaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result, also used by the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PublishResult {
    /// The package name.
    pub(crate) package: String,
    /// The version.
    pub(crate) version: String,
    /// The sequence.
    pub(crate) sequence: u64,
    /// BLAKE3 hash of the manifest.
    pub(crate) manifest: Digest,
    /// The files: platform, name, size (bytes).
    pub(crate) files: Vec<(String, String, u64)>,
    /// What the publisher should know.
    pub(crate) warnings: Vec<String>,
}

/// When a release is signed.
pub(crate) enum SigningMode<'a> {
    /// Now, with these keys.
    Sign(&'a SigningArgs),
    /// Earlier, when the package file was built.
    AlreadySigned,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("publish {}", args.file.display());
    let signing = SigningArgs { keys: args.keys.clone(), out: args.out.clone() };
    let signed = if signing.keys.is_empty() { SigningMode::AlreadySigned } else { SigningMode::Sign(&signing) };
    if matches!(signed, SigningMode::AlreadySigned) && !is_package_file(&args.file) {
        let next = "pass the folder with the publisher's keys: --key DIR";
        return Err(Failure::new(action(), "without keys the release cannot be signed", next).with_exit(Exit::Usage));
    }
    if is_package_file(&args.file) {
        args.release_args.check_unused(&args.file, action)?;
    }
    let client = connect(profile, action)?;
    let progress = if args.output.json { ProgressMode::Hidden } else { ProgressMode::Shown };
    let source = ReleaseSource { file: &args.file, given: args.release_args.to_overrides(), again: args.again };
    let (published, finished) = publish_release(&client, &signed, source, progress).await?;
    if let SigningOutcome::Unsigned { .. } = finished {
        return finished.print(args.output, "");
    }
    args.output
        .print(&published, |release| format!("{} {}", release.package, release.version))
        .map_err(|failure| failure.after_success("the release is published", "see it with `banyan releases`"))?;
    print_note(&format!(
        "published; next: run `banyan deploy {}@{} --to all --wait`",
        published.package, published.version
    ));
    warn_of_expiry(&client).await;
    Ok(Exit::Success)
}

/// Returns whether a path has the extension of a package file.
pub(crate) fn is_package_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == EXTENSION)
}

/// Warns about signatures that expire soon. Publishing has just renewed the list; the root is easily forgotten.
async fn warn_of_expiry(client: &ApiClient) {
    let Ok(current) = client.targets().await else { return };
    let Some((root, list)) = signature_expiry::read_expiry(&current) else { return };
    signature_expiry::expiry_warnings(root, list, UnixSeconds::now()).iter().for_each(|line| print_note(line));
}

/// What to publish.
pub(crate) struct ReleaseSource<'a> {
    /// The file, release.toml or package file.
    pub(crate) file: &'a Path,
    /// Properties given on the command line.
    pub(crate) given: ReleaseOverrides,
    /// Whether a version may be published again with other content.
    pub(crate) again: bool,
}

/// Describes, uploads, signs and registers a release.
pub(crate) async fn publish_release(
    client: &ApiClient,
    signed: &SigningMode<'_>,
    source: ReleaseSource<'_>,
    progress: ProgressMode,
) -> Result<(PublishResult, SigningOutcome), Failure> {
    let ReleaseSource { file, given, again } = source;
    let action = || format!("publish {}", file.display());
    let state = match signed {
        SigningMode::Sign(signing) => Some(complete_request::fetch_verified_state(client, signing, action).await?),
        SigningMode::AlreadySigned => None,
    };
    let mut may_renumber = false;
    let (mut manifest, sections, package, warnings) = if is_package_file(file) {
        let (file, what) = (file.to_owned(), action());
        // A publisher with keys knows the expected root. For everyone else the server checks it.
        let root = state.as_ref().and_then(|state| state.roots.first()).map(|root| Digest::of(root.as_bytes()));
        let open = move || package_file::open_package(&file, root, UnixSeconds::now()).with_context(|| what);
        let opened = run_blocking("prepare the release", open).await?;
        if progress == ProgressMode::Shown {
            print_note(&describe_release(opened.release.manifest(), false));
        }
        (opened.release.manifest().clone(), opened.sections, Some(opened.head), vec![])
    } else {
        let published = state.as_ref().map(|state| state.published.clone()).unwrap_or_default();
        let draft = read_release(file, given, published, progress, action()).await?;
        if progress == ProgressMode::Shown {
            print_note(&describe_release(&draft.manifest, draft.is_derived));
        }
        let sections = sections(&draft);
        may_renumber = !draft.has_given_sequence;
        (draft.manifest, sections, None, draft.warnings)
    };
    check_published_before(client, state.as_ref(), &mut manifest, may_renumber, again, action).await?;
    upload(client, &sections, progress).await.with_context(|| format!("upload {}", file.display()))?;
    let (text, finished) = match (signed, state, package) {
        (SigningMode::Sign(signing), Some(state), _) => {
            let mut fetched = Some(state);
            let sign = async || {
                let state = match fetched.take() {
                    Some(state) => state,
                    None => {
                        let state = complete_request::fetch_verified_state(client, signing, action).await?;
                        let highest = state.published.highest_sequence(&manifest.package);
                        if may_renumber && manifest.sequence <= highest {
                            manifest.sequence = highest + 1;
                        }
                        check_published_before(client, Some(&state), &mut manifest, may_renumber, again, action)
                            .await?;
                        state
                    }
                };
                let list = release_list::add_release(&state, &manifest, UnixSeconds::now()).with_context(action)?;
                let text = list.manifest.clone().unwrap_or_default();
                let request = SigningRequest::for_changes(&state, None, Some(list)).with_context(action)?;
                Ok::<_, Failure>((text, complete_request::sign_and_submit(client, request, signing, action).await?))
            };
            complete_request::repeat_if_overtaken(action, sign).await?
        }
        (_, _, Some(Head { targets, manifest, .. })) => {
            let release = Publish { targets, manifest };
            client.publish(&release).await.with_context(action)?;
            let done = SigningOutcome::Done { root: None, withdrawn: vec![], stopped: vec![], retired: vec![] };
            (release.manifest, done)
        }
        _ => {
            return Err(Failure::new(
                action(),
                "the release is not signed",
                "pass the folder with the publisher's keys: --key DIR",
            ));
        }
    };
    let Manifest { package, version, sequence, artifacts, .. } = manifest;
    let files = artifacts.into_iter().map(|artifact| (artifact.platform, artifact.file_name, artifact.size)).collect();
    let manifest = Digest::of(text.as_bytes());
    Ok((PublishResult { package, version, sequence, manifest, files, warnings }, finished))
}

/// Compares a release with what is published under its name. Gives it the sequence of the same release, if there is
/// one and it may be renumbered.
async fn check_published_before(
    client: &ApiClient,
    state: Option<&VerifiedState>,
    manifest: &mut Manifest,
    may_renumber: bool,
    again: bool,
    action: impl Fn() -> String,
) -> Result<(), Failure> {
    let list = state.map(|state| &state.published);
    let before = published_before::find(client, list, manifest, &action).await?;
    if !matches!(before, PublishedBefore::Same(_)) {
        published_before::check_kinds(client, list, manifest, &action).await?;
    }
    match before {
        // The release is only signed again.
        PublishedBefore::Same(sequence) if may_renumber => {
            print_note(&format!("already published as sequence {sequence}; its signature is renewed"));
            manifest.sequence = sequence;
        }
        PublishedBefore::Other(wrong) if !again => {
            let next = "give it a new version; or pass --again to replace the content of this version";
            return Err(Failure::new(action(), wrong, next));
        }
        PublishedBefore::Nothing | PublishedBefore::Same(_) | PublishedBefore::Other(_) => {}
    }
    Ok(())
}

/// Describes a file or a release.toml, and prints what its publisher should know. `action` completes "cannot …".
pub(crate) async fn read_release(
    file: &Path,
    given: ReleaseOverrides,
    published: banyan_publisher::ReleaseList,
    progress: ProgressMode,
    action: String,
) -> Result<ReleaseDraft, Failure> {
    let file = file.to_owned();
    let draft = run_blocking("prepare the release", move || {
        let bar = progress_bar(progress, "reading");
        let mut hashed = |done: u64, of: u64| {
            bar.set_length(of);
            bar.set_position(done);
        };
        let draft = draft_release(&file, &given, &published, &mut hashed);
        bar.finish_and_clear();
        draft.with_context(|| action)
    })
    .await?;
    draft.warnings.iter().for_each(|warning| print_note(&sanitise(&format!("warning: {warning}"))));
    Ok(draft)
}

/// Returns the draft's files, each as one section.
fn sections(draft: &ReleaseDraft) -> Vec<ArtifactSection> {
    let size = |digest: Digest| {
        let artifact = draft.manifest.artifacts.iter().find(|artifact| artifact.digest == digest);
        artifact.map_or(0, |artifact| artifact.size)
    };
    let section = |file: &SourceFile| ArtifactSection {
        digest: file.digest,
        path: file.path.clone(),
        offset: 0,
        size: size(file.digest),
    };
    draft.files.iter().map(section).collect()
}

async fn upload(
    client: &ApiClient,
    sections: &[ArtifactSection],
    progress: ProgressMode,
) -> Result<(), crate::api_client::ApiClientError> {
    let bar = progress_bar(progress, "uploading");
    bar.set_length(sections.iter().map(|section| section.size).sum());
    let mut before = 0;
    for section in sections {
        let shown = bar.clone();
        client.upload(section, move |done| shown.set_position(before + done)).await?;
        before += section.size;
    }
    bar.finish_and_clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;
    use banyan_proto::manifest::Kind;

    #[test]
    fn arguments() {
        let args: Args =
            parse("a.tgz --key k --name tool --version 1 --kind archive --platform any --sequence 7").unwrap();
        let given = args.release_args.to_overrides();
        assert_eq!((given.name.as_deref(), given.kind, given.sequence), (Some("tool"), Some(Kind::Archive), Some(7)));
        assert_eq!(parse::<Args>("a.tgz --key k --key l").unwrap().keys.len(), 2);
        assert!(parse::<Args>("a.tgz --key k --kind rpm").is_err());
    }

    #[tokio::test]
    async fn without_keys_only_a_package_file_can_be_published() {
        let args: Args = parse("a.tgz").unwrap();
        let failure = run(&args, &ProfileArg { profile: Some("nowhere".into()) }).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{failure}");
        let args: Args = parse("a-1.banyan").unwrap();
        let failure = run(&args, &ProfileArg { profile: Some("nowhere".into()) }).await.unwrap_err();
        assert_eq!(failure.exit, Exit::NoProfile, "{failure}");
    }
}
