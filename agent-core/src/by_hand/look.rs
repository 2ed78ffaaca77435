//! What a package file is, by this machine's own trust. Pure: bytes, floors and the time go in.
//!
//! Whatever is shown was signed by the keys that are shown with it, whether this machine trusts them or not; of a file in
//! which nothing is signed, nothing is shown but why.

use banyan_proto::{
    Artifact, Digest, Manifest, Reason, UnixSeconds,
    api::ApiError,
    local::{Package, PackageFile, Signer},
    peer::Metadata,
};
use banyan_trust::{TrustError, TrustStore, package::Head, signers};

/// What was found.
pub(crate) struct Looked {
    /// For the person.
    pub(crate) package: Package,
    /// What the publishers say.
    pub(crate) manifest: Manifest,
    /// This machine's file.
    pub(crate) artifact: Option<Artifact>,
}

fn in_words(error: &TrustError) -> ApiError {
    ApiError { reason: error.reason(), detail: error.to_string() }
}

/// Looks at a head. What the publishers and this machine's floors do not allow stands in [`Package::refused`].
pub(crate) fn look(
    trust: &TrustStore,
    head: &Head,
    cached: Option<&Metadata>,
    platform: &str,
    now: UnixSeconds,
) -> Result<Looked, ApiError> {
    let none = || ApiError { reason: Reason::NotAPackage, detail: "it has no root of trust in it".into() };
    let first = head.roots.first().ok_or_else(none)?;
    let root = Digest::of(first.as_bytes());
    let verdict = trust.look_at(head, cached, now);
    // Whoever signed it: the publishers whom this machine trusts, else those that the file names.
    let followed = trust.update_roots(&head.roots).unwrap_or_else(|_| trust.clone());
    let (store, list, trusted) = match followed.published(&head.targets) {
        Ok(list) => (followed, list, true),
        Err(_) => {
            let named = TrustStore::enrol(first, root).and_then(|store| store.update_roots(&head.roots));
            let named = named.map_err(|error| in_words(&error))?;
            let list = named.published(&head.targets).map_err(|error| in_words(&error))?;
            (named, list, false)
        }
    };
    let manifest = match &verdict {
        Ok(release) => release.manifest().clone(),
        Err(error) => {
            let manifest = Manifest::parse(head.manifest.as_bytes()).map_err(|_| in_words(error))?;
            let name = manifest.target_name();
            if !list.lists(&name, &head.manifest) {
                return Err(in_words(error));
            }
            manifest
        }
    };
    let artifact = manifest.artifact_for(platform).cloned();
    let refused = match verdict {
        Err(_) if !trusted => Some(ApiError {
            reason: Reason::MetadataForged,
            detail: "it is signed, but by publishers whom this computer does not trust; get it from your administrator"
                .into(),
        }),
        Err(error) => Some(in_words(&error)),
        Ok(_) if artifact.is_none() => {
            let (package, version) = (manifest.package.clone(), manifest.version.clone());
            Some(in_words(&TrustError::WrongPlatform { package, version, platform: platform.to_owned() }))
        }
        Ok(_) => None,
    };
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
        signer: Signer {
            root,
            keys: signers(store.root(), "targets", &head.targets).unwrap_or_default(),
            until: list.expires,
            trusted,
        },
        file,
        replaces: None,
        refused,
    };
    Ok(Looked { package, manifest, artifact })
}

#[cfg(test)]
mod tests;
