//! Formats a [`TreeView`] as lines of text. Does not access a terminal.

use crate::{
    deployment_tree::view::{ContentSources, MachineRow, Problem, SourceShare, TreeView, rounded_percent},
    output::format_count,
};
use banyan_proto::{
    ServerCopies,
    admin::{DeploymentState, Stage},
    format_size,
};
use console::{Style, measure_text_width, truncate_str};

/// Width of a progress bar (cells).
const BAR_CELLS: usize = 10;

/// Width of an explanation in a row, at most (cells).
const MAX_DETAIL: usize = 60;

/// What the output can display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TerminalFeatures {
    /// Cells in a line; `None` for no limit.
    pub(crate) width: Option<usize>,
    /// Lines on the screen; `None` for no limit.
    pub(crate) height: Option<usize>,
    /// Whether to use colours.
    pub(crate) colour: bool,
    /// Whether box-drawing characters can be displayed.
    pub(crate) unicode: bool,
}

impl TerminalFeatures {
    /// The setting for files and pipes.
    pub(crate) const PLAIN: Self = Self { width: None, height: None, colour: false, unicode: true };
}

/// Returns the text for a stage.
pub(crate) fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Expected => "waiting",
        Stage::Receiving => "receiving",
        Stage::Verified => "verified",
        Stage::Authenticated => "authenticated",
        Stage::Installing => "installing",
        Stage::Installed => "installed",
        Stage::Failed => "failed",
    }
}

/// Returns the text for a machine's progress.
pub(crate) fn row_text(row: &MachineRow) -> &'static str {
    match row {
        row if row.is_replaced() => "replaced",
        row if row.is_cancelled() => "cancelled",
        row => stage_text(row.stage),
    }
}

/// Returns the text for a deployment's state.
pub(crate) fn state_text(state: DeploymentState) -> &'static str {
    match state {
        DeploymentState::Running => "running",
        DeploymentState::Halted => "halted",
        DeploymentState::Superseded => "superseded by a newer deployment",
        DeploymentState::Finished => "finished",
        DeploymentState::Cancelled => "cancelled",
    }
}

/// Formats the whole tree, one string a line, without line ends.
pub(crate) fn draw_tree(view: &TreeView, features: TerminalFeatures) -> Vec<String> {
    let styler = Styler(features);
    let stripes = format_count(usize::from(view.stripes), "stripe");
    let facts = format!("{} · {stripes} · deployment {} · {}", format_size(view.size), view.id, state_text(view.state));
    let head = format!("{}  {}", styler.bold(&view.release), styler.dim(&facts));
    let sent = match view.server_sent {
        0 => "has sent nothing yet".to_owned(),
        bytes => format!("has sent {}", format_copies(bytes, view.size)),
    };
    let is_held = |row: &MachineRow| row.sources == ContentSources::Held;
    let sent =
        if view.server_sent == 0 && view.rows.iter().any(is_held) { "has sent nothing".to_owned() } else { sent };
    let may_send = match view.server_copies {
        ServerCopies::ONE => String::new(),
        ServerCopies::AtMost(_) => format!(" (at most {})", view.server_copies),
        ServerCopies::Auto => " (as many as help)".to_owned(),
    };
    let sent = format!("server  {}", styler.dim(&format!("{sent}{may_send}")));
    let names =
        view.rows.iter().map(|row| branch_prefix(row, features).chars().count() + measure_text_width(&row.name)).max();
    let shown = visible_rows(view, features.height.map(|height| height.saturating_sub(5)));
    let mut lines = vec![head, sent];
    lines.extend(shown.iter().map(|row| format_row(row, names.unwrap_or(0), &styler)));
    if shown.len() < view.rows.len() {
        lines.push(styler.dim(&format!("   and {} more", view.rows.len() - shown.len())));
    }
    lines.push(format_summary(view, &styler));
    let lines = lines.into_iter().map(|line| if features.unicode { line } else { to_ascii(&line) });
    match features.width {
        Some(width) => lines.map(|line| truncate_str(&line, width, "").into_owned()).collect(),
        None => lines.collect(),
    }
}

/// Formats bytes sent as multiples of the artifact's size.
#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
pub(crate) fn format_copies(sent: u64, size: u64) -> String {
    format!("{:.2} copies", sent as f64 / size.max(1) as f64)
}

/// Formats "6 of 7 installed · 1 receiving".
fn format_summary(view: &TreeView, styler: &Styler) -> String {
    let counts = view.counts();
    let installed = counts.iter().find(|(stage, _)| *stage == Stage::Installed).map_or(0, |(_, count)| *count);
    let mut text = format!("{installed} of {} installed", view.rows.len());
    for (stage, count) in counts.into_iter().filter(|(stage, _)| *stage != Stage::Installed) {
        text.push_str(&format!(" · {count} {}", stage_text(stage)));
    }
    match view.replaced() {
        0 => {}
        count => text.push_str(&format!(" · {count} replaced")),
    }
    match view.cancelled() {
        0 => {}
        count => text.push_str(&format!(" · {count} cancelled")),
    }
    styler.bold(&text)
}

/// Selects the rows that fit: finished machines are left out first, then the end of the list.
fn visible_rows(view: &TreeView, room: Option<usize>) -> Vec<&MachineRow> {
    let room = room.unwrap_or(usize::MAX).max(1);
    if view.rows.len() <= room {
        return view.rows.iter().collect();
    }
    let unfinished = |row: &&MachineRow| row.stage != Stage::Installed;
    let spare = room.saturating_sub(view.rows.iter().filter(unfinished).count());
    let mut finished = 0;
    let keep = |row: &&MachineRow| {
        finished += usize::from(!unfinished(row));
        unfinished(row) || finished <= spare
    };
    view.rows.iter().filter(keep).take(room).collect()
}

fn branch_prefix(row: &MachineRow, features: TerminalFeatures) -> String {
    let (own, above) = row.is_last.split_last().map_or((true, [].as_slice()), |(own, above)| (*own, above));
    let rail = |is_last: &bool| match (is_last, features.unicode) {
        (true, _) => "   ",
        (false, true) => "│  ",
        (false, false) => "|  ",
    };
    let knee = match (own, features.unicode) {
        (true, true) => "└─ ",
        (false, true) => "├─ ",
        (true, false) => "`- ",
        (false, false) => "|- ",
    };
    above.iter().map(rail).collect::<String>() + knee
}

fn format_row(row: &MachineRow, names: usize, styler: &Styler) -> String {
    let rails = branch_prefix(row, styler.0);
    let gap = " ".repeat(names.saturating_sub(rails.chars().count() + measure_text_width(&row.name)));
    let (received, total) = (u64::from(row.chunks_received), u64::from(row.chunks_total));
    let share = match row.stage {
        // From this stage on all chunks are here, whatever the last progress report was.
        Stage::Verified | Stage::Authenticated | Stage::Installing | Stage::Installed => 100,
        // Rounded down: 100% appears only when everything is here.
        Stage::Expected | Stage::Receiving | Stage::Failed if received < total => {
            rounded_percent(received, total).min(99)
        }
        Stage::Expected | Stage::Receiving | Stage::Failed => rounded_percent(received, total),
    };
    // Nothing has gone wrong on a machine that a newer deployment took over, or that had not begun.
    let colour = if row.is_replaced() || row.is_cancelled() { Stage::Expected } else { row.stage };
    let stage = styler.stage(colour, &format!("{:<13}", row_text(row)));
    let took = match row.installed_after {
        Some(milliseconds) => format_seconds(milliseconds),
        None => String::new(),
    };
    let text = format!(
        "{}{}{gap}  {} {share:>3}%  {stage} {took:>7}  {}",
        styler.dim(&rails),
        row.name,
        styler.bar(share, colour),
        format_sources(&row.sources, styler)
    );
    let text = text.trim_end().to_owned();
    match &row.problem {
        Some(Problem { reason, detail }) => {
            // What is long is printed once, below the tree.
            let detail = detail.lines().next().filter(|line| (1..=MAX_DETAIL).contains(&measure_text_width(line)));
            let why = format!("{} [{}]", detail.unwrap_or(reason.for_admin().what), reason.code());
            format!("{text}  {}", styler.problem(colour, &why))
        }
        None => text,
    }
}

/// Formats milliseconds as seconds.
pub(crate) fn format_seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

/// Formats "from server", with shares if there are several sources.
fn format_sources(sources: &ContentSources, styler: &Styler) -> String {
    match sources {
        ContentSources::Held => styler.dim("had the content already"),
        ContentSources::Planned(names) if names.is_empty() => String::new(),
        ContentSources::Planned(names) => styler.dim(&format!("planned from {}", names.join(" + "))),
        ContentSources::Sent(shares) => styler.dim(&format!("from {}", format_shares(shares))),
    }
}

/// Formats "a 60% + b 40%". A substitute for the planned source is marked.
pub(crate) fn format_shares(shares: &[SourceShare]) -> String {
    let word = |share: &SourceShare| {
        let mark = if share.stand_in { " (stand-in)" } else { "" };
        match shares.len() {
            1 => format!("{}{mark}", share.name),
            _ => format!("{} {}%{mark}", share.name, share.percent),
        }
    };
    shares.iter().map(word).collect::<Vec<_>>().join(" + ")
}

/// Replaces characters for terminals that support ASCII only. Other letters in names become `?`.
fn to_ascii(line: &str) -> String {
    let plain = |c: char| match c {
        '·' => '-',
        '…' => '~',
        c if c.is_ascii() => c,
        _ => '?',
    };
    line.chars().map(plain).collect()
}

/// Applies colours, or none.
struct Styler(TerminalFeatures);

impl Styler {
    fn with(&self, style: Style, text: &str) -> String {
        if self.0.colour { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }
    fn bold(&self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }
    fn dim(&self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }
    fn stage(&self, stage: Stage, text: &str) -> String {
        match stage {
            Stage::Expected => self.dim(text),
            Stage::Receiving | Stage::Verified | Stage::Authenticated | Stage::Installing => {
                self.with(Style::new().cyan(), text)
            }
            Stage::Installed => self.with(Style::new().green(), text),
            Stage::Failed => self.with(Style::new().red(), text),
        }
    }
    fn problem(&self, stage: Stage, text: &str) -> String {
        let style = if stage == Stage::Failed { Style::new().red() } else { Style::new().yellow() };
        self.with(style, text)
    }
    fn bar(&self, share: u8, stage: Stage) -> String {
        let full = usize::from(share) * BAR_CELLS / 100;
        let (done, left) = if self.0.unicode { ("█", "░") } else { ("#", ".") };
        format!("{}{}", self.stage(stage, &done.repeat(full)), self.dim(&left.repeat(BAR_CELLS - full)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{PlannedSource, id, status};
    use banyan_proto::{Reason, admin::DeploymentStatus, api::ByteSource};

    fn example() -> DeploymentStatus {
        let mut status = status(&[
            ("a", PlannedSource::Server),
            ("b", PlannedSource::Of("a")),
            ("c", PlannedSource::Of("b")),
            ("d", PlannedSource::Of("a")),
        ]);
        status.server_sent = 1000;
        let [a, b, c, d] = status.addressees.as_mut_slice() else { panic!("four machines") };
        (a.stage, a.installed_after) = (Stage::Installed, Some(1234));
        a.sources = vec![ByteSource { machine: id("server"), bytes: 1000 }];
        (b.stage, b.chunks) = (Stage::Receiving, (40, 100));
        b.sources = vec![ByteSource { machine: id("a"), bytes: 300 }, ByteSource { machine: id("server"), bytes: 100 }];
        (c.reason, c.detail) = (Some(Reason::NotNow), Some(String::new()));
        (d.stage, d.reason) = (Stage::Failed, Some(Reason::ProbeFailed));
        d.detail = Some("exit code 7\nsecond line".into());
        status
    }

    #[test]
    fn a_tree_is_drawn_line_by_line() {
        let lines = draw_tree(&TreeView::from_status(&example()), TerminalFeatures::PLAIN);
        let expected = [
            "hello 1.0  1.0 kB · 1 stripe · deployment abababab · running",
            "server  has sent 1.00 copies",
            "└─ a        ██████████ 100%  installed       1.2 s  from server",
            "   ├─ b     ████░░░░░░  40%  receiving              from a 75% + server 25% (stand-in)",
            "   │  └─ c  ░░░░░░░░░░   0%  waiting                planned from b  the machine may not transfer at this time [not-now]",
            "   └─ d     ░░░░░░░░░░   0%  failed                 planned from a  exit code 7 [probe-failed]",
            "1 of 4 installed · 1 receiving · 1 waiting · 1 failed",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_copies_that_the_server_may_send_are_shown_if_they_are_not_one() {
        let server = |copies: &str| {
            let status = DeploymentStatus { server_copies: copies.parse().unwrap(), ..example() };
            draw_tree(&TreeView::from_status(&status), TerminalFeatures::PLAIN).swap_remove(1)
        };
        assert_eq!(server("1.5"), "server  has sent 1.00 copies (at most 1.5)");
        assert_eq!(server("auto"), "server  has sent 1.00 copies (as many as help)");
    }

    #[test]
    fn a_machine_that_a_newer_deployment_took_over_has_not_failed() {
        let mut status = example();
        let [_, b, c, d] = status.addressees.as_mut_slice() else { panic!("four machines") };
        (b.stage, b.reason) = (Stage::Failed, Some(Reason::OrderSuperseded));
        (c.stage, c.reason) = (b.stage, b.reason);
        (d.detail, c.detail) = (None, Some("replaced by deployment f9".into()));
        let colour = TerminalFeatures { colour: true, ..TerminalFeatures::PLAIN };
        let red = "\u{1b}[31m";
        let lines = draw_tree(&TreeView::from_status(&status), TerminalFeatures::PLAIN);
        assert_eq!(lines.last().unwrap(), "1 of 4 installed · 1 failed · 2 replaced");
        let lines = draw_tree(&TreeView::from_status(&status), colour);
        assert!(lines[4].contains("replaced") && !lines[4].contains(red), "{}", lines[4]);
        assert!(lines[5].contains(red), "{}", lines[5]);
    }

    #[test]
    fn plain_terminals_get_plain_characters_and_narrow_ones_short_lines() {
        let features = TerminalFeatures { width: Some(40), height: None, colour: false, unicode: false };
        let lines = draw_tree(&TreeView::from_status(&example()), features);
        assert!(lines.iter().all(|line| line.is_ascii() && line.len() <= 40), "{lines:#?}");
        assert!(lines[3].starts_with("   |- b     ####......  40%"), "{lines:#?}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let view = TreeView::from_status(&example());
        let coloured = draw_tree(&view, TerminalFeatures { colour: true, ..TerminalFeatures::PLAIN });
        assert!(coloured.iter().any(|line| line.contains("\u{1b}[32m")), "no green for what is installed");
        let stripped: Vec<_> = coloured.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
        assert_eq!(stripped, draw_tree(&view, TerminalFeatures::PLAIN));
    }

    #[test]
    fn a_tree_higher_than_the_screen_shows_who_is_not_finished() {
        let labels: Vec<String> = (0..50).map(|i| format!("m{i:02}")).collect();
        let plan: Vec<_> = labels.iter().map(|label| (label.as_str(), PlannedSource::Server)).collect();
        let mut status = status(&plan);
        for machine in &mut status.addressees[..48] {
            machine.stage = Stage::Installed;
        }
        let lines = draw_tree(
            &TreeView::from_status(&status),
            TerminalFeatures { height: Some(12), ..TerminalFeatures::PLAIN },
        );
        assert!(lines.len() < 12, "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("m48")) && lines.iter().any(|line| line.contains("m49")));
        assert!(lines.iter().any(|line| line.contains("and 43 more")), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "48 of 50 installed · 2 waiting");
    }

    #[test]
    fn nearly_all_chunks_are_not_shown_as_all() {
        let mut status = status(&[("a", PlannedSource::Server)]);
        (status.addressees[0].stage, status.addressees[0].chunks) = (Stage::Receiving, (999, 1000));
        assert!(draw_tree(&TreeView::from_status(&status), TerminalFeatures::PLAIN)[2].contains(" 99%"));
    }
}
