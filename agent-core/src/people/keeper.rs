//! The scheduler: measures conditions while there is work, evaluates `banyan-schedule`, and passes the decisions on.
//! The state machine learns what may be received, installed and forwarded; the node loop learns the speeds.
//!
//! It wakes when a user chooses something, when an order arrives or ends, when the verdict is due to change, and,
//! while there is work, to measure again. Otherwise it sleeps.

use super::{
    People,
    signals::{Sampled, Sampler},
};
use crate::{agent::Agent, orders::lock};
use banyan_proto::schedule::Window;
use banyan_schedule::{ClockWatch, Wake, idle_detector::IdleThresholds, next_change};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Interval of processor measurements while a decision depends on them: a returning user is noticed within 2 s.
const LOOK: Duration = Duration::from_secs(1);
/// Interval of processor measurements while there is other work; they are only displayed.
const LOOK_SELDOM: Duration = Duration::from_secs(5);
/// Interval of disk and power measurements while there is work.
const LOOK_REST: Duration = Duration::from_secs(20);

/// Applies the schedule until the task is dropped.
pub(crate) async fn run(agent: Arc<Agent>, idle_after: Duration) {
    let people = Arc::clone(&agent.people);
    // A shorter required quiet time uses a proportionally shorter average.
    let average = IdleThresholds::default().average.min(idle_after / 6);
    let mut sampler = Sampler::new(IdleThresholds { idle_after: idle_after, average, ..IdleThresholds::default() });
    let mut clock = ClockWatch::new(people.now());
    let (mut load_at, mut rest_at) = (Instant::now(), Instant::now());
    let mut waited_for = false;
    loop {
        if let Some(step) = clock.detect_step(people.now()) {
            people.clock_stepped(step);
        }
        let work = has_work(&agent);
        let every = if idle_matters(&agent) { LOOK } else { LOOK_SELDOM };
        // Samples taken too close together carry no information.
        if work && Instant::now() >= load_at {
            load_at = Instant::now() + every;
            let installing = agent.orders.all().iter().any(|held| people.notes(held.order.id).installing);
            let mut sampled = lock(&people.sampled).clone();
            sampler.load(&mut sampled, people.now(), installing);
            if Instant::now() >= rest_at {
                rest_at = Instant::now() + LOOK_REST;
                Sampler::rest(&mut sampled, people.now(), &agent.offers.folder);
                // The services report changes themselves; there is no need to wait here.
                drop(people.ask_services());
            }
            put(&people, sampled);
        } else if !work {
            sampler.stop();
            (load_at, rest_at) = (Instant::now(), Instant::now());
        }
        let quota = banyan_schedule::effective_quota(people.choice().as_ref(), &people.policy()).is_some();
        people.shared.write(people.state(), &people.zone, quota, !work);
        let wake = decide_all(&agent);
        let facts = people.facts();
        let waits = agent.orders.all().iter().map(|held| agent.is_waited_for(&facts, held)).any(|(a, b)| a || b);
        if std::mem::replace(&mut waited_for, waits) != waits {
            banyan_install_helper::priority::give_way(!waits);
        }
        let look = work.then(|| load_at.saturating_duration_since(Instant::now()));
        let wait = look.into_iter().chain(wake.map(|wake| wake.after)).min();
        match wait {
            Some(wait) => drop(timeout(wait, people.replan.notified()).await),
            None => people.replan.notified().await,
        }
    }
}

fn put(people: &People, sampled: Sampled) {
    *lock(&people.sampled) = sampled;
    people.changed();
}

/// Returns whether an order is in progress, so that conditions matter.
fn has_work(agent: &Agent) -> bool {
    agent.orders.all().iter().any(|held| agent.people.notes(held.order.id).ended.is_none())
}

/// Returns whether any window requires an idle machine.
fn idle_matters(agent: &Agent) -> bool {
    let people = &agent.people;
    let choice = people.choice();
    let policy = people.policy();
    let chosen = choice.as_ref().unwrap_or(&policy.defaults);
    let mut windows = vec![&chosen.window, &chosen.install, &policy.window, &policy.install];
    let orders = agent.orders.all();
    windows.extend(orders.iter().map(|held| &held.order.window));
    windows.contains(&&Window::Idle)
}

/// Decides about every order and about forwarding. Returns when a decision is next due to change.
fn decide_all(agent: &Agent) -> Option<Wake> {
    let people = &agent.people;
    let facts = people.facts();
    agent.decide_all(&facts);
    let mut wakes = vec![people.about(&facts, None, |situation| next_change(situation, facts.now))];
    for held in agent.orders.all() {
        let notes = people.notes(held.order.id);
        for wish in [notes.wishes.receive, notes.wishes.install] {
            let task = super::scene::task(&held, &notes, wish);
            wakes.push(people.about(&facts, Some(&task), |situation| next_change(situation, facts.now)));
        }
    }
    wakes.into_iter().flatten().min_by_key(|wake| wake.after)
}
