//! Everything that can close a gate, one by one: what is in the way at a moment, and when each of them ends by itself.

use crate::{
    Seconds, Situation,
    clock::{pause_end, seconds},
    local,
    settle::Settled,
};
use banyan_proto::limits::CHUNK_BYTES;
use banyan_proto::schedule::{By, Kind, Night, Presence, Stage, Unquiet, Week, Why, Window, Wish};
use std::time::Duration;

/// One thing in the way.
#[derive(Debug, Clone)]
pub(crate) struct Shut {
    pub(crate) why: Why,
    /// When it is out of the way by itself; none when no clock foretells it.
    pub(crate) opens: Option<Seconds>,
    /// It is a window that goes by the clock.
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

/// A situation with its choice settled; what is asked about different moments of it.
pub(crate) struct View<'a> {
    pub(crate) s: &'a Situation<'a>,
    pub(crate) settled: Settled<'a>,
    /// Signals are those of this moment, whatever moment is asked about.
    pub(crate) mono: Duration,
}

impl View<'_> {
    /// When a stage goes ahead in any case. Passing on has no deadline: it is for others, who find other ways.
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
    /// What is in the way at this time, the first named first among equals. Empty: the gate is open.
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
    /// Whether something would be in the way if there were no deadline.
    pub(crate) fn held_without_deadline(&self, stage: Stage, at: Seconds) -> bool {
        !self.overridable(stage, at).is_empty()
    }
    /// What no deadline overrides.
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
            // Less than a chunk left is nothing left; on the link it is a little more than by itself.
            let chunk = CHUNK_BYTES as u64 * 17 / 16;
            let used = self.s.ledger.used(self.s.zone, at).saturating_add(quota.min(chunk));
            if used > quota || quota == 0 {
                let tomorrow = local::day_after_begins(self.s.zone, at, local::day(self.s.zone, at));
                all.push(Shut::until(Why::QuotaUsed { quota, by }, Some(tomorrow).filter(|_| quota > 0)));
            }
        }
        all
    }
    /// Less disk is free than shall be. The administrator's floor is a check; the person's own, above it, is a wish like a window, or
    /// whoever asks for an endless disk would be rid of every update.
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
        // A battery that does not say how full it is counts as empty.
        let enough = least.is_some_and(|least| power.charge.unwrap_or(0) >= least);
        (power.battery && !enough).then_some(Why::Battery { charge: power.charge, least, may_overrule })
    }
    /// What a deadline overrides.
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
    /// The windows of a stage: the policy's, the order's, the person's.
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
    /// Without those that "now" lifts. It is no way round the bounds: it is worth as much as choosing "any time".
    fn windows_in_force(&self, stage: Stage) -> impl Iterator<Item = Frame<'_>> {
        let (bounds, now) = (&self.s.policy.bounds, self.wants_now(stage));
        let past_own = now && (bounds.now || bounds.windows.contains(&Kind::Any));
        let past_all = now && bounds.now;
        self.windows(stage).into_iter().filter(move |frame| if frame.outer { !past_all } else { !past_own })
    }
    /// When all windows that go by the clock are open at once, from this time on. They go by the same clock, so it is as if
    /// there were one window, open where all are.
    pub(crate) fn windows_open(&self, stage: Stage, at: Seconds) -> Option<Seconds> {
        let weeks = self.windows_in_force(stage).filter_map(|frame| frame.week());
        local::next_open(&weeks.fold(Week::ALWAYS, Week::and), self.s.zone, at)
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
        if local::is_open(&week, self.s.zone, at) {
            return None;
        }
        let opens = local::next_open(&week, self.s.zone, at);
        let why =
            if opens.is_some() { Why::Window { window: frame.window.clone(), by } } else { Why::NeverOpens { by } };
        Some(Shut { why, opens, window: opens.is_some() })
    }
    /// What keeps the machine from being idle.
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

/// One of the windows that a stage has to be in.
pub(crate) struct Frame<'a> {
    window: &'a Window,
    night: Night,
    by: By,
    /// Laid down by the administrator, not a default that the person may change.
    outer: bool,
}

impl Frame<'_> {
    /// As a week, if it goes by the clock.
    pub(crate) fn week(&self) -> Option<Week> {
        match self.window {
            Window::Any | Window::Idle => None,
            Window::Night => Some(self.night.week()),
            Window::Weekly(week) => Some(*week),
        }
    }
}
