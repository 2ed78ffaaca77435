//! A machine's side: which rates it goes by now, and when it asks for a share.

use super::{RENEWAL_INTERVAL, SOON};
use banyan_proto::site_budget::{SiteNotice, SiteRates, SiteShareReply};
use std::time::Duration;

/// The share of one machine. Times are monotonic.
#[derive(Debug, Default)]
pub struct ShareHolder {
    notice: Option<SiteNotice>,
    share: Option<Share>,
    /// When to ask for a share again.
    next_request: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    rates: SiteRates,
    until: Duration,
}

impl ShareHolder {
    /// Takes what the server says about the site; `None`: it has no budget.
    pub fn set_notice(&mut self, notice: Option<SiteNotice>) {
        if self.notice.map(|notice| notice.site) != notice.map(|notice| notice.site) {
            self.share = None;
        }
        self.notice = notice;
    }
    /// Returns what the server last said about the site.
    #[must_use]
    pub fn notice(&self) -> Option<SiteNotice> {
        self.notice
    }
    /// Returns the share, while it is valid.
    #[must_use]
    pub fn share(&self, now: Duration) -> Option<SiteRates> {
        self.share.filter(|share| now < share.until).map(|share| share.rates)
    }
    /// Returns the rates to go by now. Never less than without a share: the server has kept that back.
    #[must_use]
    pub fn rates(&self, now: Duration) -> SiteRates {
        let Some(notice) = self.notice else { return SiteRates::default() };
        let least = notice.without_share;
        let Some(share) = self.share(now) else { return least };
        let larger = |share: Option<u64>, least: Option<u64>| share.map(|rate| rate.max(least.unwrap_or(0)));
        SiteRates { download: larger(share.download, least.download), upload: larger(share.upload, least.upload) }
    }
    /// Returns when to ask for a share, if content moves over the uplink.
    #[must_use]
    pub fn next_request(&self, now: Duration) -> Duration {
        self.next_request.max(now)
    }
    /// Returns when the rates change by themselves.
    #[must_use]
    pub fn share_ends(&self, now: Duration) -> Option<Duration> {
        self.share.map(|share| share.until).filter(|until| now < *until)
    }
    /// Records that a request is sent.
    pub fn on_request(&mut self, now: Duration) {
        self.next_request = now + RENEWAL_INTERVAL;
    }
    /// Takes the answer to a request that was sent at `asked`. The share's time counts from then, so that it ends here
    /// before it ends at the server.
    pub fn on_reply(&mut self, asked: Duration, reply: &SiteShareReply) {
        self.set_notice(reply.notice);
        let until = asked + Duration::from_millis(reply.valid_ms.into());
        let is_lower = |new: Option<u64>, old: Option<u64>| old.is_some_and(|old| new.is_some_and(|new| new < old));
        let lowers = self.share.is_some_and(|Share { rates, .. }| {
            is_lower(reply.rates.download, rates.download) || is_lower(reply.rates.upload, rates.upload)
        });
        // What this machine gives up is free for others when the server has heard that it did.
        let pause = Duration::from_millis(reply.renew_ms.into());
        self.next_request = asked + if lowers { SOON.min(pause) } else { pause };
        self.share = self.notice.map(|_| Share { rates: reply.rates, until });
    }
    /// Gives the share up.
    pub fn release(&mut self) {
        self.share = None;
        self.next_request = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(number: u64, site: &str) -> SiteNotice {
        let without_share = SiteRates { download: Some(1000), upload: None };
        SiteNotice { number, site: site.parse().unwrap(), without_share }
    }
    fn reply(notice: Option<SiteNotice>, rate: u64) -> SiteShareReply {
        SiteShareReply {
            notice,
            rates: SiteRates { download: Some(rate), upload: None },
            valid_ms: 6000,
            renew_ms: 2000,
        }
    }
    const ASKED: Duration = Duration::from_secs(10);

    #[test]
    fn a_share_ends_by_itself_and_little_is_left_without_one() {
        let mut holder = ShareHolder::default();
        assert_eq!(holder.rates(ASKED), SiteRates::default(), "no budget, no limit");
        let here = notice(1, "10.0.1.0/24");
        holder.set_notice(Some(here));
        assert_eq!(holder.rates(ASKED), here.without_share);
        assert_eq!(holder.next_request(ASKED), ASKED);
        holder.on_request(ASKED);
        assert_eq!(holder.next_request(ASKED), ASKED + RENEWAL_INTERVAL);
        holder.on_reply(ASKED, &reply(Some(here), 50_000));
        let later = ASKED + Duration::from_millis(5999);
        assert_eq!(holder.rates(later).download, Some(50_000));
        assert_eq!(holder.share_ends(later), Some(ASKED + Duration::from_secs(6)));
        assert_eq!(holder.rates(ASKED + Duration::from_secs(6)), here.without_share);
        // Another machine has everything still.
        holder.on_reply(ASKED, &reply(Some(here), 0));
        assert_eq!(holder.next_request(ASKED), ASKED + SOON, "to confirm that it gave up what it had");
        assert_eq!(holder.rates(later).download, Some(1000));
    }

    #[test]
    fn a_share_of_one_site_is_none_of_another_and_a_budget_can_be_removed() {
        let mut holder = ShareHolder::default();
        let (here, there) = (notice(1, "10.0.1.0/24"), notice(2, "10.0.2.0/24"));
        holder.on_reply(ASKED, &reply(Some(here), 50_000));
        holder.set_notice(Some(SiteNotice { number: 3, ..here }));
        assert!(holder.share(ASKED).is_some(), "only the budget has changed");
        holder.set_notice(Some(there));
        assert_eq!(holder.rates(ASKED), there.without_share);
        holder.on_reply(ASKED, &reply(None, 0));
        assert_eq!((holder.rates(ASKED), holder.share(ASKED)), (SiteRates::default(), None));
    }
}
