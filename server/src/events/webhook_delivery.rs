//! One attempt to post an event to a receiver. The receiver's answer is reduced to the number of its status: nobody can
//! read what is inside a network through the log of deliveries.

use super::{receiver_address, webhook_signature::signatures};
use crate::store::WebhookRow;
use banyan_proto::{UnixSeconds, server_events::ServerEvent};
use reqwest::{
    Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use rustls::ClientConfig;
use serde::Serialize;
use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest pause that a receiver can ask for (seconds).
const LONGEST_RETRY_AFTER: u64 = 24 * 3600;

/// How a receiver took an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// It accepted it.
    Accepted(StatusCode),
    /// It says that it is gone for good (410).
    Gone,
    /// It did not accept it: why, and how long it asks to be left alone.
    Failed(String, Option<Duration>),
}

/// Looks names up, and leaves out addresses that a webhook may not connect to.
struct CheckedResolver {
    private: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut allowed = Vec::new();
            for address in found {
                match receiver_address::check(address.ip(), private) {
                    Ok(()) => allowed.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused.filter(|_| allowed.is_empty()) {
                Some(why) => Err(Box::<dyn Error + Send + Sync>::from(why)),
                None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The body of a post: the event as the data of a Standard Webhooks payload.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a ServerEvent,
}

/// Returns the body. It is the same at every attempt.
pub(super) fn body(event: &ServerEvent) -> String {
    let seconds = i64::try_from(event.at.0).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let payload = Payload { r#type: event.kind.name(), timestamp, data: event };
    serde_json::to_string(&payload).unwrap_or_default()
}

/// Posts events to one receiver.
pub(super) struct ReceiverClient {
    http: Client,
    private: bool,
}

impl ReceiverClient {
    /// Creates a client.
    ///
    /// # Errors
    /// When the system's certificates cannot be used.
    pub(super) fn new(tls: ClientConfig, private: bool) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(CheckedResolver { private }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .pool_max_idle_per_host(1)
            .http1_only()
            .build()?;
        Ok(Self { http, private })
    }
    /// Posts an event once. `id` is the same at every attempt; the time and the signature are fresh.
    pub(super) async fn post(
        &self,
        row: &WebhookRow,
        id: &str,
        event: &ServerEvent,
        now: UnixSeconds,
    ) -> AttemptOutcome {
        let failed = |why: String| AttemptOutcome::Failed(why, None);
        let Ok(url) = Url::parse(&row.url) else { return failed("the URL is not valid".into()) };
        // A name is checked when it is looked up.
        let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        if let Some(Err(why)) = literal.map(|address| receiver_address::check(address, self.private)) {
            return failed(why.into());
        }
        let body = body(event);
        let old = row.old_secret.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret.as_slice());
        let secrets: Vec<&[u8]> = std::iter::once(row.secret.as_slice()).chain(old).collect();
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.0)
            .header("webhook-signature", signatures(&secrets, id, now, &body))
            .body(body);
        match request.send().await {
            Ok(answer) => {
                outcome(answer.status(), answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()))
            }
            Err(error) => failed(describe(&error)),
        }
    }
}

fn outcome(status: StatusCode, retry_after: Option<&str>) -> AttemptOutcome {
    if status.is_success() {
        return AttemptOutcome::Accepted(status);
    }
    if status == StatusCode::GONE {
        return AttemptOutcome::Gone;
    }
    let seconds = retry_after.and_then(|text| text.trim().parse::<u64>().ok());
    let wait = seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)));
    let what = if status.is_redirection() {
        format!("HTTP {}: redirects are not followed; change the URL", status.as_u16())
    } else {
        format!("HTTP {}", status.as_u16())
    };
    AttemptOutcome::Failed(what, wait)
}

/// Says why there was no answer, with the innermost cause.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection failed" };
    format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_accepts_and_the_receiver_may_ask_for_a_pause() {
        let of = |status: u16, retry: Option<&str>| outcome(StatusCode::from_u16(status).unwrap(), retry);
        assert!(
            matches!(of(200, None), AttemptOutcome::Accepted(_))
                && matches!(of(204, None), AttemptOutcome::Accepted(_))
        );
        assert_eq!(of(410, None), AttemptOutcome::Gone);
        assert_eq!(of(503, Some("120")), AttemptOutcome::Failed("HTTP 503".into(), Some(Duration::from_secs(120))));
        assert!(matches!(of(500, Some("soon")), AttemptOutcome::Failed(_, None)));
        assert!(matches!(of(302, None), AttemptOutcome::Failed(why, None) if why.contains("redirects")));
        assert!(
            matches!(of(429, Some("999999999")), AttemptOutcome::Failed(_, Some(most)) if most.as_secs() == 86_400)
        );
    }
}
