//! Uploads artifacts: streams them from disk, and fails when no data moves any more.

use crate::api_client::{ApiClient, ApiClientError, PATIENCE, discard};
use banyan_proto::Digest;
use banyan_publisher::package_file::ArtifactSection;
use reqwest::{Method, header};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::{InspectReader, ReaderStream};

impl ApiClient {
    /// Returns whether the server already has this artifact.
    pub(crate) async fn has_artifact(&self, artifact: Digest) -> Result<bool, ApiClientError> {
        match self.send(self.request(Method::HEAD, &format!("artifacts/{artifact}"))).await {
            Ok(_) => Ok(true),
            Err(ApiClientError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
    /// Uploads a file, or a section of one, as the artifact with this hash. Calls `progress` with the number of bytes
    /// read since the last call.
    pub(crate) async fn upload(
        &self,
        section: &ArtifactSection,
        progress: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), ApiClientError> {
        let send = || self.send_section(section, progress.clone());
        // A server that was restarted after the last byte is asked whether it has the file before it gets it again.
        let again = || async {
            let head = self.request(Method::HEAD, &format!("artifacts/{}", section.digest));
            match self.send(head).await {
                Err(ApiClientError::NotFound) => send().await,
                answer => answer,
            }
        };
        let response = self.wait_for_work(send().await?, again).await?;
        self.read(response).await.map(discard)
    }
    async fn send_section(
        &self,
        section: &ArtifactSection,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<reqwest::Response, ApiClientError> {
        let mut file = tokio::fs::File::open(&section.path).await?;
        file.seek(std::io::SeekFrom::Start(section.offset)).await?;
        let request = self.request(Method::PUT, &format!("artifacts/{}", section.digest));
        self.send_body(request.header(header::CONTENT_LENGTH, section.size), file.take(section.size), progress).await
    }
    /// Sends a request with a body, which may take as long as data moves. Calls `progress` with the number of bytes read
    /// since the last call.
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
            counter.fetch_add(count, Ordering::Relaxed);
            progress(count);
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
