//! Uploads artifacts: streams them from disk, and fails when no data moves any more.

use crate::api_client::{ApiClient, ApiClientError, REQUEST_TIMEOUT, discard};
use banyan_proto::{Address, Digest};
use banyan_publisher::package_file::ArtifactSection;
use reqwest::{Method, header};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::{InspectReader, ReaderStream};

/// Timeout after the last byte. The server hashes and syncs the file before it answers, which takes longer for large
/// files.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(600);

impl ApiClient {
    /// Returns whether the server already has this artifact.
    pub(crate) async fn has_artifact(&self, artifact: Digest) -> Result<bool, ApiClientError> {
        match self.send(self.request(Method::HEAD, &format!("artifacts/{artifact}")).timeout(REQUEST_TIMEOUT)).await {
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
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ApiClientError> {
        let (artifact, size) = (section.digest, section.size);
        let mut file = tokio::fs::File::open(&section.path).await?;
        file.seek(std::io::SeekFrom::Start(section.offset)).await?;
        let file = file.take(size);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let reader = InspectReader::new(file, move |bytes: &[u8]| {
            let count = bytes.len() as u64;
            counter.fetch_add(count, Ordering::Relaxed);
            progress(count);
        });
        let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(reader, 256 << 10));
        let request =
            self.request(Method::PUT, &format!("artifacts/{artifact}")).header(header::CONTENT_LENGTH, size).body(body);
        let answer = async {
            let response = self.send(request).await?;
            self.read(response).await.map(discard)
        };
        tokio::select! {
            done = answer => done,
            seconds = wait_until_stalled(&sent, size) => Err(ApiClientError::Stalled { server: Address::list(&self.profile.servers), seconds }),
        }
    }
}

/// Completes when no data has moved for too long. Returns that time (seconds).
async fn wait_until_stalled(sent: &AtomicU64, size: u64) -> u64 {
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        let patience = if before >= size { COMPLETION_TIMEOUT } else { REQUEST_TIMEOUT };
        tokio::time::sleep(patience).await;
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return patience.as_secs();
        }
        before = now;
    }
}
