//! Reports changes between two snapshots of a deployment as log lines, for output that is not a terminal. Each change
//! of a machine's stage or reason is reported once.

use crate::{
    deployment_tree::{
        draw::{format_seconds, format_shares, row_text, state_text},
        view::{ContentSources, MachineRow, Problem, TreeView},
    },
    output::format_count,
};

/// Returns the lines to append. Progress in chunks is not reported, because it would flood a log.
pub(super) fn describe_changes(before: Option<&TreeView>, now: &TreeView) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(format!("{}: deployment {} to {}", now.release, now.id, format_count(now.rows.len(), "machine")));
    }
    // Rows change places only when the lists are split again. Then every row is reported.
    let earlier = |place: usize, row: &MachineRow| {
        before.and_then(|before| before.rows.get(place)).filter(|earlier| earlier.id == row.id)
    };
    for (place, row) in now.rows.iter().enumerate() {
        let earlier = earlier(place, row);
        let news = |of: fn(&MachineRow) -> bool| of(row) && !earlier.is_some_and(of);
        let moved =
            earlier.map_or(row.stage != banyan_proto::admin::Stage::Expected, |earlier| earlier.stage != row.stage);
        let troubled = news(|row| row.problem.is_some())
            || earlier.is_some_and(|earlier| row.problem.is_some() && earlier.problem != row.problem);
        if moved || troubled {
            lines.push(describe_row(row));
        }
    }
    if before.is_some_and(|before| before.state != now.state) {
        lines.push(format!("{}: deployment {} is {}", now.release, now.id, state_text(now.state)));
    }
    lines
}

fn describe_row(row: &MachineRow) -> String {
    let mut line = format!("{}: {}", row.name, row_text(row));
    if let Some(milliseconds) = row.installed_after {
        line.push_str(&format!(" after {}", format_seconds(milliseconds)));
    }
    if let ContentSources::Sent(shares) = &row.sources {
        line.push_str(&format!(", from {}", format_shares(shares)));
    }
    if let Some(Problem { reason, .. }) = &row.problem {
        // The explanation and the output of programs can be long; they are printed once, at the end.
        line.push_str(&format!(": {reason}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{PlannedSource, status};
    use banyan_proto::{
        Reason,
        admin::{DeploymentState, Stage},
    };

    #[test]
    fn each_change_is_reported_once_and_chunks_are_not() {
        let mut status = status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a"))]);
        let first = TreeView::from_status(&status);
        assert_eq!(describe_changes(None, &first), ["hello 1.0: deployment abababab to 2 machines"]);
        status.addressees[0].stage = Stage::Receiving;
        let second = TreeView::from_status(&status);
        assert_eq!(describe_changes(Some(&first), &second), ["a: receiving"]);
        status.addressees[0].chunks.0 = 50;
        let third = TreeView::from_status(&status);
        assert_eq!(describe_changes(Some(&second), &third), Vec::<String>::new());
        status.addressees[1].reason = Some(Reason::NotNow);
        status.state = DeploymentState::Halted;
        let fourth = TreeView::from_status(&status);
        let expected = [
            "b: waiting: the machine may not transfer at this time (not-now)",
            "hello 1.0: deployment abababab is halted",
        ];
        assert_eq!(describe_changes(Some(&third), &fourth), expected);
        assert_eq!(describe_changes(Some(&fourth), &fourth), Vec::<String>::new());
    }
}
