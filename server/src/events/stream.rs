//! The stream of events (`GET /api/v1/events`): server-sent events with replay.
//!
//! A client that was away names the last event that it has seen. If events after it are no longer kept, or the client is
//! ahead of a server that was restored, the stream says `resync` first: the client must read again what it shows.

use crate::store::{Store, StoreResult};
use banyan_proto::server_events::ServerEvent;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How many events are read at once.
const BATCH: u32 = 200;
/// How long to wait after an event, so that those that follow it at once are read together.
const GATHER: Duration = Duration::from_millis(50);

/// What a client is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamItem {
    /// Events are missing before the next one: it is the first after this number.
    Resync(u64),
    /// An event.
    Event(Box<ServerEvent>),
}

/// One client's position in the stream.
pub(crate) struct EventStream {
    store: Arc<dyn Store>,
    news: watch::Receiver<u64>,
    last: u64,
    pending: VecDeque<ServerEvent>,
    must_resync: bool,
}

impl EventStream {
    /// Starts after the event that the client has seen last; without one, after the newest.
    pub(crate) async fn open(store: Arc<dyn Store>, seen: Option<u64>) -> StoreResult<Self> {
        // Before the events are read, so that none is missed.
        let news = store.event_news();
        let (oldest, newest) = store.kept_events().await?;
        let (last, must_resync) = match seen {
            None => (newest, false),
            Some(seen) if seen > newest || seen + 1 < oldest => (newest, true),
            Some(seen) => (seen, false),
        };
        Ok(Self { store, news, last, pending: VecDeque::new(), must_resync })
    }
    /// Returns the next item. Waits until there is one.
    pub(crate) async fn next(&mut self) -> StoreResult<StreamItem> {
        if std::mem::take(&mut self.must_resync) {
            return Ok(StreamItem::Resync(self.last));
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.last = event.id;
                return Ok(StreamItem::Event(Box::new(event)));
            }
            self.news.borrow_and_update();
            self.pending = self.store.events_after(self.last, BATCH).await?.into();
            if self.pending.is_empty() {
                if self.news.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                // One read serves all events of this time.
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}
