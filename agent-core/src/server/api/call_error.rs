//! Why a call to the server failed, in words that name the cause: the certificate, the clocks, the network.

use crate::{identity::server_addresses::ServerAddresses, utc};
use banyan_proto::{Address, Reason, UnixSeconds, api::ApiError};
use banyan_wire::interfaces;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Why a call to the server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server gave no usable answer; the call is made again later.
    #[error("the call to the server at {server} failed: {detail}")]
    Away {
        /// The server's addresses.
        server: String,
        /// What went wrong.
        detail: String,
    },
    /// The server cannot be verified because of the time; the call is made again later.
    #[error("{0}")]
    Clock(String),
    /// The server refused the call.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl CallError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } => Reason::ServerAway,
            Self::Clock(_) => Reason::ClockWrong,
            Self::Refused(error) => error.reason,
        }
    }
    /// Returns whether the server refuses this machine as a whole, whatever it asks for.
    #[must_use]
    pub fn concerns_whole_machine(&self) -> bool {
        excludes_machine(self.reason())
    }
    /// Returns whether the call failed below HTTP or without a usable answer, so that another address may do better.
    pub(super) fn is_transport(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Clock(_))
    }
    /// Converts a transport error, in whose causes the TLS library's verdict is searched for.
    pub(super) fn from_transport(servers: &ServerAddresses, error: &(dyn std::error::Error + 'static)) -> Self {
        let server = servers.list();
        let now = UnixSeconds::now();
        match tls_error(error) {
            Some(TlsError::AlertReceived(AlertDescription::CertificateRevoked)) => Self::revoked(&server),
            Some(TlsError::AlertReceived(AlertDescription::CertificateExpired)) => Self::until_enrolled_again(
                &server,
                Reason::CertificateExpired,
                "by the server's clock, its certificate expired more than 400 days ago (compare the two clocks first)",
            ),
            Some(TlsError::AlertReceived(AlertDescription::UnknownCA)) => {
                let detail = "the server cannot verify machines now: its revocation list has expired, or it is another \
                              server";
                Self::Away { server, detail: detail.into() }
            }
            Some(TlsError::InvalidCertificate(invalid)) => Self::from_certificate(server, invalid, now),
            _ => {
                let mut detail = with_causes(error);
                let is_here = |server: &Address| server.as_socket().is_some_and(|socket| socket.ip().is_loopback());
                if interfaces::has_only_link_local() && !servers.current().iter().any(is_here) {
                    detail += "; this computer has only link-local addresses (fe80::): give it an IPv4 address or \
                               another IPv6 address, such as fd00:1234::1/64";
                }
                Self::Away { server, detail }
            }
        }
    }
    /// The server has revoked this machine. It says so in the TLS handshake, or in an answer on a connection that is
    /// older than the revocation.
    fn revoked(server: &str) -> Self {
        let why = "its certificate was revoked, the machine has been enrolled again since, or the server was restored \
                   from a backup that is older than the machine";
        Self::until_enrolled_again(server, Reason::Revoked, why)
    }
    fn until_enrolled_again(server: &str, reason: Reason, why: &str) -> Self {
        let detail = format!(
            "the server at {server} refuses this machine: {why}; if it should still belong to the server, stop the \
             agent, empty its --data folder and enrol it again with a join code (`banyan tokens create`)"
        );
        Self::Refused(ApiError { reason, detail })
    }
    /// Says what is wrong with the certificate that was presented at the server's address.
    fn from_certificate(server: String, error: &CertificateError, now: UnixSeconds) -> Self {
        let here = utc::format(now);
        match error {
            CertificateError::NotValidYetContext { not_before, .. } => Self::Clock(format!(
                "this machine's clock says {here}, but the certificate of the server at {server} is valid only from {}: \
                 this machine's clock is behind, or the server's is ahead",
                utc::format(UnixSeconds(not_before.as_secs()))
            )),
            CertificateError::ExpiredContext { not_after, .. } => Self::Clock(format!(
                "this machine's clock says {here}, but the certificate of the server at {server} expired on {}: this \
                 machine's clock is ahead, or the server's is behind",
                utc::format(UnixSeconds(not_after.as_secs()))
            )),
            CertificateError::NotValidYet | CertificateError::Expired => Self::Clock(format!(
                "the certificate of the server at {server} is not valid at this machine's time, {here}"
            )),
            CertificateError::UnknownIssuer => Self::Away {
                server,
                detail: "another server answers there: its CA is not the one that this machine was told of".into(),
            },
            other => {
                tracing::debug!(%server, ?other, "the server's certificate is not accepted");
                Self::Away { server, detail: "the certificate presented there is not the server's".into() }
            }
        }
    }
}

/// Returns whether a machine that the server refuses for this reason is excluded from everything.
pub(crate) fn excludes_machine(reason: Reason) -> bool {
    matches!(reason, Reason::CertificateExpired | Reason::Revoked | Reason::Retired | Reason::Cloned)
}

/// Returns the TLS error among the causes, if there is one. The `source` of an IO error skips the error that it wraps, so
/// that one is looked at instead; several can be nested.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsError> {
    let cause = |error: &&'a (dyn std::error::Error + 'static)| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), cause).find_map(|error| error.downcast_ref())
}

/// Converts an answer that is not a success.
pub(super) fn to_call_error(servers: &ServerAddresses, status: u16, body: &[u8]) -> CallError {
    match serde_json::from_slice::<ApiError>(body) {
        Ok(error) if error.reason == Reason::Revoked => CallError::revoked(&servers.list()),
        Ok(error) => CallError::Refused(error),
        Err(_) => {
            CallError::Away { server: servers.list(), detail: format!("the server responded with status {status}") }
        }
    }
}

/// Formats an error with all its causes. The HTTP client's own message only repeats the URL.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let request: Option<&reqwest::Error> = error.downcast_ref();
    if request.is_some_and(reqwest::Error::is_timeout) {
        return "no answer in time".into();
    }
    let inner = error.source().filter(|_| request.is_some());
    let all: Vec<String> =
        std::iter::successors(Some(inner.unwrap_or(error)), |error| error.source()).map(ToString::to_string).collect();
    let is_detail = |text: &&String| !LAYERS.iter().any(|layer| text.starts_with(layer));
    let mut details: Vec<&str> = all.iter().filter(is_detail).map(String::as_str).collect();
    if details.is_empty() {
        details.extend(all.last().map(String::as_str));
    }
    details.join(": ")
}

/// What the HTTP client puts around the error itself.
const LAYERS: [&str; 4] = ["client error (", "tcp connect error", "dns error", "error resolving DNS"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_at_this_time_is_blamed_on_the_clocks_however_deep_it_lies() {
        let servers = ServerAddresses::fixed(&["server.example.org:7700".parse().unwrap()]);
        let of = |error: CertificateError| {
            let tls = TlsError::InvalidCertificate(error);
            CallError::from_transport(&servers, &std::io::Error::other(std::io::Error::other(tls)))
        };
        let behind = of(CertificateError::NotValidYet);
        assert_eq!(behind.reason(), Reason::ClockWrong, "{behind}");
        let stranger = of(CertificateError::UnknownIssuer);
        assert_eq!(stranger.reason(), Reason::ServerAway);
        assert!(stranger.to_string().contains("another server answers there"), "{stranger}");
    }

    #[test]
    fn the_layers_of_the_client_are_left_out_of_an_error() {
        #[derive(Debug, thiserror::Error)]
        #[error("client error (Connect)")]
        struct Client(#[source] std::io::Error);
        let refused = std::io::Error::other("Connection refused");
        assert_eq!(with_causes(&Client(refused)), "Connection refused");
        assert_eq!(with_causes(&std::io::Error::other("client error (Connect)")), "client error (Connect)");
    }

    #[test]
    fn a_revoked_machine_reads_the_same_whether_the_handshake_or_an_answer_says_so() {
        let servers = ServerAddresses::fixed(&["server.example.org:7700".parse().unwrap()]);
        let alert = TlsError::AlertReceived(AlertDescription::CertificateRevoked);
        let by_handshake = CallError::from_transport(&servers, &std::io::Error::other(alert));
        let body = serde_json::to_vec(&ApiError { reason: Reason::Revoked, detail: "no".into() }).unwrap();
        let by_answer = to_call_error(&servers, 403, &body);
        assert_eq!(by_handshake.reason(), Reason::Revoked);
        assert_eq!(by_handshake.to_string(), by_answer.to_string());
        assert!(by_answer.to_string().contains("join code"), "{by_answer}");
    }
}
