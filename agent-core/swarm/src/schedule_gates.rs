//! The gates that the schedule sets for one order: receiving and installing. The state machine is given the result, not
//! the cause.

use banyan_proto::Reason;

/// Whether each stage is open, or the reason for being closed that is reported to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScheduleGates {
    pub(crate) receive: Result<(), Reason>,
    pub(crate) install: Result<(), Reason>,
}

impl ScheduleGates {
    pub(crate) const OPEN: Self = Self { receive: Ok(()), install: Ok(()) };
}
