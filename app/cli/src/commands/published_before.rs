//! What is already published under the name of a new release.
//!
//! Machines tell releases apart by their sequence, but people by their version: two contents under one version confuse
//! everyone. And a machine that has an archive would have a deb of the same name beside it.

use crate::{
    api_client::ApiClient,
    output::{Failure, WithContext as _},
};
use banyan_proto::{
    Manifest, format_size,
    manifest::{Artifact, KindChange, KindHistory},
};
use banyan_publisher::ReleaseList;

/// What is already published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublishedBefore {
    /// Nothing of this version.
    Nothing,
    /// The same release, with this sequence.
    Same(u64),
    /// Another release with the same version. The text says what it is.
    Other(String),
}

/// Asks the server for releases of this package and version, and compares them with a new release. If the publisher's
/// list is known, what it does not contain does not count: the server may not make up releases.
pub(crate) async fn find(
    client: &ApiClient,
    list: Option<&ReleaseList>,
    new: &Manifest,
    action: impl Fn() -> String,
) -> Result<PublishedBefore, Failure> {
    let releases = client.releases().await.with_context(&action)?;
    let same_version = |package: &str, version: &str| package == new.package && version == new.version;
    let mut found = vec![];
    for release in releases.iter().filter(|release| same_version(&release.package, &release.version)) {
        let text = client.manifest(&release.package, release.sequence).await.with_context(&action)?;
        let Ok(manifest) = Manifest::parse(text.as_bytes()) else { continue };
        if list.is_none_or(|list| list.lists(&manifest.target_name(), &text)) {
            found.push(manifest);
        }
    }
    found.retain(|manifest| same_version(&manifest.package, &manifest.version));
    Ok(compare(&found, new))
}

/// Refuses a release whose file for some platform is of another kind than the newest published one for it. What the
/// publisher's list does not contain does not count, if the list is known.
pub(crate) async fn check_kinds(
    client: &ApiClient,
    list: Option<&ReleaseList>,
    new: &Manifest,
    action: impl Fn() -> String,
) -> Result<(), Failure> {
    let mut earlier = client.releases().await.with_context(&action)?;
    earlier.retain(|release| release.package == new.package && release.sequence != new.sequence);
    earlier.sort_by_key(|release| std::cmp::Reverse(release.sequence));
    let mut history = KindHistory::new(new);
    for release in earlier {
        let platforms = release.artifacts.iter().map(|(platform, _)| platform.as_str()).collect();
        if !history.needs(&platforms) {
            continue;
        }
        let text = client.manifest(&release.package, release.sequence).await.with_context(&action)?;
        let Ok(manifest) = Manifest::parse(text.as_bytes()) else { continue };
        if list.is_some_and(|list| !list.lists(&manifest.target_name(), &text)) {
            continue;
        }
        history.compare(&manifest.kinds()).map_err(|change| other_kind(&manifest, &change, action()))?;
    }
    Ok(())
}

fn other_kind(earlier: &Manifest, change: &KindChange, action: String) -> Failure {
    let Manifest { package, version, sequence, .. } = earlier;
    let why = format!("{package} {version} (sequence {sequence}) has {change}");
    let next = format!(
        "publish it under another name; if no machine has installed the earlier releases, you can withdraw them instead: \
         `banyan releases withdraw {package}@{version}`"
    );
    Failure::new(action, why, next)
}

/// Compares a new release with the published ones of the same version.
fn compare(published: &[Manifest], new: &Manifest) -> PublishedBefore {
    let Some(newest) = published.iter().max_by_key(|manifest| manifest.sequence) else {
        return PublishedBefore::Nothing;
    };
    // The same sequence is one release, which is only signed again or refused.
    if (Manifest { sequence: new.sequence, ..newest.clone() }) == *new {
        return PublishedBefore::Same(newest.sequence);
    }
    let Manifest { package, version, sequence, .. } = newest;
    let there = describe(newest, new);
    let here = describe(new, newest);
    let difference = if there.is_empty() && here.is_empty() {
        "with the same files, but another description".to_owned()
    } else {
        format!("with other content: there {}, here {}", or_nothing(&there), or_nothing(&here))
    };
    PublishedBefore::Other(format!("{package} {version} is already published as sequence {sequence}, {difference}"))
}

/// Lists the files of a release that the other one does not have.
fn describe(of: &Manifest, other: &Manifest) -> String {
    let is_in = |artifact: &&Artifact| {
        let same = |there: &Artifact| (&there.platform, there.digest) == (&artifact.platform, artifact.digest);
        !other.artifacts.iter().any(same)
    };
    let each = |artifact: &Artifact| {
        let digest: String = artifact.digest.to_string().chars().take(12).collect();
        format!("{} for {} ({}, {digest}…)", artifact.file_name, artifact.platform, format_size(artifact.size))
    };
    of.artifacts.iter().filter(is_in).map(each).collect::<Vec<_>>().join(", ")
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing else" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{
        Digest, Format as _,
        manifest::{ChunkHashes, InstallSpec, Kind},
    };

    fn release(version: &str, sequence: u64, content: u8) -> Manifest {
        let install = InstallSpec::new(Kind::Archive);
        let artifact = Artifact {
            must_understand: vec![],
            platform: "any".into(),
            file_name: "tool.tar".into(),
            size: 2048,
            digest: Digest([content; 32]),
            chunk_size: 16384,
            chunks: ChunkHashes(vec![Digest([content; 32])]),
            install,
        };
        Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            package: "tool".into(),
            title: String::new(),
            version: version.into(),
            sequence,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![artifact],
        }
    }

    #[test]
    fn the_same_version_with_other_content_is_named() {
        let published = [release("1.0", 1, 1), release("1.0", 4, 2)];
        assert_eq!(compare(&[], &release("1.0", 5, 1)), PublishedBefore::Nothing);
        assert_eq!(compare(&published, &release("1.0", 5, 2)), PublishedBefore::Same(4));
        let PublishedBefore::Other(text) = compare(&published, &release("1.0", 5, 3)) else { panic!("not refused") };
        assert!(text.contains("tool 1.0 is already published as sequence 4"), "{text}");
        assert!(text.contains("there tool.tar for any (2.0 kB, 020202020202…), here"), "{text}");
        let PublishedBefore::Other(text) = compare(&published, &release("1.0", 5, 1)) else {
            panic!("the older content came back unnoticed")
        };
        assert!(text.contains("sequence 4"), "{text}");
        let described = Manifest { notes: "new".into(), ..release("1.0", 5, 2) };
        let PublishedBefore::Other(text) = compare(&published, &described) else { panic!("not refused") };
        assert!(text.contains("another description"), "{text}");
    }
}
