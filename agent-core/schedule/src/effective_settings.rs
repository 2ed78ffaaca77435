//! Combines the user's choice with the policy: for each setting the stricter limit, and who set it.

use banyan_proto::schedule::{Bounds, By, Choice, GiveWay, Kind, Night, Overrule, Policy, Rate, Window};

/// A choice that the policy does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfBounds {
    /// The kind of window is not allowed.
    Window,
    /// The window is open for too few hours a week (with the minimum).
    OpenHours(u16),
    /// The pause is too long (with the maximum in seconds).
    Pause(u32),
    /// The download limit is too low (with the minimum in bytes a second).
    Download(u64),
    /// The upload limit is too low (with the minimum in bytes a second).
    Upload(u64),
    /// The daily quota is too low (with the minimum in bytes).
    DailyUpload(u64),
    /// Sharing must not be switched off.
    Forward,
    /// A condition must not be ignored.
    Overrule,
}

impl std::fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("your administrator does not allow this: ")?;
        match self {
            Self::Window => f.write_str("choose another kind of schedule"),
            Self::OpenHours(hours) => write!(f, "choose at least {hours} hours a week"),
            Self::Pause(0) => f.write_str("transfers cannot be paused"),
            Self::Pause(most) => write!(f, "pause for at most {} minutes", most / 60),
            Self::Download(least) => write!(f, "limit downloads to {least} bytes a second or more"),
            Self::Upload(least) => write!(f, "limit uploads to {least} bytes a second or more"),
            Self::DailyUpload(least) => write!(f, "set the daily upload quota to {least} bytes or more"),
            Self::Forward => f.write_str("keep sharing switched on"),
            Self::Overrule => f.write_str("this condition cannot be ignored"),
        }
    }
}
impl std::error::Error for OutOfBounds {}

/// Checks whether the user may choose this. Call it before storing the choice.
///
/// # Errors
/// Returns the first setting that is out of bounds.
pub fn check_choice(choice: &Choice, bounds: &Bounds) -> Result<(), OutOfBounds> {
    window_allowed(&choice.window, choice.night, bounds)?;
    window_allowed(&choice.install, choice.night, bounds)?;
    if let (Some(pause), Some(most)) = (choice.pause, bounds.pause) {
        use banyan_proto::schedule::Pause;
        // The length of the other pauses depends on the time zone, so they are limited when the clock is checked.
        let too_long = match pause {
            Pause::For { seconds, .. } => seconds > most,
            Pause::UntilTomorrow { .. } | Pause::UntilResumed { .. } => most == 0,
        };
        if too_long {
            return Err(OutOfBounds::Pause(most));
        }
    }
    let below = |limit: Option<u64>, least: u64| limit.is_some_and(|limit| limit < least);
    let o = &choice.overrule;
    let overruled = (!o.metered.is_empty() && !bounds.metered)
        || (o.battery && !bounds.battery)
        || (o.full_screen && !bounds.full_screen)
        || ((o.processor || o.presence) && !bounds.idle);
    match () {
        () if below(choice.download, bounds.download) => Err(OutOfBounds::Download(bounds.download)),
        () if below(choice.upload, bounds.upload) => Err(OutOfBounds::Upload(bounds.upload)),
        () if below(choice.daily_upload, bounds.daily_upload) => Err(OutOfBounds::DailyUpload(bounds.daily_upload)),
        () if !choice.forward && !bounds.forward => Err(OutOfBounds::Forward),
        () if overruled => Err(OutOfBounds::Overrule),
        () => Ok(()),
    }
}

fn window_allowed(window: &Window, night: Night, bounds: &Bounds) -> Result<(), OutOfBounds> {
    if !bounds.windows.contains(&Kind::of(window)) {
        return Err(OutOfBounds::Window);
    }
    let open = match window {
        Window::Any | Window::Idle => return Ok(()),
        Window::Night => night.week().open_half_hours(),
        Window::Weekly(week) => week.open_half_hours(),
    };
    if open < 2 * u32::from(bounds.open_hours) { Err(OutOfBounds::OpenHours(bounds.open_hours)) } else { Ok(()) }
}

/// Returns the maximum download and upload rates (bytes a second), each the stricter of choice and policy; `None` for
/// no limit.
#[must_use]
pub fn effective_rates(choice: Option<&Choice>, policy: &Policy) -> (Option<u64>, Option<u64>) {
    let effective = effective_settings(choice, policy);
    let bytes = |rate: Option<Rate>| rate.map(|rate| rate.bytes_per_second);
    (bytes(effective.download), bytes(effective.upload))
}

/// Returns what transfers yield to: the stricter of choice and policy.
#[must_use]
pub fn effective_give_way(choice: Option<&Choice>, policy: &Policy) -> GiveWay {
    choice.unwrap_or(&policy.defaults).give_way.max(policy.give_way)
}

/// Returns the daily upload quota (bytes), the stricter of choice and policy; `None` for no quota.
#[must_use]
pub fn effective_quota(choice: Option<&Choice>, policy: &Policy) -> Option<u64> {
    effective_settings(choice, policy).quota.map(|limit| limit.bytes)
}

/// A window, its definition of night, and who set it.
#[derive(Debug, Clone)]
pub(crate) struct EffectiveWindow {
    pub(crate) window: Window,
    pub(crate) night: Night,
    pub(crate) by: By,
}

/// A number of bytes, and who set it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteLimit {
    pub(crate) bytes: u64,
    pub(crate) by: By,
}

/// The settings in effect.
#[derive(Debug)]
pub(crate) struct EffectiveSettings<'a> {
    /// The user's choice, or the policy's defaults.
    pub(crate) choice: &'a Choice,
    /// The window for transfers: the chosen one if it is within bounds.
    pub(crate) window: EffectiveWindow,
    /// The window for installs, likewise.
    pub(crate) install: EffectiveWindow,
    pub(crate) download: Option<Rate>,
    pub(crate) upload: Option<Rate>,
    pub(crate) quota: Option<ByteLimit>,
    pub(crate) forward_off: Option<By>,
    /// The conditions that the user ignores and may ignore.
    pub(crate) overrule: Overrule,
}

pub(crate) fn effective_settings<'a>(choice: Option<&'a Choice>, policy: &'a Policy) -> EffectiveSettings<'a> {
    let bounds = &policy.bounds;
    // The defaults count as the administrator's until the user has chosen.
    let by = if choice.is_some() { By::User } else { By::Policy };
    let chosen = choice.unwrap_or(&policy.defaults);
    let hours = |of: fn(&Choice) -> &Window| {
        let fits = choice.is_none() || window_allowed(of(chosen), chosen.night, bounds).is_ok();
        let (from, by) = if fits { (chosen, by) } else { (&policy.defaults, By::Policy) };
        EffectiveWindow { window: of(from).clone(), night: from.night, by }
    };
    // Lower bounds apply to the user, not to the administrator's own defaults.
    let raised =
        |limit: Option<u64>, least: u64| limit.map(|limit| if by == By::User { limit.max(least) } else { limit });
    let stricter = |chosen: Option<u64>, policy_limit: Option<u64>| match (chosen, policy_limit) {
        (Some(bytes), Some(policy_limit)) if bytes < policy_limit => Some(ByteLimit { bytes, by }),
        (_, Some(bytes)) => Some(ByteLimit { bytes, by: By::Policy }),
        (Some(bytes), None) => Some(ByteLimit { bytes, by }),
        (None, None) => None,
    };
    let rate = |limit: ByteLimit| Rate { bytes_per_second: limit.bytes, by: limit.by };
    let over = &chosen.overrule;
    EffectiveSettings {
        choice: chosen,
        window: hours(|choice| &choice.window),
        install: hours(|choice| &choice.install),
        download: stricter(raised(chosen.download, bounds.download), policy.download).map(rate),
        upload: stricter(raised(chosen.upload, bounds.upload), policy.upload).map(rate),
        quota: stricter(raised(chosen.daily_upload, bounds.daily_upload), policy.daily_upload),
        forward_off: match () {
            () if !policy.forward => Some(By::Policy),
            () if !chosen.forward && (bounds.forward || by == By::Policy) => Some(by),
            () => None,
        },
        overrule: Overrule {
            metered: if bounds.metered { over.metered.clone() } else { std::collections::BTreeSet::new() },
            battery: over.battery && bounds.battery,
            full_screen: over.full_screen && bounds.full_screen,
            processor: over.processor && bounds.idle,
            presence: over.presence && bounds.idle,
        },
    }
}
