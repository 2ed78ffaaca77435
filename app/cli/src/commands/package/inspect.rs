//! `banyan package inspect`: shows what a package file contains and who signed it. For any other file, shows what would
//! be published.

use crate::{
    commands::{
        progress_bar::{ProgressMode, progress_bar},
        publish::{is_package_file, read_release},
        release_args::ReleaseArgs,
        release_summary::describe_release,
        run_blocking, signature_expiry,
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, sanitise},
    profile::{self, ProfileArg},
};
use banyan_proto::{Digest, Manifest, UnixSeconds, format_size};
use banyan_publisher::{ReleaseList, package_file};
use serde::Serialize;
use std::path::PathBuf;

/// Show what a package file contains and who signed it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Signatures and contents; verifies every byte\n  \
    banyan package inspect tool-1.4.banyan\n  \
    # What would be published from another file\n  \
    banyan package inspect hello_2.10-3_amd64.deb\n  \
    banyan package inspect release.toml\n  \
    # The manifest, with the hash of every chunk\n  \
    banyan package inspect tool-1.4.tar.gz --json\n\n\
    The command changes nothing and does not contact the server. It compares the\n\
    publisher's root in a package file with --root, or with the one in the profile.\n\
    For other files it assumes the sequence of a first release.")]
pub(super) struct Args {
    /// Package file, other file, or release.toml
    #[arg(value_name = "FILE|release.toml|FILE.banyan")]
    file: PathBuf,
    /// Expected hash of the publisher's first root, for a package file
    #[arg(long, value_name = "HASH")]
    root: Option<Digest>,
    #[command(flatten)]
    release_args: ReleaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result for a package file.
#[derive(Debug, Serialize)]
struct InspectResult {
    /// Hash of the publisher's first root.
    root: Digest,
    /// Whether the root is the expected one; absent if nothing was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    root_expected: Option<bool>,
    root_version: u64,
    list_version: u64,
    /// When the publisher's signature expires.
    expires: UnixSeconds,
    /// Ids of the keys that signed.
    signed_by: Vec<String>,
    /// Total size of all artifacts (bytes).
    bytes: u64,
    manifest: Manifest,
}

pub(super) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("inspect {}", args.file.display());
    if is_package_file(&args.file) {
        args.release_args.check_unused(&args.file, action)?;
    } else {
        if args.root.is_some() {
            let (cause, next) = ("only a package file names a publisher's root", "leave out --root");
            return Err(Failure::new(action(), cause, next).with_exit(Exit::Usage));
        }
        let given = args.release_args.to_overrides();
        let draft = read_release(&args.file, given, ReleaseList::default(), ProgressMode::Hidden, action()).await?;
        args.output.print(&draft.manifest, |manifest| describe_release(manifest, draft.is_derived))?;
        return Ok(Exit::Success);
    }
    let expected = args.root.or_else(|| profile::load(profile).ok().and_then(|(_, profile)| profile.root));
    let (file, what) = (args.file.clone(), action());
    let progress = if args.output.json { ProgressMode::Hidden } else { ProgressMode::Shown };
    let opened = run_blocking("prepare the release", move || {
        let opened = package_file::open_package(&file, expected, UnixSeconds::now()).with_context(|| what.clone())?;
        let bar = progress_bar(progress, "checking");
        bar.set_length(opened.sections.iter().map(|section| section.size).sum());
        let checked = package_file::verify_contents(&opened, &mut |bytes| bar.inc(bytes));
        bar.finish_and_clear();
        checked.with_context(|| what).map(|()| opened)
    })
    .await?;
    let versions = opened.release.versions();
    let inspected = InspectResult {
        root: opened.root_hash,
        root_expected: expected.map(|expected| expected == opened.root_hash),
        root_version: versions.root,
        list_version: versions.targets,
        expires: opened.release.expires(),
        signed_by: opened.signed_by,
        bytes: opened.sections.iter().map(|section| section.size).sum(),
        manifest: opened.release.manifest().clone(),
    };
    args.output.print(&inspected, format_result)?;
    Ok(Exit::Success)
}

fn format_result(inspected: &InspectResult) -> String {
    let who = match inspected.root_expected {
        Some(_) => "matches the profile (or --root)",
        None => "NOT COMPARED: pass --root HASH, or set up a profile",
    };
    let publisher = &inspected.manifest.publisher;
    let keys: Vec<&str> = inspected.signed_by.iter().map(|id| id.get(..12).unwrap_or(id)).collect();
    let mut lines = vec![
        describe_release(&inspected.manifest, false),
        format!("  {} in total, every byte matches the signature", format_size(inspected.bytes)),
        format!("signed by: {} (targets keys of root {})", keys.join(", "), inspected.root_version),
        format!("publisher: root {}, {who}", inspected.root),
        format!("  for comparison by eye: {}", inspected.root.grouped()),
        format!("valid until: {}", signature_expiry::format_date(inspected.expires)),
    ];
    if !publisher.is_empty() {
        lines.push(format!("claims to be: {publisher} (not verified)"));
    }
    sanitise(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        for name in ["nowhere/x.tar.gz", "nowhere/x-1.banyan"] {
            let release_args = ReleaseArgs::default();
            let args = Args { file: name.into(), root: None, release_args, output: OutputArgs::default() };
            let failure = run(&args, &ProfileArg::default()).await.unwrap_err();
            assert!(failure.to_string().contains("nowhere"), "{failure}");
        }
    }
}
