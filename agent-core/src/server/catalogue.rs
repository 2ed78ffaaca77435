//! The catalogue: packages that the administrator offers for self-service, and installing one of them.
//!
//! Only the server knows the catalogue. It is requested when a user looks at it and at no other time, so an idle agent
//! does not wake up. The descriptions in the answer are unsigned and serve only for choosing. A choice therefore names
//! the manifest: the resulting order must be for this package and exactly this manifest. Everything else is checked as
//! with every order.

use crate::{
    agent::Agent,
    server::{api::CallError, on_demand::refused},
    user::User,
};
use banyan_proto::{
    Digest, OrderId, Reason,
    api::{ApiError, CatalogueRequest, OfferedRelease},
    limits,
    local::{Catalogue, Item},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How long an answer is reused, so that no local program can make the agent ask the server more often.
const FRESH: Duration = Duration::from_secs(1);

/// The server's last answer. A caller waits while an earlier caller's request is running.
#[derive(Debug, Default)]
pub(crate) struct CatalogueCache(Mutex<Option<(Instant, Vec<OfferedRelease>)>>);

impl CatalogueCache {
    /// Returns the last answer while it is fresh; otherwise calls `ask`.
    async fn fresh(
        &self,
        now: impl Fn() -> Instant,
        ask: impl AsyncFnOnce() -> Result<Vec<OfferedRelease>, ApiError>,
    ) -> Result<Vec<OfferedRelease>, ApiError> {
        let mut last = self.0.lock().await;
        if let Some((_, releases)) = last.as_ref().filter(|(at, _)| now().duration_since(*at) < FRESH) {
            return Ok(releases.clone());
        }
        let releases = ask().await?;
        *last = Some((now(), releases.clone()));
        Ok(releases)
    }
}

fn not_answered(error: CallError) -> ApiError {
    match error {
        CallError::Refused(error) => error,
        away @ CallError::Away { .. } => {
            let detail = format!("the catalogue is on the server, which cannot be reached now ({away})");
            refused(Reason::ServerAway, detail)
        }
    }
}

impl Agent {
    /// Returns the catalogue, with the versions installed here.
    pub(crate) async fn catalogue(&self) -> Result<Catalogue, ApiError> {
        let releases = self.offered().await?;
        let item = |release: OfferedRelease| Item { installed: self.user.installed(&release.package), release };
        Ok(Catalogue { items: releases.into_iter().map(item).collect() })
    }

    /// Requests and accepts an order for the release with this manifest (rule O12).
    pub(crate) async fn get_from_catalogue(
        self: &Arc<Self>,
        package: &str,
        manifest: Digest,
    ) -> Result<OrderId, ApiError> {
        // Check the policy here first: the server's catalogue answer alone is not sufficient.
        if !self.user.policy().catalogue.offers(package) {
            let detail = format!("your administrator does not offer {package} on this computer");
            return Err(refused(Reason::NotOffered, detail));
        }
        let releases = self.offered().await?;
        // A release that is no longer offered is requested anyway: the server knows the reason.
        if let Some(release) = releases.iter().find(|release| release.manifest == manifest) {
            is_missing(&self.user, release)?;
        }
        let on_its_way = |name: &str| {
            let mut held = self.orders.all().into_iter().filter(|active| active.order.package == name);
            held.any(|active| self.user.notes(active.order.id).ended.is_none())
        };
        if on_its_way(package) {
            return Err(refused(
                Reason::UnderWay,
                format!("{package} is already being downloaded or installed on this computer"),
            ));
        }
        let asked = CatalogueRequest { package: package.to_owned(), manifest };
        let help = self.server.order_offered(&asked).await.map_err(not_answered)?;
        self.take_up(package, manifest, help).await
    }

    /// Returns the catalogue, from the cache or from the server.
    async fn offered(&self) -> Result<Vec<OfferedRelease>, ApiError> {
        let ask = async || within_limits(self.server.catalogue().await.map_err(not_answered)?.releases);
        self.catalogue_cache.fresh(Instant::now, ask).await
    }
}

/// Checks that neither this version nor a newer one is installed.
fn is_missing(user: &User, release: &OfferedRelease) -> Result<(), ApiError> {
    let Some(there) = user.installed(&release.package).filter(|there| there.sequence >= release.sequence) else {
        return Ok(());
    };
    let (name, version) = (&release.package, &there.version);
    let newer = if there.sequence > release.sequence { " (newer)" } else { "" };
    Err(refused(Reason::InstalledAlready, format!("{name} {version}{newer} is already installed on this computer")))
}

/// Refuses an answer that exceeds the limits of a catalogue, so that desktop programs never receive it.
fn within_limits(releases: Vec<OfferedRelease>) -> Result<Vec<OfferedRelease>, ApiError> {
    let fits = |release: &OfferedRelease| {
        banyan_proto::manifest::is_package_name(&release.package)
            && banyan_proto::manifest::is_version(&release.version)
            && release.publisher.len() <= limits::CATALOGUE_PUBLISHER_BYTES
            && release.notes.len() <= limits::CATALOGUE_NOTES_BYTES
    };
    if releases.len() <= limits::CATALOGUE && releases.iter().all(fits) {
        return Ok(releases);
    }
    let detail = "the server's catalogue exceeds the allowed size; compare the versions of server and agent";
    Err(refused(Reason::ProtocolBroken, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use std::path::PathBuf;

    fn release(sequence: u64) -> OfferedRelease {
        OfferedRelease {
            package: "drawing".into(),
            version: format!("1.{sequence}"),
            sequence,
            manifest: Digest([7; 32]),
            size: 1,
            publisher: String::new(),
            notes: String::new(),
        }
    }

    #[test]
    fn what_is_there_in_this_or_a_newer_version_is_not_got_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let user = User::open(database, PathBuf::new()).unwrap();
        assert_eq!(is_missing(&user, &release(1)), Ok(()));
        user.has_installed("drawing", "1.2", 2);
        for (sequence, missing) in [(1, false), (2, false), (3, true)] {
            let found = is_missing(&user, &release(sequence));
            assert_eq!(found.is_ok(), missing, "{sequence}");
            assert!(found.err().is_none_or(|error| error.reason == Reason::InstalledAlready));
        }
    }

    #[tokio::test]
    async fn programs_at_the_machine_do_not_make_the_agent_ask_again_and_again() {
        let (catalogue_cache, asked) = (CatalogueCache::default(), std::cell::Cell::new(0));
        let ask = async || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { Err(refused(Reason::ServerAway, "no")) } else { Ok(vec![release(asked.get())]) }
        };
        let now = Instant::now();
        assert!(catalogue_cache.fresh(|| now, ask).await.is_err(), "a failed call is not cached");
        for _ in 0..100 {
            assert_eq!(catalogue_cache.fresh(|| now, ask).await, Ok(vec![release(2)]));
        }
        assert_eq!(catalogue_cache.fresh(|| now + FRESH, ask).await, Ok(vec![release(3)]));
    }

    #[test]
    fn a_server_that_says_too_much_is_not_repeated() {
        assert!(within_limits(vec![release(1); limits::CATALOGUE]).is_ok());
        assert!(within_limits(vec![release(1); limits::CATALOGUE + 1]).is_err());
        let long = "x".repeat(limits::CATALOGUE_NOTES_BYTES + 1);
        for wrong in [
            OfferedRelease { notes: long.clone(), ..release(1) },
            OfferedRelease { publisher: long, ..release(1) },
            OfferedRelease { package: "../etc".into(), ..release(1) },
            OfferedRelease { version: "1 <b>".into(), ..release(1) },
        ] {
            assert_eq!(within_limits(vec![wrong]).unwrap_err().reason, Reason::ProtocolBroken);
        }
    }
}
