//! `banyan machines import`: names, groups and tags from a CSV file.

use super::csv::{self, Line};
use crate::{
    commands::{connect, selection::split_names},
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, print_json, print_note, sanitise},
    profile::ProfileArg,
};
use banyan_proto::assignments::{AssignMachines, Assignment, AssignmentError};
use serde::Serialize;
use std::path::PathBuf;

/// Take names, groups and tags of machines from a CSV file
///
/// Without --apply, the command only says what would change and which lines are wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines --csv > machines.csv\n  \
    banyan machines import machines.csv\n  \
    banyan machines import machines.csv --apply\n\n\
    The first line names the columns. `machine` is the id or the name of a machine;\n\
    `name`, `groups` and `tags` are what it gets, and may be missing. Groups and tags\n\
    are separated by commas, and replace those that the machine has. An empty name\n\
    means the label that the machine reports. Other columns are ignored.\n\
    Cells are separated by commas, semicolons or tabs; the text is UTF-8.\n\
    Either all lines are applied or none.")]
pub(super) struct ImportArgs {
    /// CSV file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the machines
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct ImportResult {
    /// How many machines were changed, or would be.
    changed: u32,
    applied: bool,
    errors: Vec<LineError>,
}

/// What is wrong with a line of the file.
#[derive(Debug, Serialize)]
struct LineError {
    line: usize,
    detail: String,
}

/// The file's assignments, and the line that each is in.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    assignments: Vec<Assignment>,
    lines: Vec<usize>,
}

pub(super) async fn run(args: &ImportArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("import {}", args.file.display());
    let bytes = std::fs::read(&args.file).with_context(action)?;
    let table = read_table(&bytes).map_err(|wrong| {
        Failure::new(action(), wrong, "correct the file; `banyan machines import --help` shows its form")
    })?;
    let request = AssignMachines { machines: table.assignments, preview: !args.apply };
    let done = connect(profile, action)?.assign_machines(&request).await.with_context(action)?;
    let error = |AssignmentError { index, detail }: AssignmentError| LineError {
        line: table.lines.get(index).copied().unwrap_or_default(),
        detail,
    };
    let errors: Vec<LineError> = done.errors.into_iter().map(error).collect();
    let result = ImportResult { changed: done.changed, applied: args.apply && errors.is_empty(), errors };
    for LineError { line, detail } in &result.errors {
        print_note(&sanitise(&format!("line {line}: {detail}")));
    }
    let machines = format_count(usize::try_from(result.changed).unwrap_or(usize::MAX), "machine");
    print_note(&match (result.errors.len(), result.applied) {
        (0, true) => format!("{machines} changed"),
        (0, false) => format!("{machines} would change; --apply changes them"),
        (wrong, _) => format!("nothing was changed: {} wrong", format_count(wrong, "line")),
    });
    if args.output.json {
        print_json(&result).map_err(|failure| match result.applied {
            true => failure.after_success("the machines are changed", super::SEE_MACHINES),
            false => failure,
        })?;
    }
    Ok(if result.errors.is_empty() { Exit::Success } else { Exit::Failed })
}

fn read_table(bytes: &[u8]) -> Result<Table, String> {
    let mut lines = csv::parse(bytes)?.into_iter();
    let header = lines.next().ok_or_else(|| "the file is empty".to_owned())?;
    let named = |name: &str| -> Result<Option<usize>, String> {
        let mut found = header.cells.iter().enumerate().filter(|(_, cell)| cell.trim().eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!("two columns have the name {name:?}")),
            (found, None) => Ok(found.map(|(column, _)| column)),
        }
    };
    let machine = named("machine")?.ok_or_else(|| "no column has the name \"machine\"".to_owned())?;
    let (name, groups, tags) = (named("name")?, named("groups")?, named("tags")?);
    if (name, groups, tags) == (None, None, None) {
        return Err("no column has the name \"name\", \"groups\" or \"tags\", so nothing is to be changed".into());
    }
    let mut table = Table { assignments: vec![], lines: vec![] };
    for Line { number, cells } in lines {
        if cells.len() != header.cells.len() {
            let (found, columns) = (cells.len(), header.cells.len());
            return Err(format!("line {number} has {found} cells, and the first line has {columns}"));
        }
        let cell = |column: Option<usize>| column.and_then(|column| cells.get(column)).cloned();
        let names =
            |column| cell(column).map(|text| split_names(&text).into_iter().filter(|name| !name.is_empty()).collect());
        table.assignments.push(Assignment {
            machine: cell(Some(machine)).unwrap_or_default(),
            name: cell(name),
            groups: names(groups),
            tags: names(tags),
        });
        table.lines.push(number);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_machine::machine;
    use banyan_proto::{UnixSeconds, admin::Machine};

    #[test]
    fn an_exported_table_is_imported_without_changes() {
        let odd = Machine {
            reported_label: Some("till".into()),
            groups: vec!["a,b".into(), "-x".into(), "büro".into()],
            tags: vec!["=1+1".into()],
            ..machine(1, "=1+1")
        };
        let text = csv::format_machines(&[odd.clone(), machine(2, "two\nlines")], UnixSeconds(5));
        let table = read_table(text.as_bytes()).unwrap();
        let first = Assignment {
            machine: odd.id.to_string(),
            name: Some("=1+1".into()),
            groups: Some(odd.groups),
            tags: Some(odd.tags),
        };
        assert_eq!(table.assignments[0], first);
        assert_eq!(table.assignments[1].name.as_deref(), Some(""), "no name was given");
        assert_eq!(table.lines, [2, 3]);
    }

    #[test]
    fn columns_may_be_missing_and_other_files_are_refused() {
        let table = read_table(b"Tags;MACHINE;note\nx, y;till-3;-\n").unwrap();
        let tags = Some(vec!["x".to_owned(), "y".to_owned()]);
        let expected = Assignment { machine: "till-3".into(), name: None, groups: None, tags };
        assert_eq!(table.assignments, [expected]);
        for (text, said) in [
            ("", "is empty"),
            ("name\na\n", "\"machine\""),
            ("machine\na\n", "nothing is to be changed"),
            ("machine,tags,tags\na,b,c\n", "two columns"),
            ("machine,tags\na\n", "line 2 has 1 cells"),
        ] {
            let wrong = read_table(text.as_bytes()).unwrap_err();
            assert!(wrong.contains(said), "{text:?}: {wrong}");
        }
    }
}
