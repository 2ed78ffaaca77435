//! The catalogue: the software that the administrator offers on this computer, and the data of each row that shows it.
//!
//! The window requests the catalogue over a connection of its own: the agent has to ask its server first, and would
//! block other messages on the main connection meanwhile. The request is sent when the page opens, not periodically.
//! Whether a release is on its way comes from the snapshot, which is always current.

use crate::{
    Clock, agent_client, texts,
    update_summary::{Tone, glance},
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
pub struct Shelf {
    /// A request is under way.
    pub asking: bool,
    /// The agent's last answer; none before the first.
    pub answer: Option<Result<Catalogue, ApiError>>,
    /// The releases requested since then, by manifest.
    pub got: BTreeMap<Digest, Got>,
}

/// The state of a requested release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// The agent has not answered.
    Asked,
    /// The release is now an update with this order.
    Ordered(OrderId),
    /// The request was refused.
    Refused(ApiError),
}

/// An answer from the agent.
#[derive(Debug)]
pub enum Told {
    /// The catalogue.
    Offered(Result<Catalogue, ApiError>),
    /// The result of requesting the release with this manifest.
    Got(Digest, Result<OrderId, ApiError>),
}

impl Shelf {
    /// Notes that the catalogue was requested, and forgets the answers to earlier requests for releases.
    pub fn ask(&mut self) {
        self.asking = true;
        self.got.retain(|_, got| *got == Got::Asked);
    }
    /// Stores an answer.
    pub fn take(&mut self, told: Told) {
        match told {
            Told::Offered(answer) => (self.asking, self.answer) = (false, Some(answer)),
            Told::Got(manifest, Ok(order)) => drop(self.got.insert(manifest, Got::Ordered(order))),
            Told::Got(manifest, Err(error)) => drop(self.got.insert(manifest, Got::Refused(error))),
        }
    }
}

/// Requests the catalogue from the agent at this socket.
///
/// # Errors
/// Fails when the agent or its server refuses, or when the agent does not answer.
pub fn look(socket: &Path) -> Result<Catalogue, ApiError> {
    match ask(socket, &Request::Catalogue)? {
        Reply::Catalogue(catalogue) => Ok(catalogue),
        other => Err(no_answer(&agent_client::unexpected(&other))),
    }
}

/// Requests one release of the catalogue from the agent at this socket.
///
/// # Errors
/// Fails in the same cases as [`look`].
pub fn get(socket: &Path, package: String, manifest: Digest) -> Result<OrderId, ApiError> {
    match ask(socket, &Request::GetFromCatalogue { package, manifest })? {
        Reply::Ordered { order } => Ok(order),
        other => Err(no_answer(&agent_client::unexpected(&other))),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Reply, ApiError> {
    let answer = || {
        let stream = agent_client::connect(socket)?;
        let mut from = BufReader::new(&stream);
        agent_client::greet(&stream, &mut from)?;
        agent_client::write(&stream, request)?;
        agent_client::reply(&mut from)
    };
    match answer().map_err(|error| no_answer(&error))? {
        Reply::Error(refused) => Err(refused),
        reply => Ok(reply),
    }
}

fn no_answer(error: &io::Error) -> ApiError {
    let detail = format!("the Banyan service on this computer didn't respond ({error})");
    ApiError { reason: Reason::InternalError, detail }
}

/// One release as the window shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Package and version: `drawing 3.1`.
    pub title: String,
    /// The state's kind and words; none when the release is not on this computer.
    pub state: Option<(Tone, String)>,
    /// Why the request was refused. May be empty.
    pub more: String,
    /// The reason's code, for support staff. May be empty.
    pub code: &'static str,
    /// The action that the row offers.
    pub action: Option<Action>,
}

/// An action on a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The button's label.
    pub label: &'static str,
    /// The button's accessible name, which includes the release.
    pub name: String,
}

/// Returns the row of one release.
#[must_use]
pub fn row(item: &Item, got: Option<&Got>, snapshot: &Snapshot, clock: &Clock) -> Row {
    let release = &item.release;
    let of_it = || snapshot.updates.iter().filter(|update| update.package == release.package);
    let plain = Row { title: texts::offered(release), state: None, more: String::new(), code: "", action: None };
    if let Some(update) = of_it().find(|update| !update.state.is_over()) {
        return Row { state: Some(on_its_way(update, release, clock)), ..plain };
    }
    match got {
        Some(Got::Asked) => return Row { state: Some((Tone::Moving, texts::ASKED_FOR.to_owned())), ..plain },
        Some(Got::Ordered(order)) if !of_it().any(|update| update.order == *order) => {
            return Row { state: Some((Tone::Moving, texts::ON_ITS_WAY.to_owned())), ..plain };
        }
        Some(Got::Ordered(_) | Got::Refused(_)) | None => {}
    }
    let (state, action) = rest(item, &of_it().collect::<Vec<_>>());
    let (more, code) = match got {
        Some(Got::Refused(error)) => (texts::not_got(error), error.reason.code()),
        _ => (String::new(), ""),
    };
    Row { state, more, code, action, ..plain }
}

fn on_its_way(update: &Update, release: &OfferedRelease, clock: &Clock) -> (Tone, String) {
    let glance = glance(update, clock);
    let other = update.sequence != release.sequence;
    (glance.tone, if other { texts::other_version(&update.version, &glance.state) } else { glance.state })
}

/// Returns state and action of a release that is not on its way: installed, failed or available.
fn rest(item: &Item, updates: &[&Update]) -> (Option<(Tone, String)>, Option<Action>) {
    let release = &item.release;
    // The updates show what was installed after the catalogue was requested.
    let since = updates.iter().filter(|update| matches!(update.state, UpdateState::Installed { .. }));
    let here = since.map(|update| (update.sequence, update.version.as_str()));
    let here = here.chain(item.installed.iter().map(|there| (there.sequence, there.version.as_str()))).max();
    let failed = updates.iter().max_by_key(|update| update.number).is_some_and(|update| {
        update.sequence == release.sequence && matches!(update.state, UpdateState::Failed { .. })
    });
    let failed = failed.then(|| (Tone::Failed, texts::FAILED.to_owned()));
    let action = |label, name| Some(Action { label, name });
    match here {
        Some((sequence, _)) if sequence == release.sequence => {
            (Some((Tone::Done, texts::IS_INSTALLED.to_owned())), None)
        }
        Some((sequence, version)) if sequence > release.sequence => {
            (Some((Tone::Done, texts::newer_installed(version))), None)
        }
        Some((_, version)) => {
            let state = failed.unwrap_or_else(|| (Tone::Done, texts::older_installed(version)));
            (Some(state), action(texts::UPDATE, texts::update_to(release)))
        }
        None => (failed, action(texts::GET, texts::get(release))),
    }
}

#[cfg(all(test, feature = "sample"))]
mod tests {
    use super::*;
    use crate::sample_data;

    fn rows(got: &BTreeMap<Digest, Got>, snapshot: &Snapshot) -> Vec<(String, String, String)> {
        let row = |item: &Item| {
            let row = row(item, got.get(&item.release.manifest), snapshot, &sample_data::clock());
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
        let with = |got: Got, snapshot: &Snapshot| row(&drawing, Some(&got), snapshot, &sample_data::clock());
        let quiet = sample_data::quiet();
        assert!(with(Got::Asked, &quiet).action.is_none());
        let order = OrderId([9; 16]);
        assert!(with(Got::Ordered(order), &quiet).action.is_none(), "the snapshot does not contain the order yet");
        let error = ApiError { reason: Reason::NotOffered, detail: "your administrator does not offer it".into() };
        let refused = with(Got::Refused(error), &quiet);
        assert!(refused.action.is_some() && refused.code == "not-offered");
        assert!(refused.more.starts_with("Your administrator does not offer it."), "{}", refused.more);
        // The release was installed after the catalogue was requested, so the row shows it as installed.
        let mut after = quiet;
        let state = UpdateState::Installed { at: sample_data::NOW };
        let release = &drawing.release;
        let (package, version) = (release.package.clone(), release.version.clone());
        after.updates.push(Update { order, package, version, sequence: release.sequence, state, ..sample_data::ready() });
        let row = with(Got::Ordered(order), &after);
        assert_eq!((row.state.map(|(tone, _)| tone), row.action), (Some(Tone::Done), None));
    }

    #[test]
    fn an_older_release_than_what_is_here_is_not_to_be_had() {
        let mut item = sample_data::catalogue().items[0].clone();
        for (sequence, button) in [(20, true), (21, false), (22, false)] {
            item.installed.as_mut().unwrap().sequence = sequence;
            assert_eq!(
                row(&item, None, &sample_data::quiet(), &sample_data::clock()).action.is_some(),
                button,
                "{sequence}"
            );
        }
    }

    #[test]
    fn looking_again_forgets_refusals_and_no_open_question() {
        let mut shelf = Shelf::default();
        let refused = ApiError { reason: Reason::Withdrawn, detail: "gone".into() };
        shelf.take(Told::Got(Digest([1; 32]), Err(refused)));
        shelf.got.insert(Digest([2; 32]), Got::Asked);
        shelf.ask();
        assert_eq!((shelf.asking, shelf.got.into_values().collect::<Vec<_>>()), (true, vec![Got::Asked]));
    }
}
