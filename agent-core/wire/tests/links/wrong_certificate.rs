//! Another machine answers at the right address, or a machine whose certificate is from another CA.

use crate::{
    pki::Pki,
    victim::{SERVER, VICTIM, Victim, hello},
};
use banyan_proto::{MachineId, Reason};
use banyan_wire::connection::{self, TlsPair};

#[tokio::test]
async fn another_machine_at_the_right_address_is_refused() {
    let victim = Victim::start(1).await;
    let tls = TlsPair::for_peers(&victim.pki.machine(SERVER), None).unwrap();
    let expected = MachineId([5; 16]);
    let Err(refused) = connection::dial(expected, vec![victim.address.into()], tls.connector, hello()).await else {
        panic!("connected to {VICTIM} instead of {expected}");
    };
    assert_eq!(refused.reason, Reason::WrongIdentity, "{refused}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let victim = Victim::start(1).await;
    let stranger = Pki::new();
    let tls = TlsPair::for_peers(&stranger.machine(SERVER), None).unwrap();
    assert!(connection::dial(VICTIM, vec![victim.address.into()], tls.connector, hello()).await.is_err());
}
