//! Machines as CSV, for spreadsheets.
//!
//! Spreadsheets run a text such as `=1+1` as a formula, and names come from machines. So a single quote goes before such
//! texts, and reading removes it again. A byte order mark tells spreadsheets that the text is UTF-8.

use super::groups_of;
use crate::{commands::selection::join_names, output::format_age};
use banyan_proto::{UnixSeconds, admin::Machine};

/// The byte order mark.
pub(crate) const MARK: char = '\u{feff}';
/// With these, spreadsheets begin a formula. The last four are the same signs in full width.
const FORMULA_SIGNS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
/// What may stand between cells; the first of them in the first line does.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// Formats machines, with a line of column names before them.
pub(super) fn format_machines(machines: &[Machine], now: UnixSeconds) -> String {
    let header =
        ["machine", "name", "label", "groups", "tags", "platform", "addresses", "software", "state", "last seen"];
    let mut text = MARK.to_string() + &format_line(header.map(str::to_owned));
    for machine in machines {
        let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
        let given = machine.reported_label.as_ref().map(|_| machine.label.clone());
        let state = match machine {
            Machine { revoked: true, .. } => "revoked",
            Machine { out: Some(_), .. } => "quarantined",
            Machine { online: true, .. } => "online",
            _ => "offline",
        };
        text += &format_line([
            machine.id.to_string(),
            given.unwrap_or_default(),
            machine.reported_label.as_ref().unwrap_or(&machine.label).clone(),
            join_names(groups_of(machine)),
            join_names(&machine.tags),
            machine.platform.clone(),
            addresses.join(" "),
            machine.software.clone(),
            state.to_owned(),
            format_age(now.0.saturating_sub(machine.seen.0)),
        ]);
    }
    text
}

/// Formats the cells of a line. None of them becomes a formula.
pub(crate) fn format_line<const N: usize>(cells: [String; N]) -> String {
    cells.map(|cell| format_cell(&cell)).join(",") + "\r\n"
}

fn format_cell(text: &str) -> String {
    let text = if is_formula(text) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', ';', '\n', '\r', '\t']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Returns whether a spreadsheet would take a text for a formula, also behind quotes that reading removes.
fn is_formula(text: &str) -> bool {
    let text = text.trim_start_matches('\'');
    let is_number = text.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.parse::<f64>().is_ok());
    text.starts_with(FORMULA_SIGNS) && !is_number
}

/// A line of a file: its number, from 1, and its cells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) cells: Vec<String>,
}

/// Parses a file. Lines without any text are left out.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Line>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the file as \"CSV UTF-8\"")
    })?;
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    let separator = first.chars().find(|c| SEPARATORS.contains(c)).unwrap_or(',');
    let mut parser = Parser { lines: vec![], cells: vec![], cell: String::new(), begins: 1 };
    let (mut is_quoted, mut line) = (false, 1);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                parser.cell.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if parser.cell.is_empty() => is_quoted = true,
            c if is_quoted => parser.cell.push(c),
            c if c == separator => parser.end_cell(),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\r' => parser.end_line(line),
            c => parser.cell.push(c),
        }
    }
    if is_quoted {
        return Err(format!("the quotes that begin in line {} do not end", parser.begins));
    }
    parser.end_line(line);
    Ok(parser.lines)
}

struct Parser {
    lines: Vec<Line>,
    cells: Vec<String>,
    cell: String,
    /// The number of the line in which the present one begins: quoted cells have line breaks.
    begins: usize,
}

impl Parser {
    fn end_cell(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        let is_protected = cell.starts_with('\'') && is_formula(&cell);
        self.cells.push(if is_protected { cell[1..].to_owned() } else { cell });
    }
    fn end_line(&mut self, next: usize) {
        self.end_cell();
        let line = Line { number: self.begins, cells: std::mem::take(&mut self.cells) };
        if line.cells.iter().any(|cell| !cell.is_empty()) {
            self.lines.push(line);
        }
        self.begins = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_machine::machine;

    /// Names as machines and people make them up.
    const ODD: [&str; 14] = [
        "büro 7",
        "漢字",
        "a \"quoted\" name",
        "two\nlines",
        "a;b",
        "a,b",
        "007",
        "=1+1",
        "'=1+1",
        "-5",
        "-x",
        "＝1+1",
        " ends ",
        "@sum",
    ];

    #[test]
    fn what_is_written_is_read_back() {
        for separator in [",", ";", "\t"] {
            let header = ["machine", "name", "tags"].join(separator);
            let lines: Vec<String> = ODD
                .iter()
                .map(|name| [format_cell(name), format_cell(""), format_cell(name)].join(separator) + "\r\n")
                .collect();
            let text = format!("{MARK}{header}\r\n{}", lines.concat());
            let read = parse(text.as_bytes()).unwrap();
            let cells: Vec<&Vec<String>> = read.iter().skip(1).map(|line| &line.cells).collect();
            let expected: Vec<Vec<String>> =
                ODD.iter().map(|name| [name, "", name].map(str::to_owned).to_vec()).collect();
            assert_eq!(cells, expected.iter().collect::<Vec<_>>(), "{separator:?}");
        }
    }

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+49 30", "'+49 30"),
            ("-x", "'-x"),
            ("-5", "-5"),
            ("-5.25", "-5.25"),
            ("@sum", "'@sum"),
            ("＠sum", "'＠sum"),
            ("\tx", "\"'\tx\""),
            ("'=1", "''=1"),
            ("it's", "it's"),
            ("007", "007"),
        ] {
            assert_eq!(format_cell(text), cell, "{text}");
        }
        let mut hostile = machine(1, "=cmd|' /C calc'!A0");
        hostile.tags = vec!["+1".into(), "a".into()];
        let text = format_machines(&[hostile], UnixSeconds(9));
        assert!(text.starts_with("\u{feff}machine,name,label,groups,tags,"), "{text}");
        assert!(text.contains(",'=cmd|' /C calc'!A0,,\"'+1, a\",linux-x86_64,"), "{text}");
    }

    #[test]
    fn files_that_are_none_are_refused_with_a_line() {
        assert!(parse(b"machine,name\nb\xfcro,x\n").unwrap_err().contains("line 2 is not UTF-8"));
        assert!(parse(b"\xff\xfem\0a\0").unwrap_err().contains("line 1"));
        assert!(parse(b"machine\na\n\"b\n").unwrap_err().contains("line 3"));
        let lines = parse(b"machine\n\n\"a\nb\"\nc").unwrap();
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3, 5]);
    }
}
