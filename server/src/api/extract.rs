//! What handlers take: who asks, and what was sent. Refusals have the API's own form.

use crate::{accept::Peer, nms::Nms, refusal::Refusal};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use banyan_proto::{MachineId, Reason};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};

/// A JSON body must come within this time, so that nobody holds a place for ever.
const BODY: Duration = Duration::from_secs(60);

fn peer(parts: &Parts) -> Result<Peer, Refusal> {
    parts.extensions.get().copied().ok_or_else(|| Refusal::internal(&"a request without its connection"))
}

/// The other end of the connection, whoever it is.
pub(super) struct Anyone(pub(super) Peer);

impl FromRequestParts<Arc<Nms>> for Anyone {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Nms>) -> Result<Self, Refusal> {
        peer(parts).map(Self)
    }
}

/// A machine that takes part: its certificate says which (rule I1).
pub(super) struct Machine {
    pub(super) id: MachineId,
    pub(super) peer: Peer,
}

impl FromRequestParts<Arc<Nms>> for Machine {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, nms: &Arc<Nms>) -> Result<Self, Refusal> {
        let Renewing { id, peer } = Renewing::from_request_parts(parts, nms).await?;
        if peer.is_late(Nms::now()) {
            let detail = "this machine's certificate has expired: it must be renewed before anything else";
            return Err(Refusal::forbidden(Reason::CertificateExpired, detail));
        }
        if let Some(reason) = nms.registry.out(id) {
            return Err(Refusal::out(reason));
        }
        Ok(Self { id, peer })
    }
}

/// A machine whose certificate may have expired, or that is set aside: for renewing, and nothing else (rules I8, I9).
pub(super) struct Renewing {
    pub(super) id: MachineId,
    peer: Peer,
}

impl FromRequestParts<Arc<Nms>> for Renewing {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, nms: &Arc<Nms>) -> Result<Self, Refusal> {
        let peer = peer(parts)?;
        let Some(id) = peer.machine else {
            let detail = "this needs a machine's certificate; enrol the machine first";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, Reason::NotAllowed, detail));
        };
        if !nms.registry.is_trusted(id) {
            return Err(Refusal::forbidden(Reason::Revoked, Reason::Revoked.words()));
        }
        Ok(Self { id, peer })
    }
}

/// An administrator: shows the token.
pub(super) struct Admin;

impl FromRequestParts<Arc<Nms>> for Admin {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, nms: &Arc<Nms>) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) if nms.secrets.is_admin(token) => Ok(Self),
            _ => {
                let detail = "the administrator's token is missing or wrong; it is in the profile (admin.toml)";
                Err(Refusal::new(StatusCode::UNAUTHORIZED, Reason::NotAllowed, detail))
            }
        }
    }
}

/// A JSON body.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Nms>> for Sent<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, nms: &Arc<Nms>) -> Result<Self, Refusal> {
        match tokio::time::timeout(BODY, Json::from_request(request, nms)).await {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(Refusal::new(rejection.status(), Reason::BadRequest, rejection.body_text())),
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, Reason::BadRequest, "the body came too slowly")),
        }
    }
}

/// The part of the path in braces.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Nms>> for Named<T> {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, nms: &Arc<Nms>) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, nms).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Refusal::bad(rejection.body_text())),
        }
    }
}
