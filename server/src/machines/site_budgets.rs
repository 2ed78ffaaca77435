//! The budgets of sites: set by administrators, stored, told to the machines there, and divided among those that use the
//! uplink (rule P17).

use crate::{
    identity::registry::Registry,
    net::wake_ups::WakeUps,
    refusal::Refusal,
    store::{SiteBudgetRow, Store},
};
use banyan_proto::{
    Digest, MachineId, Site, UnixSeconds,
    api::SiteBudgetNews,
    site_budget::{
        SetSiteBudget, ShareUse, SiteBudget, SiteNotice, SiteRates, SiteShare, SiteShareReply, SiteShareRequest,
        SiteStatus,
    },
};
use banyan_schedule::site_budget::{Divisible, GrantedShare, ShareLedger, current_rates, rates_without_share};
use banyan_wire::{
    site_limit::SiteLimit,
    site_share::{ShareGranter, ShareKeeper},
};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::{Duration, Instant},
};
use tracing::info;

/// How long the number of a site's machines is believed.
const COUNT_LIFETIME: Duration = Duration::from_secs(60);

/// The budgets, and who has which share of them.
pub(crate) struct SiteBudgets {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    wake_ups: Arc<WakeUps>,
    budgets: RwLock<BTreeMap<Site, SiteBudget>>,
    ledgers: Mutex<HashMap<Site, SiteLedgers>>,
    started: Instant,
    /// The share of the server itself, as a machine of its site.
    own_share: OnceLock<Arc<ShareKeeper<OwnGranter>>>,
}

/// Grants shares to the server itself.
struct OwnGranter(Weak<SiteBudgets>);

impl ShareGranter for OwnGranter {
    async fn ask(&self, request: SiteShareRequest) -> Option<SiteShareReply> {
        let budgets = self.0.upgrade()?;
        Some(budgets.share(budgets.registry.server_id(), &request))
    }
}

struct SiteLedgers {
    download: ShareLedger,
    upload: ShareLedger,
    /// How many machines the site had, and when they were counted.
    machines: usize,
    counted: Instant,
}

impl SiteBudgets {
    pub(crate) fn new(
        rows: Vec<SiteBudgetRow>,
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        wake_ups: Arc<WakeUps>,
    ) -> Self {
        let budgets = RwLock::new(rows.into_iter().map(|row| (row.site, row.budget)).collect());
        let (ledgers, started, own_share) = (Mutex::default(), Instant::now(), OnceLock::new());
        Self { store, registry, wake_ups, budgets, ledgers, started, own_share }
    }
    /// Applies the budget of the server's own site to its node.
    pub(crate) fn limit_server(self: &Arc<Self>, limit: &Arc<SiteLimit>) {
        let share = ShareKeeper::new(OwnGranter(Arc::downgrade(self)), self.own_notice());
        self.own_share.get_or_init(|| Arc::new(share)).start(Arc::clone(limit));
    }
    fn own_notice(&self) -> Option<SiteNotice> {
        self.notice(self.registry.site(self.registry.server_id())?)
    }
    fn budget(&self, site: Site) -> Option<SiteBudget> {
        self.budgets.read().unwrap_or_else(PoisonError::into_inner).get(&site).cloned()
    }
    /// Returns the rates that apply at a site now.
    pub(crate) fn rates(&self, site: Site) -> SiteRates {
        let budget = self.budget(site);
        budget.map(|budget| current_rates(&budget, &TimeZone::system(), UnixSeconds::now()).rates).unwrap_or_default()
    }
    /// Sets or removes a budget. Connected machines of the site are told at once.
    pub(crate) async fn set(&self, request: &SetSiteBudget) -> Result<(), Refusal> {
        if let Some(budget) = &request.budget {
            budget.check().map_err(Refusal::bad)?;
        }
        self.store.set_site_budget(request.site, request.budget.as_ref(), UnixSeconds::now()).await?;
        info!(site = %request.site, set = request.budget.is_some(), "budget of a site changed");
        let mut budgets = self.budgets.write().unwrap_or_else(PoisonError::into_inner);
        match request.budget.clone() {
            Some(budget) => drop(budgets.insert(request.site, budget)),
            None => drop(budgets.remove(&request.site)),
        }
        drop(budgets);
        if let Some(share) = self.own_share.get() {
            share.set_notice(self.own_notice());
        }
        self.wake_ups.wake_all();
        Ok(())
    }
    /// Calls `act` with the site's ledgers.
    fn with_ledgers<T>(&self, site: Site, act: impl FnOnce(&mut SiteLedgers) -> T) -> T {
        let now = Instant::now();
        let mut all = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let ledgers = all.entry(site).or_insert_with(|| SiteLedgers {
            // Times count from the server's start.
            download: ShareLedger::new(Duration::ZERO),
            upload: ShareLedger::new(Duration::ZERO),
            machines: self.registry.count_at(site),
            counted: now,
        });
        if now.duration_since(ledgers.counted) > COUNT_LIFETIME {
            (ledgers.machines, ledgers.counted) = (self.registry.count_at(site), now);
        }
        act(ledgers)
    }
    /// Returns what a machine must know about the budget of its site; `None`: there is none.
    fn notice(&self, site: Site) -> Option<SiteNotice> {
        let budget = self.budget(site)?;
        let machines = self.with_ledgers(site, |ledgers| ledgers.machines);
        let without_share = rates_without_share(&budget, machines);
        let text = format!("{site} {without_share:?}");
        let mut number = [0; 8];
        number.copy_from_slice(&Digest::of(text.as_bytes()).0[..8]);
        // 0 stands for no notice.
        Some(SiteNotice { number: u64::from_le_bytes(number) | 1, site, without_share })
    }
    /// Returns what a machine does not know yet about the budget of its site. `known` is the number of its notice, 0 for
    /// none; `None` for an agent that does not support budgets.
    pub(crate) fn news(&self, machine: MachineId, known: Option<u64>) -> Option<SiteBudgetNews> {
        let notice = self.notice(self.registry.site(machine)?);
        let is_news = notice.map_or(0, |notice| notice.number) != known?;
        is_news.then_some(SiteBudgetNews { notice })
    }
    /// Grants or renews a machine's share.
    pub(crate) fn share(&self, machine: MachineId, request: &SiteShareRequest) -> SiteShareReply {
        let site = self.registry.site(machine);
        let Some((site, budget)) = site.and_then(|site| Some((site, self.budget(site)?))) else {
            return SiteShareReply { notice: None, rates: SiteRates::default(), valid_ms: 0, renew_ms: 0 };
        };
        let current = current_rates(&budget, &TimeZone::system(), UnixSeconds::now());
        let (now, lifetime) = (self.started.elapsed(), current.share_lifetime());
        let grant = |ledger: &mut ShareLedger, usage: ShareUse, rate: Option<u64>| {
            rate.map(|budget| ledger.grant(now, machine, usage, Divisible { budget, lifetime }))
        };
        let (download, upload) = self.with_ledgers(site, |ledgers| {
            let download = grant(&mut ledgers.download, request.download, current.rates.download);
            (download, grant(&mut ledgers.upload, request.upload, current.rates.upload))
        });
        let rate = |granted: Option<GrantedShare>| granted.map(|granted| granted.rate);
        let renewal = download.into_iter().chain(upload).map(GrantedShare::renewal).min().unwrap_or(lifetime);
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        SiteShareReply {
            notice: self.notice(site),
            rates: SiteRates { download: rate(download), upload: rate(upload) },
            valid_ms: ms(lifetime),
            renew_ms: ms(renewal),
        }
    }
    /// Returns all sites that have machines or a budget.
    pub(crate) fn all(&self) -> Vec<SiteStatus> {
        let mut machines = BTreeMap::<Site, usize>::new();
        for row in self.registry.all().into_iter().filter(|row| row.exclusion().is_none()) {
            *machines.entry(Site::of(&row.addresses)).or_default() += 1;
        }
        for &site in self.budgets.read().unwrap_or_else(PoisonError::into_inner).keys() {
            machines.entry(site).or_default();
        }
        let status = |(site, machines)| SiteStatus {
            site,
            machines,
            budget: self.budget(site),
            rates: self.rates(site),
            shares: self.shares(site),
            version: None,
        };
        machines.into_iter().map(status).collect()
    }
    fn shares(&self, site: Site) -> Vec<SiteShare> {
        let now = self.started.elapsed();
        let mut rates = BTreeMap::<MachineId, SiteRates>::new();
        let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledgers) = ledgers.get(&site).filter(|_| self.budget(site).is_some()) {
            for (machine, rate) in ledgers.download.shares(now) {
                rates.entry(machine).or_default().download = Some(rate);
            }
            for (machine, rate) in ledgers.upload.shares(now) {
                rates.entry(machine).or_default().upload = Some(rate);
            }
        }
        drop(ledgers);
        let share = |(machine, rates)| SiteShare { machine, label: self.registry.name(machine), rates };
        rates.into_iter().map(share).collect()
    }
    /// Returns whether a machine may be told to receive from `source` although that goes over the uplink of a site with a
    /// budget. It may if it does so now.
    pub(crate) fn may_cross(&self, machine: MachineId, present: MachineId, source: MachineId) -> bool {
        let site = |id| self.registry.site(id);
        let (here, there) = (site(machine), site(source));
        let limits = |site: Option<Site>, of: fn(&SiteRates) -> Option<u64>| {
            site.is_some_and(|site| of(&self.rates(site)).is_some())
        };
        let enters = here != there && limits(here, |rates| rates.download) && site(present) == here;
        let leaves = here != there && limits(there, |rates| rates.upload);
        !enters && !leaves
    }
}
