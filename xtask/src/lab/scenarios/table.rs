//! The results of all scenarios as one Markdown table, and as JSON with every machine of every run.

use super::figures::{Run, Summary};
use anyhow::{Context, Result};
use std::path::Path;

/// Above this share, the processors instead of the links may have limited the rate.
pub(super) const BUSY: f64 = 0.8;

/// The runs so far.
pub(crate) struct Results {
    /// A sentence with the conditions.
    pub(crate) conditions: String,
    pub(crate) runs: Vec<Run>,
    /// Runs that failed, with the reason.
    pub(crate) failures: Vec<String>,
}

/// The runs of one row: same scenario, same scheme, same deployment.
pub(super) struct Group<'a> {
    title: String,
    pub(super) runs: Vec<&'a Run>,
}

impl Results {
    pub(crate) fn new(conditions: String) -> Self {
        Self { conditions, runs: Vec::new(), failures: Vec::new() }
    }

    pub(crate) fn markdown(&self) -> String {
        let groups = self.groups();
        let medians: Vec<Summary> = groups.iter().map(|group| group.median()).collect();
        // The row with equal links that others are compared with, by scheme.
        let equal = |scheme: &str| {
            let found = groups.iter().position(|g| {
                g.runs.iter().any(|run| run.scenario == "equal" && run.deployment == 1 && run.scheme == scheme)
            });
            found.and_then(|at| medians[at].seconds)
        };
        let mut text = format!(
            "{}\n\nA unit is the file's size over the nominal rate; the best possible is 1.046, because headers are \
             not content. The bound is the fluid one: no faster than the server sends the file once, than a link \
             receives it, and than all links together send it to all.\n\n",
            self.conditions
        );
        text += "| scenario | last fast machine (s) | units | × bound (with one copy) | × equal | slow ones × own link | \
                 each × own bound: median, worst | copies: server | most by a machine | over an uplink | \
                 processors busy (by the lab) |\n";
        text += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for (group, median) in groups.iter().zip(&medians) {
            let scheme = group.runs[0].scheme;
            let of_equal = median.seconds.zip(equal(scheme)).map(|(this, equal)| this / equal);
            let busiest = group.runs.iter().map(|run| run.busy).fold(0.0, f64::max);
            let own = group.runs.iter().filter_map(|run| run.own).reduce(f64::max);
            let own = own.map_or_else(String::new, |own| format!(" ({:.0} %)", own * 100.0));
            let invalid = if busiest > BUSY { " **invalid**" } else { "" };
            text += &format!(
                "| {} | {} | {} | {} ({}) | {} | {} | {}, {} | {} | {} | {} | {:.0} %{own}{invalid} |\n",
                group.title,
                number(median.seconds, 1),
                number(median.units, 2),
                number(median.of_bound, 2),
                number(median.of_one_copy, 2),
                number(of_equal, 2),
                number(median.slow, 2),
                number(median.own_median, 2),
                number(median.own_worst, 2),
                number(median.server_copies, 2),
                number(median.most_copies, 2),
                number(median.uplink_copies, 2),
                busiest * 100.0,
            );
        }
        text.push('\n');
        for failure in &self.failures {
            text += &format!("- {failure}\n");
        }
        if self.runs.iter().any(|run| run.busy > BUSY) {
            text += &format!(
                "- **Invalid: the processors were more than {:.0} % busy, so the links may not have been the limit.**\n",
                BUSY * 100.0
            );
        }
        text
    }

    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for run in &self.runs {
            let title = run.title();
            match groups.iter_mut().find(|group| group.title == title) {
                Some(group) => group.runs.push(run),
                None => groups.push(Group { title, runs: vec![run] }),
            }
        }
        groups
    }

    /// Writes every run with every machine, and the medians.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<_> = self
            .groups()
            .iter()
            .map(|group| serde_json::json!({"row": group.title, "runs": group.runs.len(), "median": group.median()}))
            .collect();
        let all = serde_json::json!({
            "conditions": self.conditions, "rows": rows, "runs": self.runs, "failures": self.failures,
        });
        std::fs::write(path, format!("{all:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        println!("figures of every run written to {}", path.display());
        Ok(())
    }
}

impl Group<'_> {
    /// Returns the median of each figure.
    pub(super) fn median(&self) -> Summary {
        Summary::median(&self.runs.iter().map(|run| run.summary()).collect::<Vec<_>>())
    }
}

impl Run {
    /// Returns the row's title.
    pub(crate) fn title(&self) -> String {
        let deployment = match self.deployment {
            1 => String::new(),
            number => format!(", deployment {number}"),
        };
        format!("{}, {}{deployment}", self.scenario, self.scheme)
    }
}

pub(super) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

impl Run {
    /// Returns the run's own figures in one line.
    pub(crate) fn line(&self) -> String {
        let of = self.summary();
        format!(
            "{}: last fast machine {} s, {} units, {} × bound; slow ones {} × own link; copies: server {}, most {}; \
             processors {:.0} % busy{}",
            self.title(),
            number(of.seconds, 1),
            number(of.units, 2),
            number(of.of_bound, 2),
            number(of.slow, 2),
            number(of.server_copies, 2),
            number(of.most_copies, 2),
            self.busy * 100.0,
            self.own.map_or_else(String::new, |own| format!(", {:.0} % by the lab", own * 100.0)),
        )
    }
}
