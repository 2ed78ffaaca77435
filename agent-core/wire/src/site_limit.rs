//! What a machine may move over its site's uplink (rule P17). A connection goes over the uplink if the address at its
//! other end is not one of the site's. All such connections together keep within one rate in each direction.
//!
//! The program sets the rates and asks how they are used. Without a budget, nothing here costs more than reading a flag.

use crate::{lock::lock, packet, rate_limit::TokenBucket};
use banyan_proto::{Site, site_budget::SiteRates};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A direction counts as used for this long after content moved, or waited, in it.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// What moves at once and is more than a message (bytes).
const LEAST_CONTENT: u64 = 512;
/// How many packets of content one packet acknowledges.
const PACKETS_PER_ACKNOWLEDGEMENT: u64 = 2;

/// The limit of all connections of a node that go over the uplink.
#[derive(Debug)]
pub struct SiteLimit {
    has_budget: AtomicBool,
    site: Mutex<Option<Site>>,
    started: Instant,
    download: DirectionLimit,
    upload: DirectionLimit,
    used: Notify,
}

/// The limit in one direction.
#[derive(Debug)]
pub(crate) struct DirectionLimit {
    pub(crate) bucket: TokenBucket,
    moved: AtomicU64,
    is_limited: AtomicBool,
    /// When content last moved or waited (milliseconds since the start, plus one); 0: never.
    last_used: AtomicU64,
}

/// How the uplink was used in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirectionUse {
    /// Whether content moves, or waits to.
    pub is_used: bool,
    /// Whether content waited for the limit.
    pub is_limited: bool,
    /// Bytes with headers.
    pub bytes: u64,
}

/// How the uplink was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UplinkUse {
    /// Into the site.
    pub download: DirectionUse,
    /// Out of the site.
    pub upload: DirectionUse,
}

impl UplinkUse {
    /// Returns whether the uplink is used in either direction.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.download.is_used || self.upload.is_used
    }
}

impl Default for DirectionLimit {
    fn default() -> Self {
        let (moved, is_limited, last_used) = Default::default();
        Self { bucket: TokenBucket::with_even_flow(), moved, is_limited, last_used }
    }
}

impl Default for SiteLimit {
    /// Creates one without a budget.
    fn default() -> Self {
        Self {
            has_budget: AtomicBool::new(false),
            site: Mutex::default(),
            started: Instant::now(),
            download: DirectionLimit::default(),
            upload: DirectionLimit::default(),
            used: Notify::new(),
        }
    }
}

impl DirectionLimit {
    fn is_used(&self, now_ms: u64) -> bool {
        let last = self.last_used.load(Relaxed);
        last > 0 && now_ms.saturating_sub(last - 1) < u64::try_from(IDLE_AFTER.as_millis()).unwrap_or(u64::MAX)
    }
    fn charge(&self, bytes: u64) {
        self.bucket.charge(bytes);
        self.moved.fetch_add(bytes, Relaxed);
    }
    fn take_use(&self, now_ms: u64) -> DirectionUse {
        DirectionUse {
            is_used: self.is_used(now_ms),
            is_limited: self.is_limited.swap(false, Relaxed),
            bytes: self.moved.swap(0, Relaxed),
        }
    }
}

impl SiteLimit {
    /// Sets the site, `None` if it has no budget, and the rates (bytes a second, with headers).
    pub fn set(&self, site: Option<Site>, rates: SiteRates) {
        *lock(&self.site) = site;
        self.has_budget.store(site.is_some(), Relaxed);
        self.download.bucket.set(rates.download);
        self.upload.bucket.set(rates.upload);
    }
    /// Waits until content moves over the uplink.
    pub async fn until_used(&self) {
        loop {
            let used = self.used.notified();
            let now = self.now_ms();
            if self.download.is_used(now) || self.upload.is_used(now) {
                return;
            }
            used.await;
        }
    }
    /// Returns how the uplink was used since the last call.
    pub fn take_use(&self) -> UplinkUse {
        let now = self.now_ms();
        UplinkUse { download: self.download.take_use(now), upload: self.upload.take_use(now) }
    }
    /// Returns whether the limit slows receiving down now.
    #[must_use]
    pub fn is_limiting_receive(&self) -> bool {
        self.is_limiting(&self.download)
    }
    /// Returns whether the limit slows sending down now.
    pub(crate) fn is_limiting_send(&self) -> bool {
        self.is_limiting(&self.upload)
    }
    fn is_limiting(&self, direction: &DirectionLimit) -> bool {
        self.has_budget.load(Relaxed) && direction.bucket.is_limited() && direction.is_used(self.now_ms())
    }
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
    fn on_use(&self, direction: &DirectionLimit) {
        let was_used = direction.is_used(self.now_ms());
        direction.last_used.store(self.now_ms() + 1, Relaxed);
        if !was_used {
            self.used.notify_waiters();
        }
    }
}

/// The limit, as one connection sees it.
#[derive(Debug, Clone)]
pub(crate) struct UplinkConnection {
    limit: Arc<SiteLimit>,
    /// The address at the other end.
    peer: Option<IpAddr>,
}

impl UplinkConnection {
    pub(crate) fn new(limit: Arc<SiteLimit>, peer: Option<IpAddr>) -> Self {
        Self { limit, peer }
    }
    /// Returns whether the connection goes over the uplink of a site with a budget.
    fn is_limited(&self) -> bool {
        self.limit.has_budget.load(Relaxed)
            && lock(&self.limit.site).is_some_and(|site| self.peer.is_none_or(|peer| !site.contains(peer)))
    }
    /// Returns the limit for receiving.
    pub(crate) fn download(&self) -> Option<&DirectionLimit> {
        self.of(&self.limit.download)
    }
    /// Returns the limit for sending.
    pub(crate) fn upload(&self) -> Option<&DirectionLimit> {
        self.of(&self.limit.upload)
    }
    fn of<'a>(&self, direction: &'a DirectionLimit) -> Option<&'a DirectionLimit> {
        self.is_limited().then_some(direction)
    }
    /// Records that content waits for the limit.
    pub(crate) fn on_wait(&self, direction: &DirectionLimit) {
        direction.is_limited.store(true, Relaxed);
        self.limit.on_use(direction);
    }
    /// Charges content that was received, and its acknowledgements.
    pub(crate) fn charge_read(&self, bytes: u64) {
        if self.is_limited() {
            self.charge(&self.limit.download, &self.limit.upload, bytes);
        }
    }
    /// Charges content that was sent, and its acknowledgements.
    pub(crate) fn charge_written(&self, bytes: u64) {
        if self.is_limited() {
            self.charge(&self.limit.upload, &self.limit.download, bytes);
        }
    }
    fn charge(&self, direction: &DirectionLimit, opposite: &DirectionLimit, bytes: u64) {
        direction.charge(bytes);
        // Messages between chunks are no reason to ask for a share.
        if bytes >= LEAST_CONTENT {
            self.limit.on_use(direction);
        }
        if opposite.is_used(self.limit.now_ms()) {
            opposite.charge(bytes * packet::HEADERS / packet::PAYLOAD / PACKETS_PER_ACKNOWLEDGEMENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(download: u64) -> SiteRates {
        SiteRates { download: Some(download), upload: None }
    }

    #[test]
    fn only_connections_to_other_sites_are_limited_and_only_while_there_is_a_budget() {
        let limit = Arc::new(SiteLimit::default());
        let to = |peer: &str| UplinkConnection::new(Arc::clone(&limit), Some(peer.parse().unwrap()));
        let (inside, outside) = (to("10.0.1.9"), to("10.0.2.9"));
        assert!(outside.download().is_none() && inside.download().is_none());
        limit.set(Some("10.0.1.0/24".parse().unwrap()), rates(1000));
        assert!(inside.download().is_none() && outside.download().is_some());
        assert!(to("::ffff:10.0.1.9").download().is_none());
        inside.charge_read(50_000);
        assert_eq!(limit.take_use(), UplinkUse::default());
        outside.charge_read(100);
        assert!(!limit.is_limiting_receive(), "a message is no transfer");
        outside.charge_read(50_000);
        let used = limit.take_use();
        assert_eq!((used.download.bytes, used.upload), (50_100, DirectionUse::default()));
        assert!(used.is_used() && limit.is_limiting_receive() && !limit.is_limiting_send());
        limit.set(None, SiteRates::default());
        assert!(outside.download().is_none() && !limit.is_limiting_receive());
    }

    #[tokio::test]
    async fn a_transfer_over_the_uplink_is_noticed() {
        let limit = Arc::new(SiteLimit::default());
        limit.set(Some("10.0.1.0/24".parse().unwrap()), rates(1_000_000));
        let outside = UplinkConnection::new(Arc::clone(&limit), None);
        let noticed = limit.until_used();
        let moves = async {
            tokio::task::yield_now().await;
            outside.charge_written(20_000);
        };
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(noticed, moves) }).await.unwrap();
        assert!(limit.take_use().upload.is_used);
    }
}
