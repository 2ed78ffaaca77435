//! Two boots of one identity at once: a cloned disk (rule I9).
//!
//! Each start of an agent draws a number. A start that is heard after a later one has appeared is either a clone, or dead:
//! its last words were still on the way, or in this server's queues, when the agent was started again. The two are told
//! apart by proof: such a start is answered at once, and only a living one can come back with the number of that answer.
//! So no restart, however quick or rough, is taken for a clone, and two that live are found within a round trip.

use banyan_proto::MachineId;
use std::collections::VecDeque;

/// Starts of one machine's agent that are remembered.
const REMEMBERED: usize = 8;

/// The starts of one machine's agent, in the order in which they first appeared. Pure but for the random numbers.
#[derive(Debug, Default)]
pub(crate) struct Boots(VecDeque<Boot>);

#[derive(Debug)]
struct Boot {
    id: u64,
    /// Number of the last answer it was given.
    answer: u64,
    /// A later start had appeared when that answer was given.
    overtaken: bool,
}

/// What a word from a start of the agent shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It appeared just now. Earlier ones that live shall be given an answer.
    First,
    /// Nothing new.
    Again,
    /// It lives, and so does, or did after it, a later one.
    Beside,
}

impl Boots {
    /// A start is heard; `last` is the number of the last answer that it got.
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
    /// Whether this start shall be answered without delay: a later one has appeared since its last answer.
    pub(crate) fn is_in_question(&self, id: u64) -> bool {
        !self.is_newest(id) && self.0.iter().any(|boot| boot.id == id && !boot.overtaken)
    }
    /// An answer is given to a start. Gives the answer's number.
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
            // What the start before had sent when it was killed, twice, and answers to it that nobody takes.
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
        assert_eq!(boots.heard(1, first), Heard::Again, "it may have said so before the later one was started");
        let second = boots.answer(1);
        assert!(!boots.is_in_question(1), "one that never says what it got must not be answered in a circle");
        assert_eq!(boots.heard(1, second), Heard::Beside);
    }
}
