//! Measures what a hostile machine costs: memory of server and agent, disk, the delay of another's request, and open
//! files for each machine. Prints a table for `docs/numbers.md`.
//!
//! `evil-agent [FRAMES]` sends this many hostile frames (default 300,000), or as many as the victims read in a minute.

use banyan_proto::{
    Digest, OrderId,
    frame::Frame,
    join::JoinCode,
    peer::{Confirm, Control},
};
use banyan_tests::{
    TestNetwork,
    evil_agent::{
        EvilAgent,
        attacks::{FrameAttack, Victim},
    },
    process_cost::Memory,
    test_package::Behaviour,
};
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

const MACHINES: usize = 4;
const FLOODERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn open_files(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

fn disk(network: &TestNetwork) -> u64 {
    let files = ["server/server.sqlite", "server/server.sqlite-wal", "m0/agent.redb", "server.log", "m0.log"];
    files.iter().filter_map(|name| fs::metadata(network.path(name)).ok()).map(|found| found.len()).sum()
}

/// Sends a message this many times over one connection, as fast as the victim reads.
async fn flood(evil: &EvilAgent, victim: Victim, message: &Frame, times: usize) {
    let Ok(mut connection) = evil.dial(victim.id, victim.address).await else { return };
    let hundred = message.encode().repeat(100);
    let sending = async {
        for _ in 0..times / 100 {
            if connection.send_bytes(&hundred).await.is_err() {
                return;
            }
        }
    };
    drop(timeout(PATIENCE, sending).await);
}

fn main() {
    let frames = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(300_000);
    let (network, runtime) = (TestNetwork::start(0), Runtime::new().expect("a runtime can be started"));
    let server_id = network.server_id();
    let files_alone = open_files(server_id);
    let mut network = network;
    for _ in 0..MACHINES {
        network.add_agent();
    }
    network.wait_until("the machines are online", |network| {
        network.machines().iter().filter(|machine| machine.online).count() == MACHINES
    });
    let agent_id = network.service(0).expect("m0 runs").id();
    let files_of_machines = open_files(server_id).saturating_sub(files_alone);
    network.publish("big", "1.0", 1_000_000, Behaviour::Works);
    let order: OrderId = network.deploy("big", "machine:m0", 1).parse().expect("an id");
    let code: JoinCode = network.join_code(FLOODERS).parse().expect("a join code");
    let (memory_before, disk_before) = ((Memory::of(server_id), Memory::of(agent_id)), disk(&network));
    let machines = network.machines();
    let m0 = machines.iter().find(|machine| machine.label == "m0").expect("m0 is enrolled");
    let agent = Victim { id: m0.id, address: m0.addresses[0].as_socket().expect("an IP address") };
    let (mut slowest, mut peak) = (Duration::ZERO, memory_before);
    runtime.block_on(async {
        let (mut flooding, mut machines) = (JoinSet::new(), Vec::new());
        for number in 0..FLOODERS {
            machines.push(EvilAgent::enrol(&code, &format!("evil-{number}")).await.expect("a machine can enrol"));
        }
        for evil in machines.into_iter().map(Arc::new) {
            let server = Victim { id: evil.server, address: evil.server_address };
            for victim in [server, agent] {
                let (confirming, bursting) = (Arc::clone(&evil), Arc::clone(&evil));
                let confirm = Frame::Control(Control::Confirm(Confirm { order, artifact: Digest([0; 32]) }));
                flooding.spawn(async move { flood(&confirming, victim, &confirm, frames / FLOODERS / 2).await });
                flooding.spawn(async move {
                    for _ in 0..30 {
                        drop(bursting.attack(FrameAttack::HugeMessages, victim, order, 1).await);
                    }
                });
            }
        }
        while !flooding.is_empty() {
            let asked = Instant::now();
            drop(network.machines());
            slowest = slowest.max(asked.elapsed());
            let now = (Memory::of(server_id), Memory::of(agent_id));
            peak = (peak.0.max(now.0), peak.1.max(now.1));
            while flooding.try_join_next().is_some() {}
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let kib = |bytes: u64| bytes >> 10;
    println!("| {frames} hostile frames by {FLOODERS} machines | before | at most |\n| --- | ---: | ---: |");
    println!("| memory of the server (KiB) | {} | {} |", kib(memory_before.0.all), kib(peak.0.all));
    println!("| memory of the agent (KiB) | {} | {} |", kib(memory_before.1.all), kib(peak.1.all));
    println!("| databases and logs of both (KiB) | {} | {} |", kib(disk_before), kib(disk(&network)));
    println!("| an administrator's request meanwhile (ms) | | {} |", slowest.as_millis());
    println!("| open files of the server for {MACHINES} machines | | {files_of_machines} |");
}
