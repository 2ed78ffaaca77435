//! Reports that the server has not received yet.

use super::{Database, DatabaseError, RECORDS, REPORTS, decode, encode};
use banyan_proto::{
    OrderId, UnixSeconds,
    api::{Event, Report},
};
use redb::{ReadableTable, ReadableTableMetadata};

/// Maximum number of reports kept while the server cannot be reached; the oldest are dropped first.
const MAX_REPORTS: u64 = 10_000;
/// The same limit in bytes.
const MAX_REPORT_BYTES: u64 = 8 << 20;

/// A report to be queued.
pub(crate) struct NewReport {
    pub(crate) at: UnixSeconds,
    pub(crate) order: Option<OrderId>,
    pub(crate) event: Event,
}

impl Database {
    /// Queues reports for the server and assigns their numbers. Returns how many of the oldest were dropped, because the
    /// queue is limited in number and in bytes.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn queue_reports(&self, reports: &[NewReport]) -> Result<u64, DatabaseError> {
        const NEXT: &str = "next report";
        self.write(|transaction| {
            let mut records = transaction.open_table(RECORDS)?;
            let mut table = transaction.open_table(REPORTS)?;
            let next = records.get(NEXT)?.map(|bytes| decode::<u64>(NEXT, bytes.value())).transpose()?;
            let mut next = next.unwrap_or(1);
            for NewReport { at, order, event } in reports {
                let report = Report { number: next, at: *at, order: *order, event: event.clone() };
                table.insert(next, encode(&report)?.as_slice())?;
                next += 1;
            }
            records.insert(NEXT, encode(&next)?.as_slice())?;
            let mut bytes: u64 = 0;
            for row in table.iter()? {
                bytes += row?.1.value().len() as u64;
            }
            let mut dropped = 0;
            while table.len()? > MAX_REPORTS || bytes > MAX_REPORT_BYTES {
                let Some(oldest) = table.pop_first()? else { break };
                bytes -= oldest.1.value().len() as u64;
                dropped += 1;
            }
            Ok(dropped)
        })
    }
    /// Returns the oldest reports that the server has not received: up to `most`, and up to this many bytes. Texts that
    /// an earlier version stored without a limit are cut.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub(crate) fn load_reports(&self, most: usize, most_bytes: usize) -> Result<Vec<Report>, DatabaseError> {
        let table = self.begin_read()?.open_table(REPORTS)?;
        let (mut reports, mut bytes) = (Vec::new(), 0);
        for row in table.iter()?.take(most) {
            let mut report: Report = decode("a report", row?.1.value())?;
            report.event.bound_texts();
            bytes += encode(&report)?.len() + 1;
            if bytes > most_bytes && !reports.is_empty() {
                break;
            }
            reports.push(report);
        }
        Ok(reports)
    }
    /// Deletes the reports up to this number, because the server has them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_reports_up_to(&self, up_to: u64) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            transaction.open_table(REPORTS)?.retain(|number, _| number > up_to)?;
            Ok(())
        })
    }
}
