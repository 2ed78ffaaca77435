//! Receives the administrator's policy from check-ins. It is signed like an order, because it is stored and stays in
//! force while the server is away.

use super::Agent;
use banyan_proto::{Signed, schedule::Policy};
use tracing::warn;

impl Agent {
    /// Takes a policy if the server signed it and it is newer (rule S2); it takes effect at once.
    ///
    /// # Errors
    /// The policy number to report at check-ins, so that a policy that was refused or not stored is not sent again at
    /// once.
    pub(crate) fn hear_policy(&self, signed: &Signed<Policy>) -> Result<(), u64> {
        let policy = match signed.verify(&self.offers.keys) {
            Ok(policy) => policy,
            Err(error) => {
                warn!(%error, "policy refused; the previous one stays in force");
                return Err(u64::MAX);
            }
        };
        let number = policy.number;
        self.user.take_policy(policy).map_err(|error| {
            warn!(%error, "failed to store a policy; the previous one stays in force");
            number
        })
    }
}
