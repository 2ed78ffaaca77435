//! Checks whether an agent may install packages without a server, before anyone sends a file. The installer repeats
//! the check.

use crate::server::on_demand::refused;
use banyan_proto::{Reason, api::ApiError, local::Mode};

/// Returns why an agent that runs like this may not install packages without an order; `None` when it may.
pub(super) fn closed(mode: Mode, may_have_rights: bool, privileged: bool) -> Option<ApiError> {
    let detail = match mode {
        Mode::System => {
            "this computer is not set up yet, so it does not know which publishers to trust; enter a join code, then \
             open the package again"
        }
        Mode::User if cfg!(windows) => {
            "on Windows, packages cannot be installed without a server yet; enrol with a join code"
        }
        Mode::User if privileged || may_have_rights => {
            "without a server, only a Banyan that runs with your own rights can install packages; start it as an \
             ordinary user (`banyan-tray --own-agent`), or enrol this one with a join code"
        }
        Mode::User => return None,
    };
    Some(refused(Reason::NotAllowed, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_without_an_order_is_open_to_nobody_with_rights() {
        assert_eq!(closed(Mode::User, false, false), None);
        for (mode, fixed, privileged) in
            [(Mode::System, false, false), (Mode::User, true, false), (Mode::User, false, true)]
        {
            let closed = closed(mode, fixed, privileged).expect("installing without a server is refused");
            assert_eq!(closed.reason, Reason::NotAllowed, "{mode:?} {fixed} {privileged}");
        }
    }
}
