//! Verifies that a machine with a valid certificate can cost others a little and keep nothing from them.

use banyan_proto::{
    OrderId,
    admin::{DeploymentState, Stage},
    join::JoinCode,
};
use banyan_tests::{
    TestNetwork,
    evil_agent::{
        EvilAgent,
        attacks::{ApiAttack, FrameAttack, Victim},
        relay::Relay,
    },
    process_cost::Memory,
    test_package::Behaviour,
};
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};

/// More memory than a server or agent ever takes here (bytes). Before messages were bounded, it was over 1 GB.
const MUCH_MEMORY: u64 = 200 << 20;
/// More than hostile machines may write to another's disk (bytes).
const MUCH_DISK: u64 = 8 << 20;

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime can be started")
}

fn size_of(network: &TestNetwork, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| fs::metadata(network.path(name)).ok()).map(|found| found.len()).sum()
}

fn enrol(network: &TestNetwork, runtime: &Runtime, count: usize) -> (JoinCode, Vec<Arc<EvilAgent>>) {
    let code: JoinCode = network.join_code(count).parse().expect("a join code");
    let evil = (0..count).map(|n| {
        let enrolled = runtime.block_on(EvilAgent::enrol(&code, &format!("evil-{n}")));
        Arc::new(enrolled.expect("a machine can enrol"))
    });
    let evil = evil.collect();
    (code, evil)
}

#[test]
fn hostile_frames_fill_neither_memory_nor_disk_and_delay_nobody() {
    let (network, runtime) = (TestNetwork::start(2), runtime());
    let (_, evil) = enrol(&network, &runtime, FrameAttack::ALL.len());
    network.publish("small", "1.0", 1000, Behaviour::Works);
    let order: OrderId = network.deploy("small", "machine:m0", 1).parse().expect("an id");
    let server = Victim { id: evil[0].server, address: evil[0].server_address };
    let machines = network.machines();
    let m0 = machines.iter().find(|machine| machine.label == "m0").expect("m0 is enrolled");
    let agent = Victim { id: m0.id, address: m0.addresses[0].as_socket().expect("an IP address") };
    runtime.block_on(async {
        let mut attacks = JoinSet::new();
        for (attack, evil) in FrameAttack::ALL.iter().zip(&evil) {
            for victim in [server, agent] {
                let evil = Arc::clone(evil);
                attacks.spawn(async move { drop(evil.attack(*attack, victim, order, 3).await) });
            }
        }
        // An administrator and another machine notice nothing.
        let asked = Instant::now();
        network.publish("other", "1.0", 500_000, Behaviour::Works);
        let deployment = network.deploy("other", "machine:m1", 1);
        network.wait_for_status(&deployment, "m1 has it", |status| status.state == DeploymentState::Finished);
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        while attacks.join_next().await.is_some() {}
    });
    for id in [network.server_id(), network.service(0).expect("m0 runs").id()] {
        let memory = Memory::of(id);
        assert!(memory.all < MUCH_MEMORY, "{memory}");
    }
    let disk = size_of(&network, &["server/server.sqlite", "server/server.sqlite-wal", "m0/agent.redb"]);
    assert!(disk < MUCH_DISK, "{disk} bytes");
    let logs = network.log_of(0) + &fs::read_to_string(network.path("server.log")).unwrap_or_default();
    assert!(logs.len() < 1 << 20, "{} bytes of log", logs.len());
    assert!(!logs.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "hidden characters reached a log");
    // The victim still works, and its reports arrive.
    network.publish("small", "2.0", 1000, Behaviour::Works);
    let deployment = network.deploy("small", "machine:m0", 1);
    network.wait_for_status(&deployment, "m0 has it", |status| status.state == DeploymentState::Finished);
}

#[test]
fn hostile_requests_fill_neither_memory_nor_disk_and_keep_no_administrator_out() {
    let (network, runtime) = (TestNetwork::start(2), runtime());
    let (code, evil) = enrol(&network, &runtime, ApiAttack::ALL.len());
    network.publish("small", "1.0", 1000, Behaviour::Works);
    let order: OrderId = network.deploy("small", "machine:m0", 1).parse().expect("an id");
    let other = network.machines().iter().find(|machine| machine.label == "m1").expect("m1 is enrolled").id;
    let statuses = runtime.block_on(async {
        let mut attacks = JoinSet::new();
        for (attack, evil) in ApiAttack::ALL.iter().zip(evil) {
            let times = match attack {
                ApiAttack::GiantBody => 2,
                // Each wrong guess waits longer for its answer.
                ApiAttack::WrongTokens | ApiAttack::WrongCodes => 4,
                _ => 12,
            };
            let code = code.clone();
            attacks.spawn(async move { (*attack, evil.attack_api(*attack, &code, other, order, times).await) });
        }
        for _ in 0..10 {
            let asked = Instant::now();
            drop(network.machines());
            assert!(asked.elapsed() < Duration::from_secs(3), "an administrator waited for {:?}", asked.elapsed());
        }
        attacks.join_all().await
    });
    for (attack, statuses) in &statuses {
        let refused = |status: &u16| [0, 400, 401, 403, 404, 408, 413, 422, 429].contains(status);
        let accepted = matches!(attack, ApiAttack::CheckInFlood | ApiAttack::Accusations | ApiAttack::HugeReports);
        assert!(accepted || statuses.iter().all(refused), "{attack:?}: {statuses:?}");
    }
    assert!(Memory::of(network.server_id()).all < MUCH_MEMORY);
    let disk = size_of(&network, &["server/server.sqlite", "server/server.sqlite-wal"]);
    assert!(disk < 2 * MUCH_DISK, "{disk} bytes");
    let log = fs::read_to_string(network.path("server.log")).unwrap_or_default();
    assert!(log.len() < 1 << 20, "{} bytes of log", log.len());
    assert!(log.contains("administrator's token"), "wrong tokens are logged");
    network.publish("other", "1.0", 1000, Behaviour::Works);
    let deployment = network.deploy("other", "machine:m1", 1);
    network.wait_for_status(&deployment, "m1 has it", |status| status.state == DeploymentState::Finished);
}

/// Deploys to hostile machines and two honest ones, in so many stripes; waits until the honest ones have it.
fn honest_machines_finish(relays: &[Relay], stripes: u8) -> TestNetwork {
    const EVIL_IN_TREE: usize = 3;
    let (network, runtime) = (TestNetwork::start(2), runtime());
    let (_, evil) = enrol(&network, &runtime, EVIL_IN_TREE * relays.len());
    let _playing = runtime.enter();
    let mut deployments = Vec::new();
    for (relay, evil) in relays.iter().zip(evil.chunks(EVIL_IN_TREE)) {
        let name = format!("{relay:?}").to_lowercase();
        network.publish(&name, "1.0", 60_000, Behaviour::Works);
        let content = fs::read(network.path(&format!("packages/{name}-1.0.tar.gz"))).expect("the package");
        for evil in evil {
            tokio::spawn(Arc::clone(evil).play(*relay, content.clone()));
        }
        network.wait_until("the hostile machines are online", |network| {
            let machines = network.machines();
            evil.iter().all(|evil| machines.iter().any(|machine| machine.id == evil.id && machine.online))
        });
        let ids: Vec<String> = evil.iter().map(|evil| evil.id.to_string()).chain(["m0".into(), "m1".into()]).collect();
        deployments.push(network.deploy(&name, &format!("machine:{}", ids.join(",")), stripes));
    }
    for deployment in &deployments {
        network.wait_for_status(deployment, "the honest machines have it", |status| {
            let honest = status.addressees.iter().filter(|machine| machine.label.starts_with('m'));
            honest.clone().count() == 2 && honest.clone().all(|machine| machine.stage == Stage::Installed)
        });
    }
    runtime.shutdown_background();
    network
}

#[test]
fn a_wrong_code_ends_no_order() {
    for stripes in [1, 2] {
        honest_machines_finish(&[Relay::WrongCode], stripes);
    }
}

#[test]
fn hostile_machines_in_a_tree_keep_nothing_from_those_below() {
    let others: Vec<Relay> = Relay::ALL.iter().copied().filter(|relay| *relay != Relay::WrongCode).collect();
    let network = honest_machines_finish(&others, 1);
    for id in [network.server_id(), network.service(0).expect("m0 runs").id()] {
        assert!(Memory::of(id).all < MUCH_MEMORY);
    }
}
