//! Reads the answer to an enrolment that a test sent by its own means.

use banyan_proto::api::EnrolReply;
use banyan_wire::tls::Credentials;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::io;

/// Returns the machine's identity and what it shows to others, from the answer's status and body.
///
/// # Errors
/// When the server refused, or the answer is damaged.
pub fn read_answer((status, body): (u16, Vec<u8>), key: &rcgen::KeyPair) -> io::Result<(EnrolReply, Credentials)> {
    if status != 200 {
        return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()));
    }
    let reply: EnrolReply = serde_json::from_slice(&body)?;
    let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(io::Error::other);
    let credentials = Credentials {
        certificate: pem(&reply.certificate)?,
        key: PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?,
        ca: pem(&reply.ca)?,
    };
    Ok((reply, credentials))
}
