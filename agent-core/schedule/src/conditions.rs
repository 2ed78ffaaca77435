//! Evaluates every condition that can close a gate: which ones apply at a given time, and when each ends.

use crate::{
    Seconds, Situation,
    clock::{pause_end, seconds},
    effective_settings::{ByteLimit, EffectiveSettings},
    local_time,
};
use banyan_proto::limits::CHUNK_BYTES;
use banyan_proto::schedule::{By, Kind, Night, Presence, Stage, Unquiet, Week, Why, Window, Wish};
use std::time::Duration;

/// A condition that closes a gate.
#[derive(Debug, Clone)]
pub(crate) struct Obstacle {
    pub(crate) why: Why,
    /// When it ends; `None` if that cannot be foreseen.
    pub(crate) ends: Option<Seconds>,
    /// Whether it is a window that follows the clock.
    pub(crate) follows_clock: bool,
}

impl Obstacle {
    fn open_ended(why: Why) -> Self {
        Self { why, ends: None, follows_clock: false }
    }
    fn until(why: Why, ends: Option<Seconds>) -> Self {
        Self { why, ends, follows_clock: false }
    }
}

/// A situation with its settings in effect, to be evaluated at different times.
pub(crate) struct Evaluation<'a> {
    pub(crate) situation: &'a Situation<'a>,
    pub(crate) settings: EffectiveSettings<'a>,
    /// The monotonic time at which signals are read, whatever wall-clock time is evaluated.
    pub(crate) mono: Duration,
}

impl Evaluation<'_> {
    /// Returns when the deadline opens a stage. Sharing has no deadline: it serves other machines, which have other
    /// sources.
    pub(crate) fn deadline(&self, stage: Stage) -> Option<Seconds> {
        let (task, terms) = (self.situation.task?, &self.situation.policy.deadline);
        let after = match stage {
            Stage::Receive => terms.receive,
            Stage::Install => terms.install,
            Stage::Forward => return None,
        };
        let policy_deadline = after.map(|after| seconds(task.issued) + i64::from(after));
        let at = task.deadline.map(seconds).into_iter().chain(policy_deadline).min()?;
        let grace = seconds(task.seen) + i64::from(terms.grace);
        Some(if stage == Stage::Install { at.max(grace) } else { at })
    }
    /// Returns the conditions that close the gate at this time, in order of precedence. Empty if the gate is open.
    pub(crate) fn obstacles(&self, stage: Stage, at: Seconds) -> Vec<Obstacle> {
        let mut all = self.checks(stage, at);
        let deadline = self.deadline(stage);
        if deadline.is_none_or(|deadline| at < deadline) {
            all.extend(
                self.overridable_by_deadline(stage, at)
                    .into_iter()
                    .map(|obstacle| Obstacle { ends: obstacle.ends.into_iter().chain(deadline).min(), ..obstacle }),
            );
        }
        all
    }
    /// Returns whether a condition would close the gate without the deadline.
    pub(crate) fn is_closed_without_deadline(&self, stage: Stage, at: Seconds) -> bool {
        !self.overridable_by_deadline(stage, at).is_empty()
    }
    /// Returns the conditions that no deadline overrides.
    fn checks(&self, stage: Stage, at: Seconds) -> Vec<Obstacle> {
        let (settings, policy) = (&self.settings, self.situation.policy);
        let mut all = Vec::new();
        if stage == Stage::Receive {
            match self.situation.signals.disk.get(self.mono) {
                Some(_) => all.extend(self.disk_low(false)),
                None => all.push(Obstacle::open_ended(Why::DiskUnknown)),
            }
        }
        let off = match stage {
            Stage::Receive => settings.download.filter(|rate| rate.bytes_per_second == 0).map(|rate| rate.by),
            Stage::Forward => {
                settings.forward_off.or(settings.upload.filter(|rate| rate.bytes_per_second == 0).map(|rate| rate.by))
            }
            Stage::Install => None,
        };
        all.extend(off.map(|by| Obstacle::open_ended(Why::SwitchedOff { by })));
        if stage != Stage::Install && !policy.rules.metered {
            let network = self.situation.signals.network.get(self.mono);
            let metered = network.filter(|net| net.metered && !settings.overrule.metered.contains(&net.id));
            all.extend(metered.map(|network| {
                Obstacle::open_ended(Why::Metered { network: network.clone(), may_overrule: policy.bounds.metered })
            }));
        }
        all.extend(self.power(stage).map(Obstacle::open_ended));
        if let (Stage::Forward, Some(ByteLimit { bytes: quota, by })) = (stage, settings.quota) {
            // Less than a chunk left counts as nothing left. A chunk takes slightly more than its own size on the
            // network.
            let chunk = CHUNK_BYTES as u64 * 17 / 16;
            let used = self.situation.usage.used(self.situation.zone, at).saturating_add(quota.min(chunk));
            if used > quota || quota == 0 {
                let tomorrow =
                    local_time::day_after_begins(self.situation.zone, at, local_time::day(self.situation.zone, at));
                all.push(Obstacle::until(Why::QuotaUsed { quota, by }, Some(tomorrow).filter(|_| quota > 0)));
            }
        }
        all
    }
    /// Returns whether there is too little free disk space. The administrator's minimum is a check. The user's higher
    /// minimum is a wish like a window; otherwise an endless minimum would block every update.
    fn disk_low(&self, is_users: bool) -> Option<Obstacle> {
        let disk = *self.situation.signals.disk.get(self.mono)?;
        let of_policy = self.situation.policy.least_free_disk(disk.size);
        // The defaults count as the administrator's until the user has chosen.
        let (chosen, has_chosen) = (self.settings.choice.free_disk, self.situation.choice.is_some());
        let (least, by) = match is_users {
            true if has_chosen && chosen > of_policy => (chosen, By::User),
            true => return None,
            false if has_chosen => (of_policy, By::Policy),
            false => (of_policy.max(chosen), By::Policy),
        };
        (disk.free < least).then(|| Obstacle::open_ended(Why::DiskLow { free: disk.free, least, by }))
    }
    fn power(&self, stage: Stage) -> Option<Why> {
        let (rules, may_overrule) = (&self.situation.policy.rules, self.situation.policy.bounds.battery);
        let power = self.situation.signals.power.get(self.mono).filter(|_| !self.settings.overrule.battery)?;
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
    fn overridable_by_deadline(&self, stage: Stage, at: Seconds) -> Vec<Obstacle> {
        let bounds = &self.situation.policy.bounds;
        let now = self.wants_now(stage);
        let mut all = Vec::new();
        if stage == Stage::Receive {
            all.extend(self.disk_low(true));
        }
        if stage == Stage::Install
            && !(self.situation.policy.rules.full_screen
                || self.settings.overrule.full_screen
                || (now && bounds.full_screen))
            && self.situation.signals.full_screen.get(self.mono) == Some(&true)
        {
            all.push(Obstacle::open_ended(Why::FullScreen { may_overrule: bounds.full_screen }));
        }
        let pause = self.settings.choice.pause.filter(|_| !now);
        if let Some(pause) = pause {
            let ends = pause_end(pause, bounds.pause, self.situation.zone);
            if ends.is_none_or(|end| at < end) {
                all.push(Obstacle::until(Why::Paused { pause }, ends));
            }
        }
        all.extend(self.windows_in_force(stage).filter_map(|window| self.window(&window, at)));
        if let Some(Wish::After(time)) = self.situation.task.map(|task| task.wish)
            && stage != Stage::Forward
            && at < seconds(time)
        {
            all.push(Obstacle::until(Why::PutOff, Some(seconds(time))));
        }
        all
    }
    /// Returns the windows of a stage: the policy's, the order's and the user's.
    pub(crate) fn windows(&self, stage: Stage) -> Vec<StageWindow<'_>> {
        let policy = self.situation.policy;
        let (policy_window, own) = match stage {
            Stage::Receive | Stage::Forward => (&policy.window, &self.settings.window),
            Stage::Install => (&policy.install, &self.settings.install),
        };
        let mut all =
            vec![StageWindow { window: policy_window, night: policy.night, by: By::Policy, by_administrator: true }];
        if let Some(task) = self.situation.task.filter(|_| stage != Stage::Install) {
            all.push(StageWindow { window: &task.window, night: policy.night, by: By::Order, by_administrator: true });
        }
        all.push(StageWindow { window: &own.window, night: own.night, by: own.by, by_administrator: false });
        all
    }
    /// Returns the windows without those that "now" lifts. "Now" cannot exceed the bounds: it has the same effect as
    /// choosing "any time".
    fn windows_in_force(&self, stage: Stage) -> impl Iterator<Item = StageWindow<'_>> {
        let (bounds, now) = (&self.situation.policy.bounds, self.wants_now(stage));
        let past_own = now && (bounds.now || bounds.windows.contains(&Kind::Any));
        let past_all = now && bounds.now;
        self.windows(stage)
            .into_iter()
            .filter(move |window| if window.by_administrator { !past_all } else { !past_own })
    }
    /// Returns when all clock-based windows are next open at once. They follow the same clock, so they act like a
    /// single window: their intersection.
    pub(crate) fn windows_open(&self, stage: Stage, at: Seconds) -> Option<Seconds> {
        let weeks = self.windows_in_force(stage).filter_map(|window| window.week());
        local_time::next_open(&weeks.fold(Week::ALWAYS, Week::and), self.situation.zone, at)
    }
    fn wants_now(&self, stage: Stage) -> bool {
        stage != Stage::Forward && self.situation.task.is_some_and(|task| task.wish == Wish::Now)
    }
    fn window(&self, window: &StageWindow<'_>, at: Seconds) -> Option<Obstacle> {
        let by = window.by;
        let Some(week) = window.week() else {
            let unquiet = self.activity().filter(|_| *window.window == Window::Idle)?;
            return Some(Obstacle::open_ended(Why::NotIdle { unquiet, by }));
        };
        if local_time::is_open(&week, self.situation.zone, at) {
            return None;
        }
        let ends = local_time::next_open(&week, self.situation.zone, at);
        let why =
            if ends.is_some() { Why::Window { window: window.window.clone(), by } } else { Why::NeverOpens { by } };
        Some(Obstacle { why, ends, follows_clock: ends.is_some() })
    }
    /// Returns what keeps the machine from being idle.
    fn activity(&self) -> Option<Unquiet> {
        let (signals, overrule) = (self.situation.signals, &self.settings.overrule);
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
pub(crate) struct StageWindow<'a> {
    window: &'a Window,
    night: Night,
    by: By,
    /// Whether the administrator set it, as opposed to a default that the user can change.
    by_administrator: bool,
}

impl StageWindow<'_> {
    /// Returns it as a week, if it follows the clock.
    pub(crate) fn week(&self) -> Option<Week> {
        match self.window {
            Window::Any | Window::Idle => None,
            Window::Night => Some(self.night.week()),
            Window::Weekly(week) => Some(*week),
        }
    }
}
