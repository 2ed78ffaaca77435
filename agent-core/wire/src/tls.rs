//! Machine identity: TLS 1.3 with certificates on both sides, issued by the server's own CA (rules I1–I6).
//!
//! A certificate contains the machine's identifier as a DNS name under a domain that does not exist. So the TLS library
//! itself refuses every machine but the expected one. Session resumption is off everywhere, because a resumed session
//! would skip the check against the revocation list.

use banyan_proto::{Digest, MachineId, UnixSeconds};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DOMAIN: &str = ".banyan.internal";
/// The DNS name in the server's certificate, and in no other.
pub const SERVER_NAME: &str = "server.banyan.internal";

/// The reason why an identity, a key or a revocation list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate that the CA did not issue for a machine.
    #[error("the certificate does not name a machine")]
    NoMachine,
    /// DER or PEM that cannot be parsed.
    #[error("cannot parse {0}: it is damaged")]
    Damaged(&'static str),
    /// The revocation list is not the CA's, or is older than the current one.
    #[error("the revocation list is not signed by this server's CA, or is older than the current one")]
    NotOurs,
    /// rustls refuses the combination of certificate, key and roots.
    #[error("the TLS library rejected the identity: {0}")]
    Tls(#[from] TlsError),
    /// rustls refuses the roots or the revocation list.
    #[error("the TLS library rejected the CA or its revocation list: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Returns the DNS name in a machine's certificate.
#[must_use]
pub fn machine_name(id: MachineId) -> String {
    format!("m-{id}{DOMAIN}")
}

/// Returns the machine that a certificate (already verified by TLS) was issued for.
///
/// # Errors
/// When the certificate names no machine.
pub fn machine_of(certificate: &CertificateDer<'_>) -> Result<MachineId, IdentityError> {
    names_of(certificate)?
        .iter()
        .find_map(|name| name.strip_prefix("m-")?.strip_suffix(DOMAIN)?.parse().ok())
        .ok_or(IdentityError::NoMachine)
}

/// Returns whether a certificate (already verified by TLS) is the server's.
#[must_use]
pub fn is_server(certificate: &CertificateDer<'_>) -> bool {
    names_of(certificate).is_ok_and(|names| names.iter().any(|name| name == SERVER_NAME))
}

/// When a certificate is valid, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: UnixSeconds,
    /// The last second.
    pub until: UnixSeconds,
}

impl Validity {
    /// Returns whether the certificate is valid at this time.
    #[must_use]
    pub fn contains(&self, now: UnixSeconds) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// Returns when a certificate is valid; `None` if it cannot be parsed.
#[must_use]
pub fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = |timestamp: i64| u64::try_from(timestamp).map(UnixSeconds);
    let from = seconds(parsed.validity().not_before.timestamp()).unwrap_or_default();
    Some(Validity { from, until: seconds(parsed.validity().not_after.timestamp()).ok()? })
}

/// Returns when a certificate expires; `None` if it cannot be parsed.
#[must_use]
pub fn valid_until(certificate: &CertificateDer<'_>) -> Option<UnixSeconds> {
    validity(certificate).map(|validity| validity.until)
}

fn names_of(certificate: &CertificateDer<'_>) -> Result<Vec<String>, IdentityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Damaged("the certificate"))?;
    let names = parsed.subject_alternative_name().map_err(|_| IdentityError::Damaged("the certificate's names"))?;
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    Ok(names.map(|names| names.value.general_names.iter().filter_map(dns).collect()).unwrap_or_default())
}

/// A revocation list and its number.
#[derive(Debug, Clone)]
pub struct Crl {
    /// The list in DER form, signed by the CA.
    pub der: CertificateRevocationListDer<'static>,
    /// The list's number, which rises with every list.
    pub number: u64,
    /// When the list expires.
    pub until: UnixSeconds,
    /// The revoked serial numbers, encoded as in the certificates.
    serials: Vec<Vec<u8>>,
}

impl Crl {
    /// Parses a list, verifies the CA's signature, and checks that the TLS library accepts it.
    ///
    /// # Errors
    /// When it is damaged or not signed by this CA.
    pub fn read(der: Vec<u8>, ca: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let damaged = || IdentityError::Damaged("the revocation list");
        let (number, until, serials) = {
            let (_, list) =
                x509_parser::revocation_list::CertificateRevocationList::from_der(&der).map_err(|_| damaged())?;
            let (_, ca) = X509Certificate::from_der(ca).map_err(|_| IdentityError::Damaged("the CA certificate"))?;
            if list.issuer() != ca.subject() || !crl_signed_by(&list, &ca) {
                return Err(IdentityError::NotOurs);
            }
            let number = list.crl_number().map(|number| number.iter_u64_digits().next().unwrap_or(0));
            let serials = list.iter_revoked_certificates().map(|revoked| revoked.raw_serial().to_vec()).collect();
            let until = list.next_update().and_then(|until| u64::try_from(until.timestamp()).ok());
            (number.ok_or_else(damaged)?, until.map(UnixSeconds).ok_or_else(damaged)?, serials)
        };
        let der = CertificateRevocationListDer::from(der);
        // The bytes around and behind the signed part can be altered in transit. If a list that the TLS library refuses
        // replaced the valid one, no connection could be established.
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls([der.clone()])
            .build()
            .map_err(|_| damaged())?;
        Ok(Self { der, number, until, serials })
    }
    /// Returns whether this certificate is on the list.
    #[must_use]
    pub fn revokes(&self, certificate: &CertificateDer<'_>) -> bool {
        X509Certificate::from_der(certificate)
            .is_ok_and(|(_, parsed)| self.serials.iter().any(|serial| serial == parsed.raw_serial()))
    }
}

/// Verifies the list's signature. The server's CA signs with ECDSA P-256 and SHA-256; no other algorithm is accepted.
fn crl_signed_by(list: &x509_parser::revocation_list::CertificateRevocationList<'_>, ca: &X509Certificate<'_>) -> bool {
    use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &ca.public_key().subject_public_key.data)
        .verify(list.tbs_cert_list.as_ref(), &list.signature_value.data)
        .is_ok()
}

/// The identity of one side of a connection, and the CA it trusts.
pub struct Credentials {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate's private key.
    pub key: PrivateKeyDer<'static>,
    /// The only CA that is trusted.
    pub ca: CertificateDer<'static>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Credentials {
    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone())?;
        Ok(Arc::new(roots))
    }
    /// Returns the certificate and the CA that issued it: peers that only pin the CA need both.
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.ca.clone()]
    }
    /// Returns the configuration of the accepting side. With a list, revoked certificates and an expired list are
    /// refused (rule I4). With `anonymous`, clients without a certificate are accepted (the server, for enrolment and
    /// administrators).
    ///
    /// # Errors
    /// When certificate, key, CA or list do not match.
    pub fn acceptor(
        &self,
        crl: Option<&Crl>,
        anonymous: bool,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        self.acceptor_with(self.verifier(crl, anonymous)?, alpn)
    }
    /// Returns the client verifier that [`Credentials::acceptor`] uses.
    ///
    /// # Errors
    /// When CA and list do not match.
    pub fn verifier(&self, crl: Option<&Crl>, anonymous: bool) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
        let mut verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider());
        if let Some(crl) = crl {
            verifier = verifier.with_crls([crl.der.clone()]).enforce_revocation_expiration();
        }
        if anonymous {
            verifier = verifier.allow_unauthenticated();
        }
        Ok(verifier.build()?)
    }
    /// Returns a client verifier that refuses revoked certificates but accepts an expired list, for callers that check
    /// the list's expiry themselves and verify a certificate at another time than now.
    ///
    /// # Errors
    /// When CA and list do not match.
    pub fn verifier_at_any_time(
        &self,
        crl: &Crl,
        anonymous: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots()?, provider()).with_crls([crl.der.clone()]);
        if anonymous {
            verifier = verifier.allow_unauthenticated();
        }
        Ok(verifier.build()?)
    }
    /// Returns the configuration of the accepting side with the caller's own verifier.
    ///
    /// # Errors
    /// When certificate and key do not match.
    pub fn acceptor_with(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain(), self.key.clone_key())?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
    /// Returns the configuration of the dialling side. With a list, revoked certificates and an expired list are
    /// refused.
    ///
    /// # Errors
    /// When certificate, key, CA or list do not match.
    pub fn connector(&self, crl: Option<&Crl>, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, IdentityError> {
        let mut verifier = WebPkiServerVerifier::builder_with_provider(self.roots()?, provider());
        if let Some(crl) = crl {
            verifier = verifier.with_crls([crl.der.clone()]).enforce_revocation_expiration();
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_webpki_verifier(verifier.build()?)
            .with_client_auth_cert(self.chain(), self.key.clone_key())?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Returns the configuration of a client that has no certificate yet and knows the CA only by its hash: enrolment, and
/// administrators.
///
/// # Errors
/// Never with the provider of this crate, although the TLS library's signature allows it.
pub fn pinned_client(ca: Digest, alpn: &[&[u8]]) -> Result<ClientConfig, IdentityError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedCa { ca, provider: provider() }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// Trusts the CA that the peer presents if it has the pinned hash, and then verifies as usual (rule I2).
#[derive(Debug)]
struct PinnedCa {
    ca: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let unknown = || TlsError::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let ca = intermediates.iter().find(|der| Digest::of(der) == self.ca).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| TlsError::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("only TLS 1.3 is supported".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
