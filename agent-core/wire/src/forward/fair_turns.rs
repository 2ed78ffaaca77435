//! Decides which stream of a sender may send its next chunk (rule C8). Pure: the time is an argument.
//!
//! A stream gets a turn only while it is at most `LEAD` bytes ahead of the least advanced stream that is waited for. A
//! stream that cannot take its turn is not waited for, and loses the turn: when it is back, its count rises to that of
//! the others. Otherwise the others would get nothing until it had caught up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How far (bytes) a stream may be ahead of the least advanced one. Also how much a slow stream must send in quick turns
/// before the others wait for it again. It is the size of the largest chunk.
pub(super) const LEAD: u64 = 256 << 10;
/// A turn longer than this many usual turns is attributed to a slow receiver,
const SLOW_TURNS: u32 = 4;
/// but only if it is longer than this.
pub(super) const SLOW_AT_LEAST: Duration = Duration::from_millis(60);

/// The streams of a sender and what each was given.
#[derive(Debug, Default)]
pub(super) struct FairTurns {
    streams: HashMap<u64, Stream>,
    next_number: u64,
    usual_turn: Duration,
}

#[derive(Debug)]
struct Stream {
    sent_bytes: u64,
    phase: Phase,
    /// The bytes that a slow stream must still send in quick turns; 0 for all others.
    owed_quick_bytes: u64,
}

/// What a stream does at the moment.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It has nothing to send.
    Idle,
    /// It wants a turn.
    Claiming,
    /// It has been sending a chunk since then.
    Sending(Instant),
    /// It sent a chunk until then. Its writer now claims the next turn, reports that it has no chunk, or writes something
    /// else first.
    BetweenTurns(Instant),
}

impl Stream {
    fn is_waited_for(&self, now: Instant, patience: Duration) -> bool {
        self.owed_quick_bytes == 0
            && match self.phase {
                Phase::Idle => false,
                Phase::Claiming => true,
                Phase::Sending(since) | Phase::BetweenTurns(since) => now.saturating_duration_since(since) < patience,
            }
    }
}

impl FairTurns {
    /// Registers a stream. Returns its number.
    pub(super) fn register(&mut self) -> u64 {
        self.next_number += 1;
        self.streams.insert(self.next_number, Stream { sent_bytes: 0, phase: Phase::Idle, owed_quick_bytes: 0 });
        self.next_number
    }
    /// Removes a stream.
    pub(super) fn remove(&mut self, number: u64) {
        self.streams.remove(&number);
    }
    /// Notes that a stream wants a turn.
    pub(super) fn claim(&mut self, number: u64, now: Instant) {
        self.catch_up(number, now);
        self.set_phase(number, Phase::Claiming);
    }
    /// Notes that a stream has nothing to send.
    pub(super) fn set_idle(&mut self, number: u64) {
        self.set_phase(number, Phase::Idle);
    }
    /// Begins the turn of a stream that claimed one. Returns `false` if it must wait for others.
    pub(super) fn try_begin(&mut self, number: u64, now: Instant) -> bool {
        let sent_bytes = self.streams.get(&number).map_or(0, |stream| stream.sent_bytes);
        let may_send = self.least_waited_for(now).is_none_or(|least| sent_bytes <= least + LEAD);
        if may_send {
            self.set_phase(number, Phase::Sending(now));
        }
        may_send
    }
    /// Ends the turn of a stream, which sent this many bytes.
    pub(super) fn end(&mut self, number: u64, bytes: u64, now: Instant) {
        let patience = self.patience();
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.sent_bytes += bytes;
        }
        self.catch_up(number, now);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let Phase::Sending(since) = stream.phase else { return };
        let took = now.saturating_duration_since(since);
        stream.phase = Phase::BetweenTurns(now);
        let is_slow = took >= patience;
        stream.owed_quick_bytes = if is_slow { LEAD } else { stream.owed_quick_bytes.saturating_sub(bytes) };
        // A slow receiver must not make all other slow receivers look usual.
        let usual = (self.usual_turn * 7 + took.min(patience)) / 8;
        self.usual_turn = if self.usual_turn.is_zero() { took } else { usual };
    }

    fn patience(&self) -> Duration {
        (self.usual_turn * SLOW_TURNS).max(SLOW_AT_LEAST)
    }
    /// Returns the bytes given to the least advanced stream that is waited for.
    fn least_waited_for(&self, now: Instant) -> Option<u64> {
        let patience = self.patience();
        let waited_for = self.streams.values().filter(|stream| stream.is_waited_for(now, patience));
        waited_for.map(|stream| stream.sent_bytes).min()
    }
    /// Lets the count of a stream that is not waited for rise to that of the others: to the least one that is waited
    /// for, or else to the highest.
    fn catch_up(&mut self, number: u64, now: Instant) {
        let patience = self.patience();
        let highest = || self.streams.values().map(|stream| stream.sent_bytes).max().unwrap_or(0);
        let others = self.least_waited_for(now).unwrap_or_else(highest);
        if let Some(stream) = self.streams.get_mut(&number)
            && !stream.is_waited_for(now, patience)
        {
            stream.sent_bytes = stream.sent_bytes.max(others);
        }
    }
    fn set_phase(&mut self, number: u64, phase: Phase) {
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.phase = phase;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(1);
    const QUICK: Duration = Duration::from_millis(10);
    const SLOW: Duration = Duration::from_millis(500);

    /// A sender in virtual time. Each chunk has `LEAD` bytes.
    struct Sender {
        turns: FairTurns,
        streams: Vec<Sending>,
        now: Instant,
    }

    struct Sending {
        number: u64,
        /// How long its receiver takes for a chunk; `None` while it has nothing to send.
        turn: Option<Duration>,
        /// What its writer does between two turns takes this long.
        pause: Duration,
        /// When its turn or its pause ends.
        busy_until: Option<(Instant, bool)>,
        is_claiming: bool,
        chunks: u32,
    }

    impl Sender {
        fn new() -> Self {
            Self { turns: FairTurns::default(), streams: vec![], now: Instant::now() }
        }
        /// Adds a stream whose turns take this long. Returns its index.
        fn add(&mut self, turn: Duration) -> usize {
            let number = self.turns.register();
            let (pause, busy_until) = (Duration::ZERO, None);
            let stream = Sending { number, turn: Some(turn), pause, busy_until, is_claiming: false, chunks: 0 };
            self.streams.push(stream);
            self.streams.len() - 1
        }
        /// Lets some time pass. Returns how many chunks each stream has sent in it.
        fn run(&mut self, time: Duration) -> Vec<u32> {
            let before: Vec<u32> = self.streams.iter().map(|stream| stream.chunks).collect();
            let end = self.now + time;
            while self.now < end {
                for stream in &mut self.streams {
                    stream.step(&mut self.turns, self.now);
                }
                self.now += STEP;
            }
            self.streams.iter().zip(before).map(|(stream, before)| stream.chunks - before).collect()
        }
    }

    impl Sending {
        fn step(&mut self, turns: &mut FairTurns, now: Instant) {
            match self.busy_until {
                Some((until, _)) if now < until => return,
                Some((_, true)) => {
                    turns.end(self.number, LEAD, now);
                    self.chunks += 1;
                    self.busy_until = Some((now + self.pause, false));
                    if !self.pause.is_zero() {
                        return;
                    }
                }
                Some((_, false)) | None => {}
            }
            self.busy_until = None;
            let Some(turn) = self.turn else {
                turns.set_idle(self.number);
                self.is_claiming = false;
                return;
            };
            if !self.is_claiming {
                turns.claim(self.number, now);
                self.is_claiming = true;
            }
            if turns.try_begin(self.number, now) {
                self.is_claiming = false;
                self.busy_until = Some((now + turn, true));
            }
        }
    }

    #[test]
    fn a_stream_that_is_no_longer_slow_does_not_starve_the_others() {
        let mut sender = Sender::new();
        let (steady, changing) = (sender.add(QUICK), sender.add(SLOW));
        sender.run(Duration::from_secs(10));
        sender.streams[changing].turn = Some(QUICK);
        let sent = sender.run(Duration::from_secs(2));
        assert!(sent[steady] >= 180, "{sent:?}");
        assert!(sent[changing] >= 120, "{sent:?}");
    }

    #[test]
    fn a_stream_that_starts_beside_a_slow_one_does_not_starve_the_others() {
        let mut sender = Sender::new();
        let (steady, _slow) = (sender.add(QUICK), sender.add(SLOW));
        sender.run(Duration::from_secs(10));
        let new = sender.add(QUICK);
        let sent = sender.run(Duration::from_secs(1));
        assert!(sent[steady] >= 90 && sent[new] >= 90, "{sent:?}");
    }

    #[test]
    fn a_stream_that_returns_beside_a_slow_one_does_not_starve_the_others() {
        let mut sender = Sender::new();
        let (steady, returning, _slow) = (sender.add(QUICK), sender.add(QUICK), sender.add(SLOW));
        sender.run(Duration::from_secs(1));
        sender.streams[returning].turn = None;
        sender.run(Duration::from_secs(10));
        sender.streams[returning].turn = Some(QUICK);
        let sent = sender.run(Duration::from_secs(1));
        assert!(sent[steady] >= 90 && sent[returning] >= 90, "{sent:?}");
    }

    #[test]
    fn no_stream_waits_for_a_slow_one_again_and_again() {
        let mut sender = Sender::new();
        let (steady, slow) = (sender.add(QUICK), sender.add(SLOW));
        let sent = sender.run(Duration::from_secs(10));
        assert!(sent[steady] >= 990, "{sent:?}");
        assert!(sent[slow] >= 19, "{sent:?}");
    }

    #[test]
    fn a_stream_that_becomes_slow_is_waited_for_only_once() {
        let mut sender = Sender::new();
        let (steady, changing) = (sender.add(QUICK), sender.add(QUICK));
        let sent = sender.run(Duration::from_secs(1));
        assert!(sent[steady].abs_diff(sent[changing]) <= 2, "{sent:?}");
        sender.streams[changing].turn = Some(SLOW);
        let sent = sender.run(Duration::from_secs(10));
        assert!(sent[steady] >= 980, "{sent:?}");
    }

    /// While all are slow, nobody is waited for. The one that is quick first must not be far behind the others then.
    #[test]
    fn the_first_of_slow_streams_that_becomes_quick_does_not_starve_the_others() {
        let mut sender = Sender::new();
        let quick = sender.add(QUICK);
        sender.run(Duration::from_secs(1));
        let (slow, slower) = (sender.add(SLOW), sender.add(4 * SLOW));
        sender.streams[quick].turn = None;
        sender.run(4 * SLOW);
        sender.streams[slower].turn = Some(QUICK);
        let sent = sender.run(Duration::from_secs(1));
        assert!(sent[slow] >= 2, "{sent:?}");
    }

    #[test]
    fn when_all_turns_take_longer_they_become_usual() {
        let mut sender = Sender::new();
        let (one, other) = (sender.add(QUICK), sender.add(QUICK));
        sender.run(Duration::from_secs(1));
        sender.streams[one].turn = Some(SLOW);
        sender.streams[other].turn = Some(SLOW / 2);
        sender.run(Duration::from_secs(10));
        let sent = sender.run(Duration::from_secs(10));
        assert!(sent[one].abs_diff(sent[other]) <= 2, "{sent:?}");
    }

    #[test]
    fn a_stream_that_writes_something_else_between_its_turns_is_not_waited_for() {
        let mut sender = Sender::new();
        let (steady, busy) = (sender.add(QUICK), sender.add(QUICK));
        sender.streams[busy].pause = SLOW;
        let sent = sender.run(Duration::from_secs(10));
        assert!(sent[steady] >= 850, "{sent:?}");
        sender.streams[busy].pause = Duration::ZERO;
        let sent = sender.run(Duration::from_secs(2));
        assert!(sent[steady] >= 150 && sent[busy] >= 100, "{sent:?}");
    }
}
