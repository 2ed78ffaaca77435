//! Sees to it that the schedule is kept: looks at the signals while there is work, asks `banyan-schedule`, and tells the
//! machine what may be received, installed and passed on, and the loop how fast.
//!
//! It wakes when something is chosen, an order comes or goes, the verdict changes by itself, or, while there is work, to
//! look again. Otherwise it sleeps.

use super::{
    People,
    signals::{Sampled, Sampler},
};
use crate::{agent::Agent, orders::lock};
use banyan_proto::schedule::Window;
use banyan_schedule::{ClockWatch, Wake, idleness::Thresholds, next_change};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// The processor is looked at so often while something depends on it: a person who comes back is noticed within 2 s …
const LOOK: Duration = Duration::from_secs(1);
/// … and else so often while there is work, for people to see.
const LOOK_SELDOM: Duration = Duration::from_secs(5);
/// Disk and power are looked at so often while there is work.
const LOOK_REST: Duration = Duration::from_secs(20);

/// Keeps the schedule for ever.
pub(crate) async fn run(agent: Arc<Agent>, idle_after: Duration) {
    let people = Arc::clone(&agent.people);
    // What has to be quiet for a short time only is averaged over a short time only, in the same proportion.
    let average = Thresholds::default().average.min(idle_after / 6);
    let mut sampler = Sampler::new(Thresholds { enter_after: idle_after, average, ..Thresholds::default() });
    let mut clock = ClockWatch::new(people.now());
    let (mut load_at, mut rest_at) = (Instant::now(), Instant::now());
    let mut waited_for = false;
    loop {
        if let Some(step) = clock.look(people.now()) {
            people.clock_stepped(step);
        }
        let work = has_work(&agent);
        let every = if idle_matters(&agent) { LOOK } else { LOOK_SELDOM };
        // Samples that are too close to each other say nothing.
        if work && Instant::now() >= load_at {
            load_at = Instant::now() + every;
            let installing = agent.orders.all().iter().any(|held| people.notes(held.order.id).installing);
            let mut sampled = lock(&people.sampled).clone();
            sampler.load(&mut sampled, people.now(), installing);
            if Instant::now() >= rest_at {
                rest_at = Instant::now() + LOOK_REST;
                Sampler::rest(&mut sampled, people.now(), &agent.offers.folder);
                // They tell when they know something new: nobody waits here.
                drop(people.ask_services());
            }
            put(&people, sampled);
        } else if !work {
            sampler.stop();
            (load_at, rest_at) = (Instant::now(), Instant::now());
        }
        let quota = banyan_schedule::quota(people.choice().as_ref(), &people.policy()).is_some();
        people.shared.write(people.state(), &people.zone, quota, !work);
        let wake = decide_all(&agent);
        let facts = people.facts();
        let waits = agent.orders.all().iter().map(|held| agent.is_waited_for(&facts, held)).any(|(a, b)| a || b);
        if std::mem::replace(&mut waited_for, waits) != waits {
            crate::priority::give_way(!waits);
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

/// Whether something is on its way here, so that signals matter.
fn has_work(agent: &Agent) -> bool {
    agent.orders.all().iter().any(|held| agent.people.notes(held.order.id).ended.is_none())
}

/// Whether any window asks for an idle machine.
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

/// Decides about every order and about passing on; gives when something changes by itself.
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
