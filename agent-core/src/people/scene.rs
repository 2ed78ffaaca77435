//! Builds the snapshot that desktop programs show to the users.

use super::{Ended, Notes, People, meter::Meter, signals::Sampled};
use crate::{
    agent::Agent,
    orders::{HeldOrder, lock},
};
use banyan_proto::{
    MachineId, OrderId, UnixSeconds,
    local::{About, Enrolled, Link, Mode, Partner, Progress, Scheduling, Sharing, Snapshot, Update, UpdateState},
    schedule::{DayUse, Policy, Stage, Verdict, Wish},
};
use banyan_schedule::{Moment, Situation, Task, deadline, decide, upload_quota::DailyUsage};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A server that has not answered for this long counts as away (seconds); the check-in's long poll takes five minutes.
const AWAY_AFTER: u64 = 330;
/// A partner is shown as transferring for this long after the last bytes.
const MOVED: Duration = Duration::from_secs(2);

/// The speed meters of all orders: received and sent.
pub(crate) type Meters = Mutex<HashMap<OrderId, (Meter, Meter)>>;

/// Everything that a verdict depends on, captured once.
pub(crate) struct Facts {
    pub(crate) now: Moment,
    pub(crate) sampled: Sampled,
    pub(crate) ledger: DailyUsage,
    pub(crate) choice: Option<banyan_proto::schedule::Choice>,
    pub(crate) policy: Arc<Policy>,
}

impl People {
    pub(crate) fn facts(&self) -> Facts {
        let (now, mut sampled) = (self.now(), lock(&self.sampled).clone());
        (sampled.heard, sampled.full_screen) = (lock(&self.heard).clone(), self.screens.look());
        // Measuring free space is cheap, so it is done even without work: otherwise a pause could hide behind an old
        // value.
        sampled.look_at_disk(now, &self.content);
        Facts { now, sampled, ledger: self.shared.ledger(&self.zone), choice: self.choice(), policy: self.policy() }
    }
    /// Evaluates `ask` for one order, or for the machine in general.
    pub(crate) fn about<T>(&self, facts: &Facts, task: Option<&Task>, ask: impl FnOnce(&Situation<'_>) -> T) -> T {
        let signals = facts.sampled.signals();
        ask(&Situation {
            zone: &self.zone,
            signals: &signals,
            choice: facts.choice.as_ref(),
            policy: &facts.policy,
            usage: &facts.ledger,
            task,
        })
    }
    /// Returns the verdict on one order. Wishes about receiving and installing are separate; each gate uses its own.
    pub(crate) fn verdict(&self, facts: &Facts, held: &HeldOrder, notes: &Notes) -> Verdict {
        let on = |wish| self.about(facts, Some(&task(held, notes, wish)), |situation| decide(situation, facts.now));
        let mut verdict = on(notes.wishes.receive);
        if notes.wishes.install != notes.wishes.receive {
            let other = on(notes.wishes.install);
            verdict.install = other.install;
            verdict.announce.retain(|announcement| announcement.stage != Stage::Install);
            verdict.announce.extend(other.announce.into_iter().filter(|a| a.stage == Stage::Install));
        }
        verdict
    }

    fn update(&self, facts: &Facts, held: &HeldOrder, meters: &Meters, held_labels: &Labels) -> Update {
        let notes = self.notes(held.order.id);
        let words = held.described();
        let due =
            |stage| self.about(facts, Some(&task(held, &notes, Wish::Unsaid)), |situation| deadline(situation, stage));
        let state = state(held, &notes);
        let install_deadline = due(Stage::Install);
        Update {
            order: held.order.id,
            number: held.order.number,
            package: held.order.package.clone(),
            version: words.version.clone(),
            sequence: held.order.sequence,
            publisher: words.publisher.clone(),
            notes: words.notes.clone(),
            kind: held.content.artifact().install.kind,
            size: held.content.artifact().size,
            issued: held.order.issued,
            seen: notes.seen,
            later: if state.is_over() { Vec::new() } else { self.later(install_deadline) },
            state,
            waits: notes.waits.clone(),
            progress: progress(held, meters, held_labels),
            verdict: self.verdict(facts, held, &notes),
            receive_deadline: due(Stage::Receive),
            install_deadline,
            wishes: notes.wishes,
            alone: false,
        }
    }

    /// Returns the scheduling state of the machine in general.
    pub(crate) fn scheduling(&self, facts: &Facts) -> Scheduling {
        let over = facts.choice.as_ref().unwrap_or(&facts.policy.defaults).overrule.clone();
        Scheduling {
            choice: facts.choice.clone(),
            policy: Policy::clone(&facts.policy),
            verdict: self.about(facts, None, |situation| decide(situation, facts.now)),
            signals: facts.sampled.seen(facts.now, &over, &facts.policy.bounds),
        }
    }

    fn sharing(&self, facts: &Facts, updates: &[Update]) -> Sharing {
        let today = banyan_schedule::day_name(facts.now.wall, &self.zone);
        let mut days = facts.ledger.days();
        days.reverse();
        let nothing = DayUse { day: today.clone(), given: 0, received: 0 };
        let (now, before): (Vec<_>, Vec<_>) = days.into_iter().partition(|row| row.day == today);
        let chosen = facts.choice.as_ref().unwrap_or(&facts.policy.defaults).daily_upload;
        Sharing {
            today: now.into_iter().next().unwrap_or(nothing),
            days: before,
            quota: chosen.into_iter().chain(facts.policy.daily_upload).min(),
            download: updates.iter().map(|update| update.progress.down).sum(),
            upload: updates.iter().map(|update| update.progress.up).sum(),
        }
    }

    /// Returns the full snapshot. Without an agent this machine is not enrolled yet.
    pub(crate) fn snapshot(&self, agent: Option<&Agent>, meters: &Meters, label: &str, mode: Mode) -> Snapshot {
        let facts = self.facts();
        let held = agent.map(|agent| agent.orders.all()).unwrap_or_default();
        lock(meters).retain(|order, _| held.iter().any(|held| held.order.id == *order));
        let labels = Labels { server: agent.map(|agent| agent.offers.server) };
        let updates: Vec<Update> = held.iter().map(|held| self.update(&facts, held, meters, &labels)).collect();
        let mut snapshot = Snapshot {
            about: about(agent, label, mode, &self.zone),
            link: agent.map_or(Link::NotEnrolled, |agent| link(agent.heard(), facts.now.wall)),
            sharing: self.sharing(&facts, &updates),
            updates,
            scheduling: self.scheduling(&facts),
            history: self.history(),
        };
        snapshot.sort();
        snapshot
    }
}

pub(crate) fn task(held: &HeldOrder, notes: &Notes, wish: Wish) -> Task {
    let order = &held.order;
    Task { issued: order.issued, seen: notes.seen, window: order.window.clone(), deadline: order.deadline, wish }
}

fn about(agent: Option<&Agent>, label: &str, mode: Mode, zone: &jiff::tz::TimeZone) -> About {
    About {
        label: label.to_owned(),
        software: crate::identity::software(),
        platform: banyan_proto::platform::platform(),
        mode,
        listen: agent.map(|agent| agent.listen),
        enrolled: agent.map(|agent| Enrolled {
            machine: agent.me,
            server: agent.offers.server,
            server_address: agent.server.address(),
            certificate_until: banyan_wire::tls::valid_until(&agent.credentials().certificate),
            crl_number: agent.crl_number(),
        }),
        // A zone loaded from a copied file has no name: desktop programs then use the computer's zone, which is the
        // same.
        zone: jiff::fmt::temporal::DateTimePrinter::new().time_zone_to_string(zone).unwrap_or_default(),
        signers: Vec::new(),
    }
}

fn link(heard: Option<UnixSeconds>, now: UnixSeconds) -> Link {
    match heard {
        None => Link::Connecting,
        Some(heard) if heard.plus(AWAY_AFTER) < now => Link::Away { heard: Some(heard) },
        Some(_) => Link::Connected,
    }
}

fn state(held: &HeldOrder, notes: &Notes) -> UpdateState {
    match &notes.ended {
        Some(Ended { at, failed: None }) => UpdateState::Installed { at: *at },
        Some(Ended { at, failed: Some((reason, detail, restored)) }) => {
            UpdateState::Failed { at: *at, reason: *reason, detail: detail.clone(), restored: *restored }
        }
        None if notes.installing => UpdateState::Installing,
        None if held.receipt().is_some() => UpdateState::Ready,
        None if held.content.is_whole() => UpdateState::Checking,
        None => UpdateState::Receiving,
    }
}

/// Display names of machines. Offers carry no labels of other machines, so those are shown by their first digits.
struct Labels {
    server: Option<MachineId>,
}

impl Labels {
    fn of(&self, machine: MachineId) -> String {
        if Some(machine) == self.server { "server".to_owned() } else { machine.short() }
    }
}

fn progress(held: &HeldOrder, meters: &Meters, labels: &Labels) -> Progress {
    let content = &held.content;
    let (artifact, stripes) = (content.artifact(), content.stripes());
    let bytes_of = |stripe: u8| -> u64 {
        let chunks = content.held(stripe).unwrap_or(0);
        let full = u64::from(chunks) * u64::from(artifact.chunk_size);
        // The file's last chunk may be shorter.
        let last = artifact.chunk_count().saturating_sub(1);
        let has_last = chunks > 0 && content.index(stripe, chunks - 1) == last;
        full - if has_last { u64::from(artifact.chunk_size - artifact.chunk_len(last)) } else { 0 }
    };
    let here: u64 = (0..stripes).map(bytes_of).sum();
    let (came, went) = held.partners();
    let partner = |(machine, bytes, at): (MachineId, u64, Option<Instant>)| Partner {
        machine,
        label: labels.of(machine),
        bytes,
        now: at.is_some_and(|at| at.elapsed() < MOVED),
    };
    let sorted = |all: Vec<(MachineId, u64, Option<Instant>)>| {
        let mut all: Vec<Partner> = all.into_iter().map(partner).collect();
        all.sort_by_key(|partner| (std::cmp::Reverse(partner.bytes), partner.machine));
        all
    };
    let (now, passed_on) = (Instant::now(), content.served());
    let mut meters = lock(meters);
    let (down, up) = meters.entry(held.order.id).or_default();
    Progress {
        held: here,
        of: artifact.size,
        down: down.look(now, here),
        up: up.look(now, passed_on),
        passed_on,
        from: sorted(came),
        to: sorted(went),
    }
}
