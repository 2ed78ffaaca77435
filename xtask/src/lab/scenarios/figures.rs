//! The figures of a run, and the medians of several.

use super::{assignment::Assignment, transfer::Transfer};
use crate::lab::network::{traffic_meter::Reading, virtual_network::Host};
use serde::Serialize;

/// Bytes on a link for each byte of content, over TLS 1.3 in frames of 1500 bytes. Acknowledgements are not included.
const WIRE_PER_PAYLOAD: f64 = 1.047;

/// One run of a scenario with one scheme.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    /// Banyan or a rival.
    pub(crate) scheme: &'static str,
    /// The first deployment is 1.
    pub(crate) deployment: u8,
    pub(crate) seed: u64,
    /// Who deviates, and what happened when.
    pub(crate) circumstances: Vec<String>,
    pub(crate) bytes: u64,
    /// The file's size over the nominal rate (seconds).
    pub(crate) unit: f64,
    pub(crate) machines: Vec<MachineRun>,
    pub(crate) server_copies: f64,
    /// Copies received over each site's uplink.
    pub(crate) uplink_copies: Vec<f64>,
    /// The busy share of the processors' time, 0 to 1.
    pub(crate) busy: f64,
    /// The share of it that the lab used itself, if it was counted.
    pub(crate) own: Option<f64>,
}

/// How one machine did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MachineRun {
    pub(crate) label: String,
    pub(crate) role: Role,
    /// When it held the file; `None` if it did not before the lab gave up.
    pub(crate) seconds: Option<f64>,
    /// The least time in which it can hold the file, whatever the scheme (seconds).
    pub(crate) bound: f64,
    /// The same if the server sends one copy only (seconds).
    pub(crate) one_copy_bound: f64,
    /// The file's size over the rate of its own link (seconds).
    pub(crate) own_link: f64,
    /// Copies on its link, acknowledgements included.
    pub(crate) sent_copies: f64,
    pub(crate) received_copies: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    Fast,
    /// The link is slow from the start.
    Slow,
    /// The link became slow, or the machine was killed: not waited for.
    Disturbed,
}

impl Run {
    /// Creates the figures from the times of the machines and the readings of their links.
    pub(super) fn new(
        facts: &RunFacts<'_>,
        transfer: Transfer<'_>,
        hosts: &[Host],
        assignment: &Assignment,
        seconds: &[Option<f64>],
        reading: &Reading,
    ) -> Self {
        let Transfer { size: bytes, unit, disturbed, circumstances, .. } = transfer;
        let copies = |wire: u64| wire as f64 / WIRE_PER_PAYLOAD / bytes as f64;
        let machine = |(number, host): (usize, &Host)| MachineRun {
            label: host.label.clone(),
            role: match () {
                () if disturbed.contains(&number) => Role::Disturbed,
                () if assignment.slow.contains(&number) => Role::Slow,
                () => Role::Fast,
            },
            seconds: seconds[number],
            bound: assignment.fluid_bound(number, bytes),
            one_copy_bound: assignment.one_copy_bound(number, bytes),
            own_link: assignment.plan.machines[number].link.down.seconds(bytes),
            sent_copies: copies(reading.machines[number].sent),
            received_copies: copies(reading.machines[number].received),
        };
        Self {
            scenario: facts.scenario.to_owned(),
            scheme: facts.scheme,
            deployment: facts.deployment,
            seed: assignment.seed,
            circumstances,
            bytes,
            unit,
            machines: hosts.iter().enumerate().map(machine).collect(),
            server_copies: copies(reading.server.sent),
            uplink_copies: reading.uplinks.iter().map(|uplink| copies(uplink.received)).collect(),
            busy: reading.busy,
            own: reading.own,
        }
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &MachineRun> {
        self.machines.iter().filter(move |machine| machine.role == role)
    }

    /// Returns the figures of the table's row.
    pub(crate) fn summary(&self) -> Summary {
        let last_fast = worst(self.of_role(Role::Fast).map(|machine| machine.seconds));
        let bound = self.of_role(Role::Fast).map(|machine| machine.bound).fold(0.0, f64::max);
        let one_copy = self.of_role(Role::Fast).map(|machine| machine.one_copy_bound).fold(0.0, f64::max);
        let ratio = |machine: &MachineRun, to: f64| machine.seconds.map(|seconds| seconds / to);
        let mut own: Vec<f64> = self
            .machines
            .iter()
            .filter(|machine| machine.role != Role::Disturbed)
            .map(|machine| ratio(machine, machine.bound).unwrap_or(f64::INFINITY))
            .collect();
        Summary {
            seconds: last_fast,
            units: last_fast.map(|seconds| seconds / self.unit),
            of_bound: last_fast.map(|seconds| seconds / bound),
            of_one_copy: last_fast.map(|seconds| seconds / one_copy),
            slow: worst(self.of_role(Role::Slow).map(|machine| ratio(machine, machine.own_link))),
            own_median: finite(median(&mut own)),
            own_worst: finite(own.last().copied()),
            server_copies: Some(self.server_copies),
            most_copies: self.machines.iter().map(|machine| machine.sent_copies).reduce(f64::max),
            uplink_copies: self.uplink_copies.iter().copied().reduce(f64::max),
            busy: Some(self.busy),
        }
    }
}

/// What a run is about.
pub(crate) struct RunFacts<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) scheme: &'static str,
    pub(crate) deployment: u8,
}

/// The figures of a row. `None`: does not apply, or not everyone finished.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Until the last fast machine held the file.
    pub(crate) seconds: Option<f64>,
    pub(crate) units: Option<f64>,
    /// Divided by the fluid bound.
    pub(crate) of_bound: Option<f64>,
    /// Divided by the fluid bound if the server sends one copy only.
    pub(crate) of_one_copy: Option<f64>,
    /// The worst slow machine's time divided by that of its own link.
    pub(crate) slow: Option<f64>,
    /// Each machine's time divided by its own bound: median and worst.
    pub(crate) own_median: Option<f64>,
    pub(crate) own_worst: Option<f64>,
    pub(crate) server_copies: Option<f64>,
    /// Copies sent by the machine that sent most.
    pub(crate) most_copies: Option<f64>,
    /// Copies over the uplink that carried most.
    pub(crate) uplink_copies: Option<f64>,
    pub(crate) busy: Option<f64>,
}

impl Summary {
    /// Returns the median of each figure. A run that lacks a figure counts as the worst.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| {
            let mut all: Vec<f64> = runs.iter().map(|run| figure(run).unwrap_or(f64::INFINITY)).collect();
            finite(median(&mut all))
        };
        Self {
            seconds: of(|run| run.seconds),
            units: of(|run| run.units),
            of_bound: of(|run| run.of_bound),
            of_one_copy: of(|run| run.of_one_copy),
            slow: of(|run| run.slow),
            own_median: of(|run| run.own_median),
            own_worst: of(|run| run.own_worst),
            server_copies: of(|run| run.server_copies),
            most_copies: of(|run| run.most_copies),
            uplink_copies: of(|run| run.uplink_copies),
            busy: of(|run| run.busy),
        }
    }
}

/// Sorts and returns the median.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// Returns the largest value; `None` if there is none, or one is missing.
fn worst(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_count_an_unfinished_run_as_the_worst() {
        let run = |seconds| Summary {
            seconds,
            units: None,
            of_bound: None,
            of_one_copy: None,
            slow: None,
            own_median: None,
            own_worst: None,
            server_copies: Some(1.0),
            most_copies: None,
            uplink_copies: None,
            busy: None,
        };
        let median_of =
            |all: &[Option<f64>]| Summary::median(&all.iter().copied().map(run).collect::<Vec<_>>()).seconds;
        assert_eq!(median_of(&[Some(3.0), None, Some(1.0)]), Some(3.0));
        assert_eq!(median_of(&[Some(3.0), None, None]), None);
        assert_eq!(median_of(&[Some(3.0), Some(1.0)]), Some(2.0));
        assert_eq!(worst([Some(1.0), None].into_iter()), None);
    }
}
