//! `banyan publish`: describes a release, uploads its files, signs it with the publisher's keys and registers it.

use super::connect;
use crate::{
    client::Client,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, clean, count, say},
    profile::ProfileArg,
    verbs::{
        expiry,
        keys::finish::{self, Finished, Signing},
    },
};
use banyan_proto::{
    Digest, UnixSeconds,
    admin::Publish,
    format_size,
    manifest::{CommandSpec, Kind, Manifest},
};
use banyan_publisher::{
    self, Request,
    describe::{Draft, Given, describe},
    lists,
    package::{self, Section},
};
use banyan_trust::package::{EXTENSION, Head};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
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
    /// File for the signing request, if these keys are not enough
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

/// Properties given on the command line instead of derived from the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct About {
    /// Package name [default: derived from the file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version [default: derived from the file]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Kind of file [default: derived from its extension]
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Platform of the file: linux-x86_64, windows-x86_64, …, any
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Position in the order of releases [default: one above the last]
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Release notes
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

/// [`Kind`] as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    /// Archive: tar.gz, tar.zst, tar or zip
    Archive,
    /// Debian package
    Deb,
}

impl About {
    /// Converts to the publisher module's type.
    pub(crate) fn given(&self) -> Given {
        Given {
            name: self.name.clone(),
            version: self.version.clone(),
            kind: self.kind.map(|kind| match kind {
                KindArg::Archive => Kind::Archive,
                KindArg::Deb => Kind::Deb,
            }),
            platform: self.platform.clone(),
            sequence: self.sequence,
            notes: self.notes.clone(),
        }
    }
}

/// The JSON result, also used by the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Published {
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
}

/// When a release is signed.
pub(crate) enum Signed<'a> {
    /// Now, with these keys.
    Now(&'a Signing),
    /// Earlier, when the package file was built.
    Before,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || format!("publish {}", args.file.display());
    let signing = Signing { keys: args.keys.clone(), out: args.out.clone() };
    let signed = if signing.keys.is_empty() { Signed::Before } else { Signed::Now(&signing) };
    if matches!(signed, Signed::Before) && !is_package(&args.file) {
        let next = "pass the folder with the publisher's keys: --key DIR";
        return Err(Failure::new(tried(), "without keys the release cannot be signed", next).ending(Exit::Usage));
    }
    let client = connect(profile, tried)?;
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let (published, finished) = publish(&client, &signed, &args.file, args.about.given(), progress).await?;
    if let Finished::Unsigned { .. } = finished {
        return finished.answer(args.json, "");
    }
    args.json.answer(&published, |release| format!("{} {}", release.package, release.version))?;
    say(&format!("published; next: run `banyan deploy {}@{} --to all --wait`", published.package, published.version));
    warn_of_expiry(&client).await;
    Ok(Exit::Success)
}

/// Returns whether a path has the extension of a package file.
pub(crate) fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == EXTENSION)
}

/// Warns about signatures that expire soon. Publishing has just renewed the list; the root is easily forgotten.
async fn warn_of_expiry(client: &Client) {
    let Ok(current) = client.targets().await else { return };
    let Some((root, list)) = expiry::shown(&current) else { return };
    expiry::warnings(root, list, UnixSeconds::now()).iter().for_each(|line| say(line));
}

/// Whether to show progress. Bars are drawn on a terminal only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Show bars, and the derived properties.
    Shown,
    /// Show neither.
    Hidden,
}

/// Describes, uploads, signs and registers a release.
pub(crate) async fn publish(
    client: &Client,
    signed: &Signed<'_>,
    file: &Path,
    given: Given,
    progress: Progress,
) -> Result<(Published, Finished), Failure> {
    let tried = || format!("publish {}", file.display());
    let known = match signed {
        Signed::Now(signing) => Some(finish::known(client, signing, tried).await?),
        Signed::Before => None,
    };
    let (manifest, sections, package) = if is_package(file) {
        let (file, what) = (file.to_owned(), tried());
        // A publisher with keys knows the expected root. For everyone else the server checks it.
        let root = known.as_ref().and_then(|known| known.roots.first()).map(|root| Digest::of(root.as_bytes()));
        let open = move || package::open(&file, root, UnixSeconds::now()).tried(|| what);
        let opened = blocking(open).await?;
        if progress == Progress::Shown {
            say(&description(opened.release.manifest(), false));
        }
        (opened.release.manifest().clone(), opened.sections, Some(opened.head))
    } else {
        let published = known.as_ref().map(|known| known.published.clone()).unwrap_or_default();
        let draft = read(file, given, published, progress).await?;
        if progress == Progress::Shown {
            say(&description(&draft.manifest, draft.derived));
        }
        let sections = sections(&draft);
        (draft.manifest, sections, None)
    };
    upload(client, &sections, progress).await.tried(|| format!("upload {}", file.display()))?;
    let (text, finished) = match (signed, known, package) {
        (Signed::Now(signing), Some(known), _) => {
            let list = lists::with(&known, &manifest, UnixSeconds::now()).tried(tried)?;
            let text = list.manifest.clone().unwrap_or_default();
            let request = Request::next(&known, None, Some(list)).tried(tried)?;
            (text, finish::finish(client, request, signing, tried).await?)
        }
        (_, _, Some(Head { targets, manifest, .. })) => {
            let release = Publish { targets, manifest };
            client.publish(&release).await.tried(tried)?;
            let done = Finished::Done { root: None, withdrawn: vec![], stopped: vec![], retired: vec![] };
            (release.manifest, done)
        }
        _ => {
            return Err(Failure::new(
                tried(),
                "the release is not signed",
                "pass the folder with the publisher's keys: --key DIR",
            ));
        }
    };
    let Manifest { package, version, sequence, artifacts, .. } = manifest;
    let files = artifacts.into_iter().map(|artifact| (artifact.platform, artifact.file_name, artifact.size)).collect();
    let manifest = Digest::of(text.as_bytes());
    Ok((Published { package, version, sequence, manifest, files }, finished))
}

/// Describes a file or a release.toml.
pub(crate) async fn read(
    file: &Path,
    given: Given,
    published: banyan_publisher::Published,
    progress: Progress,
) -> Result<Draft, Failure> {
    let file = file.to_owned();
    blocking(move || {
        let bar = bar(progress, "reading");
        let mut hashed = |done: u64, of: u64| {
            bar.set_length(of);
            bar.set_position(done);
        };
        let draft = describe(&file, &given, &published, &mut hashed);
        bar.finish_and_clear();
        draft.tried(|| format!("read {}", file.display()))
    })
    .await
}

/// Returns the draft's files, each as one section.
fn sections(draft: &Draft) -> Vec<Section> {
    let size = |digest: Digest| {
        let artifact = draft.manifest.artifacts.iter().find(|artifact| artifact.digest == digest);
        artifact.map_or(0, |artifact| artifact.size)
    };
    let section = |(digest, path): &(Digest, PathBuf)| Section {
        digest: *digest,
        path: path.clone(),
        offset: 0,
        size: size(*digest),
    };
    draft.files.iter().map(section).collect()
}

async fn upload(client: &Client, sections: &[Section], progress: Progress) -> Result<(), crate::client::ClientError> {
    let bar = bar(progress, "uploading");
    bar.set_length(sections.iter().map(|section| section.size).sum());
    for section in sections {
        if client.has_artifact(section.digest).await? {
            bar.inc(section.size);
            continue;
        }
        let counted = bar.clone();
        client.upload(section, move |bytes| counted.inc(bytes)).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Creates a progress bar on standard error. Nothing is drawn without a terminal.
pub(crate) fn bar(progress: Progress, doing: &'static str) -> ProgressBar {
    let target = match progress {
        Progress::Shown => ProgressDrawTarget::stderr(),
        Progress::Hidden => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target).with_message(doing);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:30} {done} of {size}  {eta}") {
        let write = |out: &mut dyn std::fmt::Write, bytes| out.write_str(&format_size(bytes)).unwrap_or(());
        let style =
            style.with_key("done", move |state: &ProgressState, out: &mut dyn std::fmt::Write| write(out, state.pos()));
        let size =
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| write(out, state.len().unwrap_or_default());
        bar.set_style(style.with_key("size", size));
    }
    bar
}

/// Runs work that hashes, signs or reads large files on a thread for blocking work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new(
            "prepare the release",
            error.to_string(),
            "report this bug in Banyan with the output of `banyan --version`",
        )),
    }
}

/// Describes a release: what machines will do with it.
pub(crate) fn description(manifest: &Manifest, derived: bool) -> String {
    let how = if derived { "derived from the file" } else { "as described" };
    let mut lines = vec![format!("{} {}, sequence {} ({how})", manifest.package, manifest.version, manifest.sequence)];
    for artifact in &manifest.artifacts {
        let kind = match artifact.install.kind {
            Kind::Archive => "archive",
            Kind::Deb => "deb",
        };
        let chunks = count(artifact.chunks.0.len(), "chunk");
        lines.push(format!(
            "  {}: {} ({kind}, {}, {chunks})",
            artifact.platform,
            artifact.file_name,
            format_size(artifact.size)
        ));
        let commands = [
            ("detect", &artifact.install.detect),
            ("probe", &artifact.install.probe),
            ("undo", &artifact.install.undo),
        ];
        for (name, command) in commands {
            if let Some(CommandSpec { argv, timeout_seconds }) = command {
                lines.push(format!("    {name}: {} (at most {timeout_seconds} s)", argv.join(" ")));
            }
        }
        if artifact.install.probe.is_none() {
            lines.push("    no probe: nothing will check that the new version works".into());
        }
    }
    if manifest.min_sequence > 0 {
        lines.push(format!("  from then on machines refuse anything below sequence {}", manifest.min_sequence));
    }
    if let Some(back) = manifest.rollback_to {
        lines.push(format!("  this release restores the content of sequence {back}"));
    }
    clean(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::test_args::parse;
    use banyan_proto::manifest::{Artifact, ChunkHashes, InstallSpec};

    #[test]
    fn arguments() {
        let args: Args =
            parse("a.tgz --key k --name tool --version 1 --kind archive --platform any --sequence 7").unwrap();
        let given = args.about.given();
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

    #[test]
    fn the_description_shows_what_will_run_on_machines() {
        let probe = CommandSpec { argv: vec!["{dir}/tool".into(), "--version".into()], timeout_seconds: 60 };
        let mut manifest = Manifest {
            format: 1,
            package: "tool".into(),
            version: "1.4".into(),
            sequence: 14,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![Artifact {
                platform: "any".into(),
                file_name: "tool.tar.gz".into(),
                size: 2048,
                digest: Digest([0; 32]),
                chunk_size: 16384,
                chunks: ChunkHashes(vec![Digest([0; 32])]),
                install: InstallSpec {
                    kind: Kind::Archive,
                    detect: None,
                    probe: Some(probe),
                    undo: None,
                    needs_bytes: 0,
                },
            }],
        };
        let text = description(&manifest, true);
        assert!(text.contains("probe: {dir}/tool --version (at most 60 s)") && text.contains("2.0 kB"), "{text}");
        manifest.artifacts[0].install.probe = None;
        assert!(description(&manifest, false).contains("no probe"));
    }
}
