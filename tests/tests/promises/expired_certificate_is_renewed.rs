//! Verifies that a machine renews an expired certificate before anything else, whether it expired while the machine was
//! off or running. A machine that is too late, or was revoked, shows the reason locally and keeps trying.

use agent_core::database::Database;
use banyan_proto::{Reason, UnixSeconds, local::Status};
use banyan_tests::TestNetwork;
use banyan_wire::tls::machine_name;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{fs, path::Path, time::Duration};

const DAY: u64 = 24 * 3600;

/// Gives a stopped machine a certificate of its CA that ends at this time.
fn set_certificate_until(network: &TestNetwork, which: usize, until: UnixSeconds) {
    let data = &network.agents[which].data;
    let database = Database::open(&data.join("agent.redb")).expect("the agent is off");
    let enrolment = database.load_enrolment().expect("the database is readable").expect("the machine has enrolled");
    let read = |path: &Path| KeyPair::from_pem(&fs::read_to_string(path).expect("a key")).expect("a key");
    let ca = CertificateDer::from_pem_slice(enrolment.ca.as_bytes()).expect("a certificate");
    let issuer = Issuer::from_ca_cert_der(&ca, read(network.path("server/keys/ca.key").as_ref())).expect("a CA");
    let mut params = CertificateParams::new(vec![machine_name(enrolment.machine)]).expect("a DNS name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let at = |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    (params.not_before, params.not_after) = (at(until.0 - 90 * DAY), at(until.0));
    let made = params.signed_by(&read(&data.join("machine.key")), &issuer).expect("the CA signs");
    database.store_certificate(&made.pem()).expect("the database is readable");
}

fn is_online(network: &TestNetwork) -> bool {
    network.machines().iter().all(|machine| machine.online)
}

fn ago(seconds: u64) -> UnixSeconds {
    UnixSeconds(UnixSeconds::now().0 - seconds)
}

/// Waits until the agent's own status meets a condition.
fn wait_for_status(network: &TestNetwork, what: &str, as_wanted: impl Fn(&Status) -> bool) -> Status {
    let ask = |network: &TestNetwork| network.try_ask(0).filter(|status| as_wanted(status));
    network.wait_until(what, |network| ask(network).is_some());
    ask(network).expect("the status is unchanged")
}

#[test]
fn a_certificate_that_expired_while_the_machine_was_off_is_renewed() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    network.wait_until("the server has noticed that the machine is off", |network| !is_online(network));
    set_certificate_until(&network, 0, ago(300 * DAY));
    network.start_agent(0);
    network.wait_until("the agent is back", is_online);
    let status = wait_for_status(&network, "the server has answered the agent", |status| status.heard.is_some());
    assert!(status.certificate_until.is_some_and(|until| until > UnixSeconds::now()), "{status:?}");
    assert_eq!(status.trouble, None);
}

#[test]
fn a_certificate_that_expires_while_the_machine_runs_is_renewed() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    network.kill_server();
    let until = UnixSeconds::now().plus(3);
    set_certificate_until(&network, 0, until);
    network.start_agent(0);
    network.wait_until("the agent is running with an expired certificate", |network| {
        network.try_ask(0).is_some() && until < UnixSeconds::now()
    });
    network.start_server();
    network.wait_until("the agent is back", is_online);
    let status = wait_for_status(&network, "the server has answered the agent", |status| status.heard.is_some());
    assert!(status.certificate_until.is_some_and(|now| now > until), "{status:?}");
}

#[test]
fn a_machine_that_is_too_late_or_revoked_shows_what_to_do() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    set_certificate_until(&network, 0, ago(401 * DAY));
    network.start_agent(0);
    let refused = |reason| move |status: &Status| status.trouble.as_ref().is_some_and(|it| it.reason == reason);
    let status = wait_for_status(&network, "the agent reports why", refused(Reason::CertificateExpired));
    assert!(status.trouble.expect("the status names a problem").detail.contains("join code"));
    // Nothing is deleted because of the failure: its cause could be a wrong clock.
    network.kill_agent(0);
    set_certificate_until(&network, 0, ago(399 * DAY));
    network.start_agent(0);
    network.wait_until("the agent is back", is_online);

    network.banyan(&["machines", "revoke", "m0"]);
    let status = wait_for_status(&network, "the agent reports why", refused(Reason::Revoked));
    assert!(status.trouble.expect("the status names a problem").detail.contains("join code"));
}
