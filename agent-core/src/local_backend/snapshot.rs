//! Builds the snapshot that desktop programs show to the users, and the short status.

use super::{
    LocalBackend,
    order_progress::{MachineLabels, progress},
};
use crate::{
    agent::Agent, pipeline::active_order::ActiveOrder, platform, scheduling::ScheduleInputs,
    user::order_notes::OrderNotes,
};
use banyan_proto::{
    UnixSeconds,
    local::{About, Enrolled, Link, OrderStatus, Sharing, Snapshot, Status, Update, UpdateState},
    schedule::{DayUse, Stage},
};
use banyan_wire::tls;
use std::{cmp::Reverse, sync::Arc};

/// A server that has not answered for this long counts as away (seconds); the check-in's long poll takes five minutes.
const AWAY_AFTER: u64 = 330;

impl LocalBackend {
    /// Returns the full snapshot, without what was installed in standalone mode. Without an agent this machine is not
    /// enrolled yet.
    pub(super) fn build_snapshot(&self) -> Snapshot {
        let agent = self.agent.get().map(Arc::as_ref);
        let inputs = self.schedule.inputs();
        let orders = agent.map(|agent| agent.orders.all()).unwrap_or_default();
        self.speed_meters.retain(|order| orders.iter().any(|active| active.order.id == order));
        let labels = MachineLabels { server: agent.map(|agent| agent.identity.server) };
        let updates: Vec<Update> = orders.iter().map(|active| self.update(&inputs, active, &labels)).collect();
        let mut snapshot = Snapshot {
            about: self.about(agent),
            link: agent.map_or(Link::NotEnrolled, |agent| link(agent.server.contact.last_answer(), inputs.now.wall)),
            sharing: self.sharing(&inputs, &updates),
            updates,
            scheduling: inputs.overview(),
            history: self.user.history.entries(),
        };
        snapshot.sort();
        snapshot
    }

    fn update(&self, inputs: &ScheduleInputs, active: &ActiveOrder, labels: &MachineLabels) -> Update {
        let notes = self.user.history.notes(active.order.id);
        let description = &active.description;
        let state = update_state(active, &notes);
        let install_deadline = inputs.deadline(active, &notes, Stage::Install);
        Update {
            order: active.order.id,
            number: active.order.number,
            package: active.order.package.clone(),
            version: description.version.clone(),
            sequence: active.order.sequence,
            publisher: description.publisher.clone(),
            notes: description.notes.clone(),
            kind: active.content.artifact().install.kind,
            size: active.content.artifact().size,
            issued: active.order.issued,
            seen: notes.seen,
            later: if state.is_over() { Vec::new() } else { self.user.postponements(install_deadline) },
            state,
            progress: progress(active, &self.speed_meters, labels),
            verdict: inputs.verdict(active, &notes),
            receive_deadline: inputs.deadline(active, &notes, Stage::Receive),
            install_deadline,
            wishes: notes.wishes,
            waits: notes.waits,
            alone: false,
        }
    }

    fn sharing(&self, inputs: &ScheduleInputs, updates: &[Update]) -> Sharing {
        let today = banyan_schedule::day_name(inputs.now.wall, &inputs.zone);
        let mut days = inputs.usage.days();
        days.reverse();
        let nothing = DayUse { day: today.clone(), given: 0, received: 0 };
        let (now, before): (Vec<_>, Vec<_>) = days.into_iter().partition(|row| row.day == today);
        let chosen = inputs.choice.as_ref().unwrap_or(&inputs.policy.defaults).daily_upload;
        Sharing {
            today: now.into_iter().next().unwrap_or(nothing),
            days: before,
            quota: chosen.into_iter().chain(inputs.policy.daily_upload).min(),
            download: updates.iter().map(|update| update.progress.down).sum(),
            upload: updates.iter().map(|update| update.progress.up).sum(),
        }
    }

    fn about(&self, agent: Option<&Agent>) -> About {
        let zone = jiff::fmt::temporal::DateTimePrinter::new().time_zone_to_string(&self.user.zone.current());
        About {
            label: self.label.clone(),
            software: platform::software(),
            platform: banyan_proto::platform::platform(),
            mode: self.mode,
            installs_for_everyone: self.installs_for_everyone,
            listen: agent.map(|agent| agent.listen),
            enrolled: agent.map(|agent| Enrolled {
                machine: agent.identity.machine,
                server: agent.identity.server,
                server_addresses: agent.identity.server_addresses.current(),
                certificate_until: tls::valid_until(&agent.tls.credentials().certificate),
                crl_number: agent.tls.crl_number(),
            }),
            // A zone loaded from a copied file has no name: desktop programs then use the computer's zone, which is
            // the same.
            zone: zone.unwrap_or_default(),
            signers: Vec::new(),
        }
    }

    /// Returns the short status of a running agent.
    pub(super) fn build_status(&self, agent: &Agent) -> Status {
        let mut orders = agent.orders.all();
        orders.sort_by_key(|active| Reverse(active.order.number));
        Status {
            machine: agent.identity.machine,
            label: self.label.clone(),
            servers: agent.identity.server_addresses.current(),
            heard: agent.server.contact.last_answer(),
            trouble: agent.server.contact.trouble(),
            failure: agent.server.contact.failure(),
            certificate_until: tls::valid_until(&agent.tls.credentials().certificate),
            crl_number: agent.tls.crl_number(),
            orders: orders.iter().map(|active| self.order_status(active)).collect(),
        }
    }

    fn order_status(&self, active: &ActiveOrder) -> OrderStatus {
        let outcome = self.user.history.notes(active.order.id).outcome;
        OrderStatus {
            order: active.order.id,
            package: active.order.package.clone(),
            sequence: active.order.sequence,
            chunks: (active.held_chunks(), active.content.artifact().chunk_count()),
            passed_on: active.content.served(),
            authenticated: active.receipt().is_some(),
            ended: outcome.map(|outcome| outcome.failure.map_or(Ok(()), |failure| Err(failure.reason))),
        }
    }
}

fn link(last_answer: Option<UnixSeconds>, now: UnixSeconds) -> Link {
    match last_answer {
        None => Link::Connecting,
        Some(at) if at.plus(AWAY_AFTER) < now => Link::Away { heard: Some(at) },
        Some(_) => Link::Connected,
    }
}

fn update_state(active: &ActiveOrder, notes: &OrderNotes) -> UpdateState {
    match &notes.outcome {
        Some(outcome) => outcome.to_update_state(),
        None if notes.is_installing => UpdateState::Installing,
        None if active.receipt().is_some() => UpdateState::Ready,
        None if active.content.is_whole() => UpdateState::Checking,
        None => UpdateState::Receiving,
    }
}
