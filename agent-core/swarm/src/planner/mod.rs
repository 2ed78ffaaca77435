//! The planner: arranges the target machines in one tree for each stripe (rules L1, L2).
//!
//! Pure: takes names, sites, rates and who is online; returns lists, each headed by the server. It has these goals, in
//! this order: each site is entered once; no machine waits for a slower one; no machine sends more than one copy, as
//! long as all send as much as they receive; machines known to be offline, and machines that do not forward, are leaves.
//! Of a machine and its child, one can dial the other, as long as enough machines can be dialled.
//!
//! With one stripe the list is a plain binary tree whose inner nodes send two copies. With two stripes, each half of
//! the artifact travels its own tree, and the machines change places between the trees. `arrange` does this for sites,
//! and for the machines of each site.

mod arrange;
mod balance;
mod capacity;
mod fill;
mod positions;

pub(crate) use capacity::Usual;

use arrange::{Member, Outside, Tree, arrange};
use banyan_proto::{
    AddresseeList, MachineId, MeasuredRate, Reach,
    list::{Addressee, ListError},
};
use std::collections::HashMap;

pub use banyan_proto::Site;

/// A machine to put on the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The machine's identifier.
    pub id: MachineId,
    /// The machine's site.
    pub site: Site,
    /// Whether the machine is expected to receive and forward now.
    pub online: bool,
    /// Whether the machine may forward.
    pub forwards: bool,
    /// Which machines can connect to it.
    pub reach: Reach,
    /// What it can receive; `None` if it was not measured.
    pub down: Option<MeasuredRate>,
    /// What it can send; `None` if it was not measured.
    pub up: Option<MeasuredRate>,
}

/// The lists of an order, and their predicted cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One list per stripe, each headed by the server.
    pub lists: Vec<AddresseeList>,
    /// How many copies of the artifact the busiest machine sends.
    pub busiest_copies: f64,
    /// How many copies the server sends.
    pub server_copies: f64,
}

/// The ratios of the fastest to the slowest machine of a class, in the order in which they are tried. Narrow classes
/// lose least, but each class makes the trees deeper.
const CLASS_FACTORS: [f64; 5] = [1.25, 1.5, 2.0, 4.0, f64::INFINITY];

/// Plans the lists. `server_up` is what the server can send in bytes a second, if that is known. `stripes` is 1 or 2.
///
/// # Errors
/// Returns a [`ListError`] if there are more candidates than a list may have names.
pub fn plan(
    server: MachineId,
    server_up: Option<u64>,
    candidates: &[Candidate],
    stripes: u8,
) -> Result<Plan, ListError> {
    let sites = by_site(candidates);
    let mut plan = Err(ListError::TooDeep);
    for factor in CLASS_FACTORS {
        let trees = site_trees(&sites, server_up.unwrap_or(u64::MAX), usize::from(stripes), factor);
        let (busiest_copies, server_copies) = copies_sent(&trees);
        let lists: Result<Vec<_>, _> = trees.iter().map(|tree| list(server, tree)).collect();
        plan = lists.map(|lists| Plan { lists, busiest_copies, server_copies });
        if plan != Err(ListError::TooDeep) {
            break;
        }
    }
    plan
}

/// The candidates of one site.
struct SiteMembers {
    machines: Vec<MachineId>,
    members: Vec<Member>,
}

fn by_site(candidates: &[Candidate]) -> Vec<SiteMembers> {
    let mut sorted: Vec<(&Candidate, Member)> = candidates.iter().zip(capacity::members(candidates)).collect();
    sorted.sort_by_key(|(candidate, _)| candidate.site);
    let of_site = |site: &[(&Candidate, Member)]| SiteMembers {
        machines: site.iter().map(|(candidate, _)| candidate.id).collect(),
        members: site.iter().map(|&(_, member)| member).collect(),
    };
    sorted.chunk_by(|(a, _), (b, _)| a.site == b.site).map(of_site).collect()
}

/// One stripe's tree of machines.
#[derive(Default)]
struct MachineTree {
    roots: Vec<MachineId>,
    children: HashMap<MachineId, Vec<MachineId>>,
}

/// Arranges the sites, and the machines of each site, and joins them.
fn site_trees(sites: &[SiteMembers], up: u64, stripes: usize, factor: f64) -> Vec<MachineTree> {
    // With one stripe the server feeds two machines, like every other machine.
    let entries = if stripes > 1 { 1 } else { 2 };
    let below_server = Outside { entries, up, exits: &vec![0; stripes], has_second_entry: entries == 1 };
    let mut trees: Vec<MachineTree> = (0..stripes).map(|_| MachineTree::default()).collect();
    if let [only] = sites {
        for (tree, of_site) in trees.iter_mut().zip(arrange(&only.members, below_server, factor)) {
            tree.add(only, &of_site);
            tree.roots = of_site.roots.iter().map(|&at| only.machines[at]).collect();
        }
        return trees;
    }
    let as_members: Vec<Member> = sites.iter().map(|site| capacity::site(&site.members)).collect();
    let between = arrange(&as_members, below_server, factor);
    let mut arranged: Vec<Vec<Tree>> = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        let exits: Vec<usize> = between.iter().map(|tree| tree.children[at].len()).collect();
        // Most sites of a large network can be homes with one machine.
        if site.machines.len() == 1 {
            arranged.push(exits.iter().map(|&exits| Tree::single(exits)).collect());
            continue;
        }
        arranged.push(arrange(
            &site.members,
            Outside { entries: 1, up: u64::MAX, exits: &exits, has_second_entry: false },
            factor,
        ));
    }
    for (stripe, (tree, between)) in trees.iter_mut().zip(&between).enumerate() {
        let entrance = |site: usize| arranged[site][stripe].roots.first().map(|&at| sites[site].machines[at]);
        tree.roots = between.roots.iter().filter_map(|&site| entrance(site)).collect();
        for (at, site) in sites.iter().enumerate() {
            let of_site = &arranged[at][stripe];
            tree.add(site, of_site);
            for (&exit, &below) in of_site.exits.iter().zip(&between.children[at]) {
                tree.children.entry(site.machines[exit]).or_default().extend(entrance(below));
            }
        }
    }
    trees
}

impl MachineTree {
    fn add(&mut self, site: &SiteMembers, tree: &Tree) {
        for (&id, children) in site.machines.iter().zip(&tree.children) {
            let children = children.iter().map(|&at| site.machines[at]);
            self.children.entry(id).or_default().extend(children);
        }
    }
}

/// Writes a tree as a list that the server heads.
fn list(server: MachineId, tree: &MachineTree) -> Result<AddresseeList, ListError> {
    let children = |id: MachineId| match id == server {
        true => &tree.roots[..],
        false => tree.children.get(&id).map_or(&[][..], |children| &children[..]),
    };
    let mut order = Vec::new();
    let mut todo = vec![server];
    while let Some(id) = todo.pop() {
        order.push(id);
        todo.extend(children(id).iter().rev());
    }
    let mut sizes = HashMap::<MachineId, u32>::new();
    for &id in order.iter().rev() {
        let below: u32 = children(id).iter().map(|child| sizes[child]).sum();
        sizes.insert(id, below + 1);
    }
    let first = |id| children(id).first().map_or(0, |child| sizes[child]);
    order.into_iter().map(|id| Addressee { id, first: first(id) }).collect::<Vec<_>>().try_into()
}

/// Returns the copies that the busiest machine and the server send: children over all stripes, divided by the stripes.
fn copies_sent(trees: &[MachineTree]) -> (f64, f64) {
    let mut sent = HashMap::<MachineId, usize>::new();
    for (&id, children) in trees.iter().flat_map(|tree| &tree.children) {
        *sent.entry(id).or_default() += children.len();
    }
    let copies = |children: usize| children as f64 / trees.len().max(1) as f64;
    (copies(sent.into_values().max().unwrap_or(0)), copies(trees.iter().map(|tree| tree.roots.len()).sum()))
}

#[cfg(test)]
mod tests;
