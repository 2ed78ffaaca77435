//! Measures the cost of an agent and prints it as a Markdown table: memory when idle and in the middle of a file,
//! wake-ups when idle, and the size of its programs. Linux only: it reads /proc.
//!
//! Run it with `cargo build --release --workspace --bins && target/release/footprint`.
//!
//! The measured machine has two others beside it, so that it receives and forwards at the same time. All run on
//! loopback, which is faster than any real link.

use banyan_tests::{
    TestNetwork,
    process_cost::{Memory, WakeUps, mib, ticks},
    programs,
    test_package::Behaviour,
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// How long an idle agent is measured. Its own timers (check-in, keepalive) fire at most once in five minutes.
const IDLE: Duration = Duration::from_secs(60);
/// Time for start-up activity to end.
const SETTLE: Duration = Duration::from_secs(20);
/// How often memory is sampled during a transfer.
const LOOK: Duration = Duration::from_millis(20);
/// A transfer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let mut network = TestNetwork::start(3);
    println!("| what | figure |\n| --- | ---: |");
    for program in ["banyan-agent", "banyan-install-helper", "banyan", "banyan-server"] {
        let bytes = fs::metadata(programs::folder().join(program)).expect("the program is built").len();
        println!("| size of `{program}` (MiB) | {:.1} |", mib(bytes));
    }
    std::thread::sleep(SETTLE);
    let id = network.service(0).expect("the agent runs").id();
    let (woke, spent) = (WakeUps::of(id), ticks(id));
    std::thread::sleep(IDLE);
    let seconds = IDLE.as_secs_f64();
    println!("| idle: resident memory (MiB), of which private | {} |", Memory::of(id));
    println!("| idle: wake-ups per minute | {:.1} |", WakeUps::of(id).since(&woke) as f64 * 60.0 / seconds);
    println!("| idle: processor time per minute (ms) | {:.0} |", (ticks(id) - spent) as f64 * 10.0 * 60.0 / seconds);
    for (name, bytes) in [("64 MiB", 64_usize << 20), ("1 GiB", 1 << 30)] {
        let most = transfer(&mut network, &format!("file-{}", bytes >> 20), bytes);
        println!("| in the middle of {name}: peak resident memory (MiB), of which private | {most} |");
    }
    std::thread::sleep(SETTLE);
    println!("| afterwards: resident memory (MiB), of which private | {} |", Memory::of(id));
}

/// Deploys a file of `bytes` bytes to all machines. Returns the peak memory of the first machine until it holds the
/// file.
fn transfer(network: &mut TestNetwork, name: &str, bytes: usize) -> Memory {
    network.publish(name, "1", bytes, Behaviour::Works);
    let id = network.service(0).expect("the agent runs").id();
    let deployment = network.deploy(&format!("{name}@1"), "all", 2);
    let mut most = Memory::default();
    let (begun, mut asked) = (Instant::now(), Instant::now());
    loop {
        most = most.max(Memory::of(id));
        if asked.elapsed() > Duration::from_secs(1) {
            let status = network.status(&deployment);
            if status.addressees.iter().all(|addressee| addressee.verified_after.is_some()) {
                return most;
            }
            asked = Instant::now();
        }
        assert!(begun.elapsed() < PATIENCE, "{name} did not arrive:\n{}", network.logs());
        std::thread::sleep(LOOK);
    }
}
