//! `banyan audit export`: writes the whole log into one file that can be verified without the server.

use super::{known_head, path_parser};
use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, print_json, print_note},
    profile::ProfileArg,
};
use banyan_proto::{
    UnixSeconds,
    audit::{ExportHeader, HashedRow},
    format,
};
use serde::Serialize;
use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Write the whole audit log to a file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    banyan audit export audit-2026-12.jsonl\n\n\
    The file has a line with the signed head of the log and its key, then a line of JSON\n\
    for each row. `banyan audit verify` checks it anywhere, without the server.")]
pub(super) struct ExportArgs {
    /// File to write; it must not exist
    #[arg(value_name = "FILE", value_parser = path_parser())]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct ExportResult<'a> {
    file: &'a Path,
    rows: u64,
}

pub(super) async fn run(args: &ExportArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("export the audit log to {}", args.file.display());
    if args.file.exists() {
        return Err(Failure::new(action(), "the file exists already", "choose another name").with_exit(Exit::Usage));
    }
    let client = connect(given, action)?;
    let (known, head) = known_head::check(&client, given, false).await?;
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = BufWriter::new(NamedTempFile::new_in(folder).with_context(action)?);
    let header = ExportHeader { exported: UnixSeconds::now(), head: known.head, keys: known.keys };
    writeln!(file, "{}", format::write(&header)).with_context(action)?;
    let mut from = 0;
    // Rows that were appended since the head was signed are left out.
    while from < head.size {
        let page = client.audit_rows(from).await.with_context(action)?;
        let rest = usize::try_from(head.size - from).unwrap_or(usize::MAX);
        let rows = page.rows.get(..rest).unwrap_or(&page.rows);
        if rows.is_empty() {
            // The file says so when it is verified.
            break;
        }
        rows.iter().try_for_each(|row| write_row(&mut file, row)).with_context(action)?;
        from += rows.len() as u64;
    }
    let file = file.into_inner().map_err(io::IntoInnerError::into_error).with_context(action)?;
    file.as_file().sync_all().with_context(action)?;
    file.persist_noclobber(&args.file).map_err(|error| error.error).with_context(action)?;
    if args.output.json {
        print_json(&ExportResult { file: &args.file, rows: from })?;
    }
    let rows = format_count(usize::try_from(from).unwrap_or(usize::MAX), "row");
    print_note(&format!("{rows} written to {}", args.file.display()));
    Ok(Exit::Success)
}

/// Writes the line of a row. Its text is not formatted again: the hash is over its bytes.
pub(super) fn write_row(to: &mut impl io::Write, row: &HashedRow) -> io::Result<()> {
    writeln!(to, "{{\"leaf\":\"{}\",\"row\":{}}}", row.leaf, row.entry)
}
