//! The plan of a network: which links it has, before any of it exists.

use super::rates::{LinkRates, Rate};

/// The links of a server and its machines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NetworkPlan {
    pub(crate) server: LinkRates,
    pub(crate) machines: Vec<MachinePlan>,
    /// The uplink of each site. Machines without a site are on the server's own switch.
    pub(crate) uplinks: Vec<LinkRates>,
    /// Hosts that run no agent.
    pub(crate) bystanders: Vec<MachinePlan>,
}

/// One machine's link, and the site it is at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MachinePlan {
    pub(crate) link: LinkRates,
    pub(crate) site: Option<usize>,
}

impl NetworkPlan {
    /// Returns a network whose links all have this rate in each direction.
    pub(crate) fn equal(machines: u8, rate: Rate) -> Self {
        let link = LinkRates::both(rate);
        let machine = MachinePlan { link, site: None };
        Self {
            server: link,
            machines: vec![machine; usize::from(machines)],
            uplinks: Vec::new(),
            bystanders: Vec::new(),
        }
    }
}
