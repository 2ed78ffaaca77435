//! Long work for administrators: it is finished although the client went away, a repeated request joins it, and a client
//! that waits hears of its progress.
//!
//! Every changing request runs as a task of its own. When it takes longer than [`ANSWER_WITHIN`], the client gets
//! `202 Accepted` with a [`banyan_proto::admin::Working`], and asks again with `GET /api/v1/work/{id}` until the answer
//! is there. No timer limits the work.

use crate::{
    refusal::Refusal,
    work_progress::{WorkProgress, with_progress},
};
use axum::{
    Json,
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use banyan_proto::Digest;
use http_body_util::BodyExt as _;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How soon a client hears that the server is still at work.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer is kept for a client that lost its connection.
const KEEP_ANSWERS: Duration = Duration::from_secs(600);

/// An answer, kept until its client asks for it.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

struct Work {
    progress: Arc<WorkProgress>,
    answer: watch::Receiver<Option<Answer>>,
    /// When the answer was there.
    ended: Option<Instant>,
}

/// The work of the administrators' requests.
#[derive(Clone, Default)]
pub(crate) struct LongWork(Arc<Mutex<HashMap<Digest, Work>>>);

/// How long a client waits before it wants to hear how far the work is (`Prefer: wait=SECONDS`, RFC 7240).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(Duration);

impl Patience {
    /// Reads it from the request's headers; at most [`ANSWER_WITHIN`], which is also the default.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let header = headers.get("prefer").and_then(|value| value.to_str().ok());
        let seconds = header.and_then(|value| value.trim().strip_prefix("wait=")?.parse().ok());
        Self(seconds.map_or(ANSWER_WITHIN, Duration::from_secs).min(ANSWER_WITHIN))
    }
}

impl LongWork {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Work>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Starts this work, or joins it while it is under way. Returns its answer, or how far it is after
    /// [`ANSWER_WITHIN`], or sooner if the client prefers.
    pub(crate) async fn run(
        &self,
        id: Digest,
        patience: Patience,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> Response {
        self.start(id, work);
        self.wait(id, patience).await.unwrap_or_else(|| Refusal::internal(&"the work's answer is lost").into_response())
    }
    fn start(&self, id: Digest, work: impl Future<Output = Response> + Send + 'static) {
        let mut all = self.lock();
        all.retain(|_, work| work.ended.is_none_or(|ended| ended.elapsed() < KEEP_ANSWERS));
        if all.get(&id).is_some_and(|work| work.ended.is_none()) {
            return;
        }
        let (sender, answer) = watch::channel(None);
        let progress = Arc::new(WorkProgress::default());
        all.insert(id, Work { progress: Arc::clone(&progress), answer, ended: None });
        drop(all);
        let this = self.clone();
        tokio::spawn(async move {
            // A task of its own, so that a panic becomes an answer, too.
            let done = tokio::spawn(with_progress(progress, work)).await;
            let answer = Answer::of(done.unwrap_or_else(|error| Refusal::internal(&error).into_response())).await;
            if let Some(work) = this.lock().get_mut(&id) {
                work.ended = Some(Instant::now());
            }
            sender.send_replace(Some(answer));
        });
    }
    /// Waits for an answer, at most for [`ANSWER_WITHIN`], or less if the client prefers. Returns `None` if there is no
    /// such work.
    pub(crate) async fn wait(&self, id: Digest, patience: Patience) -> Option<Response> {
        let (progress, mut answer) = {
            let all = self.lock();
            let work = all.get(&id)?;
            (Arc::clone(&work.progress), work.answer.clone())
        };
        let found = tokio::time::timeout(patience.0, answer.wait_for(Option::is_some)).await;
        Some(match found.ok().and_then(Result::ok).and_then(|answer| answer.clone()) {
            Some(answer) => answer.into_response(),
            None => (StatusCode::ACCEPTED, Json(progress.working(id))).into_response(),
        })
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self { status: parts.status, content_type: parts.headers.get(CONTENT_TYPE).cloned(), body }
    }
    fn into_response(self) -> Response {
        let headers: HeaderMap = self.content_type.map(|value| (CONTENT_TYPE, value)).into_iter().collect();
        (self.status, headers, self.body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::admin::Working;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    const ID: Digest = Digest([7; 32]);

    /// Work that waits for `go` and counts how often it was started.
    fn counted(started: &Arc<AtomicUsize>, go: &Arc<Notify>) -> impl Future<Output = Response> + Send + use<> {
        let (started, go) = (Arc::clone(started), Arc::clone(go));
        async move {
            started.fetch_add(1, Ordering::SeqCst);
            crate::work_progress::begin("checking big.tar", 100).advance(40);
            go.notified().await;
            StatusCode::NO_CONTENT.into_response()
        }
    }

    #[tokio::test]
    async fn work_goes_on_without_its_client_and_the_next_one_joins_it() {
        let (all, short) = (LongWork::default(), Patience(Duration::from_millis(20)));
        let (started, go) = (Arc::default(), Arc::new(Notify::new()));
        let first = all.clone();
        let first = tokio::spawn({
            let work = counted(&started, &go);
            async move { first.run(ID, short, work).await.status() }
        });
        tokio::task::yield_now().await;
        // The client goes away.
        first.abort();
        let second = all.run(ID, short, counted(&started, &go)).await;
        assert_eq!(second.status(), StatusCode::ACCEPTED, "the client hears that the server is at work");
        let body = second.into_body().collect().await.unwrap().to_bytes();
        let working: Working = serde_json::from_slice(&body).unwrap();
        assert_eq!((working.work, working.done, working.of), (ID, 40, 100));
        assert_eq!(working.doing, "checking big.tar");
        go.notify_waiters();
        assert_eq!(all.wait(ID, Patience(ANSWER_WITHIN)).await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(started.load(Ordering::SeqCst), 1, "it was done once");
        assert!(all.wait(Digest([8; 32]), short).await.is_none());
    }

    #[tokio::test]
    async fn work_that_panics_is_answered() {
        let broken = async { if true { panic!("a bug") } else { StatusCode::OK.into_response() } };
        assert_eq!(
            LongWork::default().run(ID, Patience(ANSWER_WITHIN), broken).await.status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
}
