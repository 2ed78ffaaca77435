//! A server, and an agent on every machine, operated with the same commands that administrators use. These commands run
//! on the server's host, so they are not part of the measured traffic.

use crate::lab::{
    agent_client,
    environment::{LabEnvironment, Process, run_on_host, wait_for},
    lab_machine::LabMachine,
    network::rates::Rate,
    test_files::TestFile,
};
use anyhow::{Context, Result, bail};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SERVER_PORT: u16 = 7443;
/// The port on which every agent listens.
pub(crate) const AGENT_PORT: u16 = 7400;

/// Free disk space that a machine keeps by default (bytes). It is never written, so it needs no memory.
const FREE_DISK_BYTES: u64 = 1 << 30;

/// How long to wait for the check of all links.
const LINK_CHECKS: Duration = Duration::from_secs(40);

/// Time limit of an administrator's command (seconds).
const COMMAND_SECONDS: u64 = 120;

/// The programs that run on the hosts.
pub(crate) struct BanyanNetwork<'a> {
    lab: &'a LabEnvironment,
    programs: &'a Path,
    server: Process,
    agents: Vec<Process>,
    /// The machines whose agents were killed.
    killed: HashSet<usize>,
    // After the agents: programs on a machine must end before it does.
    machines: Vec<LabMachine>,
}

/// The fields read from `banyan status --json`.
#[derive(Deserialize)]
pub(crate) struct Status {
    /// The deployment's identifier.
    pub(crate) id: String,
    /// The server's identifier.
    pub(crate) server: String,
    /// The target machines, in the order of stripe 0.
    pub(crate) addressees: Vec<Addressee>,
}

/// One target machine.
#[derive(Deserialize)]
pub(crate) struct Addressee {
    /// The machine's identifier.
    pub(crate) id: String,
    pub(crate) label: String,
    stage: String,
    /// The code of the reason for a delay or failure.
    reason: Option<String>,
    detail: Option<String>,
    /// The planned sender of each stripe.
    pub(crate) planned: Vec<String>,
    /// Milliseconds from the acceptance of the deployment until it held the verified artifact.
    pub(crate) verified_after: Option<u64>,
    /// Milliseconds from the acceptance until the new version ran.
    pub(crate) installed_after: Option<u64>,
}

impl Status {
    /// Lists the machines that have not finished, with stage and reason.
    pub(crate) fn unfinished(&self) -> String {
        let open = self.addressees.iter().filter(|a| a.installed_after.is_none());
        let words = open.map(|a| match (&a.reason, &a.detail) {
            (Some(reason), Some(detail)) => format!("{} {} ({reason}: {detail})", a.label, a.stage),
            (Some(why), None) | (None, Some(why)) => format!("{} {} ({why})", a.label, a.stage),
            (None, None) => format!("{} {}", a.label, a.stage),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl<'a> BanyanNetwork<'a> {
    /// Starts server, machines and agents, with `room` bytes of disk space per machine. Waits until every machine has
    /// enrolled and is connected.
    pub(crate) fn start(lab: &'a LabEnvironment, programs: &'a Path, room: u64) -> Result<Self> {
        let mut server = start_server(lab, programs)?;
        let profile = lab.dir.join("server/admin.toml");
        wait_for("the server to write admin.toml", Duration::from_secs(60), || {
            server.check_running()?;
            Ok(profile.is_file().then_some(()))
        })?;
        let (agents, machines, killed) = (Vec::new(), Vec::new(), HashSet::new());
        let mut banyan = Self { lab, programs, server, agents, killed, machines };

        let keys = banyan.keys();
        banyan.banyan(&["keys", "generate", "--out", &keys])?;
        banyan.banyan(&["keys", "init", "--key", &keys])?;
        let count = lab.net.machines.len();
        let join = banyan.banyan(&["tokens", "create", "--uses", &count.to_string()])?;
        for (index, host) in lab.net.machines.iter().enumerate() {
            let machine = LabMachine::start(lab, host, room + FREE_DISK_BYTES, programs);
            banyan.machines.push(machine.with_context(|| format!("cannot start the machine {}", host.label))?);
            let agent = banyan.agent(index, Some(&join))?;
            banyan.agents.push(agent);
        }
        banyan.wait_until_online()?;
        banyan.wait_for_link_checks()?;
        Ok(banyan)
    }

    /// Waits until every machine is connected to the server.
    pub(crate) fn wait_until_online(&mut self) -> Result<()> {
        let count = self.lab.net.machines.len();
        wait_for("every machine to be enrolled and connected", Duration::from_secs(120), || {
            self.check_running()?;
            let machines: Vec<Listed> = self.query(&["machines", "--json"])?;
            Ok((machines.iter().filter(|machine| machine.online).count() == count).then_some(()))
        })
    }

    /// Waits until the machines have checked their links, as they have before a deployment in practice. Prints a line if
    /// some take too long, such as those of an earlier version.
    fn wait_for_link_checks(&mut self) -> Result<()> {
        let done = wait_for("the machines to check their links", LINK_CHECKS, || {
            self.check_running()?;
            let machines: Vec<Listed> = self.query(&["machines", "--json"])?;
            Ok(machines.iter().all(|machine| machine.rates.down.is_some() && machine.rates.up.is_some()).then_some(()))
        });
        self.check_running()?;
        done.unwrap_or_else(|error| println!("{error:#}; deploying all the same"));
        Ok(())
    }

    /// Starts the agent of this machine, with a join code the first time.
    fn agent(&self, index: usize, join: Option<&str>) -> Result<Process> {
        let host = &self.lab.net.machines[index];
        let mut command = self.machines[index].program("banyan-agent");
        command.args(["--name", &host.label, "--listen", &format!("{}:{AGENT_PORT}", host.address)]);
        command.args(["--data", &LabMachine::data()]);
        log_chunks(self.lab, &mut command);
        command.args(join.into_iter().flat_map(|code| ["--join", code]));
        self.lab.spawn(&host.label, &mut command)
    }

    /// Fails if a program that was not killed has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        self.server.check_running()?;
        self.machines.iter_mut().try_for_each(LabMachine::check_running)?;
        let agents = self.agents.iter_mut().enumerate().filter(|(index, _)| !self.killed.contains(index));
        agents.map(|(_, agent)| agent).try_for_each(Process::check_running)
    }

    /// Kills the machine's agent (SIGKILL).
    pub(crate) fn kill(&mut self, index: usize) -> Result<()> {
        self.killed.insert(index);
        self.agents[index].kill()
    }

    pub(crate) fn restart(&mut self, index: usize) -> Result<()> {
        self.agents[index] = self.agent(index, None)?;
        self.killed.remove(&index);
        Ok(())
    }

    /// Starts the agents of all killed machines again.
    pub(crate) fn restart_killed(&mut self) -> Result<()> {
        let killed: Vec<usize> = self.killed.iter().copied().collect();
        killed.into_iter().try_for_each(|index| self.restart(index))
    }

    /// Kills the server and all agents at once, and starts them again. Waits until the server answers.
    pub(crate) fn restart_everything(&mut self) -> Result<()> {
        self.server.kill()?;
        (0..self.agents.len()).try_for_each(|index| self.kill(index))?;
        self.server = start_server(self.lab, self.programs)?;
        self.restart_killed()?;
        wait_for("the server to answer", Duration::from_secs(30), || {
            self.check_running()?;
            Ok(self.query::<Vec<Listed>>(&["machines", "--json"]).ok().map(drop))
        })
    }

    /// Returns the index of the machine with this label.
    pub(crate) fn index(&self, label: &str) -> Result<usize> {
        let found = self.lab.net.machines.iter().position(|host| host.label == label);
        found.with_context(|| format!("the status names a machine {label:?} that the lab does not have"))
    }

    /// Returns the machines with their labels.
    pub(crate) fn machines(&self) -> impl Iterator<Item = (&str, &LabMachine)> {
        self.lab.net.machines.iter().map(|host| host.label.as_str()).zip(&self.machines)
    }

    pub(crate) fn publish(&self, file: &TestFile) -> Result<()> {
        let (path, keys) = (file.path.to_string_lossy(), self.keys());
        self.banyan(&[
            "publish",
            &path,
            "--name",
            &file.name,
            "--version",
            &file.version,
            "--kind",
            file.kind,
            "--key",
            &keys,
        ])?;
        Ok(())
    }

    /// Deploys to every machine. Returns the deployment's identifier once the server has accepted it.
    pub(crate) fn deploy(&self, package: &str, stripes: u8) -> Result<String> {
        self.deploy_to(package, "all", stripes, &[])
    }

    /// Deploys to the selected machines, with further options.
    pub(crate) fn deploy_to(&self, package: &str, to: &str, stripes: u8, options: &[&str]) -> Result<String> {
        #[derive(Deserialize)]
        struct Deployed {
            id: String,
        }
        let stripes = stripes.to_string();
        let arguments = [&["deploy", package, "--to", to, "--stripes", &stripes, "--json"], options].concat();
        let answer: Deployed = self.query(&arguments)?;
        Ok(answer.id)
    }

    /// Sets the budget of a site, in each direction.
    pub(crate) fn set_site_budget(&self, site: &str, rate: Rate) -> Result<()> {
        let bytes = rate.bits_per_second() / 8;
        self.banyan(&["sites", "set", site, &bytes.to_string()]).map(drop)
    }
    /// Sends a request to a machine's agent, as people at the machine could.
    pub(crate) fn send_request(&self, index: usize, request: &str) -> Result<()> {
        let machine = &self.machines[index];
        wait_for("the agent to carry out the request", Duration::from_secs(30), || {
            // The agent may have been started just now.
            Ok(agent_client::send_request(machine, request).ok())
        })
        .with_context(|| request.to_owned())
    }

    /// Sets what the machine's transfers yield to: `nobody` or `programs`.
    pub(crate) fn give_way(&self, index: usize, to: &str) -> Result<()> {
        self.send_request(index, &format!(r#"{{"request":"set-give-way","give_way":"{to}"}}"#))
    }

    /// Returns how much the machine has forwarded today according to its usage history (bytes).
    pub(crate) fn given_today(&self, index: usize) -> Result<u64> {
        let snapshot = agent_client::snapshot(&self.machines[index])?;
        let given = snapshot.pointer("/sharing/today/given").and_then(serde_json::Value::as_u64);
        given.with_context(|| format!("the snapshot has no usage history: {snapshot}"))
    }

    /// Returns the deployment's status. Fails if a machine has failed.
    pub(crate) fn status(&self, deployment: &str) -> Result<Status> {
        let status: Status = self.query(&["status", deployment, "--json"])?;
        if let Some(failed) = status.addressees.iter().find(|addressee| addressee.stage == "failed") {
            let why = failed.detail.as_deref().unwrap_or("no detail");
            bail!("{} failed: {why} (see {})", failed.label, self.lab.log(&failed.label).display());
        }
        Ok(status)
    }

    fn query<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let said = self.banyan(arguments)?;
        serde_json::from_str(&said).with_context(|| format!("`banyan {}` printed: {said}", arguments.join(" ")))
    }

    /// Runs the command line as the administrator and returns its output.
    fn banyan(&self, arguments: &[&str]) -> Result<String> {
        let profile = self.lab.dir.join("server/admin.toml");
        let profile = profile.to_string_lossy();
        let all = [&["--profile", &profile], arguments].concat();
        run_on_host(&self.lab.net.server, COMMAND_SECONDS, &self.programs.join("banyan"), &all)
    }

    fn keys(&self) -> String {
        let keys: PathBuf = self.lab.dir.join("keys");
        keys.to_string_lossy().into_owned()
    }
}

fn start_server(lab: &LabEnvironment, programs: &Path) -> Result<Process> {
    let host = &lab.net.server;
    let mut command = host.command(programs.join("banyan"));
    command.args(["server", "--listen", &format!("{}:{SERVER_PORT}", host.address), "--data"]);
    log_chunks(lab, &mut command);
    lab.spawn("server", command.arg(lab.dir.join("server")))
}

/// Makes a server or an agent log every chunk, if the lab is to be traced.
fn log_chunks(lab: &LabEnvironment, command: &mut Command) {
    if lab.chunk_log {
        command.env("RUST_LOG", "info,banyan::chunks=trace");
    }
}

/// The fields read from `banyan machines --json`.
#[derive(Deserialize)]
struct Listed {
    online: bool,
    #[serde(default)]
    rates: MeasuredDirections,
}

/// The directions of a link of which something is known.
#[derive(Default, Deserialize)]
struct MeasuredDirections {
    down: Option<IgnoredAny>,
    up: Option<IgnoredAny>,
}
