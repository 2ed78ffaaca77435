//! A node's share of its site's budget (rule P17): asks for it while content moves over the uplink, and sets the node's
//! limit.

use crate::{
    lock::lock,
    site_limit::{DirectionUse, SiteLimit, UplinkUse},
};
use banyan_proto::site_budget::{ShareUse, SiteNotice, SiteRates, SiteShareReply, SiteShareRequest};
use banyan_schedule::site_budget::{SOON, ShareHolder};
use std::{
    future::Future,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::sleep};
use tracing::info;

/// Grants shares: the server.
pub trait ShareGranter: Send + Sync + 'static {
    /// Asks for a share; `None` if there is no answer.
    fn ask(&self, request: SiteShareRequest) -> impl Future<Output = Option<SiteShareReply>> + Send;
}

/// Keeps the share of this node.
pub struct ShareKeeper<G> {
    granter: G,
    limit: OnceLock<Arc<SiteLimit>>,
    holder: Mutex<ShareHolder>,
    started: Instant,
    notice_changed: Notify,
}

impl<G: ShareGranter> ShareKeeper<G> {
    /// Starts with what is known about the site's budget; `None`: it has none.
    pub fn new(granter: G, notice: Option<SiteNotice>) -> Self {
        let mut holder = ShareHolder::default();
        holder.set_notice(notice);
        let (limit, started, notice_changed) = (OnceLock::new(), Instant::now(), Notify::new());
        Self { granter, limit, holder: Mutex::new(holder), started, notice_changed }
    }
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
    /// Returns the notice that this node goes by.
    pub fn notice(&self) -> Option<SiteNotice> {
        lock(&self.holder).notice()
    }
    /// Takes what the server says about the budget. Returns whether that is new.
    pub fn set_notice(&self, notice: Option<SiteNotice>) -> bool {
        let mut holder = lock(&self.holder);
        if holder.notice() == notice {
            return false;
        }
        holder.set_notice(notice);
        drop(holder);
        match notice {
            Some(SiteNotice { site, .. }) => info!(%site, "this site has a budget"),
            None => info!("this site has no budget any more"),
        }
        self.apply();
        self.notice_changed.notify_one();
        true
    }
    /// Sets the node's limit, and starts to ask for shares whenever content moves over the uplink.
    pub fn start(self: &Arc<Self>, limit: Arc<SiteLimit>) {
        if self.limit.set(limit).is_ok() {
            self.apply();
            tokio::spawn(keep(Arc::clone(self)));
        }
    }
    fn apply(&self) {
        let Some(limit) = self.limit.get() else { return };
        let holder = lock(&self.holder);
        limit.set(holder.notice().map(|notice| notice.site), holder.rates(self.now()));
    }
    /// Waits until content moves over the uplink of a site with a budget. Then asks for a share, and renews it until
    /// nothing moves.
    async fn follow_transfer(&self, limit: &SiteLimit) {
        if self.notice().is_none() {
            self.notice_changed.notified().await;
            return;
        }
        tokio::select! {
            () = limit.until_used() => {}
            () = self.notice_changed.notified() => return,
        }
        let mut counted_from = self.now();
        loop {
            let usage = limit.take_use();
            let is_used = usage.is_used();
            let now = self.now();
            let request = self.request(&usage, now.saturating_sub(counted_from));
            counted_from = now;
            if is_used {
                lock(&self.holder).on_request(now);
            } else {
                // Gives the share up before the server hears of it.
                lock(&self.holder).release();
                self.apply();
            }
            if let Some(reply) = self.granter.ask(request).await.filter(|_| is_used) {
                lock(&self.holder).on_reply(now, &reply);
            }
            self.apply();
            if !is_used || self.notice().is_none() {
                return;
            }
            self.until_next_request().await;
        }
    }
    fn request(&self, usage: &UplinkUse, time: Duration) -> SiteShareRequest {
        let millis = time.as_millis().max(1);
        let rate = |bytes: u64| u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX);
        let of = |usage: &DirectionUse, share: Option<u64>| ShareUse {
            is_used: usage.is_used,
            is_limited: usage.is_limited,
            bytes_per_second: rate(usage.bytes),
            share,
        };
        let SiteRates { download, upload } = lock(&self.holder).share(self.now()).unwrap_or_default();
        SiteShareRequest { download: of(&usage.download, download), upload: of(&usage.upload, upload) }
    }
    /// Waits for the time of the next request. A share that ends meanwhile takes its rate with it.
    async fn until_next_request(&self) {
        loop {
            let now = self.now();
            let (next, ends) = {
                let holder = lock(&self.holder);
                (holder.next_request(now), holder.share_ends(now))
            };
            if next <= now {
                return;
            }
            sleep(ends.map_or(next, |ends| ends.min(next)) - now).await;
            self.apply();
        }
    }
}

/// Keeps a share while one is needed, as long as the program runs.
async fn keep<G: ShareGranter>(share: Arc<ShareKeeper<G>>) {
    while let Some(limit) = share.limit.get() {
        share.follow_transfer(limit).await;
        // So often at most, whatever moves.
        sleep(SOON).await;
    }
}
