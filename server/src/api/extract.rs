//! Request extractors: the authenticated caller and the body. Rejections are [`Refusal`]s, like all other errors.

use crate::{
    net::{accept::Caller, connections::Place},
    refusal::Refusal,
    server::Server,
};
use axum::{
    RequestExt as _,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Extensions, StatusCode, request::Parts},
};
use banyan_proto::{Format, MachineId, Reason, UnixSeconds, format, limits};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// How long a body may take before its rate counts (seconds).
const BODY_GRACE: Duration = Duration::from_secs(60);
/// The slowest rate at which a body may arrive afterwards (bytes per second), so that a slow client cannot hold a
/// connection slot for ever. A large body over a slow link may take as long as it keeps arriving.
const SLOWEST_BODY: u64 = 1024;

/// How long the body of a caller that has proved nothing yet may take. It holds a join code and a certificate request.
const STRANGERS_BODY_TIMEOUT: Duration = Duration::from_secs(10);

fn is_stranger(extensions: &Extensions) -> bool {
    extensions.get::<Arc<Place>>().is_none_or(|place| place.is_unproved())
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read_body(body: Body, most: usize) -> Result<Bytes, Refusal> {
    let (mut body, mut read, begun) = (body, Vec::new(), Instant::now());
    loop {
        let deadline = begun + BODY_GRACE + Duration::from_secs(read.len() as u64 / SLOWEST_BODY);
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => return Ok(read.into()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let too_long = error.into_inner().is::<http_body_util::LengthLimitError>();
                return Err(if too_long {
                    too_large(most)
                } else {
                    Refusal::bad("the request's body was interrupted")
                });
            }
            Err(_) => return Err(too_slow()),
        };
        let Ok(bytes) = frame.into_data() else { continue };
        if read.len() + bytes.len() > most {
            return Err(too_large(most));
        }
        read.extend_from_slice(&bytes);
    }
}

fn too_slow() -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, Reason::BadRequest, "the request's body arrived too slowly")
}

fn too_large(most: usize) -> Refusal {
    let detail = format!("the request's body exceeds the limit of {most} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::BadRequest, detail)
}

fn caller(parts: &Parts) -> Result<Caller, Refusal> {
    parts.extensions.get().copied().ok_or_else(|| Refusal::internal(&"a request without its connection's data"))
}

/// Any caller, authenticated or not.
pub(super) struct AnyCaller(pub(super) Caller);

impl FromRequestParts<Arc<Server>> for AnyCaller {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Refusal> {
        caller(parts).map(Self)
    }
}

/// A machine that is not excluded, identified by its certificate (rule I1).
pub(super) struct Machine {
    pub(super) id: MachineId,
    pub(super) caller: Caller,
    /// One of the machine's places for work, taken while this lives.
    pub(super) work: Option<OwnedSemaphorePermit>,
}

impl FromRequestParts<Arc<Server>> for Machine {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Refusal> {
        let RenewingMachine { id, caller } = RenewingMachine::from_request_parts(parts, server).await?;
        if caller.must_renew(UnixSeconds::now()) {
            let detail = "by the server's clock, this machine's certificate has expired or is not valid yet; it must be \
                          renewed before any other request";
            return Err(Refusal::forbidden(Reason::CertificateExpired, detail));
        }
        if let Some(reason) = server.registry.exclusion(id) {
            return Err(Refusal::excluded(reason));
        }
        Ok(Self { id, caller, work: server.quotas.begin_work(id).await })
    }
}

/// A machine that may be quarantined or have an expired certificate. Permits renewal only (rules I8, I9).
pub(super) struct RenewingMachine {
    pub(super) id: MachineId,
    caller: Caller,
}

impl FromRequestParts<Arc<Server>> for RenewingMachine {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Refusal> {
        let caller = caller(parts)?;
        let Some(id) = caller.machine else {
            let detail = "this request needs a machine's certificate; enrol the machine first";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, Reason::NotAllowed, detail));
        };
        if !server.registry.is_trusted(id) {
            return Err(Refusal::forbidden(Reason::Revoked, Reason::Revoked.for_admin().what));
        }
        if !server.quotas.take_request(id) {
            return Err(Refusal::too_many_requests());
        }
        Ok(Self { id, caller })
    }
}

/// The JSON body of a request, after its header was checked (rule S3).
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: Format + DeserializeOwned> FromRequest<Arc<Server>> for JsonBody<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, _: &Arc<Server>) -> Result<Self, Refusal> {
        let is_stranger = is_stranger(request.extensions());
        let body = read_body(request.with_limited_body().into_body(), limits::HTTP_BODY_BYTES);
        let body = if is_stranger {
            tokio::time::timeout(STRANGERS_BODY_TIMEOUT, body).await.unwrap_or_else(|_| Err(too_slow()))?
        } else {
            body.await?
        };
        match format::read(&body) {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.is_newer() => Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Reason::NotUnderstood,
                format!("{error}; update the server"),
            )),
            Err(error) => Err(Refusal::bad(error.to_string())),
        }
    }
}

/// The parameters behind the path.
pub(super) struct QueryParams<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Server>> for QueryParams<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, server).await {
            Ok(Query(found)) => Ok(Self(found)),
            Err(rejection) => Err(Refusal::bad(rejection.body_text())),
        }
    }
}

/// The path's parameters.
pub(super) struct PathParams<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Server>> for PathParams<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, server).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Refusal::bad(rejection.body_text())),
        }
    }
}
