//! A revoked machine is refused at the handshake, whichever side dials; with an expired list every machine is.

use crate::{
    pki::Pki,
    victim::{SERVER, VICTIM, Victim, hello},
};
use banyan_proto::{MachineId, Reason};
use banyan_wire::connection::{self, TlsPair};
use tokio::net::TcpListener;

/// Returns whether a machine with this revocation list, valid until that year, accepts a connection from `peer`.
async fn is_accepted(pki: &Pki, revoked: &[MachineId], until: i32, peer: MachineId) -> bool {
    let acceptor = TlsPair::for_peers(&pki.machine(VICTIM), Some(&pki.crl(revoked, until))).unwrap().acceptor;
    let connector = TlsPair::for_peers(&pki.machine(peer), None).unwrap().connector;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        match connection::handshake(stream, acceptor).await {
            Ok(stream) => connection::accept(stream, hello()).await.is_ok(),
            Err(_) => false,
        }
    };
    let (accepted, dialled) =
        tokio::join!(accepting, connection::dial(VICTIM, vec![address.into()], connector, hello()));
    assert_eq!(accepted, dialled.is_ok());
    accepted
}

#[tokio::test]
async fn is_refused_when_it_dials() {
    let pki = Pki::new();
    assert!(is_accepted(&pki, &[], 2100, SERVER).await);
    assert!(is_accepted(&pki, &[MachineId([9; 16])], 2100, SERVER).await);
    assert!(!is_accepted(&pki, &[SERVER], 2100, SERVER).await);
    assert!(!is_accepted(&pki, &[], 2021, SERVER).await, "the list has expired");
}

#[tokio::test]
async fn is_refused_when_it_is_dialled() {
    let victim = Victim::start(1).await;
    for (revoked, until) in [(vec![VICTIM], 2100), (vec![], 2021)] {
        let crl = victim.pki.crl(&revoked, until);
        let tls = TlsPair::for_peers(&victim.pki.machine(SERVER), Some(&crl)).unwrap();
        let Err(refused) = connection::dial(VICTIM, vec![victim.address.into()], tls.connector, hello()).await else {
            panic!("connected to a revoked machine, or with an expired list");
        };
        assert_ne!(refused.reason, Reason::Unreachable, "{refused}");
    }
}
