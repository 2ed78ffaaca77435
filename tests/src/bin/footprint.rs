//! `cargo build --release --workspace --bins && target/release/footprint`: what an agent costs the machine it runs on, as a Markdown
//! table: memory when idle and in the middle of a file, wake-ups when idle, and the size of its programs. Linux only: it
//! reads /proc.
//!
//! The machine that is looked at has two others beside it, so that it receives and forwards at the same time; all run on
//! loopback, which is faster than any link it is made for.

use banyan_tests::{
    World,
    package::Behaviour,
    process::{Memory, WakeUps, mib, ticks},
    programs,
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// How long an idle agent is watched. Its own timers (check-in, keepalive) come once in five minutes at most.
const IDLE: Duration = Duration::from_secs(60);
/// Time for the excitement of starting to pass.
const SETTLE: Duration = Duration::from_secs(20);
/// How often memory is looked at during a transfer.
const LOOK: Duration = Duration::from_millis(20);
/// After this long a transfer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let mut world = World::start(3);
    println!("| what | figure |\n| --- | ---: |");
    for program in ["banyan-agent", "banyan-installer", "banyan", "banyan-server"] {
        let bytes = fs::metadata(programs::folder().join(program)).expect("the program is built").len();
        println!("| size of `{program}` (MiB) | {:.1} |", mib(bytes));
    }
    std::thread::sleep(SETTLE);
    let id = world.service(0).expect("the agent runs").id();
    let (woke, spent) = (WakeUps::of(id), ticks(id));
    std::thread::sleep(IDLE);
    let seconds = IDLE.as_secs_f64();
    println!("| idle: resident memory (MiB), of it its own | {} |", Memory::of(id));
    println!("| idle: wake-ups per minute | {:.1} |", WakeUps::of(id).since(&woke) as f64 * 60.0 / seconds);
    println!("| idle: processor time per minute (ms) | {:.0} |", (ticks(id) - spent) as f64 * 10.0 * 60.0 / seconds);
    for (name, bytes) in [("64 MiB", 64_usize << 20), ("1 GiB", 1 << 30)] {
        let most = transfer(&mut world, &format!("file-{}", bytes >> 20), bytes);
        println!("| in the middle of {name}: most resident memory (MiB), of it its own | {most} |");
    }
    std::thread::sleep(SETTLE);
    println!("| afterwards: resident memory (MiB), of it its own | {} |", Memory::of(id));
}

/// Deploys a file of so many bytes to all; gives the most memory that the first machine took until it held the file.
fn transfer(world: &mut World, name: &str, bytes: usize) -> Memory {
    world.publish(name, "1", bytes, Behaviour::Works);
    let id = world.service(0).expect("the agent runs").id();
    let deployment = world.deploy(&format!("{name}@1"), "all", 2);
    let mut most = Memory::default();
    let (begun, mut asked) = (Instant::now(), Instant::now());
    loop {
        most = most.max(Memory::of(id));
        if asked.elapsed() > Duration::from_secs(1) {
            let status = world.status(&deployment);
            if status.addressees.iter().all(|addressee| addressee.verified_after.is_some()) {
                return most;
            }
            asked = Instant::now();
        }
        assert!(begun.elapsed() < PATIENCE, "{name} did not arrive:\n{}", world.logs());
        std::thread::sleep(LOOK);
    }
}
