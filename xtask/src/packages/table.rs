//! The result as a section of a document.

use crate::packages::trial::{End, Outcome};
use anyhow::Result;
use std::{fmt::Write as _, path::Path};

const HEADING: &str = "## Debian packages";

/// Replaces the section in the document, or adds it.
pub(super) fn write(path: &Path, section: &str) -> Result<()> {
    crate::document::replace_section(path, HEADING, section)
}

/// Returns the section with the table.
pub(super) fn render(seed: u64, outcomes: &[Outcome]) -> String {
    let good = outcomes.iter().filter(|one| matches!(one.end, End::Good)).count();
    let refused = outcomes.iter().filter(|one| matches!(one.end, End::Refused(_))).count();
    let wrong = outcomes.len() - good - refused;
    let mut text = format!(
        "{HEADING}\n\n`cargo xtask packages --seed {seed}` (as root) picked {} packages of Debian at random, without \
         essential ones.\nEach was installed in a version rebuilt as an older one, then upgraded to the real one with a \
         probe that fails, then upgraded.\nAfter each step, `dpkg --audit` and `apt-get check` had to find nothing wrong, \
         and after the failing probe the older version had to be back.\n\n{good} passed every step, {refused} were refused \
         before anything changed, {wrong} went wrong.\n\n\
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_section_is_replaced_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packages.md");
        fs::write(&path, "# Real packages\n\n## Archives\n\na\n").unwrap();
        for seed in [1, 2] {
            write(&path, &render(seed, &[])).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Real packages\n\n## Archives\n\na\n\n## Debian packages\n"), "{text}");
        assert!(text.contains("--seed 2") && !text.contains("--seed 1"), "{text}");
        fs::write(&path, format!("{text}\n## More\n\nb\n")).unwrap();
        write(&path, &render(3, &[])).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("\n\n## More\n\nb\n"));
    }
}
