//! The time that deadlines go by: when a deployment expires and how old a report is.
//!
//! It is the wall clock, unless that has jumped. What a wrong clock ends or deletes does not come back when the clock is
//! set right. So the server remembers the latest time that it has seen, across restarts. When the clock is more than
//! [`LARGEST_STEP`] away from that, deadlines go on from the remembered time. This ends when the clock is back, when
//! the machines' clocks agree with it, or when an administrator accepts it. A server that was off for months agrees
//! with its machines within minutes.

use banyan_proto::{MachineId, Reason, UnixSeconds};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// The largest step of the clock that needs no confirmation (seconds): longer than a weekend.
const LARGEST_STEP: u64 = 3 * 24 * 3600;
/// How long the server listens to its machines before it counts which of them agree.
const LISTEN_FOR: Duration = Duration::from_secs(120);
/// A machine's clock that is not further away than this agrees with the server's (seconds).
const AGREE_WITHIN: u64 = 300;

/// What has changed since the last look at the clock.
#[derive(Debug, PartialEq, Eq)]
enum ClockChange {
    None,
    /// The clock has jumped.
    Jumped,
    /// The clock has returned to about the remembered time.
    Returned,
    /// The machines' clocks agree with it.
    Confirmed,
}

/// What the machines' clocks say about a clock that has jumped.
#[derive(Debug, Default)]
struct Witnesses {
    since: Option<Instant>,
    agrees: HashMap<MachineId, bool>,
}

impl Witnesses {
    fn confirm(&self, now: Instant) -> bool {
        let agreeing = self.agrees.values().filter(|agrees| **agrees).count();
        self.since.is_some_and(|since| now.duration_since(since) >= LISTEN_FOR) && 2 * agreeing > self.agrees.len()
    }
}

/// The remembered time and, after a jump, what speaks for the new one.
#[derive(Debug)]
struct ClockMemory {
    remembered: UnixSeconds,
    as_of: Instant,
    jumped: Option<Witnesses>,
}

impl ClockMemory {
    /// Returns the remembered time, plus the time that has passed since.
    fn expected(&self, now: Instant) -> UnixSeconds {
        self.remembered.plus(now.duration_since(self.as_of).as_secs())
    }
    /// Returns the time that deadlines go by. No deadline passes early: neither by a clock that is ahead nor by one that
    /// is behind.
    fn deadline_time(&self, wall: UnixSeconds, now: Instant) -> UnixSeconds {
        let expected = self.expected(now);
        if is_jump(wall, expected) { wall.min(expected) } else { wall }
    }
    fn update(&mut self, wall: UnixSeconds, now: Instant) -> ClockChange {
        let change = match &self.jumped {
            _ if !is_jump(wall, self.expected(now)) => {
                if self.jumped.is_none() {
                    ClockChange::None
                } else {
                    ClockChange::Returned
                }
            }
            Some(witnesses) if witnesses.confirm(now) => ClockChange::Confirmed,
            Some(_) => return ClockChange::None,
            None => {
                self.jumped = Some(Witnesses::default());
                return ClockChange::Jumped;
            }
        };
        *self = Self { remembered: wall, as_of: now, jumped: None };
        change
    }
    fn record_witness(&mut self, machine: MachineId, clock_ahead: i64, now: Instant) {
        if let Some(witnesses) = &mut self.jumped {
            witnesses.since.get_or_insert(now);
            witnesses.agrees.insert(machine, clock_ahead.unsigned_abs() <= AGREE_WITHIN);
        }
    }
}

fn is_jump(wall: UnixSeconds, expected: UnixSeconds) -> bool {
    wall.0.abs_diff(expected.0) > LARGEST_STEP
}

/// The clock of this server's deadlines.
pub(crate) struct DeadlineClock(Mutex<ClockMemory>);

impl DeadlineClock {
    /// Starts with the time that was remembered last. The first start of a server believes its clock.
    pub(crate) fn new(remembered: Option<UnixSeconds>) -> Self {
        let remembered = remembered.unwrap_or_else(UnixSeconds::now);
        Self(Mutex::new(ClockMemory { remembered, as_of: Instant::now(), jumped: None }))
    }
    fn lock(&self) -> MutexGuard<'_, ClockMemory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns the time that deadlines go by.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.lock().deadline_time(UnixSeconds::now(), Instant::now())
    }
    /// Returns the remembered time while the wall clock is not confirmed.
    pub(crate) fn unconfirmed(&self) -> Option<UnixSeconds> {
        let expected = self.lock().expected(Instant::now());
        is_jump(UnixSeconds::now(), expected).then_some(expected)
    }
    /// Records how far a machine's clock is ahead of this server's (seconds; negative: behind).
    pub(crate) fn record_witness(&self, machine: MachineId, clock_ahead: i64) {
        self.lock().record_witness(machine, clock_ahead, Instant::now());
    }
    /// Looks at the wall clock, and logs what has changed. Call it every few seconds. Returns the time to remember.
    pub(crate) fn update(&self) -> UnixSeconds {
        let (wall, now) = (UnixSeconds::now(), Instant::now());
        let mut memory = self.lock();
        let expected = memory.expected(now);
        let days = wall.0.abs_diff(expected.0) / (24 * 3600);
        let side = if wall > expected { "ahead of" } else { "behind" };
        match memory.update(wall, now) {
            ClockChange::None => {}
            ClockChange::Jumped => warn!(
                "this server's clock is {days} days {side} the time that it remembers [{}]; deployments do not expire \
                 and no history is deleted until the machines' clocks agree with it; check the date here \
                 (`timedatectl`); if it is right and no machine is online, stop the server and run `banyan-server \
                 accept-clock`",
                Reason::ClockWrong.code()
            ),
            ClockChange::Returned => info!("this server's clock is right again; deadlines go by it"),
            ClockChange::Confirmed => {
                info!("the machines' clocks agree with this server's, {days} days {side} the time it remembered");
            }
        }
        memory.expected(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const BEFORE: UnixSeconds = UnixSeconds(20_000 * DAY);

    struct TestServer {
        memory: ClockMemory,
        start: Instant,
    }

    impl TestServer {
        fn new() -> Self {
            let start = Instant::now();
            Self { memory: ClockMemory { remembered: BEFORE, as_of: start, jumped: None }, start }
        }
        /// Looks at a clock that shows this, so long after the start. Returns the change, and the deadlines' time.
        fn look(&mut self, wall: UnixSeconds, after: u64) -> (ClockChange, UnixSeconds) {
            let now = self.start + Duration::from_secs(after);
            let change = self.memory.update(wall, now);
            (change, self.memory.deadline_time(wall, now))
        }
        fn hear(&mut self, machine: u8, clock_ahead: i64, after: u64) {
            let now = self.start + Duration::from_secs(after);
            self.memory.record_witness(MachineId([machine; 16]), clock_ahead, now);
        }
    }

    #[test]
    fn a_weekend_needs_no_confirmation() {
        let mut server = TestServer::new();
        let monday = BEFORE.plus(LARGEST_STEP);
        assert_eq!(server.look(monday, 0), (ClockChange::None, monday));
        let next_monday = monday.plus(LARGEST_STEP);
        assert_eq!(server.look(next_monday, 0), (ClockChange::None, next_monday), "the time it saw last counts");
    }

    #[test]
    fn deadlines_go_on_from_the_remembered_time_until_a_clock_that_was_ahead_is_back() {
        let mut server = TestServer::new();
        let wrong = BEFORE.plus(7000 * DAY);
        assert_eq!(server.look(wrong, 0), (ClockChange::Jumped, BEFORE));
        assert_eq!(server.look(wrong.plus(90), 90), (ClockChange::None, BEFORE.plus(90)));
        assert_eq!(server.look(BEFORE.plus(95), 95), (ClockChange::Returned, BEFORE.plus(95)));
        assert_eq!(server.look(BEFORE.plus(96), 96), (ClockChange::None, BEFORE.plus(96)));
    }

    #[test]
    fn a_server_that_was_off_for_months_believes_its_machines() {
        let mut server = TestServer::new();
        let later = BEFORE.plus(100 * DAY);
        server.hear(1, 0, 0);
        assert_eq!(server.look(later, 0).0, ClockChange::Jumped, "what was said before the jump does not count");
        assert_eq!(server.look(later.plus(500), 500), (ClockChange::None, BEFORE.plus(500)), "no machine is there");
        server.hear(1, 20, 500);
        server.hear(2, -100 * DAY.cast_signed(), 510);
        assert_eq!(server.look(later.plus(619), 619).0, ClockChange::None, "it listens to more of them");
        assert_eq!(server.look(later.plus(620), 620).0, ClockChange::None, "one of two is no majority");
        server.hear(3, -299, 630);
        assert_eq!(server.look(later.plus(630), 630), (ClockChange::Confirmed, later.plus(630)));
        assert_eq!(server.look(later.plus(631), 631), (ClockChange::None, later.plus(631)));
    }

    #[test]
    fn machines_that_contradict_a_wrong_clock_never_confirm_it() {
        let mut server = TestServer::new();
        let wrong = BEFORE.plus(30 * DAY);
        server.look(wrong, 0);
        (1..9).for_each(|machine| server.hear(machine, -30 * DAY.cast_signed(), 1));
        server.hear(9, 0, 1);
        assert_eq!(server.look(wrong.plus(DAY), DAY), (ClockChange::None, BEFORE.plus(DAY)));
    }

    #[test]
    fn a_clock_that_is_behind_until_it_is_set_changes_nothing() {
        let mut server = TestServer::new();
        let dead = UnixSeconds(0);
        assert_eq!(server.look(dead, 0), (ClockChange::Jumped, dead), "no deadline passes early");
        assert_eq!(server.look(BEFORE.plus(DAY), 20), (ClockChange::Returned, BEFORE.plus(DAY)));
    }
}
