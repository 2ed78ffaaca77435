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
const MAX_STARTS: usize = 8;

/// The starts of one machine's agent, in the order in which they first appeared. Pure except for the random numbers.
#[derive(Debug, Default)]
pub(crate) struct AgentStarts(VecDeque<AgentStart>);

#[derive(Debug)]
struct AgentStart {
    id: u64,
    /// The number of the last answer given to this start.
    answer: u64,
    /// Whether a later start had appeared when that answer was given.
    overtaken: bool,
}

/// What a message from one start of the agent shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartVerdict {
    /// The start is new. Earlier starts must now be answered, so that a running one can prove itself.
    New,
    /// Nothing new.
    Repeated,
    /// The start is running, and a later start is or was running beside it: the identity is cloned.
    Cloned,
}

impl AgentStarts {
    /// Records a message from a start. `last` is the number of the last answer that the start received.
    pub(crate) fn record_message(&mut self, id: u64, last: u64) -> StartVerdict {
        match self.0.iter().find(|start| start.id == id) {
            Some(start) if start.overtaken && start.answer == last => StartVerdict::Cloned,
            Some(_) => StartVerdict::Repeated,
            None => {
                self.0.push_back(AgentStart { id, answer: 0, overtaken: false });
                if self.0.len() > MAX_STARTS {
                    self.0.pop_front();
                }
                StartVerdict::New
            }
        }
    }
    /// Returns whether to answer this start without delay, because a later start has appeared since its last answer.
    pub(crate) fn is_awaiting_proof(&self, id: u64) -> bool {
        !self.is_newest(id) && self.0.iter().any(|start| start.id == id && !start.overtaken)
    }
    /// Records an answer to a start. Returns the answer's number.
    pub(crate) fn record_answer(&mut self, id: u64) -> u64 {
        let overtaken = !self.is_newest(id);
        let number = u64::from_le_bytes(*MachineId::random().0.first_chunk().unwrap_or(&[0; 8]));
        if let Some(start) = self.0.iter_mut().find(|start| start.id == id) {
            start.answer = number;
            start.overtaken = overtaken;
        }
        number
    }
    fn is_newest(&self, id: u64) -> bool {
        self.0.back().is_some_and(|start| start.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_never_taken_for_clones() {
        let mut starts = AgentStarts::default();
        let mut before = None;
        for id in 1..50 {
            assert_eq!(starts.record_message(id, 0), StartVerdict::New);
            // Messages that the previous start sent before it was killed, received twice, and answers that nothing
            // reads.
            if let Some((dead, last)) = before {
                assert_eq!(starts.record_message(dead, last), StartVerdict::Repeated);
                starts.record_answer(dead);
                assert_eq!(starts.record_message(dead, last), StartVerdict::Repeated);
            }
            let first = starts.record_answer(id);
            assert_eq!(starts.record_message(id, first), StartVerdict::Repeated);
            before = Some((id, starts.record_answer(id)));
        }
    }

    #[test]
    fn a_start_that_takes_an_answer_given_after_a_later_one_appeared_lives_beside_it() {
        let mut starts = AgentStarts::default();
        starts.record_message(1, 0);
        let first = starts.record_answer(1);
        assert!(!starts.is_awaiting_proof(1));
        starts.record_message(2, 0);
        assert!(starts.is_awaiting_proof(1) && !starts.is_awaiting_proof(2));
        assert_eq!(starts.record_message(1, first), StartVerdict::Repeated, "the message may predate the later start");
        let second = starts.record_answer(1);
        assert!(!starts.is_awaiting_proof(1), "a start that never acknowledges must not cause an answer loop");
        assert_eq!(starts.record_message(1, second), StartVerdict::Cloned);
    }
}
