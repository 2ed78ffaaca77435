//! Waits while the server is at work: the server says so at least every ten seconds, and the client asks again until the
//! answer is there.

use super::{ApiClient, ApiClientError, PATIENCE, RETRY_PAUSE};
use banyan_proto::admin::Working;
use reqwest::{Method, Response, StatusCode};
use std::{future::Future, time::Instant};

impl ApiClient {
    /// Returns the answer to a request whose first response is this. `again` repeats the request: a server that was
    /// restarted has forgotten its work, and begins anew.
    pub(super) async fn wait_for_work<F>(
        &self,
        first: Response,
        again: impl Fn() -> F,
    ) -> Result<Response, ApiClientError>
    where
        F: Future<Output = Result<Response, ApiClientError>>,
    {
        let mut response = first;
        let mut waited = false;
        while response.status() == StatusCode::ACCEPTED {
            let working: Working = self.read(response).await?;
            (self.on_work)(Some(&working));
            waited = true;
            let sign = Instant::now();
            response = loop {
                let request = self.request(Method::GET, &format!("work/{}", working.work));
                let answer = match self.send(request).await {
                    Err(error) if error.is_unknown_work() => again().await,
                    answer => answer,
                };
                match answer {
                    // The server may be restarting, or the network may be away for a moment.
                    Err(error) if error.is_temporary() && sign.elapsed() < PATIENCE => {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    Err(error) => {
                        (self.on_work)(None);
                        return Err(error);
                    }
                    Ok(response) => break response,
                }
            };
        }
        if waited {
            (self.on_work)(None);
        }
        Ok(response)
    }
}
