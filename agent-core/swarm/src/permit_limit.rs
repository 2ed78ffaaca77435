//! How many machines may install a release that has not proved itself yet (rule A9).
//!
//! The server asks before it gives an install permit; the simulated swarm asks the same function.

use banyan_proto::{Reason, order::Spread};

/// The machines that may always install before any machine has proved the release.
const FIRST_INSTALLS: usize = 2;

/// What is known of a release when a machine asks for its install permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReleaseProof {
    /// Machines on which the release is installed and has passed its check.
    pub proven: usize,
    /// Machines of this order on which the release failed while it was installed or checked.
    pub failed: usize,
    /// Other machines of this order that have a permit and may be installing.
    pub installing: usize,
}

/// Returns how many more machines may install now.
#[must_use]
pub fn free_places(spread: Spread, proof: ReleaseProof) -> usize {
    match spread {
        Spread::CutThrough | Spread::Verified => usize::MAX,
        Spread::Proven | Spread::AfterInstall if proof.failed > 0 => 0,
        Spread::Proven | Spread::AfterInstall => FIRST_INSTALLS.max(proof.proven).saturating_sub(proof.installing),
    }
}

/// Decides whether one more machine may install.
///
/// # Errors
/// Why it may not: the release failed elsewhere, or enough machines are installing it unproven.
pub fn may_install(spread: Spread, proof: ReleaseProof) -> Result<(), Reason> {
    match spread {
        Spread::CutThrough | Spread::Verified => Ok(()),
        // With `after-install` the tree limits most installs; but machines can hold the content from an earlier order.
        Spread::Proven | Spread::AfterInstall if proof.failed > 0 => Err(Reason::FailedElsewhere),
        Spread::Proven | Spread::AfterInstall if free_places(spread, proof) > 0 => Ok(()),
        Spread::Proven | Spread::AfterInstall => Err(Reason::WaitsForProof),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_many_may_install_after_each_round() {
        let may = |proven, installing| may_install(Spread::Proven, ReleaseProof { proven, failed: 0, installing });
        assert_eq!(may(0, 1), Ok(()));
        assert_eq!(may(0, 2), Err(Reason::WaitsForProof));
        assert_eq!(may(1, 2), Err(Reason::WaitsForProof));
        assert_eq!((may(5, 4), may(5, 5)), (Ok(()), Err(Reason::WaitsForProof)));
        let free =
            |proven, failed, installing| free_places(Spread::Proven, ReleaseProof { proven, failed, installing });
        assert_eq!((free(0, 0, 0), free(5, 0, 3), free(5, 0, 9), free(5, 1, 0)), (2, 2, 0, 0));
    }

    #[test]
    fn one_failure_stops_all_further_installs_of_a_careful_spread() {
        let failed = ReleaseProof { proven: 50, failed: 1, installing: 0 };
        for (spread, expected) in [
            (Spread::CutThrough, Ok(())),
            (Spread::Verified, Ok(())),
            (Spread::Proven, Err(Reason::FailedElsewhere)),
            (Spread::AfterInstall, Err(Reason::FailedElsewhere)),
        ] {
            assert_eq!(may_install(spread, failed), expected, "{spread:?}");
        }
    }
}
