//! The server side of the local API: one task per caller, for the agent and the fake agent alike.

use crate::{
    Caller, RequestBody,
    backend::{Backend, Report},
    connection_limit::{ConnectionCount, CountsByCaller},
    framing::{LineReader, STALL_TIMEOUT, send},
    subscription::Subscription,
};
use banyan_proto::{
    Reason,
    api::ApiError,
    format, limits,
    local::{LOCAL_VERSION, Message, Package, REQUEST_BYTES, Reply, Request, Right},
};
use banyan_trust::package::PREFIX_BYTES;
use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

/// A caller that has not subscribed or report anything is disconnected after this long without a request.
const IDLE: Duration = Duration::from_secs(60);
/// Minimum time between two checks of a subscriber's rights.
const RIGHTS_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum size of the part before a package file's artifacts: magic, length of the head, and the head (bytes).
const MAX_HEAD_BYTES: u64 = (PREFIX_BYTES + limits::PACKAGE_HEAD_BYTES) as u64;

/// Time limit for receiving this part.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of these parts kept in memory and inspected at once; other callers wait.
static HEADS_IN_MEMORY: Semaphore = Semaphore::const_new(4);

/// Serves callers until the task is dropped.
pub async fn serve<B: Backend>(backend: Arc<B>, listener: Listener) {
    let counts = CountsByCaller::default();
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let caller = Caller::of(&stream);
                let (backend, count) = (Arc::clone(&backend), ConnectionCount::new(&counts, caller));
                tokio::spawn(async move {
                    let ended = match count {
                        Some(_count) => serve_connection(backend.as_ref(), stream, caller).await,
                        None => refuse_connection(stream).await,
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

async fn refuse_connection(stream: Stream) -> io::Result<()> {
    send(&stream, Message::Reply(refusal(Reason::Busy, "too many programs of this user are connected"))).await
}

fn refusal(reason: Reason, detail: &str) -> Reply {
    Reply::Error(ApiError { reason, detail: detail.to_owned() })
}

async fn serve_connection<B: Backend>(backend: &B, stream: Stream, caller: Caller) -> io::Result<()> {
    let (to, mut lines, mut changes) = (&stream, LineReader::default(), backend.changes());
    let mut is_greeted = false;
    let mut subscription: Option<Subscription> = None;
    let mut rights_checked = Instant::now();
    // A report ends with its connection.
    let mut report: Option<Report> = None;
    loop {
        let line = match &subscription {
            // A report counts as long as its connection, so its caller need not send anything.
            None if report.is_some() => lines.next_line(&stream, REQUEST_BYTES).await?,
            None => timeout(IDLE, lines.next_line(&stream, REQUEST_BYTES)).await.unwrap_or(Ok(None))?,
            Some(subscribed) => tokio::select! {
                line = lines.next_line(&stream, REQUEST_BYTES) => line?,
                () = subscribed.wait_for_changes(&mut changes) => {
                    if rights_checked.elapsed() > RIGHTS_CHECK_INTERVAL {
                        rights_checked = Instant::now();
                        if !backend.rights(caller).contains(&Right::See) {
                            return send(to, Message::Reply(refusal(Reason::NotAllowed, NO_ACCESS))).await;
                        }
                    }
                    subscription = Some(subscribed.send_changes(backend, to, &changes).await?);
                    continue;
                }
            },
        };
        let Some(line) = line else { return Ok(()) };
        let rights = backend.rights(caller);
        let reply = match format::read::<Request>(line.as_bytes()) {
            Err(error) if error.is_newer() => refusal(Reason::NotUnderstood, &error.to_string()),
            Err(error) => refusal(Reason::ProtocolBroken, &error.to_string()),
            Ok(_) if rights.is_empty() => {
                return send(to, Message::Reply(refusal(Reason::NotAllowed, NO_ACCESS))).await;
            }
            Ok(Request::Hello { .. }) => {
                is_greeted = true;
                Reply::Hello { version: LOCAL_VERSION, software: backend.software(), rights }
            }
            Ok(_) if !is_greeted => refusal(Reason::ProtocolBroken, "the first request must be Hello"),
            Ok(request) if request.followed_by() > 0 => {
                let mut body = RequestBody::new(&mut lines, &stream, request.followed_by());
                let reply = match not_allowed(&request, &rights) {
                    Some(refused) => refused,
                    None => answer_with_file(backend, &rights, request, &mut body).await,
                };
                let is_complete = body.remaining() == 0;
                send(to, Message::Reply(reply)).await?;
                if is_complete {
                    continue;
                }
                // What follows is the rest of a file, not a request.
                body.drain().await;
                return Ok(());
            }
            Ok(request) => match not_allowed(&request, &rights) {
                Some(refused) => refused,
                None if request == Request::Subscribe => {
                    send(to, Message::Reply(Reply::Done)).await?;
                    subscription = Some(Subscription::start(backend, to, &changes).await?);
                    continue;
                }
                None => match request {
                    Request::Report { full_screen } => {
                        drop(report.replace(backend.report(caller, full_screen)));
                        Reply::Done
                    }
                    other => answer(backend, other).await,
                },
            },
        };
        send(to, Message::Reply(reply)).await?;
    }
}

const NO_ACCESS: &str = "only users with a session at this computer, its administrators and the agent's own user can use \
                      the agent; log in at the computer itself";

fn not_allowed(request: &Request, rights: &[Right]) -> Option<Reply> {
    let needed = request.needs().filter(|needed| !rights.contains(needed))?;
    let detail = format!("this requires the right to {}; ask an administrator of this computer", describe(needed));
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
async fn answer_with_file<B: Backend>(
    backend: &B,
    rights: &[Right],
    request: Request,
    body: &mut RequestBody<'_>,
) -> Reply {
    match request {
        Request::OpenPackage { size, .. } => match open_package(backend, rights, body, size).await {
            Ok(package) => Reply::Package(Box::new(package)),
            Err(error) => Reply::Error(error),
        },
        Request::InstallPackage { manifest, trust, .. } => backend
            .install_package(manifest, trust, body)
            .await
            .map_or_else(Reply::Error, |order| Reply::Ordered { order }),
        _ => refusal(Reason::BadRequest, "this request must not be followed by a file"),
    }
}

async fn open_package<B: Backend>(
    backend: &B,
    rights: &[Right],
    body: &mut RequestBody<'_>,
    size: u64,
) -> Result<Package, ApiError> {
    let refused = |reason, detail: String| ApiError { reason, detail };
    let busy = || refused(Reason::Busy, "other packages are being checked; try again in a minute".into());
    let _turn = timeout(STALL_TIMEOUT, HEADS_IN_MEMORY.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)?;
    let received =
        timeout(HEAD_TIMEOUT, body.read_all(MAX_HEAD_BYTES)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    let failed = |error| refused(Reason::NotAPackage, format!("the file was not received as announced: {error}"));
    backend.open_package(rights, received.map_err(failed)?, size).await
}

fn describe(right: Right) -> &'static str {
    match right {
        Right::See => "see this computer's status",
        Right::Choose => "choose when this computer downloads and shares",
        Right::Get => "install from the administrator's catalogue",
        Right::Install => "install package files",
        Right::Administer => "administer this computer",
    }
}
