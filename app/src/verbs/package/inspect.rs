//! `banyan package inspect`: what is in a package file and who signed it; of any other file, what would be published.

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, bytes, clean},
    profile::{self, ProfileArg},
    publisher::{Published, describe::describe, package},
    verbs::{
        expiry,
        publish::{About, Progress, bar, blocking, description, is_package},
    },
};
use banyan_proto::{Digest, Manifest, UnixSeconds};
use serde::Serialize;
use std::path::PathBuf;

/// Show what is in a package file and who signed it, or what would be published from another file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan package inspect tool-1.4.banyan              signatures, contents, every byte checked\n  \
    banyan package inspect hello_2.10-3_amd64.deb\n  \
    banyan package inspect release.toml\n  \
    banyan package inspect tool-1.4.tar.gz --json       the manifest, with the hash of every chunk\n\n\
    Nothing is changed and nobody is asked. The publishers' root in a package file is compared with --root, or with the one\n\
    in the profile. Of other files the sequence is the one a first release would get.")]
pub(super) struct Args {
    /// The file, or a release.toml
    #[arg(value_name = "FILE|release.toml|FILE.banyan")]
    file: PathBuf,
    /// Of a package file: the hash of the first root that its publishers must have
    #[arg(long, value_name = "HASH")]
    root: Option<Digest>,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

/// What is said of a package file, for scripts.
#[derive(Debug, Serialize)]
struct Inspected {
    /// Hash of the publishers' first root.
    root: Digest,
    /// Whether that is the one expected; nothing was compared when this is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    root_expected: Option<bool>,
    root_version: u64,
    list_version: u64,
    /// When the publishers' signature ends.
    expires: UnixSeconds,
    /// Ids of the keys that signed.
    signed_by: Vec<String>,
    /// Bytes of all artifacts.
    bytes: u64,
    manifest: Manifest,
}

pub(super) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || format!("inspect {}", args.file.display());
    if !is_package(&args.file) {
        let draft = describe(&args.file, &args.about.given(), &Published::default(), &mut |_, _| {}).tried(tried)?;
        args.json.answer(&draft.manifest, |manifest| description(manifest, draft.derived))?;
        return Ok(Exit::Success);
    }
    let expected = args.root.or_else(|| profile::load(profile).ok().and_then(|(_, profile)| profile.root));
    let (file, what) = (args.file.clone(), tried());
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let opened = blocking(move || {
        let opened = package::open(&file, expected, UnixSeconds::now()).tried(|| what.clone())?;
        let bar = bar(progress, "checking");
        bar.set_length(opened.sections.iter().map(|section| section.size).sum());
        let checked = package::check_contents(&opened, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        checked.tried(|| what).map(|()| opened)
    })
    .await?;
    let versions = opened.release.versions();
    let inspected = Inspected {
        root: opened.root,
        root_expected: expected.map(|expected| expected == opened.root),
        root_version: versions.root,
        list_version: versions.targets,
        expires: opened.release.expires(),
        signed_by: opened.signed_by,
        bytes: opened.sections.iter().map(|section| section.size).sum(),
        manifest: opened.release.manifest().clone(),
    };
    args.json.answer(&inspected, text)?;
    Ok(Exit::Success)
}

fn text(inspected: &Inspected) -> String {
    let who = match inspected.root_expected {
        Some(_) => "the publishers that this profile (or --root) names",
        None => "NOT COMPARED with anything: give --root HASH, or a profile",
    };
    let publisher = &inspected.manifest.publisher;
    let keys: Vec<&str> = inspected.signed_by.iter().map(|id| id.get(..12).unwrap_or(id)).collect();
    let mut lines = vec![
        description(&inspected.manifest, false),
        format!("  {} in all, every byte is what was signed", bytes(inspected.bytes)),
        format!("signed by: {} (targets keys of root {})", keys.join(", "), inspected.root_version),
        format!("publishers: root {}, {who}", inspected.root),
        format!("  for people to compare: {}", inspected.root.grouped()),
        format!("believed until: {}", expiry::date(inspected.expires)),
    ];
    if !publisher.is_empty() {
        lines.push(format!("they call themselves: {publisher}"));
    }
    clean(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        for name in ["nowhere/x.tar.gz", "nowhere/x-1.banyan"] {
            let about = About::default();
            let args = Args { file: name.into(), root: None, about, json: Json::default() };
            let failure = run(&args, &ProfileArg::default()).await.unwrap_err();
            assert!(failure.to_string().contains("nowhere"), "{failure}");
        }
    }
}
