//! Where the way without an order is closed, said before anybody hands a file over. The installer asks for itself again.

use crate::for_one::refused;
use banyan_proto::{Reason, api::ApiError, local::Mode};

/// Whether the way without an order is closed to an agent that runs like this.
pub(super) fn closed(mode: Mode, may_have_rights: bool, privileged: bool) -> Option<ApiError> {
    let detail = match mode {
        Mode::System => {
            "this computer belongs to no server yet, so it does not know whose packages to trust; enrol it with a join code, \
             then open the package again"
        }
        Mode::User if cfg!(windows) => {
            "on Windows packages are not installed without a server yet; enrol with a join code"
        }
        Mode::User if privileged || may_have_rights => {
            "without a server packages are only installed by a Banyan that runs with nobody's rights but yours; start it as \
             an ordinary user (`banyan-tray --own-agent`), or enrol this one with a join code"
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
            let closed = closed(mode, fixed, privileged).expect("it is closed");
            assert_eq!(closed.reason, Reason::NotAllowed, "{mode:?} {fixed} {privileged}");
        }
    }
}
