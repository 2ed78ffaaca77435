//! Measures what a transfer costs, beside nginx and curl with TLS 1.3 in the same run, and prints a table for
//! `docs/numbers.md`. Linux only: it reads /proc.
//!
//! `transfer-cost [MIB] [ROUNDS]` (default 1024 MiB, one round) sends an archive of random bytes from a server to three
//! agents, which forward it to each other, verify it and install it. nginx sends the same file to as many curls, which
//! only store it. All run on loopback. Each figure is the median of the rounds.

use banyan_proto::admin::AddresseeStatus;
use banyan_tests::{
    TestNetwork,
    nginx::Nginx,
    process_cost::{children_ticks, mib, peak_memory, ticks},
    test_package::Behaviour,
};
use std::{
    fs,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

/// The number of received copies.
const MACHINES: usize = 3;
/// A transfer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often the server is asked for the deployment's status. Each answer costs it a few milliseconds.
const POLL: Duration = Duration::from_millis(500);

/// What one round cost.
struct Round {
    /// The size of the archive.
    gib: f64,
    baseline: Baseline,
    transfer: Transfer,
}

/// What nginx and curl cost (seconds).
struct Baseline {
    nginx: f64,
    curl: f64,
    took: f64,
}

/// What Banyan cost (seconds).
struct Transfer {
    server: f64,
    agents: f64,
    /// From the deployment until every machine had verified the archive.
    took: f64,
    /// The largest agent until then (MiB).
    memory: f64,
    /// From the verified to the installed archive, on the slowest machine.
    install: f64,
    install_helpers: f64,
}

impl Round {
    fn measure(network: &TestNetwork, number: usize, size: usize) -> Self {
        let name = format!("file-{number}");
        network.publish(&name, "1", size << 20, Behaviour::Works);
        let archive = Path::new(&network.path("packages")).join(format!("{name}-1.tar.gz"));
        let gib = mib(fs::metadata(&archive).expect("the archive was written").len()) / 1024.0;
        let round =
            Self { gib, baseline: Baseline::measure(network, &archive), transfer: Transfer::measure(network, &name) };
        fs::remove_file(&archive).expect("the archive can be removed");
        round
    }
    /// Returns processor seconds for each received GiB.
    fn per_gib(&self, seconds: f64) -> f64 {
        seconds / (self.gib * MACHINES as f64)
    }
}

impl Baseline {
    fn measure(network: &TestNetwork, archive: &Path) -> Self {
        let folder = Path::new(&network.path("nginx")).to_owned();
        fs::create_dir_all(&folder).expect("the folder is accessible");
        let nginx = Nginx::start(&folder, archive.parent().expect("the archive is in a folder"));
        let file = archive.file_name().expect("the archive has a name").to_string_lossy();
        let (before, curls_before, begun) = (ticks(nginx.id()), children_ticks(std::process::id()), Instant::now());
        let copies: Vec<_> = (0..MACHINES).map(|number| folder.join(format!("copy-{number}"))).collect();
        let curls: Vec<Child> =
            copies.iter().map(|copy| nginx.curl(&file, copy).spawn().expect("curl is installed")).collect();
        for mut curl in curls {
            assert!(curl.wait().expect("curl ends").success(), "curl failed");
        }
        let took = begun.elapsed().as_secs_f64();
        let curl = seconds(children_ticks(std::process::id()) - curls_before);
        let nginx = seconds(ticks(nginx.id()) - before);
        copies.iter().for_each(|copy| fs::remove_file(copy).expect("the copy can be removed"));
        Self { nginx, curl, took }
    }
}

impl Transfer {
    fn measure(network: &TestNetwork, name: &str) -> Self {
        let ids: Vec<u32> = (0..MACHINES).map(|which| network.service(which).expect("the agent runs").id()).collect();
        let sum = |of: fn(u32) -> u64| ids.iter().map(|id| of(*id)).sum::<u64>();
        let before = (ticks(network.server_id()), sum(ticks), sum(children_ticks));
        let deployment = network.deploy(&format!("{name}@1"), "all", 2);
        let wait = |what: &str, is_done: fn(&AddresseeStatus) -> bool| {
            let begun = Instant::now();
            loop {
                std::thread::sleep(POLL);
                let status = network.status(&deployment);
                if status.addressees.iter().all(is_done) {
                    return status.addressees;
                }
                assert!(begun.elapsed() < PATIENCE, "{name} was not {what} in time:\n{}", network.logs());
            }
        };
        let verified = wait("verified", |addressee| addressee.verified_after.is_some());
        let server = seconds(ticks(network.server_id()) - before.0);
        let agents = seconds(sum(ticks) - before.1);
        let memory = mib(ids.iter().map(|id| peak_memory(*id)).max().unwrap_or(0));
        let took = verified.iter().filter_map(|addressee| addressee.verified_after).max().unwrap_or(0);
        let installed = wait("installed", |addressee| addressee.installed_after.is_some());
        let install =
            installed.iter().filter_map(|addressee| addressee.installed_after?.checked_sub(addressee.verified_after?));
        Self {
            server,
            agents,
            took: took as f64 / 1000.0,
            memory,
            install: install.max().unwrap_or(0) as f64 / 1000.0,
            install_helpers: seconds(sum(children_ticks) - before.2),
        }
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("usage: transfer-cost [MIB] [ROUNDS]"));
    let (size, rounds) = (numbers.next().unwrap_or(1024), numbers.next().unwrap_or(1));
    let network = TestNetwork::start(MACHINES);
    let measured: Vec<Round> = (1..=rounds)
        .map(|number| {
            let round = Round::measure(&network, number, size);
            let Round { baseline, transfer, .. } = &round;
            eprintln!(
                "round {number}: {:.2} s/GiB for nginx and curl, {:.2} s/GiB for Banyan, {:.1} s to install",
                round.per_gib(baseline.nginx + baseline.curl),
                round.per_gib(transfer.server + transfer.agents),
                transfer.install
            );
            round
        })
        .collect();
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let compare = |what: &str, baseline: &dyn Fn(&Round) -> f64, transfer: &dyn Fn(&Round) -> f64| {
        let ratio = median(&|round| transfer(round) / baseline(round));
        println!("| {what} | {:.2} | {:.2} | {ratio:.2} |", median(baseline), median(transfer));
    };
    println!("| {size} MiB to {MACHINES} machines, {rounds} rounds | nginx + curl | Banyan | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    compare(
        "processor seconds for each received GiB",
        &|round| round.per_gib(round.baseline.nginx + round.baseline.curl),
        &|round| round.per_gib(round.transfer.server + round.transfer.agents),
    );
    compare("… of the server", &|round| round.per_gib(round.baseline.nginx), &|round| {
        round.per_gib(round.transfer.server)
    });
    compare("… of the machines", &|round| round.per_gib(round.baseline.curl), &|round| {
        round.per_gib(round.transfer.agents)
    });
    compare("seconds until all copies are there", &|round| round.baseline.took, &|round| round.transfer.took);
    let show = |what: &str, of: &dyn Fn(&Round) -> f64| println!("| {what} | | {:.2} | |", median(of));
    show("peak resident memory of an agent (MiB)", &|round| round.transfer.memory);
    show("seconds from verified to installed", &|round| round.transfer.install);
    show("processor seconds to install each GiB", &|round| round.per_gib(round.transfer.install_helpers));
}

/// Converts the kernel's ticks of 10 ms.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 100.0
}
