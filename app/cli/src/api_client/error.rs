//! The ways in which a request to the server can fail, and advice for each.

use crate::output::{Advice, Exit, REPORT_BUG};
use banyan_proto::{Address, Reason, admin::Profile, api::ApiError};
use rustls::CertificateError;
use std::io::{self, ErrorKind};

/// A failed request to the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiClientError {
    /// This machine could not create a TLS configuration or HTTP client.
    #[error("cannot prepare a secure connection on this computer: {0}")]
    Setup(String),
    /// The address does not respond.
    #[error("no response from {server}: {why}")]
    Unreachable {
        /// The server's addresses.
        server: String,
        /// The innermost cause.
        why: String,
    },
    /// The server closes new connections: it has no place for callers from this network.
    #[error("the server at {server} admits no further connections at the moment: {why}")]
    NotAdmitted {
        /// The server's addresses.
        server: String,
        /// The innermost cause.
        why: String,
    },
    /// The server at the address is not the one that the profile names.
    #[error("the server at {server} does not match this profile: {why}")]
    WrongServer {
        /// The server's addresses.
        server: String,
        /// The TLS library's message.
        why: String,
    },
    /// The server's certificate is not valid at this computer's time.
    #[error("the server at {server} cannot be verified at this computer's time: {why}")]
    ClockWrong {
        /// The server's addresses.
        server: String,
        /// The TLS library's message.
        why: String,
    },
    /// The connection was made, but then no data moved for this long.
    #[error("the server at {server} stopped responding for {seconds} seconds")]
    Stalled {
        /// The server's addresses.
        server: String,
        /// How long the client waited (seconds).
        seconds: u64,
    },
    /// The server rejected the token.
    #[error("the server rejected this profile's token")]
    TokenRejected,
    /// Not found, with an empty body: the answer to a HEAD request, or to an unknown path.
    #[error("not found on the server")]
    NotFound,
    /// The server refused the request and gave a reason.
    #[error("{}", .0.detail)]
    Refused(ApiError),
    /// The answer is malformed: the server has another version, or there is a bug.
    #[error("cannot read the server's answer: {0}")]
    MalformedResponse(String),
    /// The file to upload cannot be read.
    #[error("cannot read the file")]
    File(#[from] std::io::Error),
}

impl Advice for ApiClientError {
    fn next_step(&self) -> String {
        match self {
            Self::Setup(_) => REPORT_BUG.into(),
            Self::Unreachable { .. } => {
                "check that the server is running and that the profile has the right address; `banyan doctor` checks both"
                    .into()
            }
            Self::WrongServer { .. } => {
                "if the server was set up again, copy its admin.toml again; otherwise find out what is running at that address".into()
            }
            Self::ClockWrong { .. } => {
                "compare this computer's date and time with the server's, and set the wrong clock (`timedatectl`)".into()
            }
            Self::NotAdmitted { .. } => {
                "try again in a moment; the server's log says which callers take its places, or what else is listening \
                 there"
                    .into()
            }
            Self::Stalled { .. } => "check the server's log and the network, then try again".into(),
            Self::TokenRejected => {
                "the token may be expired or revoked: ask an owner for a new one (`banyan access add`), or copy admin.toml \
                 from the server's data folder again"
                    .into()
            }
            Self::NotFound => "compare the versions: `banyan --version` here and on the server".into(),
            Self::Refused(error) if matches!(error.reason, Reason::Unknown | Reason::BadRequest) => {
                "correct the request as the server describes, then try again".into()
            }
            // The table's advice is for machines, which try again by themselves. A command has ended.
            Self::Refused(error) if error.reason == Reason::ServerDiskFull => {
                "make room on the server's disk, then run the command again".into()
            }
            Self::Refused(error) => error.reason.for_admin().advice.into(),
            Self::MalformedResponse(_) => "compare the versions: `banyan --version` here and on the server".into(),
            Self::File(error) => error.next_step(),
        }
    }
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Unreachable { .. } | Self::NotAdmitted { .. } | Self::Stalled { .. } => Some(Reason::ServerAway),
            Self::WrongServer { .. } => Some(Reason::WrongIdentity),
            Self::ClockWrong { .. } => Some(Reason::ClockWrong),
            Self::Refused(error) if error.reason != Reason::Unknown => Some(error.reason),
            Self::MalformedResponse(_) => Some(Reason::ProtocolBroken),
            Self::File(error) => error.reason(),
            Self::TokenRejected => Some(Reason::NotAllowed),
            Self::Setup(_) | Self::NotFound | Self::Refused(_) => None,
        }
    }
    fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. }
            | Self::NotAdmitted { .. }
            | Self::WrongServer { .. }
            | Self::ClockWrong { .. }
            | Self::Stalled { .. } => Exit::Unreachable,
            Self::TokenRejected | Self::Refused(_) => Exit::Refused,
            Self::Setup(_) | Self::NotFound | Self::MalformedResponse(_) | Self::File(_) => Exit::Failed,
        }
    }
}

impl ApiClientError {
    /// Returns whether retrying later can help, because the server is only temporarily unreachable.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotAdmitted { .. } | Self::Stalled { .. })
    }
    /// Returns whether the server does not know the work that it was asked about.
    pub(super) fn is_unknown_work(&self) -> bool {
        matches!(self, Self::NotFound) || matches!(self, Self::Refused(error) if error.reason == Reason::NotFound)
    }
    /// Classifies a failure below HTTP. The TLS library's verdict is somewhere in the chain of causes.
    pub(super) fn from_transport(error: &reqwest::Error, profile: &Profile) -> Self {
        let server = Address::list(&profile.servers);
        let mut deepest = error.to_string();
        let mut is_closed = false;
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(tls @ rustls::Error::InvalidCertificate(invalid)) = inner.downcast_ref() {
                let why = tls.to_string();
                let depends_on_time = matches!(
                    invalid,
                    CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                        | CertificateError::NotValidYet
                        | CertificateError::NotValidYetContext { .. }
                );
                return if depends_on_time {
                    Self::ClockWrong { server, why: compare_clocks(invalid).unwrap_or(why) }
                } else {
                    Self::WrongServer { server, why }
                };
            }
            deepest = inner.to_string();
            let ended = inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof);
            if ended {
                deepest = "the other side closed the connection".into();
            }
            is_closed |= inner.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            });
            cause = inner_cause(inner);
        }
        if error.is_builder() {
            Self::Setup(deepest)
        } else if error.is_decode() || error.is_body() && !error.is_timeout() {
            Self::MalformedResponse(deepest)
        } else if error.is_connect() && is_closed {
            Self::NotAdmitted { server, why: deepest }
        } else if error.is_timeout() {
            Self::Unreachable { server, why: "no answer in time".into() }
        } else {
            Self::Unreachable { server, why: deepest }
        }
    }
}

/// Says how the time here and the validity of the server's certificate differ.
fn compare_clocks(error: &CertificateError) -> Option<String> {
    let utc =
        |seconds: u64| Some(jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?.strftime("%F %T UTC"));
    match error {
        CertificateError::NotValidYetContext { time, not_before } => Some(format!(
            "this computer's clock says {}, and the server's certificate is valid only from {}",
            utc(time.as_secs())?,
            utc(not_before.as_secs())?
        )),
        CertificateError::ExpiredContext { time, not_after } => Some(format!(
            "this computer's clock says {}, and the server's certificate expired on {}",
            utc(time.as_secs())?,
            utc(not_after.as_secs())?
        )),
        _ => None,
    }
}

/// Returns the cause of an error. The `source` of an IO error skips the error that it wraps, so that one is returned
/// instead.
fn inner_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::WithContext as _;
    use std::time::Duration;

    #[test]
    fn the_tls_librarys_verdict_is_found_however_deep_it_lies() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let outer = std::io::Error::other(std::io::Error::other(tls));
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&outer);
        while let Some(error) = cause.filter(|error| !error.is::<rustls::Error>()) {
            cause = inner_cause(error);
        }
        assert!(cause.is_some());
    }

    #[test]
    fn a_wrong_clock_is_told_with_dates() {
        let at = rustls::pki_types::UnixTime::since_unix_epoch;
        let (time, not_before) = (at(Duration::from_secs(10)), at(Duration::from_secs(86_400)));
        let why = compare_clocks(&CertificateError::NotValidYetContext { time, not_before }).unwrap();
        assert!(why.contains("says 1970-01-01 00:00:10 UTC") && why.contains("from 1970-01-02 00:00:00 UTC"), "{why}");
        let why = compare_clocks(&CertificateError::ExpiredContext { time: not_before, not_after: time }).unwrap();
        assert!(why.contains("says 1970-01-02") && why.contains("expired on 1970-01-01"), "{why}");
    }

    #[test]
    fn every_refusal_ends_with_its_own_code_and_says_what_to_do() {
        let server = || "127.0.0.1:1".to_owned();
        let refused = ApiError { reason: Reason::NotPublished, detail: "no release of \"hello\" here".into() };
        for (error, exit, code) in [
            (
                ApiClientError::Unreachable { server: server(), why: "refused".into() },
                Exit::Unreachable,
                Some("server-away"),
            ),
            (
                ApiClientError::WrongServer { server: server(), why: "x".into() },
                Exit::Unreachable,
                Some("wrong-identity"),
            ),
            (ApiClientError::Stalled { server: server(), seconds: 60 }, Exit::Unreachable, Some("server-away")),
            (ApiClientError::ClockWrong { server: server(), why: "x".into() }, Exit::Unreachable, Some("clock-wrong")),
            (ApiClientError::TokenRejected, Exit::Refused, Some("not-allowed")),
            (ApiClientError::Refused(refused), Exit::Refused, Some("not-published")),
            (ApiClientError::MalformedResponse("x".into()), Exit::Failed, Some("protocol-broken")),
        ] {
            let failure = Err::<(), _>(error).with_context(|| "deploy hello".into()).unwrap_err();
            assert_eq!((failure.exit, failure.reason.map(Reason::code)), (exit, code));
            assert!(failure.next_step.len() > 10 && failure.to_string().starts_with("error: cannot deploy hello\n"));
        }
    }

    #[test]
    fn a_command_that_has_ended_does_not_promise_to_continue() {
        let refused = ApiError { reason: Reason::ServerDiskFull, detail: "the server's disk is full".into() };
        let next = ApiClientError::Refused(refused).next_step();
        assert!(next.contains("run the command again") && !next.contains("continues"), "{next}");
    }

    #[tokio::test]
    async fn an_address_where_nothing_listens_is_unreachable() {
        // A port that was free a moment ago, where nothing listens.
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let profile =
            Profile { servers: vec![server.into()], ca: banyan_proto::Digest([0; 32]), token: "t".into(), root: None };
        let error = crate::api_client::ApiClient::new(&profile).unwrap().info().await.unwrap_err();
        assert!(
            matches!(&error, ApiClientError::Unreachable { server: at, .. } if *at == server.to_string()),
            "{error:?}"
        );
        assert!(error.is_temporary());
    }
}
