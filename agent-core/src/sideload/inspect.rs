//! Inspects a package file against this machine's own trust. Pure: bytes, version floors and the time are arguments.
//!
//! Everything shown was signed by the keys shown with it, whether this machine trusts them or not. A file without
//! valid signatures shows nothing but the reason.

use banyan_proto::{
    Artifact, Digest, Manifest, Reason, UnixSeconds,
    api::ApiError,
    local::{Package, PackageFile, Signer},
    manifest::Kind,
    peer::Metadata,
};
use banyan_trust::{PersonalTrust, ReleaseList, TrustError, TrustStore, package::Head, valid_signers};

/// The result of inspecting a package file.
pub(super) struct Inspection {
    /// The description for the user.
    pub(super) package: Package,
    /// The publisher's manifest.
    pub(super) manifest: Manifest,
    /// The file for this machine's platform.
    pub(super) artifact: Option<Artifact>,
}

fn to_refusal(error: &TrustError) -> ApiError {
    ApiError { reason: error.reason(), detail: error.to_string() }
}

/// Inspects a package head. [`Package::refused`] says what the publisher or this machine's version floors do not
/// allow.
pub(super) fn inspect(
    trust: &TrustStore,
    head: &Head,
    cached: Option<&Metadata>,
    platform: &str,
    now: UnixSeconds,
) -> Result<Inspection, ApiError> {
    let first = head.roots.first().ok_or_else(|| to_refusal(&TrustError::NoRoot))?;
    let root = Digest::of(first.as_bytes());
    let verdict = trust.check_package_file(head, cached, now);
    // Use the trusted publisher if it signed the file; otherwise the publisher that the file names.
    let followed = trust.update_roots(&head.roots).unwrap_or_else(|_| trust.clone());
    let (store, list, trusted) = match followed.published(&head.targets) {
        Ok(list) => (followed, list, true),
        Err(_) => {
            let named = TrustStore::enrol(first, root).and_then(|store| store.update_roots(&head.roots));
            let named = named.map_err(|error| to_refusal(&error))?;
            let list = named.published(&head.targets).map_err(|error| to_refusal(&error))?;
            (named, list, false)
        }
    };
    let verdict = verdict.map(|release| release.manifest().clone());
    let manifest = signed_manifest(verdict.as_ref(), head, &list)?;
    let refused = match verdict {
        Err(_) if !trusted => Some(ApiError {
            reason: Reason::MetadataForged,
            detail: "this computer does not trust this publisher; get the package from your administrator".into(),
        }),
        verdict => verdict.err().map(|error| to_refusal(&error)),
    };
    let signer = signer(root, &store, head, &list, trusted);
    Ok(describe(head, manifest, signer, refused, platform))
}

/// Inspects a package head without a server. Publishers the user trusts are trusted; for others, the result asks the
/// user whether to trust them.
pub(super) fn inspect_standalone(
    trust: &PersonalTrust,
    head: &Head,
    platform: &str,
    now: UnixSeconds,
) -> Result<Inspection, ApiError> {
    let known = trust.signer(head).map_err(|error| to_refusal(&error))?;
    let list = known.store.published(&head.targets).map_err(|error| to_refusal(&error))?;
    // Check as if the user had consented: faults in the file are reported before the user is asked.
    let verdict = trust.check(head, Some(known.root), now).map(|(release, _)| release.manifest().clone());
    let manifest = signed_manifest(verdict.as_ref(), head, &list)?;
    let refused = verdict.err().map(|error| to_refusal(&error));
    let trusted = known.trusted_as.is_some();
    let signer = Signer { asks: !trusted, ..signer(known.root, &known.store, head, &list, trusted) };
    let mut inspection = describe(head, manifest, signer, refused, platform);
    if let Some(name) = known.trusted_as {
        inspection.package.publisher = name;
    }
    let kind = inspection.artifact.as_ref().map(|artifact| artifact.install.kind);
    if inspection.package.refused.is_none() && kind.is_some_and(Kind::needs_administrator) {
        let reason = Reason::NeedsAdministrator;
        let detail = "this is a system package, and this Banyan can only install into your own folders".to_owned();
        inspection.package.refused = Some(ApiError { reason, detail });
    }
    Ok(inspection)
}

/// Returns the signed manifest, even of a refused release. Returns the error if the manifest is not signed.
fn signed_manifest(
    verdict: Result<&Manifest, &TrustError>,
    head: &Head,
    list: &ReleaseList,
) -> Result<Manifest, ApiError> {
    match verdict {
        Ok(manifest) => Ok(manifest.clone()),
        Err(error) => {
            let manifest = Manifest::parse(head.manifest.as_bytes()).map_err(|_| to_refusal(error))?;
            if !list.lists(&manifest.target_name(), &head.manifest) {
                return Err(to_refusal(error));
            }
            Ok(manifest)
        }
    }
}

fn signer(root: Digest, store: &TrustStore, head: &Head, list: &ReleaseList, trusted: bool) -> Signer {
    let keys = valid_signers(store.root(), "targets", &head.targets).unwrap_or_default();
    Signer { root, keys, until: list.expires, trusted, asks: false }
}

fn describe(head: &Head, manifest: Manifest, signer: Signer, refused: Option<ApiError>, platform: &str) -> Inspection {
    let artifact = manifest.artifact_for(platform).cloned();
    let none = || {
        let (package, version) = (manifest.package.clone(), manifest.version.clone());
        to_refusal(&TrustError::WrongPlatform { package, version, platform: platform.to_owned() })
    };
    let newer = || {
        let error = artifact.as_ref()?.check_understood().err()?;
        Some(ApiError { reason: Reason::NotUnderstood, detail: error.to_string() })
    };
    let refused = refused.or_else(|| artifact.is_none().then(none)).or_else(newer);
    let file = artifact.as_ref().map(|artifact| PackageFile {
        platform: artifact.platform.clone(),
        name: artifact.file_name.clone(),
        size: artifact.size,
        install: artifact.install.clone(),
    });
    let package = Package {
        package: manifest.package.clone(),
        version: manifest.version.clone(),
        sequence: manifest.sequence,
        publisher: manifest.publisher.clone(),
        notes: manifest.notes.clone(),
        manifest: Digest::of(head.manifest.as_bytes()),
        signer,
        file,
        replaces: None,
        refused,
    };
    Inspection { package, manifest, artifact }
}

#[cfg(test)]
mod tests;
