//! The rivals: BitTorrent programs in the same network, with the same incidents. All of libtorrent's programs run, and
//! each is told of every other, before the clock starts; aria2's start with the clock and find each other by multicast.
//! Nobody but a rival itself verifies its file, and nothing is installed.

use super::{
    assignment::Assignment,
    figures::{Run, RunFacts},
    scenario::Scenario,
    transfer::{Swarm, Transfer},
};
use crate::{
    command::read,
    lab::{
        Options,
        banyan_network::AGENT_PORT,
        environment::{LabEnvironment, LabSettings, Process, wait_for},
        network::{traffic_meter::TrafficMeter, virtual_network::Host},
        test_files,
    },
};
use anyhow::{Context, Result};
use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// The interpreter for which Debian builds libtorrent.
const PYTHON: &str = "/usr/bin/python3";
const LIBTORRENT_PEER: &str = include_str!("libtorrent_peer.py");
const ARIA2_PEER: &str = include_str!("aria2_peer.sh");

/// A program that Banyan is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    Libtorrent,
    Aria2,
}

impl Rival {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Libtorrent => "libtorrent",
            Self::Aria2 => "aria2",
        }
    }
}

/// Measures one run, and adds its figures to `runs`.
pub(crate) fn measure(
    rival: Rival,
    scenario: &Scenario,
    assignment: &Assignment,
    number: usize,
    options: &Options,
    runs: &mut Vec<Run>,
) -> Result<()> {
    let machines = assignment.plan.machines.len() as u64;
    let lab = LabEnvironment::start(&LabSettings {
        number,
        network: &assignment.plan,
        server_room: options.size() * (machines + 2),
        machine_room: 0,
        logs: &format!("lab-logs/{}-{}-{}", scenario.file_name(), assignment.seed, rival.name()),
        chunk_log: false,
    })?;
    let hosts = &lab.net.machines;
    println!("{}", assignment.sentence(|machine| hosts[machine].label.clone()));
    super::prepare_links(&lab.net, assignment)?;
    let mut swarm = RivalSwarm::start(rival, &lab, assignment, options)?;
    let mut transfer = Transfer::new(&lab, assignment, swarm.size, options.rate.seconds(swarm.size));
    let forwarding: Vec<usize> = (0..hosts.len()).filter(|&machine| !assignment.deviates(machine)).collect();
    let meter = TrafficMeter::start(&lab.net)?;
    std::fs::write(swarm.go(), "")?;
    swarm.began = Instant::now();
    let began = swarm.began;
    let (seconds, reading) = transfer.run(&mut swarm, &forwarding, &meter, began)?;
    let facts = RunFacts { scenario: &scenario.name, scheme: rival.name(), deployment: 1 };
    let run = Run::new(&facts, transfer, hosts, assignment, &seconds, &reading);
    println!("{}", run.line());
    runs.push(run);
    Ok(())
}

/// The server's peer, which has the file, and a peer on each machine.
struct RivalSwarm<'a> {
    rival: Rival,
    lab: &'a LabEnvironment,
    assignment: &'a Assignment,
    size: u64,
    server: Process,
    peers: Vec<Process>,
    began: Instant,
    seconds: Vec<Option<f64>>,
}

impl<'a> RivalSwarm<'a> {
    /// Starts all programs, and waits until they are ready.
    fn start(rival: Rival, lab: &'a LabEnvironment, assignment: &'a Assignment, options: &Options) -> Result<Self> {
        std::fs::write(lab.dir.join("peer.py"), LIBTORRENT_PEER)?;
        std::fs::write(lab.dir.join("peer.sh"), ARIA2_PEER)?;
        let folder = lab.dir.join("server");
        std::fs::create_dir(&folder)?;
        let file = test_files::archive(&folder, "lab", options.size(), options.seed)?;
        let mut create = Command::new(PYTHON);
        create.arg(lab.dir.join("peer.py")).arg("create").arg(&file.path).arg(lab.dir.join("lab.torrent"));
        read(&mut create).context("cannot create the torrent; install the Debian package python3-libtorrent")?;
        let server = start_peer(rival, lab, &lab.net.server, true)?;
        let count = lab.net.machines.len();
        let mut swarm = Self {
            rival,
            lab,
            assignment,
            size: file.size,
            server,
            peers: Vec::new(),
            began: Instant::now(),
            seconds: vec![None; count],
        };
        for machine in 0..count {
            std::fs::create_dir(lab.dir.join(&lab.net.machines[machine].label))?;
            let peer = swarm.start_machine(machine)?;
            swarm.peers.push(peer);
        }
        for host in std::iter::once(&lab.net.server).chain(&lab.net.machines) {
            wait_for("the rival to be ready", Duration::from_secs(60), || {
                Ok(std::fs::read_to_string(lab.log(&host.label))?.contains("ready").then_some(()))
            })?;
        }
        Ok(swarm)
    }
    fn start_machine(&self, machine: usize) -> Result<Process> {
        let host = &self.lab.net.machines[machine];
        start_peer(self.rival, self.lab, host, !self.assignment.no_forwarding.contains(&machine))
    }
    /// Returns the path of the file that starts the transfer.
    fn go(&self) -> PathBuf {
        self.lab.dir.join("go")
    }
}

impl Swarm for RivalSwarm<'_> {
    const ASK_INTERVAL: Duration = Duration::from_millis(50);

    fn seconds(&mut self) -> Result<Vec<Option<f64>>> {
        for (seconds, host) in self.seconds.iter_mut().zip(&self.lab.net.machines) {
            if seconds.is_none() && done(self.lab, host).exists() {
                *seconds = Some(self.began.elapsed().as_secs_f64());
            }
        }
        Ok(self.seconds.clone())
    }
    fn kill(&mut self, machine: usize) -> Result<()> {
        self.peers[machine].kill()
    }
    fn restart_everything(&mut self) -> Result<()> {
        self.server.kill()?;
        self.peers.iter_mut().try_for_each(Process::kill)?;
        self.server = start_peer(self.rival, self.lab, &self.lab.net.server, true)?;
        for machine in 0..self.peers.len() {
            self.peers[machine] = self.start_machine(machine)?;
        }
        Ok(())
    }
}

fn done(lab: &LabEnvironment, host: &Host) -> PathBuf {
    lab.dir.join(format!("{}.done", host.label))
}

/// Starts the peer of a host. It listens on the port of Banyan's agents, so that the same firewalls apply.
fn start_peer(rival: Rival, lab: &LabEnvironment, host: &Host, uploads: bool) -> Result<Process> {
    let is_server = host.label == lab.net.server.label;
    let done = if is_server { PathBuf::from("-") } else { done(lab, host) };
    let (folder, torrent, go) = (lab.dir.join(&host.label), lab.dir.join("lab.torrent"), lab.dir.join("go"));
    let uploads = if uploads { "yes" } else { "no" };
    let mut command = match rival {
        Rival::Libtorrent => {
            let all = std::iter::once(&lab.net.server).chain(&lab.net.machines);
            let others = all.filter(|other| other.label != host.label);
            let peers: Vec<String> = others.map(|other| format!("{}:{AGENT_PORT}", other.address)).collect();
            let mut command = host.command(PYTHON);
            command.arg(lab.dir.join("peer.py")).arg(format!("{}:{AGENT_PORT}", host.address));
            command.arg(folder).arg(torrent).arg(peers.join(","));
            command
        }
        Rival::Aria2 => {
            let mut command = host.command("sh");
            command.arg(lab.dir.join("peer.sh")).arg(host.address.to_string()).arg(AGENT_PORT.to_string());
            command.arg(folder).arg(torrent);
            command
        }
    };
    lab.spawn(&host.label, command.arg(go).arg(done).arg(uploads))
}
