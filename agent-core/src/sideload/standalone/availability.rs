//! Checks whether an agent may install packages without a server, before anyone sends a file. The install helper repeats
//! the check.

use crate::refusal::refusal;
use banyan_proto::{Reason, api::ApiError, local::Mode};

/// Checks whether an agent that runs like this may install packages without an order.
///
/// # Errors
/// Why it may not.
pub(super) fn check(mode: Mode, may_have_privileges: bool, has_privileges: bool) -> Result<(), ApiError> {
    let detail = match mode {
        Mode::System => {
            "this computer is not set up yet, so it does not know which publishers to trust; enter a join code, then \
             open the package again"
        }
        Mode::User if cfg!(windows) => {
            "on Windows, packages cannot be installed without a server yet; enter a join code, then open the package again"
        }
        Mode::User if has_privileges || may_have_privileges => {
            "without a server, Banyan installs packages only in its personal mode, which an ordinary user starts; enter \
             a join code, or start the personal mode, then open the package again"
        }
        Mode::User => return Ok(()),
    };
    Err(refusal(Reason::NotAllowed, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_with_privileges_installs_nothing_without_an_order() {
        assert_eq!(check(Mode::User, false, false), Ok(()));
        for (mode, fixed, privileged) in
            [(Mode::System, false, false), (Mode::User, true, false), (Mode::User, false, true)]
        {
            let refused = check(mode, fixed, privileged).expect_err("installing without a server is refused");
            assert_eq!(refused.reason, Reason::NotAllowed, "{mode:?} {fixed} {privileged}");
        }
    }
}
