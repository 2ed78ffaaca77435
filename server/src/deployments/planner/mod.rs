//! The planner: orders the target machines on each stripe's list and decides where each list is split (rules L1–L2).
//!
//! Pure: takes names, sites and who is online; returns lists, each headed by the server. It has three goals, in this
//! order: each site is entered once; no machine sends more than one copy in total; machines known to be offline are
//! leaves.
//!
//! With one stripe the list is a plain binary tree whose inner nodes send two copies. With two stripes, each half of
//! the artifact travels its own tree of the same shape, and the machines change places between the trees. A machine
//! with two children in one tree has none in the other. That is always possible, because a binary tree has one leaf
//! more than it has nodes with two children; nodes with one child are paired with each other.

mod shape;

use banyan_proto::{
    Address, AddresseeList, MachineId,
    list::{Addressee, ListError},
};
use shape::Shape;
use std::net::IpAddr;

/// A site: machines that share a subnet, /24 for IPv4 or /64 for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Site(IpAddr);

impl Site {
    /// Returns the site of a machine with these addresses: the subnet of the first non-loopback one. Host names do not
    /// count.
    #[must_use]
    pub(crate) fn of(addresses: &[Address]) -> Self {
        let wide = Address::sockets(addresses).find(|address| !address.ip().is_loopback());
        match wide.or(Address::sockets(addresses).next()).map(|address| address.ip().to_canonical()) {
            Some(IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                Self(IpAddr::from([a, b, c, 0]))
            }
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Self(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
            }
            None => Self(IpAddr::from([0; 4])),
        }
    }
}

/// A machine to put on the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The machine's identifier.
    pub(crate) id: MachineId,
    /// The machine's site.
    pub(crate) site: Site,
    /// Whether the machine is expected to receive and forward now.
    pub(crate) online: bool,
}

/// The lists of an order, and their predicted cost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// One list per stripe, each headed by the server.
    pub(crate) lists: Vec<AddresseeList>,
    /// How many copies of the artifact the busiest machine sends.
    pub(crate) busiest_copies: f64,
    /// How many copies the server sends.
    pub(crate) server_copies: f64,
}

/// Plans the lists. `stripes` is 1 or 2.
///
/// # Errors
/// Returns a [`ListError`] if there are more candidates than a list may have names.
pub(crate) fn plan(server: MachineId, candidates: &[Candidate], stripes: u8) -> Result<Plan, ListError> {
    let sites = by_site(candidates);
    let sizes: Vec<usize> = sites.iter().map(Vec::len).collect();
    let shape = Shape::new(&sizes, stripes < 2);
    let first = first_tree(&sites, &shape);
    let mut trees = vec![first];
    if stripes > 1 {
        trees.push(second_tree(&sites, &shape, &trees[0]));
    }
    let lists = trees.iter().map(|names| shape.list(server, names)).collect::<Result<Vec<_>, _>>()?;
    let (busiest_copies, server_copies) = copies_sent(&lists, server);
    Ok(Plan { lists, busiest_copies, server_copies })
}

/// Groups candidates by site. Sites with more machines online come first, because their heads feed other sites. Within
/// a site, online machines come first.
fn by_site(candidates: &[Candidate]) -> Vec<Vec<Candidate>> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|candidate| (candidate.site, !candidate.online));
    let mut sites: Vec<Vec<Candidate>> = sorted.chunk_by(|a, b| a.site == b.site).map(<[Candidate]>::to_vec).collect();
    sites.sort_by_key(|site| std::cmp::Reverse(site.iter().filter(|candidate| candidate.online).count()));
    sites
}

/// Fills each site's positions so that offline machines come last, where there is nothing to forward.
fn first_tree(sites: &[Vec<Candidate>], shape: &Shape) -> Vec<MachineId> {
    let mut names = vec![MachineId([0; 16]); shape.len()];
    let mut start = 0;
    for site in sites {
        let mut positions: Vec<usize> = (start..start + site.len()).collect();
        // Stable: among positions with equally many children, the higher one in the tree is filled first.
        let online = site.iter().filter(|candidate| candidate.online).count();
        let leaves_last = online < site.len();
        if leaves_last {
            positions.sort_by_key(|&at| std::cmp::Reverse(shape.children(at)));
            positions[..online].sort_unstable();
        }
        for (&at, candidate) in positions.iter().zip(site) {
            names[at] = candidate.id;
        }
        start += site.len();
    }
    names
}

/// Places the machines differently on the same shape: the more children in the first tree, the fewer here.
///
/// Sites of equal size swap places as a whole; within a site, machines do.
fn second_tree(sites: &[Vec<Candidate>], shape: &Shape, first: &[MachineId]) -> Vec<MachineId> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for (number, site) in sites.iter().enumerate() {
        let children: u32 = (start..start + site.len()).map(|at| u32::from(shape.children(at))).sum();
        blocks.push((site.len(), children, start, number));
        start += site.len();
    }
    let mut busy_first = blocks.clone();
    busy_first.sort_by_key(|&(size, children, start, _)| (size, std::cmp::Reverse(children), start));
    let mut idle_first = blocks;
    idle_first.sort_by_key(|&(size, children, start, _)| (size, children, start));

    let mut names = vec![MachineId([0; 16]); shape.len()];
    for (&(size, _, from, number), &(_, _, to, _)) in busy_first.iter().zip(&idle_first) {
        let is_offline = |at: usize| sites[number].iter().any(|other| other.id == first[at] && !other.online);
        let mut machines: Vec<usize> = (from..from + size).collect();
        machines.sort_by_cached_key(|&at| (!is_offline(at), std::cmp::Reverse(shape.children(at))));
        let mut positions: Vec<usize> = (to..to + size).collect();
        positions.sort_by_key(|&at| shape.children(at));
        for (machine, position) in machines.into_iter().zip(positions) {
            names[position] = first[machine];
        }
    }
    names
}

/// Returns the copies that the busiest machine and the server send: children over all stripes, divided by the stripes.
fn copies_sent(lists: &[AddresseeList], server: MachineId) -> (f64, f64) {
    let mut children = std::collections::HashMap::<MachineId, u32>::new();
    for list in lists {
        let entries: Vec<Addressee> = list.clone().into();
        for (at, sent) in shape::children_of(&entries).into_iter().enumerate() {
            *children.entry(entries[at].id).or_default() += u32::from(sent);
        }
    }
    let copies = |sent: u32| f64::from(sent) / f64::from(u32::try_from(lists.len()).unwrap_or(1).max(1));
    let servers = children.remove(&server).unwrap_or(0);
    (copies(children.into_values().max().unwrap_or(0)), copies(servers))
}

#[cfg(test)]
mod tests;
