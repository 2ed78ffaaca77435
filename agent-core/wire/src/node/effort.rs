//! Which connections carry background transfers only (rule P16).

use super::NodeLoop;
use crate::{forward::WriterCommand, host::Host, lock::lock, socket::SocketControl};
use banyan_proto::{
    MachineId,
    peer::{Control, Effort, Pull},
};
use banyan_swarm::io::{Link, StripeId};

/// The efforts of one connection's transfers.
pub(super) struct PeerEffort {
    control: SocketControl,
    pulled: Option<PulledEffort>,
    /// Of the stripe that this machine serves; as the peer asked.
    served: Option<Effort>,
}

/// The effort of a stripe that this machine pulls.
#[derive(Clone, Copy)]
struct PulledEffort {
    /// As the source was told.
    effort: Effort,
    /// Whether the pull waits for chunks that the source lacks.
    wait: bool,
}

impl PeerEffort {
    pub(super) fn new(control: SocketControl) -> Self {
        Self { control, pulled: None, served: None }
    }
    /// Sets the effort of a new pull.
    pub(super) fn set_pulled(&mut self, effort: Effort, wait: bool) {
        self.pulled = Some(PulledEffort { effort, wait });
    }
    /// Sets another effort for the current pull. Returns whether the pull waits for chunks, if the effort has changed.
    fn change_pulled(&mut self, effort: Effort) -> Option<bool> {
        let pulled = self.pulled.as_mut().filter(|pulled| pulled.effort != effort)?;
        pulled.effort = effort;
        Some(pulled.wait)
    }
    /// Marks the packets of a connection whose transfers are all in the background.
    pub(super) fn apply(&self, host: &impl Host, peer: MachineId) {
        let mut efforts = self.pulled.map(|pulled| pulled.effort).into_iter().chain(self.served).peekable();
        let is_background = efforts.peek().is_some() && efforts.all(|effort| effort == Effort::Lower);
        self.control.set_background(is_background.then(|| host.background(peer)));
    }
}

/// Returns the effort of a stripe's transfer to this machine.
pub(super) fn effort_of(stripe: StripeId, host: &impl Host) -> Effort {
    if host.is_background(stripe.order) { Effort::Lower } else { Effort::Normal }
}

impl<H: Host> NodeLoop<H> {
    /// Sets the effort that a peer asks for.
    pub(super) fn set_served_effort(&mut self, link: Link, effort: Effort) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        peer.effort.served = Some(effort);
        peer.effort.apply(&*self.host, peer.id);
    }

    /// Asks the host again about every connection, and tells the sources whose transfers have changed.
    pub(super) fn update_all_efforts(&mut self) {
        let mut changed = Vec::new();
        for (&link, peer) in &mut self.links {
            let stripe = lock(&peer.active_pull).as_ref().map(|(stripe, _)| *stripe);
            if let Some(stripe) = stripe
                && let Some(wait) = peer.effort.change_pulled(effort_of(stripe, &*self.host))
            {
                changed.push((link, stripe, wait));
            }
            peer.effort.apply(&*self.host, peer.id);
        }
        for (link, stripe, wait) in changed {
            self.tell_effort(link, stripe, wait);
        }
    }

    /// Tells a source that the effort of its transfer has changed.
    fn tell_effort(&mut self, link: Link, stripe: StripeId, wait: bool) {
        let (Some(membership), Some(content)) = (self.host.membership(stripe), self.host.content(stripe.order)) else {
            return;
        };
        // An older source serves the pull anew, from here on.
        let from = content.held(stripe.stripe).unwrap_or(0);
        if from >= content.chunks(stripe.stripe) {
            return;
        }
        let effort = effort_of(stripe, &*self.host);
        let (order, stripe) = (stripe.order, stripe.stripe);
        let pull = Pull { order, stripe, from, membership, wait, effort, changes_effort: true };
        self.send(link, WriterCommand::Send(Control::Pull(Box::new(pull))));
    }
}
