//! Fuzz target: control messages between machines, that is offers and pulls with their lists, proofs and codes, and the
//! answers.

use super::{Verdict, ensure, json};
use banyan_proto::{
    limits,
    peer::{Control, OfferReply, PullReply},
};

/// Parses a message and combines its content as a receiver does before it compares it with the order.
pub(super) fn check(input: &[u8]) -> Verdict {
    let replies = json::<OfferReply>(input)?.is_some() | json::<PullReply>(input)?.is_some();
    match json::<Control>(input)? {
        Some(Control::Offer(offer)) => {
            ensure((1..=limits::ADDRESSEES).contains(&offer.sublist.len()), "a list of a forbidden length")?;
            let below = offer.sublist.subtree(offer.stripe);
            let root = offer.proof.root(offer.stripe, below);
            ensure(root.size as usize >= offer.proof.0.len(), "a list is shorter than the path through it")?;
            ensure(offer.proof.ancestors().count() == offer.proof.0.len(), "an ancestor is lost")?;
            let handed: usize = offer.sublist.hand_on(offer.stripe).iter().map(|(_, part, _)| part.len()).sum();
            ensure(handed + 1 == offer.sublist.len(), "a name is lost when the list is split")?;
            Ok(true)
        }
        Some(Control::Pull(pull)) => {
            let machine = pull.membership.proof.ancestors().next().unwrap_or(banyan_proto::MachineId([0; 16]));
            let root = pull.membership.root(pull.stripe, machine);
            ensure(root.size >= 1, "a membership in an empty list")?;
            Ok(true)
        }
        Some(_) => Ok(true),
        None => Ok(replies),
    }
}
