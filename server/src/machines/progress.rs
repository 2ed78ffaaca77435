//! A machine's progress in a deployment: what each report and receipt changes. Pure; the store applies it in its
//! transactions.

use crate::store::AddresseeRow;
use banyan_proto::{
    Reason, UnixSeconds,
    admin::Stage,
    api::{ByteSource, Event},
    limits, program_output, text,
};

/// Applies an event that the machine reported, `after_ms` milliseconds after the deployment was accepted. Returns whether
/// anything changed.
///
/// Stages only rise: reports can be late, and the receipt can arrive before the report that the artifact is complete.
/// The final stage, installed or failed, is what the machine reported last.
pub(crate) fn apply_event(row: &mut AddresseeRow, event: &Event, after_ms: u64) -> bool {
    let before = row.clone();
    match event {
        Event::Offered { .. } => raise_stage(row, Stage::Receiving),
        Event::Progress { held, .. } => {
            raise_stage(row, Stage::Receiving);
            if *held > row.held {
                row.held = *held;
                clear_wait_to_receive(row);
            }
        }
        Event::Verified { sources, .. } => {
            record_verified(row, sources, after_ms);
            raise_stage(row, Stage::Verified);
        }
        Event::Authenticated => raise_stage(row, Stage::Authenticated),
        Event::Installing => {
            raise_stage(row, Stage::Installing);
            if !row.is_over() {
                (row.reason, row.detail) = (None, None);
                row.permitted.get_or_insert(UnixSeconds(0));
            }
        }
        Event::Installed { already, remark, .. } => {
            row.stage = Stage::Installed;
            row.had_it = *already;
            (row.reason, row.detail) = (None, remark.as_deref().map(shorten));
            row.installed_after.get_or_insert(after_ms);
        }
        Event::Failed { reason, detail, .. } => {
            row.stage = Stage::Failed;
            let detail = program_output::bounded_failure(detail, limits::FAILURE_DETAIL_BYTES);
            (row.reason, row.detail) = (Some(*reason), Some(detail));
        }
        Event::Waits { reason, detail } if !row.is_over() => {
            (row.reason, row.detail) = (Some(*reason), Some(shorten(detail)).filter(|detail| !detail.is_empty()));
            // It does not install now. Other machines waiting for their turn here do not concern the installation.
            if *reason != Reason::Busy {
                row.permitted = None;
            }
        }
        // Facts about other machines or about the route: stored as reports, with no change here.
        Event::Waits { .. }
        | Event::Refused { .. }
        | Event::SteppedOver { .. }
        | Event::Source { .. }
        | Event::BadChunk { .. } => {}
    }
    *row != before
}

/// Applies a receipt: the machine proved that it holds the artifact, and named the sources of the bytes. Returns whether
/// anything changed.
pub(crate) fn apply_receipt(row: &mut AddresseeRow, sources: &[ByteSource], after_ms: u64) -> bool {
    let before = row.clone();
    record_verified(row, sources, after_ms);
    raise_stage(row, Stage::Authenticated);
    *row != before
}

fn raise_stage(row: &mut AddresseeRow, stage: Stage) {
    if !row.is_over() && row.stage < stage {
        row.stage = stage;
        // The machine is making progress again, so the reason it waited for no longer applies.
        (row.reason, row.detail) = (None, None);
    }
}

/// Content arrives again, so the reason why none arrived no longer applies.
fn clear_wait_to_receive(row: &mut AddresseeRow) {
    if row.stage == Stage::Receiving {
        (row.reason, row.detail) = (None, None);
    }
}

fn record_verified(row: &mut AddresseeRow, sources: &[ByteSource], after_ms: u64) {
    row.verified_after.get_or_insert(after_ms);
    if !sources.is_empty() {
        row.sources = sources[..sources.len().min(limits::SOURCES)].to_vec();
    }
}

fn shorten(detail: &str) -> String {
    text::bounded(detail, limits::FAILURE_DETAIL_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{LinkRates, MachineId};

    #[test]
    fn late_reports_change_nothing_and_the_end_is_what_was_said_last() {
        let mut row = AddresseeRow::expected(MachineId([1; 16]));
        assert!(apply_receipt(&mut row, &[], 40));
        assert!(!apply_event(&mut row, &Event::Offered { stripe: 0, sender: MachineId([2; 16]) }, 50));
        assert!(!apply_event(&mut row, &Event::Verified { sources: vec![], rates: LinkRates::default() }, 60));
        assert_eq!((row.stage, row.verified_after), (Stage::Authenticated, Some(40)));
        let failed = Event::Failed { reason: Reason::ProbeFailed, detail: "no".into(), restored: true };
        assert!(apply_event(&mut row, &failed, 70));
        assert!(!apply_event(&mut row, &Event::Installing, 80));
        assert_eq!((row.stage, row.reason), (Stage::Failed, Some(Reason::ProbeFailed)));
        assert!(apply_event(&mut row, &Event::Installed { already: false, milliseconds: 1, remark: None }, 90));
        assert_eq!((row.stage, row.reason, row.installed_after), (Stage::Installed, None, Some(90)));
    }

    #[test]
    fn a_reason_for_receiving_nothing_goes_when_content_arrives() {
        let mut row = AddresseeRow::expected(MachineId([1; 16]));
        let progress = |held| Event::Progress { held, of: 9 };
        assert!(apply_event(&mut row, &progress(3), 1));
        assert!(apply_event(&mut row, &Event::Waits { reason: Reason::DiskFull, detail: "full".into() }, 2));
        assert!(!apply_event(&mut row, &progress(3), 3));
        assert_eq!(row.reason, Some(Reason::DiskFull));
        assert!(apply_event(&mut row, &progress(4), 4));
        assert_eq!((row.reason, row.detail), (None, None));
    }

    #[test]
    fn a_reason_goes_when_the_machine_goes_on() {
        let mut row = AddresseeRow::expected(MachineId([1; 16]));
        let waits = Event::Waits { reason: Reason::DiskFull, detail: "ä".repeat(limits::FAILURE_DETAIL_BYTES) };
        assert!(apply_event(&mut row, &waits, 1));
        assert!(row.detail.as_ref().is_some_and(|detail| detail.len() <= limits::FAILURE_DETAIL_BYTES));
        assert!(apply_event(&mut row, &Event::Progress { held: 3, of: 9 }, 2));
        assert_eq!((row.stage, row.held, row.reason), (Stage::Receiving, 3, None));
    }

    #[test]
    fn a_machine_that_puts_the_installation_off_gives_its_permit_back() {
        let permitted = AddresseeRow { permitted: Some(UnixSeconds(9)), ..AddresseeRow::expected(MachineId([1; 16])) };
        let waits = |reason| Event::Waits { reason, detail: String::new() };
        let mut row = permitted.clone();
        apply_event(&mut row, &waits(Reason::Busy), 1);
        assert_eq!(row.permitted, Some(UnixSeconds(9)), "it serves others while it installs");
        apply_event(&mut row, &waits(Reason::PackageManagerBusy), 2);
        assert_eq!((row.permitted, row.detail.as_deref()), (None, None));
        apply_event(&mut row, &Event::Installing, 3);
        assert!(row.permitted.is_some() && row.reason.is_none(), "it installs now");
    }
}
