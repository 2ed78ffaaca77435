//! Machines refuse an expired certificate when they dial and when they are dialled. Only the server accepts one, to
//! renew it.

use crate::{
    pki::Pki,
    victim::{SERVER, VICTIM, Victim, hello},
};
use banyan_proto::Reason;
use banyan_wire::connection::{self, TlsPair};
use tokio::net::TcpListener;

#[tokio::test]
async fn is_refused_when_it_dials() {
    let victim = Victim::start(1).await;
    for (until, accepted) in [(2100, true), (2024, false)] {
        let tls = TlsPair::for_peers(&victim.pki.machine_until(SERVER, until), None).unwrap();
        let dialled = connection::dial(VICTIM, vec![victim.address.into()], tls.connector, hello()).await;
        assert_eq!(dialled.is_ok(), accepted, "a certificate that expires in {until}");
        if let Err(refused) = dialled {
            assert_eq!(refused.reason, Reason::CertificateExpired, "{refused}");
        }
    }
}

#[tokio::test]
async fn is_refused_when_it_is_dialled() {
    let pki = Pki::new();
    let acceptor = TlsPair::for_peers(&pki.machine_until(VICTIM, 2024), None).unwrap().acceptor;
    let connector = TlsPair::for_peers(&pki.machine(SERVER), None).unwrap().connector;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async { connection::handshake(listener.accept().await.unwrap().0, acceptor).await.is_ok() };
    let (accepted, dialled) =
        tokio::join!(accepting, connection::dial(VICTIM, vec![address.into()], connector, hello()));
    assert!(!accepted);
    assert_eq!(dialled.err().map(|refused| refused.reason), Some(Reason::CertificateExpired));
}
