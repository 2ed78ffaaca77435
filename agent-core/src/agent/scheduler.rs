//! The scheduler: measures conditions while there is work, evaluates `banyan-schedule`, and passes the decisions on.
//! The state machine learns what may be received, installed and forwarded; the node loop learns the speeds.
//!
//! It wakes when a user chooses something, when an order arrives or ends, when the verdict is due to change, and,
//! while there is work, to measure again. Otherwise it sleeps.

use crate::{agent::Agent, pipeline::active_orders::lock};
use crate::{
    sensors::{Readings, Sampler},
    user::User,
};
use banyan_proto::schedule::Window;
use banyan_schedule::{ClockWatch, Wake, idleness::Thresholds, next_change};
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
    let user = Arc::clone(&agent.user);
    // A shorter required quiet time uses a proportionally shorter average.
    let average = Thresholds::default().average.min(idle_after / 6);
    let mut sampler = Sampler::new(Thresholds { enter_after: idle_after, average, ..Thresholds::default() });
    let mut clock = ClockWatch::new(user.now());
    let (mut load_at, mut rest_at) = (Instant::now(), Instant::now());
    let mut waited_for = false;
    loop {
        if let Some(step) = clock.look(user.now()) {
            user.clock_stepped(step);
        }
        let work = has_work(&agent);
        let every = if idle_matters(&agent) { LOOK } else { LOOK_SELDOM };
        // Samples taken too close together carry no information.
        if work && Instant::now() >= load_at {
            load_at = Instant::now() + every;
            let installing = agent.orders.all().iter().any(|active| user.notes(active.order.id).installing);
            let mut sampled = lock(&user.sampled).clone();
            sampler.load(&mut sampled, user.now(), installing);
            if Instant::now() >= rest_at {
                rest_at = Instant::now() + LOOK_REST;
                Sampler::rest(&mut sampled, user.now(), &agent.offers.folder);
                // The services report changes themselves; there is no need to wait here.
                drop(user.ask_services());
            }
            put(&user, sampled);
        } else if !work {
            sampler.stop();
            (load_at, rest_at) = (Instant::now(), Instant::now());
        }
        let quota = banyan_schedule::quota(user.choice().as_ref(), &user.policy()).is_some();
        user.quota.write(user.database(), &user.zone, quota, !work);
        let wake = decide_all(&agent);
        let facts = user.facts();
        let waits = agent.orders.all().iter().map(|active| agent.is_waited_for(&facts, active)).any(|(a, b)| a || b);
        if std::mem::replace(&mut waited_for, waits) != waits {
            banyan_install_helper::priority::give_way(!waits);
        }
        let look = work.then(|| load_at.saturating_duration_since(Instant::now()));
        let wait = look.into_iter().chain(wake.map(|wake| wake.after)).min();
        match wait {
            Some(wait) => drop(timeout(wait, user.replan.notified()).await),
            None => user.replan.notified().await,
        }
    }
}

fn put(user: &User, sampled: Readings) {
    *lock(&user.sampled) = sampled;
    user.changed();
}

/// Returns whether an order is in progress, so that conditions matter.
fn has_work(agent: &Agent) -> bool {
    agent.orders.all().iter().any(|active| agent.user.notes(active.order.id).ended.is_none())
}

/// Returns whether any window requires an idle machine.
fn idle_matters(agent: &Agent) -> bool {
    let user = &agent.user;
    let choice = user.choice();
    let policy = user.policy();
    let chosen = choice.as_ref().unwrap_or(&policy.defaults);
    let mut windows = vec![&chosen.window, &chosen.install, &policy.window, &policy.install];
    let orders = agent.orders.all();
    windows.extend(orders.iter().map(|active| &active.order.window));
    windows.contains(&&Window::Idle)
}

/// Decides about every order and about forwarding. Returns when a decision is next due to change.
fn decide_all(agent: &Agent) -> Option<Wake> {
    let user = &agent.user;
    let facts = user.facts();
    agent.decide_all(&facts);
    let mut wakes = vec![user.about(&facts, None, |situation| next_change(situation, facts.now))];
    for active in agent.orders.all() {
        let notes = user.notes(active.order.id);
        for wish in [notes.wishes.receive, notes.wishes.install] {
            let task = crate::local_backend::snapshot::task(&active, &notes, wish);
            wakes.push(user.about(&facts, Some(&task), |situation| next_change(situation, facts.now)));
        }
    }
    wakes.into_iter().flatten().min_by_key(|wake| wake.after)
}
