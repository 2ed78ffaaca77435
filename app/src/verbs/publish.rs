//! `banyan publish`: describes a release, uploads its files, signs it with the publisher's keys, puts it up.

use super::connect;
use crate::{
    client::Client,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, bytes, clean, count, say},
    profile::ProfileArg,
    publisher::{
        self,
        describe::{Draft, Given, describe},
        sign,
    },
};
use banyan_proto::{
    Digest, UnixSeconds,
    admin::Publish,
    manifest::{CommandSpec, Kind, Manifest},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Sign a release and put it up on the server, so that it can be deployed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan publish hello_2.10-3_amd64.deb --key keys                     all about it is read from the package\n  \
    banyan publish tool-1.4.tar.gz --key keys                            name and version from the file's name\n  \
    banyan publish build.zip --name tool --version 1.4 --key keys\n  \
    banyan publish release.toml --key keys                               with probe, detect, several platforms\n\n\
    release.toml looks like this (paths are relative to it):\n  \
    name = \"tool\"\n  \
    version = \"1.4\"\n  \
    sequence = 14\n\n  \
    [platform.linux-x86_64]\n  \
    file = \"tool-1.4.tar.gz\"\n  \
    kind = \"archive\"\n  \
    probe = [\"{dir}/tool\", \"--version\"]\n\n\
    The probe decides on every machine whether the new version runs; where it fails the old one is put back.\n\
    What is derived is shown before it is signed.")]
pub(crate) struct Args {
    /// The file, or a release.toml that describes the release
    #[arg(value_name = "FILE|release.toml")]
    file: PathBuf,
    /// The folder with the publisher's keys
    #[arg(long, value_name = "DIR")]
    key: PathBuf,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

/// What is said about a file instead of being derived from it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct About {
    /// Name of the package, instead of the one derived from the file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version, instead of the one derived from the file
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What the file is, instead of what its ending says
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// The platform it is for: linux-x86_64, windows-x86_64, …, any
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The release's place in the order of releases, instead of one above the last
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Release notes
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

/// [`Kind`] as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    /// tar.gz, tar.zst, tar or zip
    Archive,
    /// A Debian package
    Deb,
}

impl About {
    /// For the publisher's part.
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

/// The answer to scripts, and what the demo goes on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Published {
    /// Package.
    pub(crate) package: String,
    /// Version.
    pub(crate) version: String,
    /// Sequence.
    pub(crate) sequence: u64,
    /// BLAKE3 of the manifest.
    pub(crate) manifest: Digest,
    /// Its files: platform, name, bytes.
    pub(crate) files: Vec<(String, String, u64)>,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let client = connect(profile, || format!("publish {}", args.file.display()))?;
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let published = publish(&client, &args.key, &args.file, args.about.given(), progress).await?;
    args.json.answer(&published, |release| format!("{} {}", release.package, release.version))?;
    say(&format!("published; next: banyan deploy {}@{} --to all --wait", published.package, published.version));
    Ok(Exit::Success)
}

/// Whether progress is wanted. On something else than a terminal bars are never drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Bars, and what was derived.
    Shown,
    /// Neither.
    Hidden,
}

/// Describes, uploads, signs and puts up a release.
pub(crate) async fn publish(
    client: &Client,
    keys: &Path,
    file: &Path,
    given: Given,
    progress: Progress,
) -> Result<Published, Failure> {
    let tried = || format!("publish {}", file.display());
    let current = client.targets().await.tried(tried)?;
    let draft = {
        let (current, keys, file) = (current.clone(), keys.to_owned(), file.to_owned());
        blocking(move || {
            let published = publisher::published(&keys, &current).tried(|| format!("publish {}", file.display()))?;
            let bar = bar(progress, "reading");
            let mut hashed = |done: u64, of: u64| {
                bar.set_length(of);
                bar.set_position(done);
            };
            let draft = describe(&file, &given, &published, &mut hashed);
            bar.finish_and_clear();
            draft.tried(|| format!("publish {}", file.display()))
        })
        .await?
    };
    if progress == Progress::Shown {
        say(&description(&draft.manifest, draft.derived));
    }
    upload(client, &draft, progress).await.tried(|| format!("upload {}", file.display()))?;
    let manifest = draft.manifest.clone();
    let signed = {
        let (current, keys) = (current.clone(), keys.to_owned());
        let what = tried();
        blocking(move || sign::sign_release(&keys, &current, &manifest, UnixSeconds::now()).tried(|| what)).await?
    };
    let release = Publish { targets: signed.targets, manifest: signed.manifest };
    client.publish(&release).await.tried(tried)?;
    sign::remember(keys, &release.targets).tried(|| format!("remember in {} what was published", keys.display()))?;
    let Manifest { package, version, sequence, artifacts, .. } = draft.manifest;
    let files = artifacts.into_iter().map(|artifact| (artifact.platform, artifact.file_name, artifact.size)).collect();
    Ok(Published { package, version, sequence, manifest: Digest::of(release.manifest.as_bytes()), files })
}

async fn upload(client: &Client, draft: &Draft, progress: Progress) -> Result<(), crate::client::ClientError> {
    let bar = bar(progress, "uploading");
    let size = |digest: Digest| {
        let artifact = draft.manifest.artifacts.iter().find(|artifact| artifact.digest == digest);
        artifact.map(|artifact| artifact.size)
    };
    bar.set_length(draft.files.iter().filter_map(|(digest, _)| size(*digest)).sum());
    for (digest, path) in &draft.files {
        if client.has_artifact(*digest).await? {
            bar.inc(size(*digest).unwrap_or(0));
            continue;
        }
        let counted = bar.clone();
        client.upload(*digest, path, move |bytes| counted.inc(bytes)).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on standard error; none without a terminal.
fn bar(progress: Progress, doing: &'static str) -> ProgressBar {
    let target = match progress {
        Progress::Shown => ProgressDrawTarget::stderr(),
        Progress::Hidden => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target).with_message(doing);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:30} {binary_bytes} of {binary_total_bytes}  {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Work that hashes, signs or reads large files, away from the threads that wait for the network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            Err(Failure::new("prepare the release", error.to_string(), "report this: it is a defect of Banyan"))
        }
    }
}

/// A release in words: what machines will be told to do.
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
            bytes(artifact.size)
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
            lines.push("    no probe: nothing will check that the new version runs".into());
        }
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
        assert!(parse::<Args>("a.tgz").is_err(), "without keys nothing can be signed");
        assert!(parse::<Args>("a.tgz --key k --kind rpm").is_err());
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
        assert!(text.contains("probe: {dir}/tool --version (at most 60 s)") && text.contains("2.00 KiB"), "{text}");
        manifest.artifacts[0].install.probe = None;
        assert!(description(&manifest, false).contains("no probe"));
    }
}
