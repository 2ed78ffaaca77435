//! Keeps the picture up to date: redrawn in place on a terminal, appended as lines of news elsewhere.

use super::{
    changes::changes,
    draw::{Look, draw},
    view::TreeView,
};
use console::Term;

/// A picture on one of the standard streams.
pub(crate) struct Live {
    term: Term,
    /// Lines of the picture that stands there now.
    drawn: usize,
    last: Option<TreeView>,
}

impl Live {
    /// On standard error: the picture is progress.
    pub(crate) fn progress() -> Self {
        Self { term: Term::stderr(), drawn: 0, last: None }
    }
    /// On standard output: the picture is what was asked for.
    pub(crate) fn answer() -> Self {
        Self { term: Term::stdout(), drawn: 0, last: None }
    }
    /// Shows the deployment as it is now. Nothing depends on whether anybody sees it, so failures to write are let be.
    pub(crate) fn show(&mut self, view: TreeView) {
        if self.last.as_ref() == Some(&view) {
            return;
        }
        if self.term.is_term() {
            self.redraw(&draw(&view, look(&self.term, true)));
        } else {
            for line in changes(self.last.as_ref(), &view) {
                let _ = self.term.write_line(&line);
            }
        }
        self.last = Some(view);
    }
    /// Leaves the whole picture behind, also the part for which there was no room.
    pub(crate) fn finish(mut self) {
        let Some(view) = self.last.take() else { return };
        let lines = draw(&view, look(&self.term, false));
        if self.term.is_term() {
            self.redraw(&lines);
        } else {
            let _ = self.term.write_line(&lines.join("\n"));
        }
    }
    /// Takes the picture away so that other lines can be written; the next `show` draws it below them.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            self.redraw(&[]);
            self.last = None;
        }
    }
    /// One write for the whole picture, so that it does not flicker.
    fn redraw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first line of the old picture, and erase from there to the end of the screen.
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

/// What can be shown on a stream.
pub(crate) fn look(term: &Term, fit: bool) -> Look {
    if !term.is_term() {
        return Look::PLAIN;
    }
    let size = term.size_checked();
    Look {
        // One cell is left free: some terminals wrap when the last one is written.
        width: size.map(|(_, columns)| usize::from(columns).saturating_sub(1)),
        height: size.filter(|_| fit).map(|(rows, _)| usize::from(rows)),
        colour: term.features().colors_supported() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        unicode: shows_unicode(|name| std::env::var(name).ok()),
    }
}

/// Terminals show box-drawing characters unless the environment says that they do not.
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
