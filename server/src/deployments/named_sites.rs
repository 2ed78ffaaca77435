//! Sites that administrators have named: ranges of addresses, in which filters find machines.

use crate::{
    identity::{enrolment::check_name, registry::Registry},
    refusal::Refusal,
    store::{NamedSiteRow, Store, is_same_name},
};
use banyan_proto::{
    AddressRange, Site,
    assignments::{NameSite, NamedSite},
};
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};
use tracing::info;

/// The most ranges of a site.
const MAX_RANGES: usize = 256;
/// The most named sites.
const MAX_SITES: usize = 4096;

/// The named sites.
pub(crate) struct NamedSites {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    sites: RwLock<Arc<Vec<NamedSiteRow>>>,
    /// Held while a name is set.
    changing: tokio::sync::Mutex<()>,
}

/// The names in force at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SiteNames(Arc<Vec<NamedSiteRow>>);

impl SiteNames {
    /// Returns the subnet of a machine with this address, and the named sites that it is in.
    pub(crate) fn around(&self, ip: IpAddr) -> Vec<String> {
        let has = |row: &&NamedSiteRow| row.ranges.iter().any(|range| range.contains(ip));
        let named = self.0.iter().filter(has).map(|row| row.name.clone());
        std::iter::once(Site::around(ip).to_string()).chain(named).collect()
    }
    /// Returns whether a site has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|row| is_same_name(&row.name, name))
    }
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|row| row.name.as_str())
    }
}

impl NamedSites {
    pub(crate) fn new(rows: Vec<NamedSiteRow>, store: Arc<dyn Store>, registry: Arc<Registry>) -> Self {
        Self { store, registry, sites: RwLock::new(Arc::new(rows)), changing: tokio::sync::Mutex::default() }
    }
    /// Returns the names in force now.
    pub(crate) fn names(&self) -> SiteNames {
        SiteNames(Arc::clone(&self.sites.read().unwrap_or_else(PoisonError::into_inner)))
    }
    /// Returns the named sites, and how many machines are there.
    pub(crate) fn all(&self) -> Vec<NamedSite> {
        let rows = self.registry.all().into_iter().filter(|row| row.revoked.is_none());
        let addresses: Vec<IpAddr> = rows.filter_map(|row| Site::deciding_address(&row.addresses)).collect();
        let names = self.names();
        let site = |row: &NamedSiteRow| NamedSite {
            name: row.name.clone(),
            version: None,
            ranges: row.ranges.clone(),
            machines: addresses.iter().filter(|ip| row.ranges.iter().any(|range| range.contains(**ip))).count(),
        };
        names.0.iter().map(site).collect()
    }
    /// Names a site, or removes the name.
    pub(crate) async fn set(&self, request: &NameSite) -> Result<(), Refusal> {
        check_name("name of the site", &request.name)?;
        if request.name.parse::<AddressRange>().is_ok() {
            return Err(Refusal::bad(format!(
                "{:?} is a range of addresses, so it cannot be the name of one",
                request.name
            )));
        }
        if request.ranges.len() > MAX_RANGES {
            return Err(Refusal::bad(format!("a site has at most {MAX_RANGES} ranges")));
        }
        let _changing = self.changing.lock().await;
        let mut sites = (*self.names().0).clone();
        // The spelling that is in use.
        let known = sites.iter().find(|row| is_same_name(&row.name, &request.name)).map(|row| row.name.clone());
        if known.is_none() && request.ranges.is_empty() {
            return Err(Refusal::not_found(format!("no site has the name {:?}", request.name)));
        }
        if known.is_none() && sites.len() >= MAX_SITES {
            return Err(Refusal::bad(format!("there are {MAX_SITES} named sites, and no more are possible")));
        }
        let row = NamedSiteRow { name: known.unwrap_or_else(|| request.name.clone()), ranges: request.ranges.clone() };
        self.store.set_named_site(&row).await?;
        info!(site = row.name, ranges = row.ranges.len(), "name of a site changed");
        sites.retain(|other| other.name != row.name);
        if !row.ranges.is_empty() {
            sites.push(row);
            sites.sort_by(|a, b| a.name.cmp(&b.name));
        }
        *self.sites.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sites);
        Ok(())
    }
}
