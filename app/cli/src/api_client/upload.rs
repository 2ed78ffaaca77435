//! Uploads artifacts: streams them from disk, continues interrupted uploads, and fails when no data moves any more.

use crate::api_client::{ApiClient, ApiClientError, PATIENCE, RETRY_PAUSE, discard};
use banyan_proto::{
    Digest, Reason,
    admin::{UPLOAD_OFFSET, Upload, UploadState},
};
use banyan_publisher::package_file::ArtifactSection;
use reqwest::{Method, header};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::{InspectReader, ReaderStream};

/// A failed attempt to send the rest of a file.
struct FailedAttempt {
    error: ApiClientError,
    /// Whether another attempt can succeed, although this one brought nothing.
    may_repeat: bool,
}

impl FailedAttempt {
    fn new(error: ApiClientError, offset: u64) -> Self {
        let may_repeat = match &error {
            ApiClientError::Unreachable { .. } | ApiClientError::NotAdmitted { .. } => true,
            // The server has deleted what earlier attempts had brought.
            ApiClientError::Refused(refusal) if refusal.reason == Reason::BadArtifact => offset > 0,
            // Another client was faster.
            ApiClientError::Refused(refusal) if refusal.reason == Reason::UnderWay => true,
            // The server was restarted after the last byte.
            error => error.is_unknown_work(),
        };
        Self { error, may_repeat }
    }
}

impl ApiClient {
    /// Uploads a file, or a section of one, as the artifact with this hash. Sends only what the server does not have yet,
    /// and waits while another client is sending it. Calls `progress` with the number of bytes that are done.
    pub(crate) async fn upload(
        &self,
        section: &ArtifactSection,
        progress: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), ApiClientError> {
        let (mut most, mut moved) = (0, Instant::now());
        let mut failed: Option<FailedAttempt> = None;
        loop {
            let state = self.upload_state(section.digest).await;
            if let Ok(Upload { received, .. }) = state
                && received > most
            {
                (most, moved) = (received, Instant::now());
            } else if let Some(attempt) = failed.take()
                && (!attempt.may_repeat || moved.elapsed() >= PATIENCE)
            {
                return Err(attempt.error);
            }
            failed = match state {
                Ok(Upload { state: UploadState::Stored, .. }) => {
                    progress(section.size);
                    return Ok(());
                }
                Ok(Upload { state: UploadState::Receiving, received }) => {
                    progress(received);
                    Some(FailedAttempt { error: self.stalled(), may_repeat: true })
                }
                Ok(Upload { state: UploadState::Interrupted, received }) => {
                    let begun = Instant::now();
                    let sent = self.send_rest(section, received, progress.clone()).await;
                    // An attempt has its own limit.
                    moved += begun.elapsed();
                    match sent {
                        Ok(()) => continue,
                        Err(error) => Some(FailedAttempt::new(error, received)),
                    }
                }
                Err(error) if error.is_temporary() => Some(FailedAttempt::new(error, 0)),
                Err(error) => return Err(error),
            };
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    async fn upload_state(&self, artifact: Digest) -> Result<Upload, ApiClientError> {
        self.get(&format!("artifacts/{artifact}/upload")).await
    }
    /// Sends a section from this byte on, and waits until the server has checked it and written it to its disk.
    async fn send_rest(
        &self,
        section: &ArtifactSection,
        offset: u64,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ApiClientError> {
        let mut file = tokio::fs::File::open(&section.path).await?;
        file.seek(std::io::SeekFrom::Start(section.offset + offset)).await?;
        let rest = section.size.saturating_sub(offset);
        let request = self.request(Method::PUT, &format!("artifacts/{}", section.digest));
        let request = request.header(header::CONTENT_LENGTH, rest).header(UPLOAD_OFFSET, offset);
        let response = self.send_body(request, file.take(rest), move |sent| progress(offset + sent)).await?;
        // A restarted server is asked what it has, instead of getting everything again.
        let again = || async { Err(ApiClientError::NotFound) };
        let response = self.wait_for_work(response, again).await?;
        self.read(response).await.map(discard)
    }
    /// Sends a request with a body, which may take as long as data moves. Calls `progress` with the number of bytes read
    /// so far.
    pub(super) async fn send_body(
        &self,
        request: reqwest::RequestBuilder,
        body: impl AsyncRead + Send + Sync + 'static,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<reqwest::Response, ApiClientError> {
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let reader = InspectReader::new(body, move |bytes: &[u8]| {
            let count = bytes.len() as u64;
            progress(counter.fetch_add(count, Ordering::Relaxed) + count);
        });
        let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(reader, 256 << 10));
        tokio::select! {
            answer = self.exchange(request.body(body)) => answer,
            () = wait_until_stalled(&sent) => Err(self.stalled()),
        }
    }
}

/// Completes when no data has moved for too long.
async fn wait_until_stalled(sent: &AtomicU64) {
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(PATIENCE).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}
