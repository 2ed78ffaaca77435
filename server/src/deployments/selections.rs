//! Selections: which machines all, a group, names or a filter select.
//!
//! A filter has three answers for a machine. Those for which it says neither yes nor no are not selected; they are
//! counted, so that an administrator learns of them. `docs/filters.md` explains the language.

use crate::{
    access::scope::Scope,
    deployments::{
        named_sites::{NamedSites, SiteNames},
        policies::GroupPolicies,
    },
    identity::registry::{ObservedMachine, Registry},
    net::connections::Connections,
    refusal::Refusal,
    store::{InstalledRow, MachineRow, Store, is_same_name},
};
use banyan_filter::{Filter, FilterError, Machine, Rate, Truth};
use banyan_proto::{
    Address, AddressRange, MachineId, MeasuredRate, Reach, Site, UnixSeconds, admin::Selection,
    assignments::PROTECTED_TAG,
};
use banyan_swarm::known_rates;
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Most groups or sites that an error names.
pub(super) const MAX_NAMED: usize = 10;

/// Finds machines.
pub(crate) struct Selections {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) sites: Arc<NamedSites>,
}

/// The machines that were found, oldest first. Excluded and protected ones are among them.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) machines: Vec<MachineRow>,
    /// Those for which the filter has no answer, because something about them is not known.
    pub(crate) unknown: Vec<MachineRow>,
    /// Whether the selection names the protected machines that it selects.
    pub(crate) names_protected: bool,
}

impl Selections {
    /// Finds the selected machines.
    pub(crate) async fn find(&self, selection: &Selection) -> Result<Selected, Refusal> {
        let only = |machines| Selected { machines, unknown: vec![], names_protected: false };
        match selection {
            Selection::All => Ok(only(self.registry.all())),
            Selection::Group(group) => {
                let mut machines = self.registry.all();
                machines.retain(|row| row.assigned.is_in(group));
                Ok(only(machines))
            }
            Selection::Machines(names) => {
                let mut machines: Vec<MachineRow> = Vec::new();
                let mut found = BTreeSet::new();
                for name in names {
                    let row = self.registry.find_one(name)?;
                    if found.insert(row.id) {
                        machines.push(row);
                    }
                }
                Ok(Selected { names_protected: true, ..only(machines) })
            }
            Selection::Filter(text) => self.matching(text).await,
        }
    }

    /// Limits a selection to the machines of a scope. The result says so itself, so it stays limited wherever it is used
    /// or stored. Names of other machines and groups are refused as if they did not exist.
    pub(crate) fn narrow(&self, selection: Selection, scope: &Scope) -> Result<Selection, Refusal> {
        let Scope::Groups(groups) = scope else { return Ok(selection) };
        let visible = self.registry.all_in(scope);
        let is_used = |group: &&String| visible.iter().any(|row| row.assigned.is_in(group));
        let used: Vec<String> =
            groups.iter().filter(is_used).map(|group| format!("group = {}", quote(group))).collect();
        let limit = used.join(" or ");
        let none = || Refusal::not_found("no machine is in the groups that your token is for");
        match selection {
            Selection::Machines(names) => {
                let find = |name: &String| Ok(self.registry.find_one_in(name, scope)?.id.to_string());
                Ok(Selection::Machines(names.iter().map(find).collect::<Result<_, Refusal>>()?))
            }
            Selection::Group(group) if scope.has_group(&group) => Ok(Selection::Group(group)),
            Selection::Group(group) => {
                if !visible.iter().any(|row| row.assigned.is_in(&group)) {
                    let others = group_names(&visible);
                    let others = describe_names(others.iter().map(String::as_str));
                    return Err(Refusal::not_found(format!("no machine is in the group {group:?}{others}")));
                }
                Ok(Selection::Filter(format!("group = {} and ({limit})", quote(&group))))
            }
            Selection::All if limit.is_empty() => Err(none()),
            Selection::All => Ok(Selection::Filter(limit)),
            Selection::Filter(text) => {
                // Read by itself first: its parentheses match, so nothing of it can reach past those around it.
                self.parse_among(&text, &visible, false)?;
                if limit.is_empty() {
                    return Err(none());
                }
                let is_all = text.trim().eq_ignore_ascii_case("all");
                Ok(Selection::Filter(if is_all { limit } else { format!("({text}) and ({limit})") }))
            }
        }
    }

    /// Finds the machines that a filter selects.
    pub(crate) async fn matching(&self, text: &str) -> Result<Selected, Refusal> {
        let all = self.registry.all();
        let filter = self.parse(text, &all)?;
        let facts = self.facts(&filter).await?;
        let names_protected = filter.names_tag(PROTECTED_TAG);
        let mut selected = Selected { machines: vec![], unknown: vec![], names_protected };
        for row in all {
            let (observed, online) = (self.registry.observed(row.id), self.connections.is_online(row.id));
            match facts.answer(&filter, &row, observed, online) {
                Truth::Yes => selected.machines.push(row),
                Truth::Unknown => selected.unknown.push(row),
                Truth::No => {}
            }
        }
        Ok(selected)
    }

    /// Parses a filter. Groups and sites that do not exist are errors: with `not`, they would select every machine.
    fn parse(&self, text: &str, all: &[MachineRow]) -> Result<Filter, Refusal> {
        self.parse_among(text, all, true)
    }

    /// Parses a filter. With `with_empty_groups`, groups that have a policy and no machine exist, too.
    fn parse_among(&self, text: &str, all: &[MachineRow], with_empty_groups: bool) -> Result<Filter, Refusal> {
        let sites = self.sites.names();
        let check = |field: &str, value: &str| match field {
            "group" => self.check_group(value, all, with_empty_groups),
            "site" if sites.has(value) || value.parse::<Site>().is_ok_and(|site| site.to_string() == value) => Ok(()),
            "site" if value.parse::<AddressRange>().is_ok() => Err(format!(
                "`{value}` is no site, which is a subnet such as 10.1.2.0/24 or 2001:db8:0:1::/64; write address = {value}"
            )),
            "site" => Err(format!("no site has the name `{value}`{}", describe_names(sites.names()))),
            _ => Ok(()),
        };
        Filter::parse(text, &check).map_err(|error| wrong_filter(&error, text))
    }

    fn check_group(&self, group: &str, all: &[MachineRow], with_empty: bool) -> Result<(), String> {
        let has_policy = || self.policies.ranks().keys().any(|known| is_same_name(known, group));
        let is_known = all.iter().any(|row| row.assigned.is_in(group)) || (with_empty && has_policy());
        if is_known {
            return Ok(());
        }
        let groups = group_names(all);
        Err(format!("there is no group `{group}`{}", describe_names(groups.iter().map(String::as_str))))
    }

    /// Reads what a filter asks for beside the machines' rows.
    async fn facts(&self, filter: &Filter) -> Result<Facts, Refusal> {
        let mut versions = HashMap::new();
        for package in filter.packages() {
            // Names of packages have small letters only.
            for InstalledRow { machine, package, version } in self.store.installed(&package.to_lowercase()).await? {
                versions.insert((machine, package), version);
            }
        }
        Ok(Facts { now: UnixSeconds::now(), sites: self.sites.names(), versions })
    }
}

/// Returns the names of all groups that have machines.
pub(crate) fn group_names(all: &[MachineRow]) -> BTreeSet<String> {
    all.iter().flat_map(|row| row.assigned.groups.iter().cloned()).collect()
}

/// Writes a text as a filter does, so that it stands for itself.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Lists some names for an error.
pub(super) fn describe_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let first = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => String::new(),
        1..=MAX_NAMED => format!("; there are: {first}"),
        more => format!("; there are {more}, such as {first}"),
    }
}

fn wrong_filter(error: &FilterError, text: &str) -> Refusal {
    Refusal::bad(format!("the filter is wrong at byte {}:\n{}", error.at(), error.explain(text)))
}

/// What filters ask for beside the machines' rows.
struct Facts {
    now: UnixSeconds,
    sites: SiteNames,
    versions: HashMap<(MachineId, String), String>,
}

impl Facts {
    fn answer(&self, filter: &Filter, row: &MachineRow, observed: ObservedMachine, online: bool) -> Truth {
        let sites = Site::deciding_address(&row.addresses).map(|ip| self.sites.around(ip)).unwrap_or_default();
        let addresses: Vec<IpAddr> = Address::sockets(&row.addresses).map(|socket| socket.ip()).collect();
        let age = |since: UnixSeconds| Some(self.now.0.saturating_sub(since.0));
        let rate = |known| known_rates::current(known, self.now).map(bits);
        let id = row.id.to_string();
        filter.test(&Machine {
            name: row.name(),
            label: &row.label,
            id: &id,
            groups: &row.assigned.groups,
            tags: &row.assigned.tags,
            sites: &sites,
            addresses: &addresses,
            platform: Some(&row.platform),
            agent: agent_version(&row.software),
            seen: if online { Some(0) } else { age(row.seen) },
            enrolled: age(row.enrolled),
            online,
            excluded: row.exclusion().is_some(),
            receives: rate(row.rates.down),
            sends: rate(row.rates.up),
            clock: observed.clock_ahead.map(i64::unsigned_abs),
            reach: (!row.reach.is_empty()).then(|| match row.reach.reach(self.now) {
                Reach::Everyone => "everyone",
                Reach::OwnSite => "own-site",
                Reach::Nobody => "nobody",
            }),
            version: &|package| self.versions.get(&(row.id, package.to_lowercase())).map(String::as_str),
        })
    }
}

/// Returns a rate in bits a second.
fn bits(MeasuredRate { at_least, at_most, .. }: MeasuredRate) -> Rate {
    Rate { at_least: at_least.saturating_mul(8), at_most: at_most.map(|most| most.saturating_mul(8)) }
}

/// Returns the version in what an agent says of itself, such as `banyan-agent 0.1.0`.
fn agent_version(software: &str) -> Option<&str> {
    software.split_whitespace().last().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}
