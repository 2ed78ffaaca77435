//! Attacks by another user of the same machine: to take the agent's place, to make it write into other files, and to
//! read its data. They must fail in ten thousand attempts.
//!
//! The attackers are threads that the kernel treats as another user for all file access (`setfsuid`). The agents are
//! real processes of root's, started in the least careful way: with an empty umask.

use banyan_proto::{
    admin::DeploymentState,
    local::{LOCAL_VERSION, Reply, Request},
};
use banyan_tests::{
    TestNetwork,
    programs::{self, Service},
    session_user::{SessionUser, as_user},
    sideload,
    test_package::Behaviour,
};
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Uid, geteuid, setfsgid, setfsuid},
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A user without a session.
const MALLORY: u32 = 41_666;
/// The minimum number of attempts.
const ROUNDS: u64 = 10_000;

/// A thread that accesses files as another user, and repeats an attempt until it is stopped.
struct Attacker {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Attacker {
    /// Starts the attacker. `attempt` gets the number of the round and returns what it achieved, if anything.
    fn start(attempt: impl Fn(u64) -> Option<String> + Send + 'static) -> Self {
        assert!(geteuid().is_root(), "this test switches users, so it must run as root");
        let (rounds, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&rounds), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            setfsgid(Gid::from_raw(MALLORY));
            setfsuid(Uid::from_raw(MALLORY));
            let mut won = Vec::new();
            while !end.load(Ordering::Relaxed) {
                won.extend(attempt(count.fetch_add(1, Ordering::Relaxed)));
            }
            won
        });
        Self { rounds, stop, thread }
    }
    fn has_tried_enough(&self) -> bool {
        self.rounds.load(Ordering::Relaxed) >= ROUNDS
    }
    /// Stops the attacker and returns what it achieved.
    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the attacker's thread ends")
    }
}

fn folder(mode: u32) -> TempDir {
    let folder = TempDir::with_prefix("banyan-hostile-").expect("a temporary folder can be created");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).expect("the folder's mode can be set");
    folder
}
fn owner(path: &Path) -> Option<u32> {
    path.symlink_metadata().ok().map(|about| about.uid())
}
fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |all| all.flatten().map(|entry| entry.path()).collect())
}

#[test]
fn another_users_folder_never_becomes_the_agents() {
    const STARTS: usize = 60;
    umask(Mode::empty());
    let (open, precious, logs) = (folder(0o1777), folder(0o755), folder(0o755));
    let places = [open.path().join("data"), open.path().join("run")];
    let (targets, victim) = (places.clone(), precious.path().to_owned());
    // Alternates between a link to a folder that only root can write to, nothing, a folder of their own, and nothing.
    let attacker = Attacker::start(move |round| {
        for place in &targets {
            let done = match round % 4 {
                0 => symlink(&victim, place),
                1 => fs::remove_file(place),
                2 => fs::create_dir(place),
                _ => fs::remove_dir(place),
            };
            drop(done);
        }
        None
    });
    let text = |path: &Path| path.to_str().expect("the path is valid UTF-8").to_owned();
    let (mut starts, mut came_up) = (0, 0);
    while starts < STARTS || !attacker.has_tried_enough() {
        starts += 1;
        let mut command = programs::agent();
        command.args(["--data", &text(&places[0]), "--socket", &text(&places[1].join("agent.sock"))]);
        command.args(["--listen", "127.0.0.1:0"]);
        let log = logs.path().join(format!("{starts}.log"));
        let mut agent = Service::start(command, &log);
        let begun = Instant::now();
        // The agent ends because it refuses the folder, or it has created the folder and waits to be enrolled.
        while agent.runs() && !agent.log_text().contains("not enrolled yet") {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", agent.log_text());
            std::thread::sleep(Duration::from_millis(2));
        }
        came_up += usize::from(agent.runs());
        agent.kill();
        for place in places.iter().filter(|place| owner(place) == Some(0)) {
            // Removes what the attacker created, but not the target of a link.
            if place.is_symlink() { drop(fs::remove_file(place)) } else { drop(fs::remove_dir_all(place)) }
        }
    }
    attacker.stop();
    let written = names(precious.path());
    assert!(written.is_empty(), "the agent wrote through a link: {written:?} in {starts} starts");
    assert_eq!(fs::metadata(precious.path()).expect("the file exists").mode() & 0o7777, 0o755);
    for place in places.iter().filter(|place| owner(place) == Some(MALLORY)) {
        let inside = names(place);
        assert!(inside.is_empty(), "the agent wrote into the attacker's folder: {inside:?}");
    }
    assert!(came_up > 0 || starts > STARTS, "the attacker kept the agent from starting: {came_up} of {starts}");
}

#[test]
fn a_running_agents_files_cannot_be_replaced_written_or_read() {
    let mut network = TestNetwork::start(0);
    umask(Mode::empty());
    network.add_agent();
    network.wait_until("the agent is ready", |network| network.log_of(0).contains("ready"));
    let user = SessionUser::log_in_at(&mut network, 0);
    // The folders are readable like on a badly kept disk, so only what the agent protects is protected.
    fs::set_permissions(network.path(""), PermissionsExt::from_mode(0o755)).expect("the folder's mode can be set");
    let data = network.agents[0].data.clone();
    let outside = folder(0o1777);
    let decoy = outside.path().join("decoy");
    let made = decoy.clone();
    as_user(MALLORY, || fs::create_dir(&made)).expect("the attacker can create a folder");
    let inside = [
        "content",
        "installer",
        "installer/staging",
        "agent.redb",
        "agent.sock",
        "machine.key",
        "installer/trust.json",
    ];
    let mut targets: Vec<PathBuf> = inside.iter().map(|name| data.join(name)).collect();
    targets.extend([data, user.socket.clone(), user.folder.path().join("run"), user.folder.path().join("sessions")]);
    let attacker = Attacker::start(move |round| {
        let target = &targets[usize::try_from(round).unwrap_or(0) % targets.len()];
        let aside = outside.path().join("aside");
        let won = |what: &str, done: io::Result<()>| done.is_ok().then(|| format!("{what} {}", target.display()));
        let written = |path: &Path| OpenOptions::new().create(true).append(true).open(path).map(drop);
        let secret = !target.ends_with("installer") && !target.ends_with("run") && !target.ends_with("sessions");
        let link = target.with_extension("link");
        let looked = fs::read_dir(target).map(drop).or_else(|_| File::open(target).map(drop));
        won("moved away", fs::rename(target, &aside))
            .or_else(|| won("replaced by a folder", fs::rename(&decoy, target)))
            .or_else(|| won("removed", fs::remove_file(target).or_else(|_| fs::remove_dir(target))))
            .or_else(|| won("put a link at", symlink("/etc/passwd", target)))
            .or_else(|| won("put a link beside", symlink("/etc/passwd", link)))
            .or_else(|| won("put a file into", written(&target.join("theirs"))))
            .or_else(|| won("wrote to", written(target)))
            .or_else(|| won("opened up", fs::set_permissions(target, PermissionsExt::from_mode(0o777))))
            .or_else(|| won("looked into", looked).filter(|_| secret))
    });
    let keys = network.path("keys");
    let mut version = 0;
    while version < 3 || !attacker.has_tried_enough() {
        version += 1;
        let release = network.write_package("hello", &format!("{version}.0"), 1_000_000, Behaviour::Works);
        let path = network.path(&format!("hello-{version}.banyan"));
        network.banyan(&["package", "build", &release, "--key", &keys, "--to", &path]);
        network.banyan(&["publish", &path, "--key", &keys]);
        let file = fs::read(&path).expect("a package");
        let socket = || UnixStream::connect(network.agents[0].data.join("agent.sock")).expect("the agent listens");
        let Reply::Package(package) = sideload::open(&socket(), &file) else { panic!("no package") };
        let reply = sideload::install(&socket(), package.manifest, &file);
        assert!(matches!(reply, Reply::Ordered { .. }), "{reply:?}");
        let says = format!("hello {version}.0");
        network.wait_until("the new version runs", |network| network.says(0, "hello").as_deref() == Some(&says));
        // The server refuses the next version while this one is under way.
        network.wait_for_status("latest", "the server knows it", |status| status.state == DeploymentState::Finished);
    }
    let tried = attacker.rounds.load(Ordering::Relaxed);
    let won = attacker.stop();
    assert!(won.is_empty(), "{} of {tried} times: {:#?}", won.len(), &won[..won.len().min(10)]);
    // Only the agent's user may connect to its own socket; at the shared one, the attacker learns nothing.
    let own = network.agents[0].data.join("agent.sock");
    assert!(as_user(MALLORY, || UnixStream::connect(own)).is_err());
    let shared = as_user(MALLORY, || UnixStream::connect(&user.socket)).expect("any user can connect");
    let reply = sideload::open(&shared, b"whatever");
    assert!(matches!(&reply, Reply::Error(error) if error.detail.contains("session")), "{reply:?}");
}

#[test]
fn another_users_socket_is_neither_used_nor_removed() {
    let mut network = TestNetwork::start(1);
    let place = folder(0o1777);
    let theirs = place.path().join("run");
    let socket = theirs.join("agent.sock");
    let squatter = as_user(MALLORY, || {
        fs::create_dir(&theirs).expect("the attacker can create a folder");
        UnixListener::bind(&socket).expect("the attacker can bind a socket")
    });
    squatter.set_nonblocking(true).expect("the socket can be made non-blocking");
    let written_by_all = folder(0o777);
    for path in [socket.clone(), written_by_all.path().join("agent.sock")] {
        let before = network.log_of(0).matches("failed to open the local API").count();
        network.agents[0].arguments =
            ["--socket", path.to_str().expect("the path is valid UTF-8")].map(str::to_owned).to_vec();
        network.kill_agent(0);
        network.start_agent(0);
        network.wait_until("the agent logs that it does not listen there", |network| {
            network.log_of(0).matches("failed to open the local API").count() > before
        });
        // The agent still works for users of its own socket.
        let hello = Request::Hello { version: LOCAL_VERSION };
        network.wait_until("the agent answers", |network| network.try_ask(0).is_some());
        assert!(matches!(network.say(0, &[hello])[..], [Reply::Hello { .. }]));
    }
    assert_eq!(owner(&socket), Some(MALLORY), "the socket no longer belongs to the attacker");
    assert!(squatter.accept().is_err(), "the agent connected to the attacker's socket");
    assert!(names(written_by_all.path()).is_empty());
}
