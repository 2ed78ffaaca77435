//! What Banyan promises for unequal networks, and `cargo xtask lab --promises`, which measures it: each network several
//! times, with other machines picked, and some beside rivals. The table has medians.

use super::{
    figures::Summary,
    rival_run::Rival,
    scenario::Scenario,
    table::{BUSY, Results, number},
};
use crate::lab::{Options, report};
use anyhow::{Result, anyhow, bail};
use std::path::Path;

/// The name of the scheme in tables.
const BANYAN: &str = "Banyan";
/// The name of the table's place in docs/numbers.md.
const PLACE: &str = "promises";

/// A network, and what is promised for it.
#[derive(Debug, PartialEq)]
pub(crate) struct Network {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// The scenario, in the words of `--scenario`.
    scenario: &'static str,
    pub(crate) machines: u8,
    /// The nominal rate of a link (Mbit/s).
    pub(crate) mbit: f64,
    /// The size of the file (MiB).
    pub(crate) mib: u64,
    pub(crate) deployments: u8,
    /// How many copies the server may send, as in `banyan deploy`.
    pub(crate) server_copies: &'static str,
    pub(crate) runs: u8,
    pub(crate) rivals: &'static [Rival],
    /// The undisturbed network that this one is compared with.
    equal: &'static str,
    promises: &'static [Promise],
}

/// The most that a figure may be, in one of the deployments.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Promise {
    deployment: u8,
    figure: Figure,
    at_most: f64,
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    /// The last fast machine's time, in units.
    Units,
    /// The same, divided by that of the undisturbed network.
    OfEqual,
    /// The same, divided by the fluid bound.
    OfBound,
    /// The same, divided by the fluid bound if the server sends one copy.
    OfOneCopy,
    /// The same, divided by libtorrent's.
    OfRival,
    /// The worst slow machine's time, divided by that of its own link.
    Slow,
    /// The median of each machine's time, divided by its own bound.
    OwnMedian,
    /// The worst of all runs.
    OwnWorst,
    ServerCopies,
    MostCopies,
    UplinkCopies,
}

/// The columns, with their titles.
const COLUMNS: [(Figure, &str); 11] = [
    (Figure::Units, "units"),
    (Figure::OfEqual, "× equal"),
    (Figure::OfBound, "× bound"),
    (Figure::OfOneCopy, "× bound with one copy"),
    (Figure::OfRival, "× libtorrent"),
    (Figure::Slow, "slow ones × own link"),
    (Figure::OwnMedian, "each × own bound: median"),
    (Figure::OwnWorst, "worst"),
    (Figure::ServerCopies, "copies: server"),
    (Figure::MostCopies, "most by a machine"),
    (Figure::UplinkCopies, "over an uplink"),
];

const fn at_most(figure: Figure, at_most: f64) -> Promise {
    Promise { deployment: 1, figure, at_most }
}
const fn second(figure: Figure, at_most: f64) -> Promise {
    Promise { deployment: 2, figure, at_most }
}
/// What the server may send, and the machine that sends most.
const fn copies(server: f64) -> Promise {
    at_most(Figure::ServerCopies, server)
}
const MOST: Promise = at_most(Figure::MostCopies, 1.5);

const LIBTORRENT: &[Rival] = &[Rival::Libtorrent];

const NETWORK: Network = Network {
    name: "",
    scenario: "equal",
    machines: 16,
    mbit: 20.0,
    mib: 64,
    deployments: 1,
    server_copies: "1",
    runs: 3,
    rivals: &[],
    equal: "equal",
    promises: &[],
};

use Figure::{MostCopies, OfBound, OfEqual, OfOneCopy, OfRival, OwnMedian, OwnWorst, Slow, Units, UplinkCopies};

/// All networks. One that others are compared with comes before them.
static NETWORKS: [Network; 21] = [
    Network {
        name: "equal",
        rivals: &[Rival::Libtorrent, Rival::Aria2],
        promises: &[at_most(Units, 1.12), copies(1.05), at_most(MostCopies, 1.05)],
        ..NETWORK
    },
    Network { name: "equal-32", machines: 32, mbit: 10.0, promises: &[at_most(Units, 1.12), copies(1.05)], ..NETWORK },
    Network {
        name: "equal-16m",
        mib: 16,
        rivals: LIBTORRENT,
        promises: &[at_most(Units, 1.15), copies(1.05)],
        ..NETWORK
    },
    Network { name: "equal-4m", mib: 4, promises: &[at_most(Units, 1.30)], ..NETWORK },
    Network {
        name: "fast-server",
        scenario: "fast-server",
        rivals: LIBTORRENT,
        promises: &[at_most(Units, 1.10), at_most(OfRival, 0.97), copies(1.05)],
        ..NETWORK
    },
    Network {
        name: "one-slow",
        scenario: "one-slow",
        mib: 16,
        deployments: 2,
        rivals: LIBTORRENT,
        equal: "equal-16m",
        promises: &[
            at_most(OfEqual, 1.35),
            at_most(Slow, 1.15),
            copies(1.3),
            MOST,
            second(OfEqual, 1.15),
            second(Slow, 1.10),
        ],
        ..NETWORK
    },
    Network {
        name: "four-slow",
        scenario: "four-slow",
        mib: 16,
        deployments: 2,
        rivals: LIBTORRENT,
        equal: "equal-16m",
        promises: &[
            at_most(OfEqual, 1.6),
            at_most(Slow, 1.15),
            copies(1.3),
            MOST,
            second(OfEqual, 1.25),
            second(Slow, 1.10),
        ],
        ..NETWORK
    },
    Network {
        name: "eight-slow",
        scenario: "eight-slow",
        promises: &[at_most(OfEqual, 1.3), at_most(Slow, 1.10), copies(1.3), MOST],
        ..NETWORK
    },
    Network { name: "slowing", scenario: "slowing", promises: &[at_most(OfEqual, 1.25), copies(1.3), MOST], ..NETWORK },
    Network {
        name: "asymmetric",
        scenario: "asymmetric",
        mib: 16,
        promises: &[at_most(OfOneCopy, 1.15), copies(1.05), MOST],
        ..NETWORK
    },
    Network {
        name: "asymmetric-auto",
        scenario: "asymmetric",
        mib: 16,
        server_copies: "auto",
        rivals: LIBTORRENT,
        promises: &[at_most(OfRival, 0.9), MOST],
        ..NETWORK
    },
    Network {
        name: "no-forwarding",
        scenario: "no-forwarding",
        promises: &[at_most(OfBound, 1.15), copies(2.0), MOST],
        ..NETWORK
    },
    Network {
        name: "two-sites",
        scenario: "two-sites",
        promises: &[at_most(Units, 1.15), at_most(UplinkCopies, 1.1)],
        ..NETWORK
    },
    Network {
        name: "random",
        scenario: "random",
        mib: 16,
        runs: 30,
        promises: &[at_most(OwnMedian, 1.25), at_most(OwnWorst, 2.0)],
        ..NETWORK
    },
    Network { name: "killed", scenario: "killed", promises: &[at_most(OfEqual, 1.20), copies(1.5), MOST], ..NETWORK },
    Network { name: "leaving", scenario: "leaving", promises: &[at_most(OfEqual, 1.3), copies(1.5), MOST], ..NETWORK },
    Network { name: "restarted", scenario: "restarted", promises: &[copies(1.6)], ..NETWORK },
    Network {
        name: "half-no-dial",
        scenario: "half-no-dial",
        mib: 16,
        equal: "equal-16m",
        promises: &[at_most(OfEqual, 1.3), copies(1.5), MOST],
        ..NETWORK
    },
    Network { name: "one-dial", scenario: "one-dial", mib: 16, equal: "equal-16m", ..NETWORK },
    Network { name: "lossy", scenario: "lossy", promises: &[at_most(OfEqual, 1.3), MOST], ..NETWORK },
    // The long form, at this number of machines only.
    Network { name: "equal-1g", mib: 1024, runs: 1, rivals: LIBTORRENT, promises: &[at_most(Units, 1.12)], ..NETWORK },
];

/// Returns the network with this name.
pub(crate) fn parse(name: &str) -> Result<&'static Network, String> {
    let names = || NETWORKS.iter().map(|network| network.name).collect::<Vec<_>>().join(", ");
    let found = NETWORKS.iter().find(|network| network.name == name);
    found.ok_or_else(|| format!("there is no network {name:?}; there are {}", names()))
}

/// A row of the table: the medians of one scheme in one deployment on a network.
struct Row {
    title: String,
    network: &'static Network,
    scheme: &'static str,
    deployment: u8,
    median: Summary,
    /// The worst machine of all runs: its time divided by its own bound.
    own_worst: Option<f64>,
    busiest: f64,
}

/// Measures these networks, or all.
pub(crate) fn run(networks: &[&'static Network], options: &Options, programs: &Path) -> Result<()> {
    let all: Vec<&'static Network> = NETWORKS.iter().collect();
    let networks = if networks.is_empty() { &all } else { networks };
    let (mut rows, mut failures, mut number) = (Vec::new(), Vec::new(), 0);
    let mut every_run = Results::new(report::conditions(options));
    for network in networks {
        let scenario = Scenario::parse(network.scenario).map_err(|error| anyhow!(error))?;
        let options = options.of_promise(network);
        super::provide_rivals(&options)?;
        let mut results = Results::new(String::new());
        super::measure(&scenario, &options, programs, &mut number, &mut results)?;
        rows.extend(rows_of(network, &results));
        failures.extend(results.failures.iter().map(|failure| format!("{}: {failure}", network.name)));
        every_run.runs.append(&mut results.runs);
        every_run.write(&super::json_path(&options)?)?;
    }
    let text = markdown(&rows, &failures, &options.profile);
    println!("\n{text}");
    if options.write {
        report::write_table(PLACE, &text)?;
    }
    let missed: usize = rows.iter().map(|row| row.missed(&rows).len()).sum();
    match (failures.len(), missed) {
        (0, 0) => Ok(()),
        (failed, missed) => bail!("{failed} runs failed and {missed} promises were missed; see above"),
    }
}

fn rows_of(network: &'static Network, results: &Results) -> Vec<Row> {
    let groups = results.groups();
    let row = |group: &super::table::Group<'_>| {
        let first = group.runs[0];
        let worst = group.runs.iter().map(|run| run.summary().own_worst);
        let deployment =
            if first.deployment > 1 { format!(", deployment {}", first.deployment) } else { String::new() };
        let scheme = if first.scheme == BANYAN { String::new() } else { format!(", {}", first.scheme) };
        Row {
            title: format!("{}{scheme}{deployment}", network.name),
            network,
            scheme: first.scheme,
            deployment: first.deployment,
            median: group.median(),
            own_worst: worst.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().reduce(f64::max)),
            busiest: group.runs.iter().map(|run| run.busy).fold(0.0, f64::max),
        }
    };
    groups.iter().map(row).collect()
}

impl Row {
    fn value(&self, figure: Figure, rows: &[Self]) -> Option<f64> {
        let of = |other: Option<&Self>| Some(self.median.seconds? / other?.median.seconds?);
        match figure {
            Figure::Units => self.median.units,
            Figure::OfEqual => of(rows.iter().find(|row| {
                row.network.name == self.network.equal && row.scheme == self.scheme && row.deployment == 1
            })),
            Figure::OfBound => self.median.of_bound,
            Figure::OfOneCopy => self.median.of_one_copy,
            Figure::OfRival if self.scheme == BANYAN => {
                of(rows.iter().find(|row| row.network == self.network && row.scheme == Rival::Libtorrent.name()))
            }
            Figure::OfRival => None,
            Figure::Slow => self.median.slow,
            Figure::OwnMedian => self.median.own_median,
            Figure::OwnWorst => self.own_worst,
            Figure::ServerCopies => self.median.server_copies,
            Figure::MostCopies => self.median.most_copies,
            Figure::UplinkCopies => self.median.uplink_copies,
        }
    }

    fn promise(&self, figure: Figure) -> Option<f64> {
        let promises = self.network.promises.iter().filter(|_| self.scheme == BANYAN);
        let mut found = promises.filter(|promise| promise.deployment == self.deployment && promise.figure == figure);
        found.next().map(|promise| promise.at_most)
    }

    /// Returns the figures that are higher than promised, or missing.
    fn missed(&self, rows: &[Self]) -> Vec<Figure> {
        let is_missed = |figure: &Figure| {
            self.promise(*figure).is_some_and(|most| self.value(*figure, rows).is_none_or(|value| value > most))
        };
        COLUMNS.iter().map(|(figure, _)| *figure).filter(is_missed).collect()
    }

    fn cells(&self, rows: &[Self]) -> String {
        let missed = self.missed(rows);
        let cell = |(figure, _): &(Figure, &str)| {
            let value = number(self.value(*figure, rows), 2);
            match self.promise(*figure) {
                Some(most) if missed.contains(figure) => format!("**{value}** (≤ {most})"),
                Some(most) => format!("{value} (≤ {most})"),
                None => value,
            }
        };
        let invalid = if self.busiest > BUSY { " **invalid**" } else { "" };
        format!(
            "| {} | {} | {} | {:.0} %{invalid} |",
            self.title,
            number(self.median.seconds, 1),
            COLUMNS.iter().map(cell).collect::<Vec<_>>().join(" | "),
            self.busiest * 100.0
        )
    }
}

fn markdown(rows: &[Row], failures: &[String], profile: &str) -> String {
    let titles: Vec<&str> = COLUMNS.iter().map(|(_, title)| *title).collect();
    let mut text = format!(
        "{}\n\nEach figure is the median of the runs, each with other machines picked. A promise stands in brackets; \
         a figure that misses it is bold.\n\n| network | last fast machine (s) | {} | processors busy |\n| --- {}|\n",
        report::machine_conditions("cargo xtask lab --promises", profile),
        titles.join(" | "),
        "| ---: ".repeat(COLUMNS.len() + 2)
    );
    for row in rows {
        text += &format!("{}\n", row.cells(rows));
    }
    text.push('\n');
    for failure in failures {
        text += &format!("- {failure}\n");
    }
    if rows.iter().any(|row| row.busiest > BUSY) {
        let limit = BUSY * 100.0;
        text += &format!(
            "- In rows marked **invalid**, the processors were more than {limit:.0} % busy, so the links may not have \
             been the limit.\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_scenarios_and_come_after_those_they_are_compared_with() {
        for (at, network) in NETWORKS.iter().enumerate() {
            Scenario::parse(network.scenario).unwrap();
            let equal = NETWORKS.iter().position(|other| other.name == network.equal).unwrap();
            assert!(
                equal <= at && NETWORKS[equal].mib == network.mib
                    || network.promises.iter().all(|promise| promise.figure != OfEqual),
                "{}",
                network.name
            );
            assert!(
                network.promises.iter().all(|promise| promise.deployment <= network.deployments),
                "{}",
                network.name
            );
        }
    }
}
