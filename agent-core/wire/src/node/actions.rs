//! Carries out the actions of the state machine.

use super::{Event, Loop};
use crate::{
    connection,
    forward::{Out, Serving},
    host::Host,
};
use banyan_proto::{
    MachineId, Reason,
    peer::{Confirm, Control, Pull},
};
use banyan_swarm::io::{Action, Input, Link, StripeId};
use std::sync::PoisonError;

impl<H: Host> Loop<H> {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Dial { link, peer, .. } => self.dial(link, peer),
            Action::Offer { link, stripe, sublist, proof } => match self.host.make_offer(stripe, &sublist, &proof) {
                Ok(offer) => self.send(link, Out::Send(Control::Offer(Box::new(offer)))),
                Err(reason) => {
                    self.close(link, reason);
                    self.input(Input::Lost(link, reason));
                }
            },
            Action::AnswerOffer(link, reply) => self.send(link, Out::Send(Control::OfferReply(reply))),
            Action::TellPartsAccepted(link) => self.send(link, Out::Send(Control::PartsAccepted)),
            Action::Pull { link, stripe, from } => self.pull(link, stripe, from),
            Action::Serve { link, stripe, from, wait } => match self.host.content(stripe.order) {
                Some(content) => {
                    self.send(
                        link,
                        Out::Serve(Serving { content, order: stripe.order, stripe: stripe.stripe, next: from, wait }),
                    );
                }
                None => {
                    self.close(link, Reason::OrderExpired);
                    self.input(Input::Lost(link, Reason::OrderExpired));
                }
            },
            Action::RefusePull(link, reply) => {
                self.send(link, Out::Stop);
                self.send(link, Out::Send(Control::PullReply(reply)));
            }
            Action::Confirm(link, order) => {
                if let Some(content) = self.host.content(order) {
                    let confirm = Confirm { order, artifact: content.artifact().digest };
                    self.send(link, Out::Send(Control::Confirm(confirm)));
                }
            }
            Action::Close(link, reason) => self.close(link, reason),
            other @ (Action::VerifyArtifact(_)
            | Action::AskReceipt(_)
            | Action::AskInstallPermit(_)
            | Action::Install(_)
            | Action::Report(..)) => self.host.perform(other, &self.handle),
        }
    }

    fn dial(&mut self, link: Link, peer: MachineId) {
        let (addresses, tls, hello) = (self.host.addresses(peer), self.handle.tls().connector, self.hello());
        let events = self.handle.events.clone();
        let task = tokio::spawn(async move {
            drop(match connection::dial(peer, addresses, tls, hello).await {
                Ok(connection) => events.send(Event::Up { link, connection: Box::new(connection) }),
                Err(error) => events.send(Event::NotUp { link, reason: error.reason, detail: error.detail }),
            });
        });
        self.dialling.insert(link, task.abort_handle());
    }

    fn pull(&mut self, link: Link, stripe: StripeId, from: u32) {
        let Some(peer) = self.links.get(&link) else { return };
        let (Some(membership), Some(content)) = (self.host.membership(stripe), self.host.content(stripe.order)) else {
            self.close(link, Reason::OrderExpired);
            self.input(Input::Lost(link, Reason::OrderExpired));
            return;
        };
        *peer.pulling.lock().unwrap_or_else(PoisonError::into_inner) = Some((stripe, content));
        let pull = Pull { order: stripe.order, stripe: stripe.stripe, from, membership };
        self.send(link, Out::Send(Control::Pull(Box::new(pull))));
    }
}
