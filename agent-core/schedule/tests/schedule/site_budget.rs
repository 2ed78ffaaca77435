//! The budget of a site, simulated: machines that come, stop, die and lose the server, answers that are slow or lost, a
//! server that restarts, two deployments at once, and hours in which the budget changes. The budget is kept within 5 %
//! in every second, and used.

use banyan_proto::{
    MachineId,
    schedule::Window,
    site_budget::{BudgetHours, ShareUse, SiteBudget, SiteNotice, SiteRates, SiteShareReply},
};
use banyan_schedule::site_budget::{
    Divisible, RENEWAL_INTERVAL, SHARE_LIFETIME, ShareHolder, ShareLedger, rates_without_share,
};
use std::time::Duration;

const STEP: Duration = Duration::from_millis(100);
const BUDGET: u64 = 625_000;
/// What one connection over the uplink could carry.
const LINK: u64 = 2_500_000;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, number: u64) -> u64 {
        self.next() % number
    }
    fn happens(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Default)]
struct Machine {
    holder: ShareHolder,
    /// What its deployments could move over the uplink (bytes a second).
    demands: [u64; 2],
    is_cut_off: bool,
    moved: u64,
    is_limited: bool,
    counted_from: Duration,
    /// An answer under way: when it arrives, when it was asked for, and what it says.
    answer: Option<(Duration, Duration, SiteShareReply)>,
}

struct Site {
    random: Random,
    machines: Vec<Machine>,
    ledger: ShareLedger,
    now: Duration,
    budget: u64,
    /// When the budget changes, and to what.
    change: Option<(Duration, u64)>,
    notice: SiteNotice,
    answers_take: Duration,
    loses_answers: bool,
}

impl Site {
    fn new(seed: u64, machines: usize) -> Self {
        let lines = [BUDGET, BUDGET / 2]
            .map(|rate| BudgetHours { hours: Window::Any, rates: SiteRates { download: Some(rate), upload: None } });
        let without_share = rates_without_share(&SiteBudget(lines.to_vec()), machines);
        let notice = SiteNotice { number: 1, site: "10.0.1.0/24".parse().unwrap(), without_share };
        let mut site = Self {
            random: Random(seed),
            machines: (0..machines).map(|_| Machine::default()).collect(),
            ledger: ShareLedger::new(Duration::ZERO),
            // Long after the server's start.
            now: Duration::from_secs(100),
            budget: BUDGET,
            change: None,
            notice,
            answers_take: Duration::from_millis(30),
            loses_answers: false,
        };
        site.machines.iter_mut().for_each(|machine| machine.holder.set_notice(Some(notice)));
        site
    }
    fn lifetime(&self) -> Duration {
        self.change.map_or(SHARE_LIFETIME, |(at, _)| at - self.now).min(SHARE_LIFETIME)
    }
    fn ask(&mut self, which: usize) {
        let (now, lifetime) = (self.now, self.lifetime());
        let machine = &mut self.machines[which];
        let seconds = (now - machine.counted_from).as_secs_f64().max(0.1);
        let usage = ShareUse {
            is_used: machine.demands != [0, 0],
            is_limited: machine.is_limited,
            bytes_per_second: (machine.moved as f64 / seconds) as u64,
            share: machine.holder.share(now).and_then(|rates| rates.download),
        };
        (machine.moved, machine.is_limited, machine.counted_from) = (0, false, now);
        machine.holder.on_request(now);
        if machine.is_cut_off {
            return;
        }
        let current = Divisible { budget: self.budget, lifetime };
        let granted = self.ledger.grant(now, MachineId([which as u8 + 1; 16]), usage, current);
        if self.loses_answers && self.random.happens(10) {
            return;
        }
        let rates = SiteRates { download: Some(granted.rate), upload: None };
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap();
        let (valid_ms, renew_ms) = (ms(lifetime), ms(granted.renewal()));
        let reply = SiteShareReply { notice: Some(self.notice), rates, valid_ms, renew_ms };
        let late = self.answers_take.mul_f64(self.random.below(100) as f64 / 100.0);
        machine.answer = Some((now + late, now, reply));
    }
    /// Advances by one step. Returns the rate at which all machines together moved content.
    fn step(&mut self) -> u64 {
        self.now += STEP;
        if let Some((_, budget)) = self.change.take_if(|(at, _)| *at <= self.now) {
            self.budget = budget;
        }
        let mut sum = 0;
        for which in 0..self.machines.len() {
            let now = self.now;
            let machine = &mut self.machines[which];
            if let Some((_, asked, reply)) = machine.answer.take_if(|(at, ..)| *at <= now) {
                machine.holder.on_reply(asked, &reply);
            }
            let demand: u64 = machine.demands.iter().sum();
            let allowed = machine.holder.rates(now).download.unwrap();
            let rate = demand.min(allowed);
            machine.is_limited |= demand > allowed;
            machine.moved += (rate as f64 * STEP.as_secs_f64()) as u64;
            sum += rate;
            if demand > 0 && machine.holder.next_request(now) <= now {
                self.ask(which);
            }
        }
        sum
    }
    /// Advances by whole seconds. Returns the rate in each.
    fn run(&mut self, seconds: u64) -> Vec<u64> {
        (0..seconds).map(|_| (0..10).map(|_| self.step()).sum::<u64>() / 10).collect()
    }
    /// A machine ends a transfer, and says so or dies.
    fn stop(&mut self, which: usize, says_so: bool) {
        self.machines[which].demands = [0, 0];
        if says_so {
            self.ask(which);
            self.machines[which].holder.release();
        }
        self.machines[which].answer = None;
    }
}

fn percent(rate: u64, budget: u64) -> u64 {
    rate * 100 / budget
}

/// How long it takes until the budget is used again after anything.
fn settling_seconds() -> u64 {
    (SHARE_LIFETIME + 2 * RENEWAL_INTERVAL).as_secs() + 1
}

#[test]
fn the_budget_is_used_and_kept_by_one_two_and_eight_machines() {
    for entering in [1, 2, 8] {
        let mut site = Site::new(1, 8);
        site.machines[..entering].iter_mut().for_each(|machine| machine.demands = [LINK, 0]);
        let rates = site.run(60);
        assert!(rates.iter().all(|rate| percent(*rate, BUDGET) <= 105), "{entering}: {rates:?}");
        assert!(rates[settling_seconds() as usize..].iter().all(|rate| percent(*rate, BUDGET) >= 95), "{rates:?}");
    }
}

#[test]
fn when_a_machine_dies_another_one_takes_its_place_within_a_share_and_two_renewals() {
    let mut site = Site::new(2, 8);
    site.machines[0].demands = [LINK, 0];
    site.machines[1].demands = [LINK, 0];
    site.run(20);
    site.stop(0, false);
    site.machines[2].demands = [LINK, 0];
    let rates = site.run(settling_seconds() + 5);
    assert!(rates.iter().all(|rate| percent(*rate, BUDGET) <= 105), "{rates:?}");
    assert!(rates.iter().rev().take(5).all(|rate| percent(*rate, BUDGET) >= 95), "{rates:?}");
}

#[test]
fn two_deployments_share_the_budget_and_a_machine_in_both_has_one_share() {
    let mut site = Site::new(3, 8);
    site.machines[0].demands = [LINK, 0];
    site.run(20);
    site.machines[0].demands = [LINK, LINK];
    site.machines[1].demands = [0, LINK];
    let rates = site.run(40);
    assert!(rates.iter().all(|rate| percent(*rate, BUDGET) <= 105), "{rates:?}");
    let share = |which: usize| site.machines[which].holder.rates(site.now).download.unwrap();
    assert_eq!((share(0), share(1)), (BUDGET / 2, BUDGET / 2));
}

#[test]
fn a_budget_that_falls_at_an_hour_is_kept_from_then_on() {
    let mut site = Site::new(4, 4);
    site.machines[0].demands = [LINK, 0];
    site.machines[1].demands = [LINK, 0];
    site.run(20);
    site.change = Some((site.now + Duration::from_secs(7), BUDGET / 2));
    let before = site.run(7);
    assert!(before.iter().all(|rate| percent(*rate, BUDGET) <= 105), "{before:?}");
    let after = site.run(30);
    assert!(after.iter().all(|rate| percent(*rate, BUDGET / 2) <= 105), "{after:?}");
    assert!(after.iter().rev().take(15).all(|rate| percent(*rate, BUDGET / 2) >= 95), "{after:?}");
}

#[test]
fn whatever_happens_the_budget_is_kept_within_five_percent() {
    const SEED: u64 = 20_261_129;
    for run in 0..60 {
        let seed = SEED + run;
        println!("seed {seed}");
        let mut random = Random(seed ^ 0xABCD);
        let machines = 2 + random.below(14) as usize;
        let mut site = Site::new(seed, machines);
        site.answers_take = Duration::from_millis(10 + random.below(1500));
        site.loses_answers = random.happens(2);
        for _ in 0..40 {
            let which = random.below(machines as u64) as usize;
            match random.below(8) {
                0..=2 => site.machines[which].demands[random.below(2) as usize] = random.below(LINK),
                3 => site.stop(which, true),
                4 => site.stop(which, false),
                5 => site.machines[which].is_cut_off ^= true,
                6 if random.happens(3) => site.ledger = ShareLedger::new(site.now),
                _ => {}
            }
            let seconds = 1 + random.below(6);
            for rate in site.run(seconds) {
                assert!(percent(rate, BUDGET) <= 105, "seed {seed}, at {:?}: {rate}", site.now);
            }
        }
        // Quiet again: the budget is used.
        site.loses_answers = false;
        site.machines.iter_mut().for_each(|machine| machine.is_cut_off = false);
        site.machines[0].demands = [LINK, 0];
        let rates = site.run(settling_seconds() + 10);
        assert!(rates.iter().rev().take(5).all(|rate| percent(*rate, BUDGET) >= 90), "seed {seed}: {rates:?}");
    }
}
