//! Keeps the displayed tree up to date: redraws it in place on a terminal, appends changes as lines elsewhere.

use crate::deployment_tree::{
    change_log::describe_changes,
    draw::{TerminalFeatures, draw_tree},
    view::TreeView,
};
use console::Term;

/// A tree displayed on one of the standard streams.
pub(crate) struct LiveTree {
    term: Term,
    /// The number of lines that are currently drawn.
    drawn: usize,
    last_view: Option<TreeView>,
}

impl LiveTree {
    /// Displays on standard error, because the tree is progress.
    pub(crate) fn on_stderr() -> Self {
        Self { term: Term::stderr(), drawn: 0, last_view: None }
    }
    /// Displays on standard output, because the tree is the requested result.
    pub(crate) fn on_stdout() -> Self {
        Self { term: Term::stdout(), drawn: 0, last_view: None }
    }
    /// Displays the current state. Write errors are ignored.
    pub(crate) fn show(&mut self, view: TreeView) {
        if self.last_view.as_ref() == Some(&view) {
            return;
        }
        if self.term.is_term() {
            self.redraw(&draw_tree(&view, detect_terminal(&self.term, true)));
        } else {
            for line in describe_changes(self.last_view.as_ref(), &view) {
                let _ = self.term.write_line(&line);
            }
        }
        self.last_view = Some(view);
    }
    /// Draws the final tree in full, even if it is higher than the screen.
    pub(crate) fn finish(mut self) {
        let Some(view) = self.last_view.take() else { return };
        let lines = draw_tree(&view, detect_terminal(&self.term, false));
        if self.term.is_term() {
            self.redraw(&lines);
        } else {
            let _ = self.term.write_line(&lines.join("\n"));
        }
    }
    /// Removes the tree so that other lines can be written. The next `show` draws it below them.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            self.redraw(&[]);
            self.last_view = None;
        }
    }
    /// Redraws the tree in a single write, to avoid flicker.
    fn redraw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Move up to the first line of the previous tree, and erase to the end of the screen.
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        let _ = self.term.write_str(&text);
        let _ = self.term.flush();
        self.drawn = lines.len();
    }
}

/// Returns what a stream can display.
pub(crate) fn detect_terminal(term: &Term, fit: bool) -> TerminalFeatures {
    if !term.is_term() {
        return TerminalFeatures::PLAIN;
    }
    let size = term.size_checked();
    TerminalFeatures {
        // One cell stays free, because some terminals wrap after writing the last one.
        width: size.map(|(_, columns)| usize::from(columns).saturating_sub(1)),
        height: size.filter(|_| fit).map(|(rows, _)| usize::from(rows)),
        colour: term.features().colors_supported() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        unicode: shows_unicode(|name| std::env::var(name).ok()),
    }
}

/// Returns whether to use box-drawing characters: yes, unless the environment says otherwise.
fn shows_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let plain = locale.is_some_and(|value| !value.to_ascii_lowercase().replace('-', "").contains("utf8"));
    !plain && variable("TERM").as_deref() != Some("linux")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_box_drawing() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            shows_unicode(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(with(&[]) && with(&[("LANG", "de_DE.UTF-8")]) && with(&[("LC_ALL", "en_US.utf8"), ("LANG", "C")]));
        assert!(
            !with(&[("LANG", "C")])
                && !with(&[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")])
                && !with(&[("TERM", "linux")])
        );
    }
}
