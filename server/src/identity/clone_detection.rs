//! Clone detection: finds two running agents with the same identity, as on a cloned disk (rule I9).
//!
//! Each start of an agent draws a number. A message from one start that arrives after a later start has appeared has
//! two possible causes. The earlier agent still runs and is a clone, or it has ended and its last message was still in
//! transit or in this server's queues. The server tells the two apart by proof. It answers the earlier start at once,
//! and only a running agent can return with the number of that answer. So no restart, however quick or rough, is
//! mistaken for a clone, and two running agents are detected within one round trip.

use banyan_proto::MachineId;
use std::collections::VecDeque;

/// How many starts are remembered per machine.
const REMEMBERED: usize = 8;

/// The starts of one machine's agent, in the order in which they first appeared. Pure except for the random numbers.
#[derive(Debug, Default)]
pub(crate) struct Boots(VecDeque<Boot>);

#[derive(Debug)]
struct Boot {
    id: u64,
    /// The number of the last answer given to this start.
    answer: u64,
    /// Whether a later start had appeared when that answer was given.
    overtaken: bool,
}

/// What a message from one start of the agent shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The start is new. Earlier starts must now be answered, so that a running one can prove itself.
    First,
    /// Nothing new.
    Again,
    /// The start is running, and a later start is or was running beside it: the identity is cloned.
    Beside,
}

impl Boots {
    /// Records a message from a start. `last` is the number of the last answer that the start received.
    pub(crate) fn heard(&mut self, id: u64, last: u64) -> Heard {
        match self.0.iter().find(|boot| boot.id == id) {
            Some(boot) if boot.overtaken && boot.answer == last => Heard::Beside,
            Some(_) => Heard::Again,
            None => {
                self.0.push_back(Boot { id, answer: 0, overtaken: false });
                if self.0.len() > REMEMBERED {
                    self.0.pop_front();
                }
                Heard::First
            }
        }
    }
    /// Returns whether to answer this start without delay, because a later start has appeared since its last answer.
    pub(crate) fn is_in_question(&self, id: u64) -> bool {
        !self.is_newest(id) && self.0.iter().any(|boot| boot.id == id && !boot.overtaken)
    }
    /// Records an answer to a start. Returns the answer's number.
    pub(crate) fn answer(&mut self, id: u64) -> u64 {
        let overtaken = !self.is_newest(id);
        let number = u64::from_le_bytes(*MachineId::random().0.first_chunk().unwrap_or(&[0; 8]));
        if let Some(boot) = self.0.iter_mut().find(|boot| boot.id == id) {
            (boot.answer, boot.overtaken) = (number, overtaken);
        }
        number
    }
    fn is_newest(&self, id: u64) -> bool {
        self.0.back().is_some_and(|boot| boot.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_never_taken_for_clones() {
        let mut boots = Boots::default();
        let mut before = None;
        for id in 1..50 {
            assert_eq!(boots.heard(id, 0), Heard::First);
            // Messages that the previous start sent before it was killed, received twice, and answers that nothing
            // reads.
            if let Some((dead, last)) = before {
                assert_eq!(boots.heard(dead, last), Heard::Again);
                boots.answer(dead);
                assert_eq!(boots.heard(dead, last), Heard::Again);
            }
            let first = boots.answer(id);
            assert_eq!(boots.heard(id, first), Heard::Again);
            before = Some((id, boots.answer(id)));
        }
    }

    #[test]
    fn a_start_that_takes_an_answer_given_after_a_later_one_appeared_lives_beside_it() {
        let mut boots = Boots::default();
        boots.heard(1, 0);
        let first = boots.answer(1);
        assert!(!boots.is_in_question(1));
        boots.heard(2, 0);
        assert!(boots.is_in_question(1) && !boots.is_in_question(2));
        assert_eq!(boots.heard(1, first), Heard::Again, "the message may predate the later start");
        let second = boots.answer(1);
        assert!(!boots.is_in_question(1), "a start that never acknowledges must not cause an answer loop");
        assert_eq!(boots.heard(1, second), Heard::Beside);
    }
}
