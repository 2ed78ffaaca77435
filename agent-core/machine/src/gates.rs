//! What the schedule closes for one order: receiving, installing. The machine does not know why; it is told.

use banyan_proto::Reason;

/// Open or closed, with the reason that others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gates {
    pub(crate) receive: Result<(), Reason>,
    pub(crate) install: Result<(), Reason>,
}

impl Gates {
    pub(crate) const OPEN: Self = Self { receive: Ok(()), install: Ok(()) };
}
