//! One server, its keys and one agent that installs below a folder.

use super::report::Outcome;
use crate::command::read;
use anyhow::{Context as _, Result, bail};
use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long the programs may take to start.
const START: Duration = Duration::from_secs(30);

/// The running programs. They end when this is dropped.
pub(super) struct Fleet {
    banyan: PathBuf,
    folder: PathBuf,
    programs: Vec<Child>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // It may have ended already.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

impl Fleet {
    pub(super) fn start(banyan: &Path, folder: &Path) -> Result<Self> {
        let mut fleet = Self { banyan: banyan.to_owned(), folder: folder.to_owned(), programs: vec![] };
        let (server, agent) = (free_port()?, free_port()?);
        fleet.spawn("server", &["server", "--data", "server", "--listen", &format!("127.0.0.1:{server}")])?;
        fleet.wait_for("the server", |fleet| {
            fleet.command(&["machines"]).output().is_ok_and(|out| out.status.success())
        })?;
        read(&mut fleet.command(&["keys", "generate", "--out", "keys"]))?;
        read(&mut fleet.command(&["keys", "init", "--key", "keys"]))?;
        let join = read(&mut fleet.command(&["tokens", "create"]))?;
        let listen = format!("127.0.0.1:{agent}");
        std::fs::create_dir_all(folder.join("root"))?;
        let root = folder.join("root").display().to_string();
        let arguments =
            ["agent", "--data", "agent", "--listen", &listen, "--install-root", &root, "--name", "m", "--join", &join];
        fleet.spawn("agent", &arguments)?;
        fleet.wait_for("the agent", |fleet| {
            fleet
                .command(&["machines", "--json"])
                .output()
                .is_ok_and(|out| text(&out.stdout).contains("\"online\":true"))
        })?;
        Ok(fleet)
    }

    /// Publishes an archive as it is, and installs it.
    pub(super) fn try_archive(&self, file: &Path) -> Result<Outcome> {
        let path = file.display().to_string();
        let publish = |more: &[&str]| {
            let arguments = [&["publish", &path, "--key", "keys", "--json"], more].concat();
            self.command(&arguments).output().context("cannot start banyan")
        };
        let mut published = publish(&[])?;
        let mut options = None;
        // Whoever publishes it would follow the advice.
        if !published.status.success() && cause(&published).contains("--platform") {
            options = Some(cause(&published));
            published = publish(&["--platform", "any"])?;
        }
        if !published.status.success() {
            return Ok(Outcome::RefusedByPublish(cause(&published)));
        }
        let release: serde_json::Value = serde_json::from_slice(&published.stdout)?;
        let field = |name: &str| release[name].as_str().unwrap_or_default().to_owned();
        let selector = format!("{}@{}", field("package"), field("version"));
        let platform = release["files"][0][0].as_str().unwrap_or_default().to_owned();
        if !["any", &format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)].contains(&platform.as_str()) {
            return Ok(Outcome::OtherPlatform(platform));
        }
        let deployed =
            self.command(&["deploy", &selector, "--to", "all", "--wait", "--timeout", "300s", "--json"]).output()?;
        if deployed.status.success() {
            return Ok(options.map_or(Outcome::Installed, Outcome::InstalledWithPlatform));
        }
        let status: serde_json::Value = serde_json::from_slice(&deployed.stdout).unwrap_or_default();
        let detail = status["addressees"][0]["detail"].as_str().unwrap_or("no answer").to_owned();
        Ok(Outcome::RefusedByMachine(detail))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.banyan);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.env("BANYAN_PROFILE", self.folder.join("server/admin.toml"));
        command
    }

    fn spawn(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = self.command(arguments);
        command.stdout(log.try_clone()?).stderr(log);
        self.programs.push(command.spawn().with_context(|| format!("cannot start the {name}"))?);
        Ok(())
    }

    fn wait_for(&self, what: &str, is_ready: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_ready(self) {
            if began.elapsed() > START {
                bail!("{what} did not start; its log is in {}", self.folder.display());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the cause in the error of a failed command.
fn cause(output: &Output) -> String {
    let said = text(&output.stderr);
    let line = said.lines().find_map(|line| line.trim().strip_prefix("why:"));
    let cause = line.unwrap_or(&said).trim();
    // The file's path says nothing here.
    cause.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word)).collect::<Vec<_>>().join(" ")
}
