//! Adds, changes and removes webhooks.

use super::{
    receiver_address,
    webhook_signature::{new_secret, secret_text},
};
use crate::{
    refusal::Refusal,
    store::{NewEvent, Store, WebhookRow},
};
use axum::http::StatusCode;
use banyan_proto::{
    MachineId, Reason, UnixSeconds,
    server_events::EventKind,
    webhooks::{Delivery, NewWebhook, OLD_SECRET_SECONDS, URL_BYTES, WEBHOOKS, Webhook, WebhookSecret},
};
use reqwest::Url;
use std::sync::Arc;

/// Shortest part of an identifier that names a webhook.
const SHORTEST_ID: usize = 4;

/// Administers webhooks.
pub(crate) struct Webhooks {
    pub(crate) store: Arc<dyn Store>,
}

fn id_text(id: [u8; 16]) -> String {
    MachineId(id).to_string()
}

/// Checks the URL of a receiver.
fn check_url(text: &str, private: bool) -> Result<(), String> {
    if text.len() > URL_BYTES {
        return Err(format!("the URL is {} bytes long; at most {URL_BYTES} are allowed", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if !url.has_host() {
        return Err(format!("{text:?} names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a name or a password; receivers check the signature instead".into());
    }
    let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
    if let Some(Err(why)) = literal.map(|address| receiver_address::check(address, private)) {
        return Err(format!("{text:?} cannot be a receiver: {why}"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if private => Ok(()),
        "http" => {
            Err("without encryption (http), events are posted only in private networks; use https, or --private".into())
        }
        other => Err(format!("{other} is not supported; use https")),
    }
}

impl Webhooks {
    /// Adds a receiver. Returns its secret.
    pub(crate) async fn add(&self, new: NewWebhook) -> Result<WebhookSecret, Refusal> {
        check_url(&new.url, new.private).map_err(Refusal::bad)?;
        if new.kinds.contains(&EventKind::Unknown) {
            let detail = "this server does not know all of these kinds of events; update the server";
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::NotUnderstood, detail));
        }
        if self.store.webhooks().await?.len() >= WEBHOOKS {
            let detail = format!("there are {WEBHOOKS} webhooks, which is the most; remove one first");
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        }
        let row = WebhookRow {
            id: MachineId::random().0,
            url: new.url,
            kinds: new.kinds,
            private: new.private,
            secret: new_secret(),
            old_secret: None,
            created: UnixSeconds::now(),
            paused: None,
            last: None,
        };
        self.store.add_webhook(&row).await?;
        Ok(WebhookSecret { id: id_text(row.id), secret: secret_text(&row.secret).into() })
    }
    /// Returns all webhooks, the oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Webhook>, Refusal> {
        let describe = |(row, waiting): (WebhookRow, u64)| Webhook {
            id: id_text(row.id),
            url: row.url,
            kinds: row.kinds,
            private: row.private,
            created: row.created,
            paused: row.paused,
            waiting,
            last: row.last,
        };
        Ok(self.store.webhooks().await?.into_iter().map(describe).collect())
    }
    /// Finds a webhook by its identifier, or by the beginning of it.
    async fn find(&self, id: &str) -> Result<[u8; 16], Refusal> {
        let rows = self.store.webhooks().await?;
        let found: Vec<[u8; 16]> =
            rows.into_iter().map(|(row, _)| row.id).filter(|known| id_text(*known).starts_with(id)).collect();
        match &found[..] {
            [one] if id.len() >= SHORTEST_ID => Ok(*one),
            [_, _, ..] => Err(Refusal::bad(format!("several webhooks begin with {id:?}; type more of the identifier"))),
            _ => Err(Refusal::not_found(format!("there is no webhook {id:?}; `banyan webhooks list` shows them"))),
        }
    }
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Refusal> {
        self.store.remove_webhook(self.find(id).await?).await?;
        Ok(())
    }
    /// Makes a new secret. The old one signs, too, for a day.
    pub(crate) async fn change_secret(&self, id: &str) -> Result<WebhookSecret, Refusal> {
        let (id, secret) = (self.find(id).await?, new_secret());
        self.store.change_secret(id, &secret, UnixSeconds::now().plus(OLD_SECRET_SECONDS)).await?;
        Ok(WebhookSecret { id: id_text(id), secret: secret_text(&secret).into() })
    }
    /// Posts a test event to one receiver.
    pub(crate) async fn test(&self, id: &str) -> Result<(), Refusal> {
        let webhook = Some(self.find(id).await?);
        let detail = "this is a test".to_owned();
        self.store.record_event(NewEvent { webhook, detail, ..NewEvent::of(EventKind::WebhookTest) }).await?;
        Ok(())
    }
    pub(crate) async fn resume(&self, id: &str) -> Result<(), Refusal> {
        self.store.resume_webhook(self.find(id).await?).await?;
        Ok(())
    }
    pub(crate) async fn deliveries(&self, id: &str) -> Result<Vec<Delivery>, Refusal> {
        Ok(self.store.deliveries(self.find(id).await?).await?)
    }
    /// Delivers an event to a receiver again.
    pub(crate) async fn resend(&self, id: &str, event: u64) -> Result<(), Refusal> {
        if self.store.resend(self.find(id).await?, event).await? {
            return Ok(());
        }
        Err(Refusal::not_found(format!(
            "event {event} was never to be delivered to this webhook, or is no longer kept"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_receivers_are_refused_with_what_to_do() {
        let refused = |url: &str, private| check_url(url, private).unwrap_err();
        assert!(check_url("https://example.org/hook?x=1", false).is_ok());
        assert!(check_url("http://10.0.0.1:9000/hook", true).is_ok());
        assert!(refused("http://example.org/", false).contains("--private"));
        assert!(refused("https://10.0.0.1/", false).contains("--private"));
        assert!(refused("http://169.254.169.254/latest", true).contains("never"));
        assert!(refused("ftp://example.org/", true).contains("https"));
        assert!(refused("example.org", false).contains("URL"));
        assert!(refused("https://me:secret@example.org/", false).contains("password"));
        assert!(refused(&format!("https://example.org/{}", "a".repeat(3000)), false).contains("bytes"));
    }
}
