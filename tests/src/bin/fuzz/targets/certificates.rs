//! Fuzz target: certificates, certificate requests and revocation lists. TLS verifies certificates before our code
//! looks for names in them. Revocation lists come from any machine and our code must verify them.

use super::{Check, ensure};
use crate::corpus::{self, Seed};
use banyan_wire::tls::{Crl, is_server, machine_of};
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, CertificateRevocationListDer},
    server::WebPkiClientVerifier,
};
use std::sync::Arc;

/// The valid CA, two of its machines, and its list, which contains the second machine.
struct Truth {
    ca: CertificateDer<'static>,
    machine: CertificateDer<'static>,
    revoked: CertificateDer<'static>,
    number: u64,
    /// The signed part of the list.
    signed: Vec<u8>,
}

/// Reads the CA and its list.
pub(super) fn prepare(seeds: &[Seed]) -> Result<Check, String> {
    let certificate = |name| corpus::named(seeds, name).map(|der| CertificateDer::from(der.to_vec()));
    let (ca, machine, revoked) = (certificate("ca.der")?, certificate("machine.der")?, certificate("revoked.der")?);
    let der = corpus::named(seeds, "list.der")?;
    let list = Crl::read(der.to_vec(), &ca).map_err(|error| format!("list.der in the corpus: {error}"))?;
    let signed = first_inside(der).ok_or("list.der is not DER")?.to_vec();
    let truth = Truth { ca, machine, revoked, number: list.number, signed };
    truth.list(list, der)?;
    Ok(Box::new(move |input| {
        let der = CertificateDer::from(input);
        let names = machine_of(&der).is_ok() | is_server(&der);
        let request =
            std::str::from_utf8(input).is_ok_and(|text| rcgen::CertificateSigningRequestParams::from_pem(text).is_ok());
        let list = Crl::read(input.to_vec(), &truth.ca);
        let listed = list.is_ok();
        if let Ok(list) = list {
            truth.list(list, input)?;
        }
        Ok(names | request | listed)
    }))
}

impl Truth {
    /// Verifies the invariants of an accepted list.
    fn list(&self, list: Crl, der: &[u8]) -> Result<(), String> {
        ensure(first_inside(der) == Some(&self.signed), "a list that the CA did not sign is accepted")?;
        ensure(list.number == self.number, "a list with a forged number is accepted")?;
        ensure(list.revokes(&self.revoked) && !list.revokes(&self.machine), "a list revokes the wrong machine")?;
        // An accepted list that TLS cannot use would block all of this machine's connections.
        self.usable(list.der).map_err(|why| format!("an accepted list cannot be used by TLS: {why}"))
    }
    fn usable(&self, list: CertificateRevocationListDer<'static>) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).map_err(|error| error.to_string())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        verifier.with_crls([list]).build().map(drop).map_err(|error| error.to_string())
    }
}

/// Returns the first element inside a DER sequence, with its header.
fn first_inside(der: &[u8]) -> Option<&[u8]> {
    let inside = &der[header(der)?.0..];
    let (header, content) = header(inside)?;
    inside.get(..header + content)
}

/// Returns the lengths of an element's header and content.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    match *der {
        [_, 0x82, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        [_, 0x81, length, ..] => Some((3, usize::from(length))),
        [_, length @ ..=0x7f, ..] => Some((2, usize::from(length))),
        _ => None,
    }
}
