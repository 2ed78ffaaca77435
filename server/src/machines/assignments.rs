//! What administrators assign to machines: names, groups and tags. Assignments are stored in one transaction, and machines
//! to which another policy applies afterwards are told at once.
//!
//! Groups and tags exist while something has them. Names of both are compared without upper and lower case, and a new
//! assignment takes the spelling that is in use.

use crate::{
    deployments::{
        policies::GroupPolicies,
        selections::{Selections, group_names},
    },
    identity::{enrolment::check_name, registry::Registry},
    refusal::Refusal,
    store::{Assigned, DeploymentRow, MachineRow, NewAssignment, Store, is_same_name},
};
use banyan_filter::Filter;
use banyan_proto::{
    MachineId, Reason, UnixSeconds,
    admin::{OpenToken, Selection},
    assignments::{
        AssignMachines, AssignedMachines, Assignment, AssignmentError, DeleteAssigned, EditMachines, EditedMachines,
        Group, RenameMachine, RenamedMachine, Tag,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use tracing::info;

/// The most groups of a machine, and the most tags.
const MAX_NAMES: usize = 64;

/// Changes and lists what machines are assigned.
pub(crate) struct Assignments {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) selections: Arc<Selections>,
}

/// Names in use, by their small letters. Databases of earlier versions can have several spellings of a name.
type Spellings = HashMap<String, BTreeSet<String>>;

/// Returns names in the spellings in use, sorted and without repeats. A new name is in use from then on.
fn spell(known: &mut Spellings, names: &[String]) -> Vec<String> {
    let spelling = |name: &String| {
        let known = known.entry(name.to_lowercase()).or_default();
        let spelling = if known.contains(name) { name } else { known.first().unwrap_or(name) }.clone();
        known.insert(spelling.clone());
        spelling
    };
    names.iter().map(spelling).collect::<BTreeSet<_>>().into_iter().collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|own| is_same_name(own, name))
}

impl Assignments {
    /// Changes the groups and tags of the selected machines.
    pub(crate) async fn edit(&self, request: &EditMachines) -> Result<EditedMachines, Refusal> {
        let EditMachines { add_groups, remove_groups, add_tags, remove_tags, .. } = request;
        for (what, add, remove) in [("group", add_groups, remove_groups), ("tag", add_tags, remove_tags)] {
            add.iter().try_for_each(|name| check_name(what, name))?;
            if let Some(name) = remove.iter().find(|name| has(add, name)) {
                return Err(Refusal::bad(format!("the {what} {name:?} cannot be added and removed in one request")));
            }
        }
        if [add_groups, remove_groups, add_tags, remove_tags].iter().all(|names| names.is_empty()) {
            return Err(Refusal::bad("nothing is to be added or removed; name groups or tags"));
        }
        let _changing = self.policies.lock().await;
        let selected = self.selections.find(&request.machines).await?;
        let matched = count(selected.machines.len());
        if let Some(expected) = request.expect.filter(|expected| *expected != matched) {
            let detail = format!("{matched} machines are selected, and {expected} were expected; nothing was changed");
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        }
        let (mut groups, mut tags) = self.spellings();
        let (add_groups, add_tags) = (spell(&mut groups, add_groups), spell(&mut tags, add_tags));
        let change = |names: &[String], add: &[String], remove: &[String]| -> Vec<String> {
            let kept = names.iter().filter(|name| !has(remove, name) && !has(add, name));
            kept.chain(add).cloned().collect::<BTreeSet<_>>().into_iter().collect()
        };
        let assigned = |row: &MachineRow| Assigned {
            groups: change(&row.assigned.groups, &add_groups, remove_groups),
            tags: change(&row.assigned.tags, &add_tags, remove_tags),
            ..row.assigned.clone()
        };
        let wanted = selected.machines.iter().map(|row| (row, assigned(row)));
        let new = self.changes(wanted);
        for one in &new {
            check_number(&one.assigned)
                .map_err(|wrong| Refusal::bad(format!("{}: {wrong}", self.registry.name(one.machine))))?;
        }
        let changed = count(new.len());
        if !request.preview {
            self.apply(new).await?;
        }
        Ok(EditedMachines { matched, changed, unknown: count(selected.unknown.len()) })
    }

    /// Assigns names, groups and tags to machines, each its own.
    pub(crate) async fn assign(&self, request: &AssignMachines) -> Result<AssignedMachines, Refusal> {
        let _changing = self.policies.lock().await;
        let ((mut groups, mut tags), mut errors) = (self.spellings(), Vec::new());
        let (mut wanted, mut places) = (Vec::new(), HashMap::new());
        for (index, assignment) in request.machines.iter().enumerate() {
            match self.assigned(assignment, &mut groups, &mut tags) {
                Ok((row, _)) if places.contains_key(&row.id) => {
                    errors.push(AssignmentError { index, detail: "this machine is named more than once".into() });
                }
                Ok((row, assigned)) => {
                    places.insert(row.id, index);
                    wanted.push((row, assigned));
                }
                Err(detail) => errors.push(AssignmentError { index, detail }),
            }
        }
        errors.extend(self.ambiguous_names(&wanted, &places));
        errors.sort_by_key(|error| error.index);
        let new = self.changes(wanted.iter().map(|(row, assigned)| (row, assigned.clone())));
        let changed = count(new.len());
        if errors.is_empty() && !request.preview {
            self.apply(new).await?;
        }
        Ok(AssignedMachines { changed, errors })
    }

    /// Gives a machine a name.
    pub(crate) async fn rename(&self, machine: &str, request: &RenameMachine) -> Result<RenamedMachine, Refusal> {
        let id = self.registry.find_one(machine)?.id;
        let (name, groups, tags) = (Some(request.name.clone().unwrap_or_default()), None, None);
        if name.as_ref().is_some_and(String::is_empty) && request.name.is_some() {
            return Err(Refusal::bad("the name is empty; leave it out to go back to the machine's label"));
        }
        request.name.iter().try_for_each(|name| check_name("name", name))?;
        let assignment = Assignment { machine: id.to_string(), name, groups, tags };
        let done = self.assign(&AssignMachines { machines: vec![assignment], preview: false }).await?;
        match done.errors.into_iter().next() {
            Some(error) => Err(Refusal::conflict(Reason::BadRequest, error.detail)),
            None => Ok(RenamedMachine { id, name: self.registry.name(id) }),
        }
    }

    /// Returns the groups that have machines, a policy or join codes.
    pub(crate) async fn groups(&self) -> Result<Vec<Group>, Refusal> {
        let (tokens, ranks) = (self.store.open_tokens(UnixSeconds::now()).await?, self.policies.ranks());
        let mut machines = self.count_names(|assigned| &assigned.groups);
        let codes = tokens.iter().filter_map(|token| token.group.as_ref());
        for name in ranks.keys().chain(codes) {
            if !machines.keys().any(|known| is_same_name(known, name)) {
                machines.insert(name.clone(), 0);
            }
        }
        let group = |(name, machines): (String, usize)| Group {
            policy_rank: ranks.iter().find(|(group, _)| is_same_name(group, &name)).map(|(_, rank)| *rank),
            join_codes: join_codes_of(&tokens, &name).map(|token| token.id).collect(),
            machines,
            name,
        };
        Ok(machines.into_iter().map(group).collect())
    }

    /// Returns the tags that machines have.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        let machines = self.count_names(|assigned| &assigned.tags);
        machines.into_iter().map(|(name, machines)| Tag { name, machines }).collect()
    }

    /// Takes a group from all machines, unless its policy, a join code or a deployment uses it.
    pub(crate) async fn delete_group(&self, request: &DeleteAssigned) -> Result<(), Refusal> {
        let _changing = self.policies.lock().await;
        let name = &request.name;
        let tokens = self.store.open_tokens(UnixSeconds::now()).await?;
        let mut uses: Vec<String> = Vec::new();
        if let Some((group, rank)) = self.policies.ranks().iter().find(|(group, _)| is_same_name(group, name)) {
            uses.push(format!("it has a policy of rank {rank} (`banyan policy reset --group {group}` removes it)"));
        }
        uses.extend(join_codes_of(&tokens, name).map(|token| {
            let id = token.id.to_string();
            let id = id.get(..8).unwrap_or_default();
            format!("machines join it with the join code {id} (`banyan tokens revoke {id}` revokes it)")
        }));
        let selects_it = |to: &Selection| match to {
            Selection::Group(group) => is_same_name(group, name),
            Selection::Filter(text) => parsed(text).is_some_and(|filter| filter.names_group(name)),
            Selection::All | Selection::Machines(_) => false,
        };
        uses.extend(self.deployments_with(selects_it).await?);
        self.delete("group", request, uses, |assigned| &mut assigned.groups).await
    }

    /// Names the deployments that machines can join because of what they select. If a part of the selection went, it
    /// could select other machines.
    async fn deployments_with(&self, selects_it: impl Fn(&Selection) -> bool) -> Result<Vec<String>, Refusal> {
        let now = UnixSeconds::now();
        let live = self.store.live_deployments().await?;
        let using = live.iter().filter(|row| row.takes_newcomers(now) && selects_it(&row.request.to));
        let describe = |row: &DeploymentRow| {
            let id = row.id.short();
            format!(
                "machines of it join the deployment {id} of {} {} (`banyan cancel {id}` closes it)",
                row.package, row.version
            )
        };
        Ok(using.map(describe).collect())
    }

    /// Takes a tag from all machines, unless machines join a deployment because of it.
    pub(crate) async fn delete_tag(&self, request: &DeleteAssigned) -> Result<(), Refusal> {
        let _changing = self.policies.lock().await;
        let selects_it = |to: &Selection| match to {
            Selection::Filter(text) => parsed(text).is_some_and(|filter| filter.names_tag(&request.name)),
            Selection::Group(_) | Selection::All | Selection::Machines(_) => false,
        };
        let uses = self.deployments_with(selects_it).await?;
        self.delete("tag", request, uses, |assigned| &mut assigned.tags).await
    }

    async fn delete(
        &self,
        what: &str,
        request: &DeleteAssigned,
        mut uses: Vec<String>,
        names: impl Fn(&mut Assigned) -> &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let DeleteAssigned { name, expect } = request;
        let mut all = self.registry.all();
        all.retain_mut(|row| has(names(&mut row.assigned), name));
        let machines = count(all.iter().filter(|row| row.revoked.is_none()).count());
        if all.is_empty() && uses.is_empty() {
            return Err(Refusal::not_found(format!("there is no {what} {name:?}")));
        }
        let is_refused = !uses.is_empty() || machines != *expect;
        if machines > 0 {
            uses.insert(0, format!("{machines} machines have it (name this number to take it from them)"));
        }
        if is_refused {
            let why =
                if uses.is_empty() { "no machine has it, and others were expected".into() } else { uses.join("; ") };
            return Err(Refusal::conflict(Reason::BadRequest, format!("the {what} {name:?} was not deleted: {why}")));
        }
        let without = |row: &MachineRow| {
            let mut assigned = row.assigned.clone();
            names(&mut assigned).retain(|own| !is_same_name(own, name));
            assigned
        };
        let new = self.changes(all.iter().map(|row| (row, without(row))));
        info!(what, name, machines, "deleted from all machines");
        self.apply(new).await
    }

    /// Returns the names of groups and of tags in use.
    fn spellings(&self) -> (Spellings, Spellings) {
        let by_small_letters = |names: BTreeSet<String>| {
            let mut spellings = Spellings::new();
            for name in names {
                spellings.entry(name.to_lowercase()).or_default().insert(name);
            }
            spellings
        };
        let all = self.registry.all();
        let groups = self.policies.ranks().into_keys().chain(group_names(&all)).collect();
        let tags = all.into_iter().flat_map(|row| row.assigned.tags).collect();
        (by_small_letters(groups), by_small_letters(tags))
    }

    /// Returns a machine, and what it is assigned afterwards.
    fn assigned(
        &self,
        wanted: &Assignment,
        known_groups: &mut Spellings,
        known_tags: &mut Spellings,
    ) -> Result<(MachineRow, Assigned), String> {
        let detail = |refusal: Refusal| refusal.error.detail;
        let row = self.registry.find_one(&wanted.machine).map_err(detail)?;
        let mut assigned = row.assigned.clone();
        if let Some(name) = &wanted.name {
            if !name.is_empty() {
                check_name("name", name).map_err(detail)?;
            }
            assigned.name = Some(name.clone()).filter(|name| !name.is_empty());
        }
        if let Some(groups) = &wanted.groups {
            groups.iter().try_for_each(|name| check_name("group", name)).map_err(detail)?;
            assigned.groups = spell(known_groups, groups);
        }
        if let Some(tags) = &wanted.tags {
            tags.iter().try_for_each(|name| check_name("tag", name)).map_err(detail)?;
            assigned.tags = spell(known_tags, tags);
        }
        check_number(&assigned)?;
        Ok((row, assigned))
    }

    /// Finds new names that other machines have, too. Labels are not refused: machines report them.
    fn ambiguous_names(
        &self,
        wanted: &[(MachineRow, Assigned)],
        places: &HashMap<MachineId, usize>,
    ) -> Vec<AssignmentError> {
        let new: HashMap<MachineId, &Assigned> = wanted.iter().map(|(row, assigned)| (row.id, assigned)).collect();
        let mut owners = HashMap::<String, Vec<MachineId>>::new();
        for row in self.registry.all().into_iter().filter(|row| row.revoked.is_none()) {
            let given = new.get(&row.id).map_or(&row.assigned.name, |assigned| &assigned.name);
            owners.entry(given.as_ref().unwrap_or(&row.label).to_lowercase()).or_default().push(row.id);
        }
        let ambiguous = |(row, assigned): &(MachineRow, Assigned)| {
            let name = assigned.name.as_ref().filter(|_| row.assigned.name != assigned.name)?;
            if name.parse::<MachineId>().is_ok() {
                let detail =
                    format!("{name:?} has the form of a machine's id; choose a name that nobody takes for one");
                return Some(AssignmentError { index: *places.get(&row.id)?, detail });
            }
            let other = owners.get(&name.to_lowercase())?.iter().find(|id| **id != row.id)?;
            let detail = format!("machine {} has the name {name:?}, too", other.short());
            Some(AssignmentError { index: *places.get(&row.id)?, detail })
        };
        wanted.iter().filter_map(ambiguous).collect()
    }

    /// Returns what changes for machines that are to be assigned this.
    fn changes<'a>(&self, wanted: impl Iterator<Item = (&'a MachineRow, Assigned)>) -> Vec<NewAssignment> {
        let changed = wanted.filter(|(row, assigned)| row.assigned != *assigned);
        let change = |(row, assigned): (&MachineRow, Assigned)| NewAssignment {
            machine: row.id,
            changes_policy: self.policies.differ(&row.assigned.groups, &assigned.groups),
            assigned,
        };
        changed.map(change).collect()
    }

    async fn apply(&self, new: Vec<NewAssignment>) -> Result<(), Refusal> {
        if new.is_empty() {
            return Ok(());
        }
        let stored = self.store.assign(new, UnixSeconds::now()).await?;
        info!(machines = stored.len(), "names, groups or tags of machines changed");
        let told: HashSet<MachineId> = stored.iter().filter(|one| one.changes_policy).map(|one| one.machine).collect();
        for one in stored {
            self.registry.set_assigned(one.machine, one.assigned);
        }
        if !told.is_empty() {
            self.policies.announce(told);
        }
        Ok(())
    }

    /// Counts the machines of each name, without revoked ones.
    fn count_names(&self, names: impl Fn(&Assigned) -> &Vec<String>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in self.registry.all().into_iter().filter(|row| row.revoked.is_none()) {
            for name in names(&row.assigned) {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        counts
    }
}

/// Parses the filter of a deployment. Groups and sites that it names may be gone.
fn parsed(text: &str) -> Option<Filter> {
    Filter::parse(text, &|_: &str, _: &str| Ok(())).ok()
}

fn check_number(assigned: &Assigned) -> Result<(), String> {
    if assigned.groups.len() > MAX_NAMES || assigned.tags.len() > MAX_NAMES {
        return Err(format!("a machine has at most {MAX_NAMES} groups and {MAX_NAMES} tags"));
    }
    Ok(())
}

fn join_codes_of<'a>(tokens: &'a [OpenToken], group: &'a str) -> impl Iterator<Item = &'a OpenToken> {
    tokens.iter().filter(move |token| token.group.as_ref().is_some_and(|own| is_same_name(own, group)))
}
