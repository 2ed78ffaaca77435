//! Evaluates every condition that can close a gate: which ones apply at a given time, and when each ends.

use crate::{
    Seconds, Situation,
    clock::{pause_end, seconds},
    effective_settings::Settled,
    local_time,
};
use banyan_proto::limits::CHUNK_BYTES;
use banyan_proto::schedule::{By, Kind, Night, Presence, Stage, Unquiet, Week, Why, Window, Wish};
use std::time::Duration;

/// A condition that closes a gate.
#[derive(Debug, Clone)]
pub(crate) struct Shut {
    pub(crate) why: Why,
    /// When it ends; `None` if that cannot be foreseen.
    pub(crate) opens: Option<Seconds>,
    /// Whether it is a window that follows the clock.
    pub(crate) window: bool,
}

impl Shut {
    fn held(why: Why) -> Self {
        Self { why, opens: None, window: false }
    }
    fn until(why: Why, opens: Option<Seconds>) -> Self {
        Self { why, opens, window: false }
    }
}

/// A situation with its settings in effect, to be evaluated at different times.
pub(crate) struct View<'a> {
    pub(crate) s: &'a Situation<'a>,
    pub(crate) settled: Settled<'a>,
    /// The monotonic time at which signals are read, whatever wall-clock time is evaluated.
    pub(crate) mono: Duration,
}

impl View<'_> {
    /// Returns when the deadline opens a stage. Sharing has no deadline: it serves other machines, which have other
    /// sources.
    pub(crate) fn deadline(&self, stage: Stage) -> Option<Seconds> {
        let (task, terms) = (self.s.task?, &self.s.policy.deadline);
        let after = match stage {
            Stage::Receive => terms.receive,
            Stage::Install => terms.install,
            Stage::Forward => return None,
        };
        let laid_down = after.map(|after| seconds(task.issued) + i64::from(after));
        let at = task.deadline.map(seconds).into_iter().chain(laid_down).min()?;
        let grace = seconds(task.seen) + i64::from(terms.grace);
        Some(if stage == Stage::Install { at.max(grace) } else { at })
    }
    /// Returns the conditions that close the gate at this time, in order of precedence. Empty if the gate is open.
    pub(crate) fn shut(&self, stage: Stage, at: Seconds) -> Vec<Shut> {
        let mut all = self.checks(stage, at);
        let deadline = self.deadline(stage);
        if deadline.is_none_or(|deadline| at < deadline) {
            all.extend(
                self.overridable(stage, at)
                    .into_iter()
                    .map(|shut| Shut { opens: shut.opens.into_iter().chain(deadline).min(), ..shut }),
            );
        }
        all
    }
    /// Returns whether a condition would close the gate without the deadline.
    pub(crate) fn held_without_deadline(&self, stage: Stage, at: Seconds) -> bool {
        !self.overridable(stage, at).is_empty()
    }
    /// Returns the conditions that no deadline overrides.
    fn checks(&self, stage: Stage, at: Seconds) -> Vec<Shut> {
        let (settled, policy) = (&self.settled, self.s.policy);
        let mut all = Vec::new();
        if stage == Stage::Receive {
            match self.s.signals.free_disk.get(self.mono) {
                Some(_) => all.extend(self.disk_low(false)),
                None => all.push(Shut::held(Why::DiskUnknown)),
            }
        }
        let off = match stage {
            Stage::Receive => settled.download.filter(|rate| rate.bytes_per_second == 0).map(|rate| rate.by),
            Stage::Forward => {
                settled.forward_off.or(settled.upload.filter(|rate| rate.bytes_per_second == 0).map(|rate| rate.by))
            }
            Stage::Install => None,
        };
        all.extend(off.map(|by| Shut::held(Why::SwitchedOff { by })));
        if stage != Stage::Install && !policy.rules.metered {
            let network = self.s.signals.network.get(self.mono);
            let metered = network.filter(|net| net.metered && !settled.overrule.metered.contains(&net.id));
            all.extend(metered.map(|network| {
                Shut::held(Why::Metered { network: network.clone(), may_overrule: policy.bounds.metered })
            }));
        }
        all.extend(self.power(stage).map(Shut::held));
        if let (Stage::Forward, Some((quota, by))) = (stage, settled.quota) {
            // Less than a chunk left counts as nothing left. A chunk takes slightly more than its own size on the
            // network.
            let chunk = CHUNK_BYTES as u64 * 17 / 16;
            let used = self.s.ledger.used(self.s.zone, at).saturating_add(quota.min(chunk));
            if used > quota || quota == 0 {
                let tomorrow = local_time::day_after_begins(self.s.zone, at, local_time::day(self.s.zone, at));
                all.push(Shut::until(Why::QuotaUsed { quota, by }, Some(tomorrow).filter(|_| quota > 0)));
            }
        }
        all
    }
    /// Returns whether there is too little free disk space. The administrator's minimum is a check. The user's higher
    /// minimum is a wish like a window; otherwise an endless minimum would block every update.
    fn disk_low(&self, persons: bool) -> Option<Shut> {
        let floor = (self.s.policy.free_disk, By::Policy);
        let (least, by) =
            if persons || self.settled.free_disk.1 == By::Policy { self.settled.free_disk } else { floor };
        let free = *self.s.signals.free_disk.get(self.mono)?;
        (free < least && persons == (by == By::User)).then(|| Shut::held(Why::DiskLow { free, least, by }))
    }
    fn power(&self, stage: Stage) -> Option<Why> {
        let (rules, may_overrule) = (&self.s.policy.rules, self.s.policy.bounds.battery);
        let power = self.s.signals.power.get(self.mono).filter(|_| !self.settled.overrule.battery)?;
        if power.saver && !rules.power_saver && stage != Stage::Install {
            return Some(Why::PowerSaver { may_overrule });
        }
        let least = match stage {
            Stage::Receive => rules.battery.receive,
            Stage::Install => rules.battery.install,
            Stage::Forward => rules.battery.forward,
        };
        // A battery of unknown charge counts as empty.
        let enough = least.is_some_and(|least| power.charge.unwrap_or(0) >= least);
        (power.battery && !enough).then_some(Why::Battery { charge: power.charge, least, may_overrule })
    }
    /// Returns the conditions that a deadline overrides.
    fn overridable(&self, stage: Stage, at: Seconds) -> Vec<Shut> {
        let bounds = &self.s.policy.bounds;
        let now = self.wants_now(stage);
        let mut all = Vec::new();
        if stage == Stage::Receive {
            all.extend(self.disk_low(true));
        }
        if stage == Stage::Install
            && !(self.s.policy.rules.full_screen || self.settled.overrule.full_screen || (now && bounds.full_screen))
            && self.s.signals.full_screen.get(self.mono) == Some(&true)
        {
            all.push(Shut::held(Why::FullScreen { may_overrule: bounds.full_screen }));
        }
        let pause = self.settled.choice.pause.filter(|_| !now);
        if let Some(pause) = pause {
            let opens = pause_end(pause, bounds.pause, self.s.zone);
            if opens.is_none_or(|end| at < end) {
                all.push(Shut::until(Why::Paused { pause }, opens));
            }
        }
        all.extend(self.windows_in_force(stage).filter_map(|frame| self.window(&frame, at)));
        if let Some(Wish::After(time)) = self.s.task.map(|task| task.wish)
            && stage != Stage::Forward
            && at < seconds(time)
        {
            all.push(Shut::until(Why::PutOff, Some(seconds(time))));
        }
        all
    }
    /// Returns the windows of a stage: the policy's, the order's and the user's.
    pub(crate) fn windows(&self, stage: Stage) -> Vec<Frame<'_>> {
        let policy = self.s.policy;
        let (laid_down, own) = match stage {
            Stage::Receive | Stage::Forward => (&policy.window, &self.settled.window),
            Stage::Install => (&policy.install, &self.settled.install),
        };
        let mut all = vec![Frame { window: laid_down, night: policy.night, by: By::Policy, outer: true }];
        if let Some(task) = self.s.task.filter(|_| stage != Stage::Install) {
            all.push(Frame { window: &task.window, night: policy.night, by: By::Order, outer: true });
        }
        all.push(Frame { window: &own.window, night: own.night, by: own.by, outer: false });
        all
    }
    /// Returns the windows without those that "now" lifts. "Now" cannot exceed the bounds: it has the same effect as
    /// choosing "any time".
    fn windows_in_force(&self, stage: Stage) -> impl Iterator<Item = Frame<'_>> {
        let (bounds, now) = (&self.s.policy.bounds, self.wants_now(stage));
        let past_own = now && (bounds.now || bounds.windows.contains(&Kind::Any));
        let past_all = now && bounds.now;
        self.windows(stage).into_iter().filter(move |frame| if frame.outer { !past_all } else { !past_own })
    }
    /// Returns when all clock-based windows are next open at once. They follow the same clock, so they act like a
    /// single window: their intersection.
    pub(crate) fn windows_open(&self, stage: Stage, at: Seconds) -> Option<Seconds> {
        let weeks = self.windows_in_force(stage).filter_map(|frame| frame.week());
        local_time::next_open(&weeks.fold(Week::ALWAYS, Week::and), self.s.zone, at)
    }
    fn wants_now(&self, stage: Stage) -> bool {
        stage != Stage::Forward && self.s.task.is_some_and(|task| task.wish == Wish::Now)
    }
    fn window(&self, frame: &Frame<'_>, at: Seconds) -> Option<Shut> {
        let by = frame.by;
        let Some(week) = frame.week() else {
            let unquiet = self.unquiet().filter(|_| *frame.window == Window::Idle)?;
            return Some(Shut::held(Why::NotIdle { unquiet, by }));
        };
        if local_time::is_open(&week, self.s.zone, at) {
            return None;
        }
        let opens = local_time::next_open(&week, self.s.zone, at);
        let why =
            if opens.is_some() { Why::Window { window: frame.window.clone(), by } } else { Why::NeverOpens { by } };
        Some(Shut { why, opens, window: opens.is_some() })
    }
    /// Returns what keeps the machine from being idle.
    fn unquiet(&self) -> Option<Unquiet> {
        let (signals, overrule) = (self.s.signals, &self.settled.overrule);
        if !overrule.presence && signals.presence.get(self.mono) == Some(&Presence::Here) {
            return Some(Unquiet::Person);
        }
        match signals.load.get(self.mono) {
            _ if overrule.processor => None,
            Some(load) if load.idle => None,
            Some(load) => Some(Unquiet::Processor(load.percent)),
            None => Some(Unquiet::Unknown),
        }
    }
}

/// One of the windows that apply to a stage.
pub(crate) struct Frame<'a> {
    window: &'a Window,
    night: Night,
    by: By,
    /// Whether the administrator set it, as opposed to a default that the user can change.
    outer: bool,
}

impl Frame<'_> {
    /// Returns it as a week, if it follows the clock.
    pub(crate) fn week(&self) -> Option<Week> {
        match self.window {
            Window::Any | Window::Idle => None,
            Window::Night => Some(self.night.week()),
            Window::Weekly(week) => Some(*week),
        }
    }
}
