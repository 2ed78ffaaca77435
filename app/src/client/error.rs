//! Why a request to the server did not succeed, and what an administrator can do about it.

use crate::{exit::Exit, failure::Explain};
use banyan_proto::{Reason, admin::Profile, api::ApiError};
use std::net::SocketAddr;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No TLS configuration or HTTP client could be made on this machine.
    #[error("no secure connection can be prepared here: {0}")]
    Setup(String),
    /// Nobody answers at the address.
    #[error("nobody answers at {server}: {why}")]
    Away {
        /// Where.
        server: SocketAddr,
        /// The deepest cause.
        why: String,
    },
    /// Somebody answers who is not the server that the profile names.
    #[error("the server at {server} is not the one of this profile: {why}")]
    Stranger {
        /// Where.
        server: SocketAddr,
        /// What the TLS library says.
        why: String,
    },
    /// Connected, and then nothing more came (or went) for this long.
    #[error("the server at {server} stopped answering for {seconds} seconds")]
    Stalled {
        /// Where.
        server: SocketAddr,
        /// How long was waited.
        seconds: u64,
    },
    /// The token is not accepted.
    #[error("the server does not accept this profile's token")]
    Token,
    /// No such thing, without words (the answer to a question about existence has none).
    #[error("the server has no such thing")]
    NotThere,
    /// The server says why not.
    #[error("{}", .0.detail)]
    Refused(ApiError),
    /// A server of another version, or a defect.
    #[error("the server's answer cannot be understood: {0}")]
    Unreadable(String),
    /// The file that was to be uploaded.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
}

impl Explain for ClientError {
    fn next(&self) -> String {
        match self {
            Self::Setup(_) => "report this with the output of `banyan --version`".into(),
            Self::Away { .. } => {
                "check that the server runs and that its address in the profile is right; `banyan doctor` checks both"
                    .into()
            }
            Self::Stranger { .. } => {
                "if the server was set up anew, copy its admin.toml again; otherwise find out who answers there".into()
            }
            Self::Stalled { .. } => "look at the server's log and the network, then try again".into(),
            Self::Token => "copy admin.toml from the server's data folder again".into(),
            Self::NotThere => "compare the versions: `banyan --version` here and on the server".into(),
            Self::Refused(error) if matches!(error.reason, Reason::Unknown | Reason::BadRequest) => {
                "follow the server's words, then try again".into()
            }
            Self::Refused(error) => error.reason.next().into(),
            Self::Unreadable(_) => "compare the versions: `banyan --version` here and on the server".into(),
            Self::File(error) => error.next(),
        }
    }
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Away { .. } | Self::Stalled { .. } => Some(Reason::ServerAway),
            Self::Stranger { .. } => Some(Reason::WrongIdentity),
            Self::Refused(error) if error.reason != Reason::Unknown => Some(error.reason),
            Self::Unreadable(_) => Some(Reason::ProtocolBroken),
            Self::File(error) => error.reason(),
            Self::Token => Some(Reason::NotAllowed),
            Self::Setup(_) | Self::NotThere | Self::Refused(_) => None,
        }
    }
    fn exit(&self) -> Exit {
        match self {
            Self::Away { .. } | Self::Stranger { .. } | Self::Stalled { .. } => Exit::Unreachable,
            Self::Token | Self::Refused(_) => Exit::Refused,
            Self::Setup(_) | Self::NotThere | Self::Unreadable(_) | Self::File(_) => Exit::Failed,
        }
    }
}

impl ClientError {
    /// Whether trying again later can help: the server is away for the moment.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Stalled { .. })
    }
    /// What went wrong below HTTP. The TLS library's verdict is somewhere in the chain of causes.
    pub(super) fn of_transport(error: &reqwest::Error, profile: &Profile) -> Self {
        let server = profile.server;
        let mut deepest = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(tls @ rustls::Error::InvalidCertificate(_)) = inner.downcast_ref() {
                return Self::Stranger { server, why: tls.to_string() };
            }
            deepest = inner.to_string();
            cause = below(inner);
        }
        if error.is_builder() {
            Self::Setup(deepest)
        } else if error.is_decode() || error.is_body() && !error.is_timeout() {
            Self::Unreadable(deepest)
        } else {
            Self::Away { server, why: deepest }
        }
    }
}

/// What caused an error. An IO error made of another error passes that one over in `source`.
fn below<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Tried as _;

    #[test]
    fn the_tls_librarys_verdict_is_found_however_deep_it_lies() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let outer = std::io::Error::other(std::io::Error::other(tls));
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&outer);
        while let Some(error) = cause.filter(|error| !error.is::<rustls::Error>()) {
            cause = below(error);
        }
        assert!(cause.is_some());
    }

    #[test]
    fn every_refusal_ends_with_its_own_code_and_says_what_to_do() {
        let server = "127.0.0.1:1".parse().unwrap();
        let refused = ApiError { reason: Reason::NotPublished, detail: "no release of \"hello\" here".into() };
        for (error, exit, code) in [
            (ClientError::Away { server, why: "refused".into() }, Exit::Unreachable, Some("server-away")),
            (ClientError::Stranger { server, why: "x".into() }, Exit::Unreachable, Some("wrong-identity")),
            (ClientError::Stalled { server, seconds: 60 }, Exit::Unreachable, Some("server-away")),
            (ClientError::Token, Exit::Refused, Some("not-allowed")),
            (ClientError::Refused(refused), Exit::Refused, Some("not-published")),
            (ClientError::Unreadable("x".into()), Exit::Failed, Some("protocol-broken")),
        ] {
            let failure = Err::<(), _>(error).tried(|| "deploy hello".into()).unwrap_err();
            assert_eq!((failure.exit, failure.reason.map(Reason::code)), (exit, code));
            assert!(failure.next.len() > 10 && failure.to_string().starts_with("error: cannot deploy hello\n"));
        }
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_told_as_such() {
        // A port that was free a moment ago and that nobody listens on.
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let profile = Profile { server, ca: banyan_proto::Digest([0; 32]), token: "t".into(), root: None };
        let error = crate::client::Client::new(&profile).unwrap().info().await.unwrap_err();
        assert!(matches!(&error, ClientError::Away { server: at, .. } if *at == server), "{error:?}");
        assert!(error.passes());
    }
}
