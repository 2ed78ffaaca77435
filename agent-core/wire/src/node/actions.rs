//! Carries out the actions of the state machine.

use super::{NodeLoop, effort::effort_of};
use crate::{
    chunk_log, connection,
    forward::{PullToServe, WriterCommand},
    host::Host,
    lock::lock,
    node_handle::NodeEvent,
};
use banyan_proto::{
    MachineId, Reason,
    peer::{Confirm, Control, Pull},
};
use banyan_swarm::io::{Action, Link, LinkInput, StripeId};

impl<H: Host> NodeLoop<H> {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Dial { link, peer, .. } => self.dial(link, peer),
            Action::Offer { link, stripe, sublist, proof } => match self.host.make_offer(stripe, &sublist, &proof) {
                Ok(offer) => self.send(link, WriterCommand::Send(Control::Offer(Box::new(offer)))),
                Err(reason) => {
                    self.close(link, reason);
                    self.input(LinkInput::Lost(link, reason));
                }
            },
            Action::AnswerOffer(link, reply) => self.send(link, WriterCommand::Send(Control::OfferReply(reply))),
            Action::SendPartsAccepted(link) => self.send(link, WriterCommand::Send(Control::PartsAccepted)),
            Action::Pull { link, stripe, from, wait } => self.pull(link, stripe, from, wait),
            Action::Serve { link, stripe, from, wait } => match self.host.content(stripe.order) {
                Some(content) => {
                    let expected_rate = self.links.get(&link).and_then(|peer| self.host.expected_rate(peer.id));
                    let StripeId { order, stripe } = stripe;
                    let pull = PullToServe { content, order, stripe, next: from, wait, expected_rate };
                    self.send(link, WriterCommand::Serve(pull));
                }
                None => {
                    self.close(link, Reason::OrderExpired);
                    self.input(LinkInput::Lost(link, Reason::OrderExpired));
                }
            },
            Action::RefusePull(link, reply) => {
                self.send(link, WriterCommand::StopServing);
                self.send(link, WriterCommand::Send(Control::PullReply(reply)));
            }
            Action::Confirm(link, order) => {
                if let Some(content) = self.host.content(order) {
                    let confirm = Confirm { order, artifact: content.artifact().digest };
                    self.send(link, WriterCommand::Send(Control::Confirm(confirm)));
                }
            }
            Action::Close(link, reason) => self.close(link, reason),
            Action::Run(order, task) => self.host.run_task(order, task, &self.handle),
            Action::SetUpstream(stripe, upstream) => {
                if let Some(content) = self.host.content(stripe.order) {
                    content.set_upstream(stripe.stripe, upstream);
                }
            }
            Action::RequestSources(request) => self.host.request_sources(request, &self.handle),
            Action::ReportFlows(request) => self.host.report_flows(request, &self.handle),
            Action::Report(order, event) => self.host.report_event(order, event),
        }
    }

    fn dial(&mut self, link: Link, peer: MachineId) {
        let (addresses, tls, hello) = (self.host.addresses(peer), self.handle.tls().connector, self.hello());
        let events = self.handle.events();
        let task = tokio::spawn(async move {
            drop(match connection::dial(peer, addresses, tls, hello).await {
                Ok(connection) => events.send(NodeEvent::Connected { link, connection: Box::new(connection) }),
                Err(error) => events.send(NodeEvent::DialFailed { link, reason: error.reason, detail: error.detail }),
            });
        });
        self.dialling.insert(link, task.abort_handle());
    }

    fn pull(&mut self, link: Link, stripe: StripeId, from: u32, wait: bool) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        let (Some(membership), Some(content)) = (self.host.membership(stripe), self.host.content(stripe.order)) else {
            self.close(link, Reason::OrderExpired);
            self.input(LinkInput::Lost(link, Reason::OrderExpired));
            return;
        };
        chunk_log::asked(stripe, from, peer.id);
        *lock(&peer.active_pull) = Some((stripe, content));
        let effort = effort_of(stripe, &*self.host);
        peer.effort.set_pulled(effort, wait);
        peer.effort.apply(&*self.host, peer.id);
        let (order, stripe) = (stripe.order, stripe.stripe);
        let pull = Pull { order, stripe, from, membership, wait, effort, changes_effort: false };
        self.send(link, WriterCommand::Send(Control::Pull(Box::new(pull))));
    }
}
