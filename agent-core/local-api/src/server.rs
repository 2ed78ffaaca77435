//! The server side of the local API: one task per caller, for the agent and the fake agent alike.
//!
//! A subscriber receives the changes since its last update, at most four times a second. While bytes move it also
//! receives an update once a second without any reported change, so that displayed speeds fall to zero. Otherwise the
//! task sleeps.

use crate::{
    Body, Caller,
    framing::{Lines, write},
};
use banyan_proto::{
    Digest, OrderId, Reason,
    api::ApiError,
    limits,
    local::{
        Catalogue, Event, LOCAL_VERSION, Message, Package, REQUEST_BYTES, Reply, Request, Right, Snapshot, Status,
    },
};
use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use std::{
    collections::HashMap,
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

/// Maximum number of connections per user, enough for a few desktop programs. Further ones are refused; other users
/// are not affected.
const CALLERS_OF_ONE: usize = 16;
/// A caller that has not subscribed or reported anything is disconnected after this long without a request.
const IDLE: Duration = Duration::from_secs(60);
/// A caller that does not read its messages for this long is disconnected.
const STUCK: Duration = Duration::from_secs(10);
/// Minimum time between two updates.
const SPACING: Duration = Duration::from_millis(250);
/// Maximum time between two updates while bytes move.
const MOVING: Duration = Duration::from_secs(1);
/// Minimum time between two checks of a subscriber's rights.
const RIGHTS_GOOD_FOR: Duration = Duration::from_secs(5);

/// Maximum size of the part before a package file's artifacts: magic, length of the head, and the head (bytes).
const HEAD_BYTES: u64 = (limits::PACKAGE_HEAD_BYTES + banyan_trust::package::MAGIC.len() + 4) as u64;

/// Time limit for receiving this part.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// Maximum number of these parts kept in memory and inspected at once; other callers wait.
static OPENING: Semaphore = Semaphore::const_new(4);

/// What the local API serves: the agent or the fake agent.
pub trait Backend: Send + Sync + 'static {
    /// Returns the program name and version.
    fn software(&self) -> String;
    /// Returns the caller's present rights.
    fn rights(&self, caller: Caller) -> Vec<Right>;
    /// Returns the short status.
    ///
    /// # Errors
    /// When there is none, because the machine is not enrolled.
    fn status(&self) -> Result<Status, ApiError>;
    /// Returns the full snapshot.
    fn snapshot(&self) -> Snapshot;
    /// Returns a number that changes whenever the snapshot may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Takes a caller's report whether a program fills the screen (`None`: it cannot tell). The right has been
    /// checked. The report counts until the returned value is dropped.
    fn report(&self, caller: Caller, full_screen: Option<bool>) -> Report;
    /// Carries out the request; the right has been checked.
    fn carry_out(&self, request: Request) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Describes a package file of `size` bytes that starts with `head`. `rights` are the caller's.
    fn open_package(
        &self,
        rights: &[Right],
        head: Vec<u8>,
        size: u64,
    ) -> impl Future<Output = Result<Package, ApiError>> + Send;
    /// Returns the catalogue for the users at this machine.
    fn catalogue(&self) -> impl Future<Output = Result<Catalogue, ApiError>> + Send;
    /// Installs the release with this manifest if the catalogue offers it; the right has been checked.
    fn get_from_catalogue(
        &self,
        package: &str,
        manifest: Digest,
    ) -> impl Future<Output = Result<OrderId, ApiError>> + Send;
    /// Installs a package file; the right has been checked. It must contain the release `wanted`. `trust` is the root
    /// of the publisher that the user consents to trust.
    fn install_package(
        &self,
        wanted: Digest,
        trust: Option<Digest>,
        file: &mut Body<'_>,
    ) -> impl Future<Output = Result<OrderId, ApiError>> + Send;
}

/// A caller's report about the screen; it counts until it is dropped.
pub type Report = Box<dyn Send + Sync>;

type Counts = Arc<Mutex<HashMap<Caller, usize>>>;

/// Counts one connection of a user until it is dropped.
struct Counted(Counts, Caller);

impl Counted {
    fn new(counts: &Counts, caller: Caller) -> Option<Self> {
        let mut table = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(caller).or_default();
        if *count >= CALLERS_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(counts), caller))
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.1);
            }
        }
    }
}

/// Serves callers until the task is dropped.
pub async fn serve<B: Backend>(backend: Arc<B>, listener: Listener) {
    let counts = Counts::default();
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let caller = Caller::of(&stream);
                let (backend, counted) = (Arc::clone(&backend), Counted::new(&counts, caller));
                tokio::spawn(async move {
                    let ended = match counted {
                        Some(_counted) => converse(backend.as_ref(), stream, caller).await,
                        None => turn_away(stream).await,
                    };
                    if let Err(error) = ended {
                        debug!(?caller, %error, "local connection failed");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "failed to accept a local connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn turn_away(stream: Stream) -> io::Result<()> {
    tell(&stream, Message::Reply(refusal(Reason::Busy, "too many programs of this user are connected"))).await
}

fn refusal(reason: Reason, detail: &str) -> Reply {
    Reply::Error(ApiError { reason, detail: detail.to_owned() })
}

async fn tell(to: &Stream, message: Message) -> io::Result<()> {
    timeout(STUCK, write(to, &message)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The state last sent to a subscriber.
struct Told {
    snapshot: Snapshot,
    /// The backend's change number at that snapshot, or slightly earlier.
    number: u64,
    at: Instant,
}

impl Told {
    fn moving(&self) -> bool {
        let speeds = |update: &banyan_proto::local::Update| update.progress.down + update.progress.up;
        self.snapshot.sharing.download + self.snapshot.sharing.upload > 0
            || self.snapshot.updates.iter().any(|u| speeds(u) > 0)
    }
}

/// Waits until there may be changes to send. It is cancel-safe.
async fn news(changes: &mut watch::Receiver<u64>, told: &Told) {
    let changed = async {
        if changes.wait_for(|number| *number != told.number).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    if told.moving() {
        drop(tokio::time::timeout_at(told.at + MOVING, changed).await);
    } else {
        changed.await;
    }
    sleep_until(told.at + SPACING).await;
}

async fn converse<B: Backend>(backend: &B, stream: Stream, caller: Caller) -> io::Result<()> {
    let (to, mut lines, mut changes) = (&stream, Lines::default(), backend.changes());
    let (mut greeted, mut told): (bool, Option<Told>) = (false, None);
    let mut rights_at = Instant::now();
    // A report ends with its connection.
    let mut reported: Option<Report> = None;
    loop {
        let line = match &told {
            // A report counts as long as its connection, so its caller need not send anything.
            None if reported.is_some() => lines.next(&stream, REQUEST_BYTES).await?,
            None => timeout(IDLE, lines.next(&stream, REQUEST_BYTES)).await.unwrap_or(Ok(None))?,
            Some(before) => tokio::select! {
                line = lines.next(&stream, REQUEST_BYTES) => line?,
                () = news(&mut changes, before) => {
                    if rights_at.elapsed() > RIGHTS_GOOD_FOR {
                        rights_at = Instant::now();
                        if !backend.rights(caller).contains(&Right::See) {
                            return tell(to, Message::Reply(refusal(Reason::NotAllowed, NOBODY))).await;
                        }
                    }
                    told = Some(catch_up(backend, to, &changes, &before.snapshot).await?);
                    continue;
                }
            },
        };
        let Some(line) = line else { return Ok(()) };
        let rights = backend.rights(caller);
        let reply = match serde_json::from_str(&line) {
            Err(error) => refusal(Reason::ProtocolBroken, &format!("cannot parse the request: {error}")),
            Ok(_) if rights.is_empty() => {
                return tell(to, Message::Reply(refusal(Reason::NotAllowed, NOBODY))).await;
            }
            Ok(Request::Hello { .. }) => {
                greeted = true;
                Reply::Hello { version: LOCAL_VERSION, software: backend.software(), rights }
            }
            Ok(_) if !greeted => refusal(Reason::ProtocolBroken, "the first request must be Hello"),
            Ok(request) if request.followed_by() > 0 => {
                let mut body = Body::new(&mut lines, &stream, request.followed_by());
                let reply = match not_allowed(&request, &rights) {
                    Some(refused) => refused,
                    None => with_file(backend, &rights, request, &mut body).await,
                };
                let whole = body.left() == 0;
                tell(to, Message::Reply(reply)).await?;
                if whole {
                    continue;
                }
                // What follows is the rest of a file, not a request.
                body.drain().await;
                return Ok(());
            }
            Ok(request) => match not_allowed(&request, &rights) {
                Some(refused) => refused,
                None if request == Request::Subscribe => {
                    tell(to, Message::Reply(Reply::Done)).await?;
                    told = Some(tell_all(backend, to, &changes).await?);
                    continue;
                }
                None => match request {
                    Request::Report { full_screen } => {
                        drop(reported.replace(backend.report(caller, full_screen)));
                        Reply::Done
                    }
                    other => answer(backend, other).await,
                },
            },
        };
        tell(to, Message::Reply(reply)).await?;
    }
}

const NOBODY: &str = "only users with a session at this computer, its administrators and the agent's own user can use \
                      the agent; log in at the computer itself";

fn not_allowed(request: &Request, rights: &[Right]) -> Option<Reply> {
    let needed = request.needs().filter(|needed| !rights.contains(needed))?;
    let detail = format!("this requires the right to {}; ask an administrator of this computer", words(needed));
    Some(refusal(Reason::NotAllowed, &detail))
}

async fn answer<B: Backend>(backend: &B, request: Request) -> Reply {
    match request {
        Request::Status => backend.status().map_or_else(Reply::Error, Reply::Status),
        Request::Catalogue => backend.catalogue().await.map_or_else(Reply::Error, Reply::Catalogue),
        Request::GetFromCatalogue { package, manifest } => {
            let got = backend.get_from_catalogue(&package, manifest).await;
            got.map_or_else(Reply::Error, |order| Reply::Ordered { order })
        }
        other => backend.carry_out(other).await.map_or_else(Reply::Error, |()| Reply::Done),
    }
}

/// Answers requests that are followed by a file.
async fn with_file<B: Backend>(backend: &B, rights: &[Right], request: Request, body: &mut Body<'_>) -> Reply {
    match request {
        Request::OpenPackage { size, .. } => match open_package(backend, rights, body, size).await {
            Ok(package) => Reply::Package(Box::new(package)),
            Err(error) => Reply::Error(error),
        },
        Request::InstallPackage { manifest, trust, .. } => backend
            .install_package(manifest, trust, body)
            .await
            .map_or_else(Reply::Error, |order| Reply::Ordered { order }),
        other => refusal(Reason::BadRequest, &format!("{other:?} must not be followed by a file")),
    }
}

async fn open_package<B: Backend>(
    backend: &B,
    rights: &[Right],
    body: &mut Body<'_>,
    size: u64,
) -> Result<Package, ApiError> {
    let refused = |reason, detail: String| ApiError { reason, detail };
    let busy = || refused(Reason::Busy, "other packages are being checked; try again in a minute".into());
    let _turn = timeout(STUCK, OPENING.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)?;
    let came = timeout(HEAD_PATIENCE, body.all(HEAD_BYTES)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    let announced = |error| refused(Reason::NotAPackage, format!("the file was not received as announced: {error}"));
    backend.open_package(rights, came.map_err(announced)?, size).await
}

fn words(right: Right) -> &'static str {
    match right {
        Right::See => "see this computer's status",
        Right::Choose => "choose when this computer downloads and shares",
        Right::Get => "install from the administrator's catalogue",
        Right::Install => "install package files",
        Right::Administer => "administer this computer",
    }
}

/// Sends the full snapshot.
async fn tell_all<B: Backend>(backend: &B, to: &Stream, changes: &watch::Receiver<u64>) -> io::Result<Told> {
    // Read the number first: later changes are sent with the next update.
    let number = *changes.borrow();
    let snapshot = backend.snapshot();
    tell(to, Message::Event(Event::Snapshot(Box::new(snapshot.clone())))).await?;
    Ok(Told { snapshot, number, at: Instant::now() })
}

/// Sends what has changed.
async fn catch_up<B: Backend>(
    backend: &B,
    to: &Stream,
    changes: &watch::Receiver<u64>,
    before: &Snapshot,
) -> io::Result<Told> {
    let number = *changes.borrow();
    let snapshot = backend.snapshot();
    for event in snapshot.changes(before) {
        tell(to, Message::Event(event)).await?;
    }
    Ok(Told { snapshot, number, at: Instant::now() })
}
