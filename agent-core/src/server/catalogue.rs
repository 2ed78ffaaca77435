//! The catalogue: packages that the administrator offers for self-service, and installing one of them.
//!
//! Only the server knows the catalogue. It is requested when a user looks at it and at no other time, so an idle agent
//! does not wake up. The descriptions in the answer are unsigned and serve only for choosing. A choice therefore names
//! the manifest: the resulting order must be for this package and exactly this manifest. Everything else is checked as
//! with every order.

use super::api::{CallError, ServerApi};
use crate::{refusal::refusal, user::installed_versions::InstalledVersions};
use banyan_proto::{
    Reason,
    api::{ApiError, OfferedRelease},
    limits,
};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer is reused, so that no local program can make the agent ask the server more often.
const FRESH: Duration = Duration::from_secs(1);

/// An answer of the server, and when it arrived.
#[derive(Debug)]
struct Answer {
    at: Instant,
    releases: Vec<OfferedRelease>,
}

/// The server's last answer. A caller waits while an earlier caller's request is running.
#[derive(Debug, Default)]
pub(crate) struct CatalogueCache(Mutex<Option<Answer>>);

impl CatalogueCache {
    /// Returns the releases in the catalogue, from the last answer while it is fresh or from the server.
    pub(crate) async fn releases(&self, server: &ServerApi) -> Result<Vec<OfferedRelease>, ApiError> {
        let ask = async || check_limits(server.catalogue().await.map_err(to_refusal)?.releases);
        self.load(Instant::now, ask).await
    }
    /// Returns the last answer while it is fresh; otherwise calls `ask`.
    async fn load(
        &self,
        now: impl Fn() -> Instant,
        ask: impl AsyncFnOnce() -> Result<Vec<OfferedRelease>, ApiError>,
    ) -> Result<Vec<OfferedRelease>, ApiError> {
        let mut last = self.0.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| now().duration_since(answer.at) < FRESH) {
            return Ok(answer.releases.clone());
        }
        let releases = ask().await?;
        *last = Some(Answer { at: now(), releases: releases.clone() });
        Ok(releases)
    }
}

/// Converts a failed call about the catalogue to an answer for the user.
pub(crate) fn to_refusal(error: CallError) -> ApiError {
    match error {
        CallError::Refused(error) => error,
        away @ (CallError::Away { .. } | CallError::Clock(_)) => {
            tracing::debug!(error = %away, "the catalogue could not be requested");
            let detail = match away.reason() {
                Reason::ClockWrong => Reason::ClockWrong.for_user().what,
                _ => "the catalogue comes from the server, which can't be reached at the moment",
            };
            refusal(away.reason(), detail)
        }
    }
}

/// Checks that neither this version nor a newer one is installed.
pub(crate) fn check_not_installed(installed: &InstalledVersions, release: &OfferedRelease) -> Result<(), ApiError> {
    let Some(there) = installed.get(&release.package).filter(|there| there.sequence >= release.sequence) else {
        return Ok(());
    };
    let (name, version) = (&release.package, &there.version);
    let newer = if there.sequence > release.sequence { " (newer)" } else { "" };
    Err(refusal(Reason::InstalledAlready, format!("{name} {version}{newer} is already installed on this computer")))
}

/// Refuses an answer that exceeds the limits of a catalogue, so that desktop programs never receive it.
fn check_limits(releases: Vec<OfferedRelease>) -> Result<Vec<OfferedRelease>, ApiError> {
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
    Err(refusal(Reason::ProtocolBroken, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use banyan_proto::Digest;
    use std::sync::Arc;

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
    fn an_installed_version_is_not_installed_again_from_the_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let installed = InstalledVersions::open(database).unwrap();
        assert_eq!(check_not_installed(&installed, &release(1)), Ok(()));
        installed.record("drawing", "1.2", 2);
        for (sequence, missing) in [(1, false), (2, false), (3, true)] {
            let found = check_not_installed(&installed, &release(sequence));
            assert_eq!(found.is_ok(), missing, "{sequence}");
            assert!(found.err().is_none_or(|error| error.reason == Reason::InstalledAlready));
        }
    }

    #[tokio::test]
    async fn local_programs_cannot_make_the_agent_ask_the_server_too_often() {
        let (cache, asked) = (CatalogueCache::default(), std::cell::Cell::new(0));
        let ask = async || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { Err(refusal(Reason::ServerAway, "no")) } else { Ok(vec![release(asked.get())]) }
        };
        let now = Instant::now();
        assert!(cache.load(|| now, ask).await.is_err(), "a failed call is not cached");
        for _ in 0..100 {
            assert_eq!(cache.load(|| now, ask).await, Ok(vec![release(2)]));
        }
        assert_eq!(cache.load(|| now + FRESH, ask).await, Ok(vec![release(3)]));
    }

    #[test]
    fn an_answer_that_exceeds_the_limits_is_refused() {
        assert!(check_limits(vec![release(1); limits::CATALOGUE]).is_ok());
        assert!(check_limits(vec![release(1); limits::CATALOGUE + 1]).is_err());
        let long = "x".repeat(limits::CATALOGUE_NOTES_BYTES + 1);
        for wrong in [
            OfferedRelease { notes: long.clone(), ..release(1) },
            OfferedRelease { publisher: long, ..release(1) },
            OfferedRelease { package: "../etc".into(), ..release(1) },
            OfferedRelease { version: "1 <b>".into(), ..release(1) },
        ] {
            assert_eq!(check_limits(vec![wrong]).unwrap_err().reason, Reason::ProtocolBroken);
        }
    }
}
