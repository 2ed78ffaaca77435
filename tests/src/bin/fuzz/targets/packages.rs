//! Fuzz target: package files. After any change, only what the publishers signed may be trusted, and no length in the
//! file may be trusted before that (rule T9).

use super::{Check, ensure};
use crate::corpus::{self, Seed};
use banyan_proto::{Digest, UnixSeconds, limits};
use banyan_trust::{
    TrustStore,
    package::{Head, artifacts, file_name},
};

/// The time of the corpus.
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// The one valid package, and a machine that knows its publishers.
struct Truth {
    store: TrustStore,
    head: Head,
}

/// Reads the valid package.
pub(super) fn prepare(seeds: &[Seed]) -> Result<Check, String> {
    let mut bytes = corpus::named(seeds, "hello.banyan")?;
    let head = Head::read(&mut bytes).map_err(|error| format!("hello.banyan: {error}"))?;
    let first = head.roots.first().ok_or("hello.banyan has no root")?;
    let store = TrustStore::enrol(first, Digest::of(first.as_bytes())).map_err(|error| error.to_string())?;
    let truth = Truth { store, head };
    ensure(truth.believes(&truth.head)?, "hello.banyan is not trusted")?;
    Ok(Box::new(move |input| truth.check(input)))
}

impl Truth {
    fn check(&self, input: &[u8]) -> Result<bool, String> {
        let mut rest = input;
        let Ok(head) = Head::read(&mut rest) else { return Ok(false) };
        ensure(input.len() - rest.len() <= limits::PACKAGE_HEAD_BYTES + 21, "a head exceeds the maximum length")?;
        let written = head.encode().map_err(|error| format!("a head cannot be serialised: {error}"))?;
        let again = Head::read(&mut written.as_slice())
            .map_err(|error| format!("a serialised head cannot be parsed: {error}"))?;
        ensure(again == head, "the head changes in a round trip")?;
        self.believes(&head)?;
        Ok(true)
    }
    fn believes(&self, head: &Head) -> Result<bool, String> {
        let Ok((release, store)) = self.store.check_signed(&head.roots, &head.targets, &head.manifest, NOW) else {
            return Ok(false);
        };
        ensure(head.manifest == self.head.manifest, "a manifest that was never published is trusted")?;
        ensure(release.manifest_digest() == Digest::of(head.manifest.as_bytes()), "a different manifest is trusted")?;
        ensure(store.versions().targets >= self.store.versions().targets, "a minimum version fell")?;
        let sizes: u64 = artifacts(release.manifest()).iter().map(|artifact| artifact.size).sum();
        ensure(sizes > 0, "a package without bytes")?;
        let name = file_name(release.manifest());
        ensure(!name.contains(['/', '\\', ':']), "a package's name leaves its folder")?;
        Ok(true)
    }
}
