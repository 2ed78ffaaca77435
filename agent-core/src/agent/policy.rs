//! The administrator's policy, as the server says it at a check-in: signed like an order, since what it says is kept and goes
//! on to hold while the server is away.

use super::Agent;
use banyan_proto::{Signed, schedule::Policy};
use tracing::warn;

impl Agent {
    /// Takes a policy if it is the server's and newer (rule S2); it holds at once.
    ///
    /// # Errors
    /// The number to say that this machine has, so that it is not sent again at once: it could not be believed or kept.
    pub(crate) fn hear_policy(&self, signed: &Signed<Policy>) -> Result<(), u64> {
        let policy = match signed.verify(&self.offers.keys) {
            Ok(policy) => policy,
            Err(error) => {
                warn!(%error, "a policy was not believed; the one before still holds");
                return Err(u64::MAX);
            }
        };
        let number = policy.number;
        self.people.take_policy(policy).map_err(|error| {
            warn!(%error, "a policy could not be kept; the one before still holds");
            number
        })
    }
}
