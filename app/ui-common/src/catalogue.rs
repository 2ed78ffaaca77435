//! The catalogue: the software that the administrator offers on this computer, and the data of each row that shows it.
//!
//! The window requests the catalogue over a connection of its own: the agent has to ask its server first, and would
//! block other messages on the main connection meanwhile. The request is sent when the page opens, not periodically.
//! Whether a release is on its way comes from the snapshot, which is always current.

use crate::{
    Clock, agent_connection, texts,
    update_summary::{Tone, summarise_update},
};
use banyan_proto::{
    Digest, OrderId, Reason,
    api::{ApiError, OfferedRelease},
    local::{Catalogue, Item, Reply, Request, Snapshot, Update, UpdateState},
};
use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    path::Path,
};

/// The catalogue as far as it is known, and the requests made from it.
#[derive(Debug, Default)]
pub struct CatalogueState {
    /// A request is under way.
    pub is_loading: bool,
    /// The agent's last answer; none before the first.
    pub answer: Option<Result<Catalogue, ApiError>>,
    /// The releases requested since then, by manifest.
    pub requests: BTreeMap<Digest, ReleaseRequest>,
}

/// The state of a requested release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseRequest {
    /// The agent has not answered.
    Pending,
    /// The release is now an update with this order.
    Ordered(OrderId),
    /// The request was refused.
    Refused(ApiError),
}

/// An answer from the agent.
#[derive(Debug)]
pub enum CatalogueReply {
    /// The catalogue.
    Catalogue(Result<Catalogue, ApiError>),
    /// The result of requesting the release with this manifest.
    Release(Digest, Result<OrderId, ApiError>),
}

impl CatalogueState {
    /// Notes that the catalogue was requested, and forgets the answers to earlier requests for releases.
    pub fn begin_loading(&mut self) {
        self.is_loading = true;
        self.requests.retain(|_, request| *request == ReleaseRequest::Pending);
    }
    /// Stores an answer.
    pub fn apply(&mut self, reply: CatalogueReply) {
        match reply {
            CatalogueReply::Catalogue(answer) => (self.is_loading, self.answer) = (false, Some(answer)),
            CatalogueReply::Release(manifest, Ok(order)) => {
                drop(self.requests.insert(manifest, ReleaseRequest::Ordered(order)));
            }
            CatalogueReply::Release(manifest, Err(error)) => {
                drop(self.requests.insert(manifest, ReleaseRequest::Refused(error)));
            }
        }
    }
}

/// Requests the catalogue from the agent at this socket.
///
/// # Errors
/// Fails when the agent or its server refuses, or when the agent does not answer.
pub fn fetch_catalogue(socket: &Path) -> Result<Catalogue, ApiError> {
    match send_request(socket, &Request::Catalogue)? {
        Reply::Catalogue(catalogue) => Ok(catalogue),
        other => Err(service_unavailable(&agent_connection::unexpected_reply(&other))),
    }
}

/// Requests one release of the catalogue from the agent at this socket.
///
/// # Errors
/// Fails in the same cases as [`fetch_catalogue`].
pub fn request_release(socket: &Path, package: String, manifest: Digest) -> Result<OrderId, ApiError> {
    match send_request(socket, &Request::GetFromCatalogue { package, manifest })? {
        Reply::Ordered { order } => Ok(order),
        other => Err(service_unavailable(&agent_connection::unexpected_reply(&other))),
    }
}

fn send_request(socket: &Path, request: &Request) -> Result<Reply, ApiError> {
    let answer = || {
        let stream = agent_connection::connect(socket)?;
        let mut from = BufReader::new(&stream);
        agent_connection::shake_hands(&stream, &mut from)?;
        agent_connection::write_request(&stream, request)?;
        agent_connection::read_reply(&mut from)
    };
    match answer().map_err(|error| service_unavailable(&error))? {
        Reply::Error(refused) => Err(refused),
        reply => Ok(reply),
    }
}

fn service_unavailable(error: &io::Error) -> ApiError {
    let detail = format!("the Banyan service on this computer didn't respond: {}", texts::status::service_error(error));
    ApiError { reason: Reason::InternalError, detail }
}

/// One release as the window shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    /// Package and version: `drawing 3.1`.
    pub title: String,
    /// The state's kind and words; none when the release is not on this computer.
    pub state: Option<(Tone, String)>,
    /// Why the request was refused. May be empty.
    pub explanation: String,
    /// The reason's code, for support staff. May be empty.
    pub code: &'static str,
    /// The action that the row offers.
    pub action: Option<CatalogueAction>,
}

/// An action on a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueAction {
    /// The button's label.
    pub label: &'static str,
    /// The button's accessible name, which includes the release.
    pub name: String,
}

/// Returns the row of one release.
#[must_use]
pub fn catalogue_row(
    item: &Item,
    request: Option<&ReleaseRequest>,
    snapshot: &Snapshot,
    clock: &Clock,
) -> CatalogueRow {
    let release = &item.release;
    let of_it = || snapshot.updates.iter().filter(|update| update.package == release.package);
    let plain = CatalogueRow {
        title: texts::catalogue::title(release),
        state: None,
        explanation: String::new(),
        code: "",
        action: None,
    };
    if let Some(update) = of_it().find(|update| !update.state.is_over()) {
        return CatalogueRow { state: Some(state_on_its_way(update, release, clock)), ..plain };
    }
    match request {
        Some(ReleaseRequest::Pending) => {
            return CatalogueRow { state: Some((Tone::Moving, texts::catalogue::REQUESTING.to_owned())), ..plain };
        }
        Some(ReleaseRequest::Ordered(order)) if !of_it().any(|update| update.order == *order) => {
            return CatalogueRow { state: Some((Tone::Moving, texts::catalogue::ON_ITS_WAY.to_owned())), ..plain };
        }
        Some(ReleaseRequest::Ordered(_) | ReleaseRequest::Refused(_)) | None => {}
    }
    let (state, action) = state_and_action(item, &of_it().collect::<Vec<_>>());
    let (explanation, code) = match request {
        Some(ReleaseRequest::Refused(error)) => (texts::catalogue::request_failed(error), error.reason.code()),
        _ => (String::new(), ""),
    };
    CatalogueRow { state, explanation, code, action, ..plain }
}

fn state_on_its_way(update: &Update, release: &OfferedRelease, clock: &Clock) -> (Tone, String) {
    let summary = summarise_update(update, clock);
    let other = update.sequence != release.sequence;
    (summary.tone, if other { texts::catalogue::other_version(&update.version, &summary.state) } else { summary.state })
}

/// Returns state and action of a release that is not on its way: installed, failed or available.
fn state_and_action(item: &Item, updates: &[&Update]) -> (Option<(Tone, String)>, Option<CatalogueAction>) {
    let release = &item.release;
    // The updates show what was installed after the catalogue was requested.
    let since = updates.iter().filter(|update| matches!(update.state, UpdateState::Installed { .. }));
    let here = since.map(|update| (update.sequence, update.version.as_str()));
    let here = here.chain(item.installed.iter().map(|there| (there.sequence, there.version.as_str()))).max();
    let failed = updates.iter().max_by_key(|update| update.number).is_some_and(|update| {
        update.sequence == release.sequence && matches!(update.state, UpdateState::Failed { .. })
    });
    let failed = failed.then(|| (Tone::Failed, texts::updates::FAILED.to_owned()));
    let action = |label, name| Some(CatalogueAction { label, name });
    match here {
        Some((sequence, _)) if sequence == release.sequence => {
            (Some((Tone::Done, texts::catalogue::INSTALLED.to_owned())), None)
        }
        Some((sequence, version)) if sequence > release.sequence => {
            (Some((Tone::Done, texts::catalogue::newer_installed(version))), None)
        }
        Some((_, version)) => {
            let state = failed.unwrap_or_else(|| (Tone::Done, texts::catalogue::older_installed(version)));
            (Some(state), action(texts::catalogue::UPDATE, texts::catalogue::update_label(release)))
        }
        None => (failed, action(texts::catalogue::GET, texts::catalogue::get_label(release))),
    }
}

#[cfg(all(test, feature = "sample"))]
mod tests {
    use super::*;
    use crate::sample_data;

    fn rows(request: &BTreeMap<Digest, ReleaseRequest>, snapshot: &Snapshot) -> Vec<(String, String, String)> {
        let row = |item: &Item| {
            let row = catalogue_row(item, request.get(&item.release.manifest), snapshot, &sample_data::clock());
            let state = row.state.map(|(_, words)| words).unwrap_or_default();
            (row.title, state, row.action.map(|action| action.name).unwrap_or_default())
        };
        sample_data::catalogue().items.iter().map(row).collect()
    }
    fn expect(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        rows.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
    }

    #[test]
    fn each_row_says_whether_it_is_here_and_what_can_be_done() {
        let seen = rows(&BTreeMap::new(), &sample_data::busy());
        let wanted = expect(&[
            ("Chart View 2.1", "Version 2.0 is installed", "Update Chart View to 2.1"),
            ("Drawing 3.1", "", "Get Drawing 3.1"),
            ("LibreOffice 26.2", "Downloading", ""),
            ("Printer Driver 7.3", "Couldn't install", "Get Printer Driver 7.3"),
            ("Time Sync 2.8", "Installed", ""),
        ]);
        assert_eq!(seen, wanted);
    }

    #[test]
    fn what_was_asked_for_has_no_button_until_it_is_answered_and_a_refusal_says_why() {
        let drawing = sample_data::catalogue().items[1].clone();
        let with = |request: ReleaseRequest, snapshot: &Snapshot| {
            catalogue_row(&drawing, Some(&request), snapshot, &sample_data::clock())
        };
        let quiet = sample_data::quiet();
        assert!(with(ReleaseRequest::Pending, &quiet).action.is_none());
        let order = OrderId([9; 16]);
        assert!(
            with(ReleaseRequest::Ordered(order), &quiet).action.is_none(),
            "the snapshot does not contain the order yet"
        );
        let error = ApiError { reason: Reason::NotOffered, detail: "your administrator does not offer it".into() };
        let refused = with(ReleaseRequest::Refused(error), &quiet);
        assert!(refused.action.is_some() && refused.code == "not-offered");
        assert!(refused.explanation.starts_with("Your administrator does not offer it."), "{}", refused.explanation);
        // The release was installed after the catalogue was requested, so the row shows it as installed.
        let mut after = quiet;
        let state = UpdateState::Installed { at: sample_data::NOW };
        let release = &drawing.release;
        let (package, version) = (release.package.clone(), release.version.clone());
        after.updates.push(Update {
            order,
            package,
            version,
            sequence: release.sequence,
            state,
            ..sample_data::ready()
        });
        let row = with(ReleaseRequest::Ordered(order), &after);
        assert_eq!((row.state.map(|(tone, _)| tone), row.action), (Some(Tone::Done), None));
    }

    #[test]
    fn an_older_release_than_what_is_here_is_not_to_be_had() {
        let mut item = sample_data::catalogue().items[0].clone();
        for (sequence, button) in [(20, true), (21, false), (22, false)] {
            item.installed.as_mut().unwrap().sequence = sequence;
            assert_eq!(
                catalogue_row(&item, None, &sample_data::quiet(), &sample_data::clock()).action.is_some(),
                button,
                "{sequence}"
            );
        }
    }

    #[test]
    fn looking_again_forgets_refusals_and_no_open_question() {
        let mut catalogue = CatalogueState::default();
        let refused = ApiError { reason: Reason::Withdrawn, detail: "gone".into() };
        catalogue.apply(CatalogueReply::Release(Digest([1; 32]), Err(refused)));
        catalogue.requests.insert(Digest([2; 32]), ReleaseRequest::Pending);
        catalogue.begin_loading();
        assert_eq!(
            (catalogue.is_loading, catalogue.requests.into_values().collect::<Vec<_>>()),
            (true, vec![ReleaseRequest::Pending])
        );
    }
}
