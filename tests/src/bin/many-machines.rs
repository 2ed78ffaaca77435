//! Measures a server with thousands of machines that do the same at once: check in on a Monday morning or after the
//! server was restarted, hear of a deployment, report, and vanish. Prints a table for `docs/numbers.md`.
//!
//! `many-machines [MACHINES]` simulates this many (default 8,000). They run in this program, on the same processors as
//! the server. Figures depend on the computer, so the program fails only when a step does not end, or when the server
//! refuses an administrator.

use banyan_proto::{
    ALPN_ADMINISTRATOR, ALPN_HTTP, Reason,
    admin::{DeploymentStatus, Machine, NewToken, Profile},
    format,
    join::JoinCode,
};
use banyan_tests::{
    TestNetwork,
    process_cost::{Memory, mib, ticks, ticks_of_threads},
    simulated_fleet::{ApiSession, FleetProgress, SimulatedFleet},
    test_package::Behaviour,
};
use banyan_wire::{open_files, tls::pinned_client};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::{Builder, Runtime};

/// The pause between an administrator's requests.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// A step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(900);
/// The names of the threads that the database library starts.
const DATABASE_THREADS: &str = "sqlx-sqlite";

/// What an administrator met with.
#[derive(Default, Clone, Copy)]
struct Service {
    slowest: Duration,
    answers: usize,
    failures: usize,
}

/// Asks the server again and again, each time over a new connection, as the command line does.
struct Probe {
    /// Locked while a request is under way.
    service: Arc<Mutex<Service>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Probe {
    fn start(profile: Profile) -> Self {
        let (service, stop) = (Arc::<Mutex<Service>>::default(), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&service), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
            let code = NewToken { uses: 1, expires_seconds: 60, group: None, replaces: None };
            let code = format::write(&code);
            // One request reads the database, as `banyan status`, and the other writes to it.
            let mut requests =
                [("GET", "/api/v1/deployments", ""), ("POST", "/api/v1/tokens", &*code)].into_iter().cycle();
            while !stopped.load(Ordering::SeqCst) {
                let mut service = noted.lock().unwrap_or_else(PoisonError::into_inner);
                let asked = Instant::now();
                let request = requests.next().expect("the requests repeat");
                match runtime.block_on(ask(&profile, request)) {
                    Ok(()) => service.answers += 1,
                    Err(error) => {
                        service.failures += 1;
                        eprintln!("an administrator got no answer: {error}");
                    }
                }
                service.slowest = service.slowest.max(asked.elapsed());
                drop(service);
                thread::sleep(PROBE_PAUSE);
            }
        });
        Self { service, stop, thread: Some(thread) }
    }
    /// Asks nothing until the guard is dropped.
    fn pause(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Returns what happened since the last call.
    fn take(&self) -> Service {
        std::mem::take(&mut *self.pause())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

async fn ask(profile: &Profile, (method, path, body): (&str, &str, &str)) -> std::io::Result<()> {
    let tls = pinned_client(profile.ca, &[ALPN_ADMINISTRATOR, ALPN_HTTP]).map_err(std::io::Error::other)?;
    let server = profile.servers[0].as_socket().expect("the server has an IP address");
    let session = ApiSession::open(server, Ipv4Addr::LOCALHOST, Arc::new(tls)).await?;
    match session.with_token(profile.token.expose()).request(method, path, body).await? {
        (200, _) => Ok(()),
        (status, body) => Err(std::io::Error::other(format!("{status} {}", String::from_utf8_lossy(&body)))),
    }
}

/// The measurements of one run.
struct Benchmark {
    /// Dropped before the server.
    probe: Probe,
    machines: usize,
    network: TestNetwork,
    runtime: Runtime,
    fleet: SimulatedFleet,
    slowest: Duration,
    failures: usize,
}

/// What the server had used before a step.
struct StepStart {
    at: Instant,
    process: u32,
    processor: u64,
    database: u64,
}

impl Benchmark {
    fn start(machines: usize) -> Self {
        let network = TestNetwork::start(0);
        network.publish("tool", "1.0", 100_000, Behaviour::Works);
        network.publish("tool", "2.0", 100_000, Behaviour::Works);
        let code: JoinCode = network.join_code(machines).parse().expect("a join code");
        let runtime = Runtime::new().expect("a runtime can be started");
        let probe = Probe::start(network.profile());
        println!(
            "| {machines} machines | took (s) | processor (s) | of it database (s) | server's memory (MiB) | an \
             administrator waited at most (ms) | of answers | without an answer |\n| --- | ---: | ---: | ---: | ---: | \
             ---: | ---: | ---: |"
        );
        let begun = StepStart::of(&network);
        let fleet = runtime.block_on(SimulatedFleet::enrol(&code, machines)).expect("the machines enrol");
        let mut this = Self { machines, network, runtime, fleet, probe, slowest: Duration::ZERO, failures: 0 };
        this.end_step("enrol", &begun);
        this
    }
    /// Runs a step until the condition holds, and prints what it cost.
    fn step(&mut self, name: &str, act: impl FnOnce(&mut Self), is_done: impl Fn(&Self) -> bool) {
        self.fleet.start_counting();
        let begun = StepStart::of(&self.network);
        act(self);
        while !is_done(self) {
            assert!(begun.at.elapsed() < PATIENCE, "{name}: {:?}\n{}", self.fleet.progress(), self.network.logs());
            thread::sleep(Duration::from_millis(50));
        }
        self.end_step(name, &begun);
    }
    fn end_step(&mut self, name: &str, begun: &StepStart) {
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        let (processor, database) = begun.until(&StepStart::of(&self.network));
        let took = begun.at.elapsed().as_secs_f64();
        let service = self.probe.take();
        self.slowest = self.slowest.max(service.slowest);
        self.failures += service.failures;
        println!(
            "| {name} | {took:.1} | {:.1} | {:.1} | {:.0} | {} | {} | {} |",
            seconds(processor),
            seconds(database),
            mib(Memory::of(self.network.server_id()).all),
            service.slowest.as_millis(),
            service.answers,
            service.failures
        );
    }
    fn progress(&self) -> FleetProgress {
        self.fleet.progress()
    }
    fn switch_on(&mut self) {
        let _runtime = self.runtime.enter();
        self.fleet.switch_on();
    }
    /// Runs a command that prints JSON, and prints how long it took.
    fn command<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let begun = Instant::now();
        let text = self.network.banyan(arguments);
        eprintln!("`banyan {}`: {:.2} s, {} KiB", arguments.join(" "), begun.elapsed().as_secs_f64(), text.len() >> 10);
        serde_json::from_str(&text).expect("the command prints JSON")
    }
    fn unreachable(&self) -> usize {
        // The monitor looks every few seconds, and this command costs the server something, too.
        thread::sleep(Duration::from_secs(1));
        let status: DeploymentStatus = self.command(&["status", "latest", "--json"]);
        status.addressees.iter().filter(|machine| machine.reason == Some(Reason::Unreachable)).count()
    }
}

impl StepStart {
    fn of(network: &TestNetwork) -> Self {
        let id = network.server_id();
        let (processor, database) = (ticks(id), ticks_of_threads(id, DATABASE_THREADS));
        Self { at: Instant::now(), process: id, processor, database }
    }
    /// Returns what a process has used since: all of it, if it was started meanwhile.
    fn until(&self, now: &Self) -> (u64, u64) {
        if now.process == self.process {
            (now.processor - self.processor, now.database.saturating_sub(self.database))
        } else {
            (now.processor, now.database)
        }
    }
}

fn main() {
    let machines = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(8000);
    let limit = open_files::raise_limit().soft;
    assert!(limit > machines + 100, "{machines} machines need more open files than {limit}: raise the hard limit");
    let mut run = Benchmark::start(machines);

    let all_checked_in = |run: &Benchmark| run.progress().checked_in >= run.machines;
    run.step("check in for the first time", Benchmark::switch_on, all_checked_in);
    let monday = |run: &mut Benchmark| {
        run.runtime.block_on(run.fleet.switch_off());
        run.switch_on();
    };
    run.step("Monday morning: connect and check in at once", monday, all_checked_in);
    eprintln!("{:?}", run.progress());
    let listed: Vec<Machine> = run.command(&["machines", "--json"]);
    assert_eq!(listed.iter().filter(|machine| machine.online).count(), machines, "all of them are online");

    let deploy = |run: &mut Benchmark| drop(run.network.deploy("tool@1.0", "all", 1));
    run.step("hear of a deployment and report three times", deploy, |run| run.progress().reported >= run.machines);
    let status: DeploymentStatus = run.command(&["status", "latest", "--json"]);
    assert_eq!(status.addressees.len(), machines);

    let restart = |run: &mut Benchmark| {
        // A server that is being restarted answers nobody.
        let pause = run.probe.pause();
        run.network.kill_server();
        run.network.start_server();
        drop(pause);
    };
    run.step("the server is restarted: connect and check in again", restart, all_checked_in);
    eprintln!("{:?}", run.progress());

    let vanish = |run: &mut Benchmark| {
        run.runtime.block_on(run.fleet.switch_off());
        drop(run.network.deploy("tool@2.0", "all", 1));
    };
    run.step("vanish, and are shown as unreachable", vanish, |run| run.unreachable() >= run.machines);
    eprintln!("an administrator waited for up to {:?}", run.slowest);
    assert_eq!(run.failures, 0, "every request of an administrator was answered");
}
