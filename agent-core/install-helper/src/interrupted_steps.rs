//! Counts how often the steps of an install began without an end, so that a step that ends the install helper is not
//! run for ever.

use crate::storage::journal::BegunSteps;

/// How often a step may begin without an end. A machine may lose power twice in one step.
pub(crate) const MAX_BEGINNINGS: u8 = 3;

/// Says that a step is not run again, for the middle of a sentence.
pub(crate) fn ended_while(what: &str) -> String {
    format!("the install helper was ended {MAX_BEGINNINGS} times while {what}")
}

/// What began for the install in the journal: now, and before this process started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepCounts {
    now: BegunSteps,
    before: BegunSteps,
}

impl StepCounts {
    /// Continues with the counts that earlier processes left in the journal.
    pub(crate) fn resume(left: BegunSteps) -> Self {
        Self { now: left, before: left }
    }

    /// The counts to write to the journal.
    pub(crate) fn to_record(self) -> BegunSteps {
        self.now
    }

    /// The counts without what this process began, if it began anything. A process that ends with an answer has not
    /// been ended by a step.
    pub(crate) fn without_own(self) -> Option<BegunSteps> {
        (self.now != self.before).then_some(self.before)
    }

    /// Counts that a step begins. Returns `false` when it began too often without an end.
    pub(crate) fn begin(&mut self, step: fn(&mut BegunSteps) -> &mut u8) -> bool {
        let times = step(&mut self.now);
        if *times >= MAX_BEGINNINGS {
            return false;
        }
        *times += 1;
        true
    }

    /// Forgets the undo, which has ended. The install begins again, and its other steps still count.
    pub(crate) fn end_undo(&mut self) {
        (self.now.undo, self.before.undo) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_three_times_and_an_answer_takes_back_only_what_this_process_began() {
        let mut counts = StepCounts::resume(BegunSteps { apply: 2, ..BegunSteps::default() });
        assert_eq!(counts.without_own(), None);
        assert!(counts.begin(|begun| &mut begun.apply) && !counts.begin(|begun| &mut begun.apply));
        assert_eq!(counts.to_record().apply, 3);
        assert_eq!(counts.without_own().map(|left| left.apply), Some(2));
    }

    #[test]
    fn an_undo_that_ended_is_forgotten_and_the_install_still_counts() {
        let mut counts = StepCounts::default();
        assert!(counts.begin(|begun| &mut begun.apply) && counts.begin(|begun| &mut begun.undo));
        counts.end_undo();
        assert_eq!(counts.to_record(), BegunSteps { apply: 1, ..BegunSteps::default() });
    }
}
