//! Idempotency keys: a request that is repeated with the same key is carried out once, and gets the first answer.
//!
//! Answers are kept for a day, also over a restart. A server that is killed between carrying out a request and storing
//! its answer forgets the key.

use crate::{
    refusal::Refusal,
    store::{FirstAnswer, IdempotencyKey, Store},
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use banyan_proto::{Digest, Reason, UnixSeconds};
use http_body_util::BodyExt as _;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;
use tracing::error;

/// The request header with the key.
pub(crate) const HEADER: &str = "idempotency-key";
/// The header of an answer that was given before.
pub(crate) const REPLAYED: &str = "idempotent-replayed";
/// The longest key (bytes).
const MAX_KEY: usize = 128;

/// What to do with a request that has a key.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Carry it out.
    First,
    /// Wait for the same request, which is under way.
    UnderWay,
    /// Give this answer again.
    Answered(FirstAnswer),
}

/// The requests with keys.
pub(crate) struct Idempotency {
    store: Arc<dyn Store>,
    /// What is under way, and the hashes of these requests.
    under_way: Mutex<HashMap<IdempotencyKey, Digest>>,
}

fn other_request() -> Refusal {
    let detail = "another request was sent with this idempotency key; use a new key for each request";
    Refusal::conflict(Reason::BadRequest, detail)
}

impl Idempotency {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, under_way: Mutex::default() }
    }
    /// Reads a key.
    pub(crate) fn key(token: u64, header: &HeaderValue) -> Result<IdempotencyKey, Refusal> {
        let text = header.to_str().ok().filter(|text| (1..=MAX_KEY).contains(&text.len()));
        let key =
            text.ok_or_else(|| Refusal::bad(format!("an idempotency key has 1 to {MAX_KEY} visible ASCII signs")))?;
        Ok(IdempotencyKey { token, key: key.to_owned() })
    }
    /// Decides what to do with a request of this hash. A first one must be ended with [`Idempotency::end`].
    pub(crate) async fn begin(&self, key: &IdempotencyKey, request: Digest) -> Result<Begun, Refusal> {
        let mut under_way = self.under_way.lock().await;
        if let Some(present) = under_way.get(key) {
            return if *present == request { Ok(Begun::UnderWay) } else { Err(other_request()) };
        }
        match self.store.first_answer(key, UnixSeconds::now()).await? {
            Some(answer) if answer.request == request => Ok(Begun::Answered(answer)),
            Some(_) => Err(other_request()),
            None => {
                under_way.insert(key.clone(), request);
                Ok(Begun::First)
            }
        }
    }
    /// Stores the answer to a first request, unless the server failed. Returns the answer.
    pub(crate) async fn end(&self, key: &IdempotencyKey, request: Digest, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if !parts.status.is_server_error() {
            let answer = FirstAnswer { request, status: parts.status.as_u16(), body: body.to_vec() };
            if let Err(failed) = self.store.keep_answer(key, &answer, UnixSeconds::now()).await {
                error!("failed to store the answer to a request with an idempotency key: {failed}");
            }
        }
        self.under_way.lock().await.remove(key);
        Response::from_parts(parts, Body::from(body))
    }
    /// Forgets that a request is under way: its work has ended without an answer.
    pub(crate) async fn abandon(&self, key: &IdempotencyKey) {
        self.under_way.lock().await.remove(key);
    }
}

/// Returns an answer that was given before.
pub(crate) fn replay(answer: FirstAnswer) -> Response {
    let has_body = !answer.body.is_empty();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    if has_body {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
