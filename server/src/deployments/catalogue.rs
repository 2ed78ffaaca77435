//! The catalogue: releases that people at a machine may install themselves.
//!
//! The machine's policy names the packages ([`banyan_proto::schedule::Catalogue`]), so this module stores no list of
//! its own. The release is always the newest that the publishers list and that has a file for the machine. No other can
//! be ordered, so that people cannot pick an older one with a known vulnerability. The catalogue is computed for each
//! request, and again for each order, under the lock that deployments take. Nothing is cached, so a withdrawal or a
//! changed policy takes effect at once.

use crate::{
    deployments::{on_demand::OnDemandOrders, policies::GroupPolicies},
    publishing::{
        repository::ReleaseSummary,
        repository_cache::{RepositoryCache, RepositorySnapshot},
    },
    refusal::Refusal,
    store::MachineRow,
};
use banyan_proto::{
    MachineId, Manifest, Reason,
    api::{Catalogue, CatalogueRequest, Help, OfferedRelease},
    schedule,
};
use std::{collections::BTreeMap, sync::Arc};

/// A release that is offered, and the size in bytes of its file for the machine's platform.
struct PlatformRelease<'a> {
    release: &'a ReleaseSummary,
    size: u64,
}

/// Returns the releases offered to a machine of this platform, by package.
fn offered<'a>(
    catalogue: &schedule::Catalogue,
    releases: &'a [ReleaseSummary],
    platform: &str,
) -> BTreeMap<&'a str, PlatformRelease<'a>> {
    let mut newest: BTreeMap<&str, PlatformRelease<'_>> = BTreeMap::new();
    for release in releases.iter().filter(|release| catalogue.offers(&release.package)) {
        let Some(size) = release.size_for(platform) else { continue };
        let found = newest.entry(&release.package).or_insert(PlatformRelease { release, size });
        if release.sequence > found.release.sequence {
            *found = PlatformRelease { release, size };
        }
    }
    newest
}

/// Fails if the publishers' signed metadata has expired: machines would refuse any install.
fn check_installable(snapshot: &RepositorySnapshot) -> Result<(), Refusal> {
    if snapshot.metadata.is_some() {
        return Ok(());
    }
    let detail =
        "the publishers' signatures have expired, so nothing can be installed; an administrator must renew them";
    Err(Refusal::conflict(Reason::MetadataExpired, detail))
}

/// The catalogues of the machines.
pub(crate) struct MachineCatalogues {
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) orders: Arc<OnDemandOrders>,
}

impl MachineCatalogues {
    /// Returns the catalogue of this machine.
    pub(crate) fn of(&self, machine: MachineId) -> Result<Catalogue, Refusal> {
        let row = self.orders.requesting_machine(machine)?;
        let snapshot = self.repository.snapshot();
        let catalogue = self.catalogue_of(&row);
        let offered = offered(&catalogue, &snapshot.releases, &row.platform);
        if !offered.is_empty() {
            check_installable(&snapshot)?;
        }
        let release = |PlatformRelease { release, size }: PlatformRelease<'_>| OfferedRelease {
            package: release.package.clone(),
            version: release.version.clone(),
            sequence: release.sequence,
            manifest: release.manifest,
            size,
            publisher: release.publisher.clone(),
            notes: release.notes.clone(),
        };
        Ok(Catalogue { releases: offered.into_values().map(release).collect() })
    }

    /// Orders a release that someone at the machine chose, if it is currently offered there (rule O12).
    pub(crate) async fn order(&self, machine: MachineId, request: &CatalogueRequest) -> Result<Help, Refusal> {
        let accepting = self.orders.lock().await;
        let row = self.orders.requesting_machine(machine)?;
        let name = &request.package;
        let catalogue = self.catalogue_of(&row);
        if !catalogue.offers(name) {
            let detail = format!("the administrator does not offer {name} to this machine");
            return Err(Refusal::forbidden(Reason::NotOffered, detail));
        }
        let snapshot = self.repository.snapshot();
        let found =
            offered(&catalogue, &snapshot.releases, &row.platform).remove(name.as_str()).map(|offered| offered.release);
        let Some(sequence) =
            found.filter(|release| release.manifest == request.manifest).map(|release| release.sequence)
        else {
            return Err(self.why_not_offered(request, found).await);
        };
        check_installable(&snapshot)?;
        let package = name.clone();
        let text = self.repository.with(move |repository| repository.manifest(&package, sequence)).await?;
        let manifest = Manifest::parse(text.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        self.orders.order_release(accepting, machine, &manifest, text).await
    }

    fn catalogue_of(&self, row: &MachineRow) -> schedule::Catalogue {
        self.policies.of(&row.assigned).catalogue
    }

    /// Explains why a release of an offered package cannot be ordered.
    async fn why_not_offered(&self, request: &CatalogueRequest, offered: Option<&ReleaseSummary>) -> Refusal {
        let (name, manifest) = (request.package.clone(), request.manifest);
        let known = self.repository.with(move |repository| Ok(repository.sequence_of(&name, manifest))).await;
        let known = match known {
            Ok(known) => known,
            Err(refusal) => return refusal,
        };
        let (name, now) = (&request.package, offered.map(|release| release.version.as_str()));
        if known.is_some_and(|sequence| self.repository.has_withdrawn(name, sequence)) {
            let detail = format!("the publishers have withdrawn this release of {name}");
            return Refusal::conflict(Reason::Withdrawn, detail);
        }
        let now = now.map_or_else(|| "nothing".to_owned(), |version| format!("{name} {version}"));
        let detail = format!("this release of {name} is not offered to this machine; currently offered: {now}");
        Refusal::conflict(Reason::NotOffered, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publishing::repository::ArtifactSummary;
    use banyan_proto::{Digest, manifest::Kind, schedule::Who};

    fn release(package: &str, sequence: u64, files: &[(&str, u64)]) -> ReleaseSummary {
        let file = |(platform, size): &(&str, u64)| ArtifactSummary {
            platform: (*platform).to_owned(),
            size: *size,
            digest: Digest([0; 32]),
            kind: Kind::Archive,
        };
        ReleaseSummary {
            package: package.into(),
            version: sequence.to_string(),
            sequence,
            min_sequence: 0,
            publisher: "IT".into(),
            notes: String::new(),
            manifest: Digest([u8::try_from(sequence).unwrap(); 32]),
            artifacts: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn of_each_package_the_newest_release_with_a_file_for_the_machine_is_offered() {
        let releases = [
            release("drawing", 2, &[("any", 20), ("linux-x86_64", 22)]),
            release("drawing", 1, &[("any", 10)]),
            release("drawing", 3, &[("windows-x86_64", 30)]),
            release("maths", 1, &[("windows-x86_64", 40)]),
            release("secret", 9, &[("any", 50)]),
        ];
        let names = ["drawing", "maths", "never-published"].map(str::to_owned).to_vec();
        let catalogue = schedule::Catalogue { packages: names, ..schedule::Catalogue::default() };
        let seen = |catalogue: &schedule::Catalogue, platform: &str| -> Vec<(String, u64, u64)> {
            let all = offered(catalogue, &releases, platform).into_values();
            all.map(|one| (one.release.package.clone(), one.release.sequence, one.size)).collect()
        };
        let row = |package: &str, sequence, size| (package.to_owned(), sequence, size);
        assert_eq!(
            seen(&catalogue, "linux-x86_64"),
            [row("drawing", 2, 22)],
            "the platform's own file takes precedence over `any`"
        );
        assert_eq!(seen(&catalogue, "linux-aarch64"), [row("drawing", 2, 20)]);
        assert_eq!(seen(&catalogue, "windows-x86_64"), [row("drawing", 3, 30), row("maths", 1, 40)]);
        let nobody = schedule::Catalogue { who: Who::Nobody, ..catalogue };
        assert_eq!(seen(&nobody, "linux-x86_64"), []);
    }
}
