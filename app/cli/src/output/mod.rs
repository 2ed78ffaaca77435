//! What a command leaves behind: its result, its notes, its error report and its exit code.

mod exit_code;
mod failure;
mod format;
mod print;

pub(crate) use exit_code::Exit;
pub(crate) use failure::{Advice, Failure, REPORT_BUG, WithContext};
pub(crate) use format::{format_age, format_count, format_remaining, format_table, sanitise};
pub(crate) use print::{OutputArgs, print_json, print_note, print_text};
