//! Applies a user's request to the stored choice, or to the stored wishes about one update. The agent and the fake
//! agent both use it, so that a request has the same effect on either.

use crate::{OutOfBounds, check_choice};
use banyan_proto::{
    Reason, UnixSeconds,
    api::ApiError,
    local::{Overruled, PauseFor, Request, Wishes},
    schedule::{Choice, Pause, Policy, Stage, Wish},
};
use std::fmt;

/// Why a request changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The policy does not allow the choice.
    OutOfBounds(OutOfBounds),
    /// Sharing follows the machine's settings, not a single update's.
    SharingOfOneUpdate,
    /// The request is not about the user's choice.
    NotAChoice(Box<Request>),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds(error) => error.fmt(f),
            Self::SharingOfOneUpdate => f.write_str("sharing cannot be set for a single update"),
            Self::NotAChoice(_) => f.write_str("this agent does not support this request; update it"),
        }
    }
}
impl std::error::Error for RequestError {}

impl RequestError {
    /// Returns the reply to the caller.
    #[must_use]
    pub fn to_api_error(&self) -> ApiError {
        let reason = match self {
            Self::OutOfBounds(_) => Reason::NotAllowed,
            Self::SharingOfOneUpdate | Self::NotAChoice(_) => Reason::BadRequest,
        };
        ApiError { reason, detail: self.to_string() }
    }
}

/// Returns the user's choice after a request at the time `asked`. Without a choice the policy's defaults are changed;
/// `None` means that the user has no choice any more.
///
/// # Errors
/// When the policy does not allow the choice, or the request is about something else.
pub fn apply_to_choice(
    request: &Request,
    choice: Option<&Choice>,
    policy: &Policy,
    asked: UnixSeconds,
) -> Result<Option<Choice>, RequestError> {
    let mut choice = choice.unwrap_or(&policy.defaults).clone();
    match request {
        Request::SetWindow { window, night } => {
            choice.window = window.clone();
            choice.night = night.unwrap_or(choice.night);
        }
        Request::SetInstallWindow { window } => choice.install = window.clone(),
        Request::SetLimits { download, upload, daily_upload, forward, free_disk } => {
            (choice.download, choice.upload, choice.daily_upload) = (*download, *upload, *daily_upload);
            (choice.forward, choice.free_disk) = (*forward, *free_disk);
        }
        Request::SetGiveWay { give_way } => choice.give_way = *give_way,
        Request::Pause { until } => {
            choice.pause = Some(match until {
                PauseFor::Seconds(seconds) => Pause::For { asked, seconds: *seconds },
                PauseFor::UntilTomorrow => Pause::UntilTomorrow { asked },
                PauseFor::UntilResumed => Pause::UntilResumed { asked },
            });
        }
        Request::Resume => choice.pause = None,
        Request::Overrule { signal, on } => match signal {
            Overruled::Metered(network) if *on => drop(choice.overrule.metered.insert(network.clone())),
            Overruled::Metered(network) => drop(choice.overrule.metered.remove(network)),
            Overruled::Battery => choice.overrule.battery = *on,
            Overruled::FullScreen => choice.overrule.full_screen = *on,
            Overruled::Processor => choice.overrule.processor = *on,
            Overruled::Presence => choice.overrule.presence = *on,
        },
        Request::ForgetChoice => return Ok(None),
        Request::Hello { .. }
        | Request::Status
        | Request::Subscribe
        | Request::Wish { .. }
        | Request::Report { .. }
        | Request::OpenPackage { .. }
        | Request::InstallPackage { .. }
        | Request::Catalogue
        | Request::GetFromCatalogue { .. }
        | Request::ForgetSigner { .. }
        | Request::Enrol { .. } => return Err(RequestError::NotAChoice(Box::new(request.clone()))),
    }
    check_choice(&choice, &policy.bounds).map_err(RequestError::OutOfBounds)?;
    Ok(Some(choice))
}

/// Returns the wishes about one update after the user's wish for one stage. Installing now implies receiving now.
///
/// # Errors
/// When the stage is sharing.
pub fn apply_wish(wishes: Wishes, stage: Stage, wish: Wish) -> Result<Wishes, RequestError> {
    match (stage, wish) {
        (Stage::Forward, _) => Err(RequestError::SharingOfOneUpdate),
        (Stage::Install, Wish::Now) => Ok(Wishes { receive: Wish::Now, install: Wish::Now }),
        (Stage::Install, wish) => Ok(Wishes { install: wish, ..wishes }),
        (Stage::Receive, wish) => Ok(Wishes { receive: wish, ..wishes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::schedule::Window;

    const NOW: UnixSeconds = UnixSeconds(1_795_000_000);

    #[test]
    fn a_choice_begins_with_the_policys_defaults_and_ends_when_it_is_forgotten() {
        let mut policy = Policy::default();
        policy.defaults.forward = false;
        let night = Request::SetWindow { window: Window::Night, night: None };
        let choice = apply_to_choice(&night, None, &policy, NOW).unwrap();
        let expected = Choice { window: Window::Night, ..policy.defaults.clone() };
        assert_eq!(choice, Some(expected));
        assert_eq!(apply_to_choice(&Request::ForgetChoice, choice.as_ref(), &policy, NOW), Ok(None));
    }

    #[test]
    fn a_choice_out_of_bounds_and_another_request_change_nothing() {
        let mut policy = Policy::default();
        policy.bounds.pause = Some(60);
        let pause = Request::Pause { until: PauseFor::Seconds(61) };
        let refused = apply_to_choice(&pause, None, &policy, NOW).unwrap_err();
        assert_eq!(refused.to_api_error().reason, Reason::NotAllowed);
        let refused = apply_to_choice(&Request::Status, None, &policy, NOW).unwrap_err();
        assert_eq!(refused.to_api_error().reason, Reason::BadRequest);
    }

    #[test]
    fn installing_now_implies_receiving_now_but_installing_later_does_not_change_receiving() {
        let (none, later) = (Wishes::default(), Wish::After(NOW));
        let now = Wishes { receive: Wish::Now, install: Wish::Now };
        assert_eq!(apply_wish(none, Stage::Install, Wish::Now), Ok(now));
        assert_eq!(apply_wish(none, Stage::Install, later), Ok(Wishes { install: later, ..none }));
        assert_eq!(apply_wish(now, Stage::Receive, later), Ok(Wishes { receive: later, ..now }));
        assert_eq!(apply_wish(none, Stage::Forward, Wish::Now), Err(RequestError::SharingOfOneUpdate));
    }
}
