//! The result as a document.

use crate::packages::trial::{End, Outcome};
use std::fmt::Write as _;

/// Returns the text of `docs/packages.md`.
pub(super) fn render(seed: u64, outcomes: &[Outcome]) -> String {
    let good = outcomes.iter().filter(|one| matches!(one.end, End::Good)).count();
    let refused = outcomes.iter().filter(|one| matches!(one.end, End::Refused(_))).count();
    let wrong = outcomes.len() - good - refused;
    let mut text = format!(
        "# Debian packages\n\n`cargo xtask packages` (as root) wrote this page. It picked {} packages of Debian at random \
         with seed {seed}, and left essential ones out.\nEach was installed in a version rebuilt as an older one, then \
         upgraded to the real one with a probe that fails, then upgraded. After each step, `dpkg --audit` and `apt-get \
         check` had to find nothing wrong, and after the failing probe the older version had to be back.\n\n{good} passed \
         every step, {refused} were refused before anything changed, {wrong} went wrong.\n\n\
         | package | kind | version | result | seconds |\n| --- | --- | --- | --- | --- |\n",
        outcomes.len()
    );
    for Outcome { package, end, seconds } in outcomes {
        let end = match end {
            End::Good => "installed, restored, upgraded".to_owned(),
            End::Refused(why) => format!("refused: {why}"),
            End::Wrong(why) => format!("WRONG: {why}"),
        };
        let end = end.replace(['\n', '|'], " ");
        let _ =
            writeln!(text, "| {} | {} | {} | {end} | {seconds} |", package.name, package.kind.word(), package.version);
    }
    text
}
