//! The displayed state of a deployment: the planned tree of the first stripe, each machine's progress, and the actual
//! sources of its content.

use crate::output::sanitise;
use banyan_proto::{
    MachineId, Reason, ServerCopies,
    admin::{AddresseeStatus, DeploymentState, DeploymentStatus, Stage},
    api::ByteSource,
    limits,
};
use std::collections::{HashMap, HashSet};

/// Maximum length of a displayed name (characters).
const MAX_NAME_CHARS: usize = 24;

/// A deployment as displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeView {
    /// Package and version.
    pub(crate) release: String,
    /// The deployment's id, shortened.
    pub(crate) id: String,
    /// The deployment's state.
    pub(crate) state: DeploymentState,
    /// Size of the artifact (bytes).
    pub(crate) size: u64,
    /// Number of stripes.
    pub(crate) stripes: u8,
    /// Content bytes sent by the server itself.
    pub(crate) server_sent: u64,
    /// How many copies the server may send.
    pub(crate) server_copies: ServerCopies,
    /// The machines, each below its planned source of the first stripe.
    pub(crate) rows: Vec<MachineRow>,
}

/// One machine's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineRow {
    /// For each level from the server down to this machine: whether it is the last entry of that level.
    pub(crate) is_last: Vec<bool>,
    /// The machine's identifier.
    pub(crate) id: MachineId,
    /// The machine's name, cleaned and shortened.
    pub(crate) name: String,
    /// The machine's progress.
    pub(crate) stage: Stage,
    /// Chunks received.
    pub(crate) chunks_received: u32,
    /// Chunks in total.
    pub(crate) chunks_total: u32,
    /// The actual sources, largest first; the planned ones before any content has arrived.
    pub(crate) sources: ContentSources,
    /// What holds the machine up.
    pub(crate) problem: Option<Problem>,
    /// Time from the acceptance of the deployment to the successful install here (milliseconds).
    pub(crate) installed_after: Option<u64>,
}

impl MachineRow {
    /// Returns whether a newer deployment took the machine over, so that nothing has failed here.
    pub(crate) fn is_replaced(&self) -> bool {
        self.stage == Stage::Failed
            && self.problem.as_ref().is_some_and(|problem| problem.reason == Reason::OrderSuperseded)
    }
    /// Returns whether the deployment was cancelled before the machine had begun to install.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.stage == Stage::Failed && self.problem.as_ref().is_some_and(|problem| problem.reason == Reason::Cancelled)
    }
}

/// What holds a machine up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    /// Details; may be empty.
    pub(crate) detail: String,
}

/// Where a machine's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentSources {
    /// Nothing has arrived yet; these machines are planned, one name a stripe.
    Planned(Vec<String>),
    /// The machine had all of it before this deployment.
    Held,
    /// These machines sent it.
    Sent(Vec<SourceShare>),
}

/// One source's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceShare {
    /// The source's name.
    pub(crate) name: String,
    /// Its share of all bytes received (percent).
    pub(crate) percent: u8,
    /// Whether it substitutes for the planned source.
    pub(crate) stand_in: bool,
}

impl TreeView {
    /// Builds the view. Accepts any status, even if the plan names unknown machines or contains a cycle: such machines
    /// appear directly below the server.
    pub(crate) fn from_status(status: &DeploymentStatus) -> Self {
        let names = MachineNames::from_status(status);
        let rows = in_tree_order(&status.addressees)
            .into_iter()
            .map(|(index, last)| build_row(&status.addressees[index], last, &names))
            .collect();
        Self {
            release: sanitise(&format!("{} {}", status.package, status.version)),
            id: status.id.short(),
            state: status.state,
            size: status.size,
            stripes: status.stripes,
            server_sent: status.server_sent,
            server_copies: status.server_copies,
            rows,
        }
    }
    /// Returns how many machines a newer deployment took over.
    pub(crate) fn replaced(&self) -> usize {
        self.rows.iter().filter(|row| row.is_replaced()).count()
    }
    /// Returns how many machines have not begun to install before the deployment was cancelled.
    pub(crate) fn cancelled(&self) -> usize {
        self.rows.iter().filter(|row| row.is_cancelled()).count()
    }
    /// Returns how many machines are at each stage, in display order, without replaced and cancelled ones. Stages without machines
    /// are omitted.
    pub(crate) fn counts(&self) -> Vec<(Stage, usize)> {
        [
            Stage::Installed,
            Stage::Installing,
            Stage::Authenticated,
            Stage::Verified,
            Stage::Receiving,
            Stage::Expected,
            Stage::Failed,
        ]
        .into_iter()
        .map(|stage| {
            let is_there = |row: &&MachineRow| row.stage == stage && !row.is_replaced() && !row.is_cancelled();
            (stage, self.rows.iter().filter(is_there).count())
        })
        .filter(|(_, count)| *count > 0)
        .collect()
    }
}

/// The names of the machines in one deployment.
pub(crate) struct MachineNames<'a> {
    server: MachineId,
    labels: HashMap<MachineId, &'a str>,
}

impl<'a> MachineNames<'a> {
    pub(crate) fn from_status(status: &'a DeploymentStatus) -> Self {
        let labels = status.addressees.iter().map(|machine| (machine.id, machine.label.as_str())).collect();
        Self { server: status.server, labels }
    }
    /// Returns the label (cleaned and shortened), `server`, or the first digits of the id.
    pub(crate) fn name(&self, id: MachineId) -> String {
        if id == self.server {
            return "server".into();
        }
        match self.labels.get(&id) {
            Some(label) if !label.trim().is_empty() => shorten(label),
            _ => id.short(),
        }
    }
}

fn shorten(label: &str) -> String {
    let label = sanitise(label).replace('\n', " ");
    if label.chars().count() <= MAX_NAME_CHARS {
        label
    } else {
        label.chars().take(MAX_NAME_CHARS - 1).chain(['…']).collect()
    }
}

/// Returns the machines in tree order, each with the `is_last` flags of its levels.
fn in_tree_order(addressees: &[AddresseeStatus]) -> Vec<(usize, Vec<bool>)> {
    let index: HashMap<MachineId, usize> = addressees.iter().enumerate().map(|(i, machine)| (machine.id, i)).collect();
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (i, machine) in addressees.iter().enumerate() {
        let parent = machine.planned.first().and_then(|parent| index.get(parent)).copied();
        children.entry(parent).or_default().push(i);
    }
    let roots = find_roots(addressees.len(), &children);
    let mut rows = Vec::with_capacity(addressees.len());
    let mut seen = HashSet::new();
    let mut open: Vec<(usize, Vec<bool>)> = Vec::new();
    let push = |open: &mut Vec<_>, below: &[usize], last: &[bool]| {
        for (place, child) in below.iter().enumerate().rev() {
            let mut last = last.to_vec();
            // A valid plan is far less deep. The limit keeps an invalid one from exhausting memory.
            if last.len() < limits::LIST_DEPTH {
                last.push(place + 1 == below.len());
            }
            open.push((*child, last));
        }
    };
    push(&mut open, &roots, &[]);
    while let Some((i, last)) = open.pop() {
        if seen.insert(i) {
            push(&mut open, children.get(&Some(i)).map_or(&[], Vec::as_slice), &last);
            rows.push((i, last));
        }
    }
    rows
}

/// Returns the machines directly below the server: those planned there, and one of every cycle.
fn find_roots(count: usize, children: &HashMap<Option<usize>, Vec<usize>>) -> Vec<usize> {
    let mut roots = children.get(&None).cloned().unwrap_or_default();
    let mut reached = vec![false; count];
    let mut open = roots.clone();
    for next in 0..=count {
        while let Some(i) = open.pop() {
            if !std::mem::replace(&mut reached[i], true) {
                open.extend(children.get(&Some(i)).into_iter().flatten());
            }
        }
        if next < count && !reached[next] {
            roots.push(next);
            open.push(next);
        }
    }
    roots
}

fn build_row(machine: &AddresseeStatus, is_last: Vec<bool>, names: &MachineNames<'_>) -> MachineRow {
    let total: u64 = machine.sources.iter().map(|source| source.bytes).sum();
    let sources = if total == 0 && machine.verified_after.is_some() {
        ContentSources::Held
    } else if total == 0 {
        let mut planned: Vec<String> = machine.planned.iter().map(|id| names.name(*id)).collect();
        planned.dedup();
        ContentSources::Planned(planned)
    } else {
        let mut sources: Vec<&ByteSource> = machine.sources.iter().filter(|source| source.bytes > 0).collect();
        sources.sort_by_key(|source| (std::cmp::Reverse(source.bytes), source.machine));
        let share = |source: &&ByteSource| SourceShare {
            name: names.name(source.machine),
            percent: rounded_percent(source.bytes, total),
            stand_in: !machine.planned.contains(&source.machine),
        };
        ContentSources::Sent(sources.iter().map(share).collect())
    };
    let detail = machine.detail.as_deref().map(sanitise).unwrap_or_default();
    MachineRow {
        is_last,
        id: machine.id,
        name: names.name(machine.id),
        stage: machine.stage,
        chunks_received: machine.chunks.0,
        chunks_total: machine.chunks.1,
        sources,
        // The reason no longer matters once a machine has succeeded.
        problem: machine.reason.filter(|_| machine.stage != Stage::Installed).map(|reason| Problem { reason, detail }),
        installed_after: machine.installed_after,
    }
}

/// Returns a share in percent, rounded to the nearest.
pub(crate) fn rounded_percent(part: u64, whole: u64) -> u8 {
    let percent = (u128::from(part) * 200 + u128::from(whole)) / (u128::from(whole.max(1)) * 2);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{PlannedSource, id, status};

    /// Returns names and depths, in display order.
    fn shape(view: &TreeView) -> Vec<(&str, usize)> {
        view.rows.iter().map(|row| (row.name.as_str(), row.is_last.len())).collect()
    }

    #[test]
    fn machines_stand_below_their_planned_senders_in_the_order_of_the_list() {
        let view = TreeView::from_status(&status(&[
            ("a", PlannedSource::Server),
            ("b", PlannedSource::Of("a")),
            ("c", PlannedSource::Of("b")),
            ("d", PlannedSource::Of("a")),
        ]));
        assert_eq!(shape(&view), [("a", 1), ("b", 2), ("c", 3), ("d", 2)]);
        let last: Vec<_> = view.rows.iter().map(|row| row.is_last.clone()).collect();
        assert_eq!(last, [vec![true], vec![true, false], vec![true, false, true], vec![true, true]]);
    }

    #[test]
    fn plans_that_make_no_sense_lose_nobody() {
        let circle = [
            ("a", PlannedSource::Of("b")),
            ("b", PlannedSource::Of("a")),
            ("c", PlannedSource::Of("c")),
            ("d", PlannedSource::Nobody),
            ("e", PlannedSource::Stranger),
        ];
        let view = TreeView::from_status(&status(&circle));
        let mut names: Vec<_> = view.rows.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_plan_of_ten_thousand_in_one_chain_is_drawn_with_bounded_depth() {
        let labels: Vec<String> = (0..10_000).map(|i| format!("m{i}")).collect();
        let plan: Vec<(&str, PlannedSource<'_>)> = labels
            .iter()
            .enumerate()
            .map(|(i, label)| {
                (label.as_str(), if i == 0 { PlannedSource::Server } else { PlannedSource::Of(&labels[i - 1]) })
            })
            .collect();
        let view = TreeView::from_status(&status(&plan));
        assert_eq!(view.rows.len(), 10_000);
        assert!(view.rows.iter().all(|row| row.is_last.len() <= limits::LIST_DEPTH));
    }

    #[test]
    fn sources_are_real_senders_with_their_shares_and_stand_ins_are_marked() {
        let mut status = status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a"))]);
        assert_eq!(TreeView::from_status(&status).rows[1].sources, ContentSources::Planned(vec!["a".into()]));
        status.addressees[1].sources =
            vec![ByteSource { machine: id("server"), bytes: 1 }, ByteSource { machine: id("a"), bytes: 2 }];
        let share = |name: &str, percent, stand_in| SourceShare { name: name.into(), percent, stand_in };
        let expected = ContentSources::Sent(vec![share("a", 67, false), share("server", 33, true)]);
        assert_eq!(TreeView::from_status(&status).rows[1].sources, expected);
    }

    #[test]
    fn labels_cannot_steer_the_terminal_or_flood_it() {
        let view = TreeView::from_status(&status(&[
            ("x\u{1b}[2J\ny", PlannedSource::Server),
            (&"long".repeat(20), PlannedSource::Server),
            (" ", PlannedSource::Server),
        ]));
        assert_eq!(view.rows[0].name, "x\u{fffd}[2J y");
        assert_eq!(view.rows[1].name.chars().count(), MAX_NAME_CHARS);
        assert_eq!(view.rows[2].name, id(" ").short());
    }

    #[test]
    fn percentages_are_rounded_and_never_overflow() {
        assert_eq!(
            [rounded_percent(0, 0), rounded_percent(1, 3), rounded_percent(2, 3), rounded_percent(9, 3)],
            [0, 33, 67, 100]
        );
        assert_eq!(rounded_percent(u64::MAX, u64::MAX), 100);
    }
}
