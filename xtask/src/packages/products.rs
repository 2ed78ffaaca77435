//! Server and agent under test, and the administrator's commands.

use crate::{
    command::{read, words},
    packages::machine::Machine,
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The running programs; dropping it ends them.
pub(super) struct Products {
    folder: PathBuf,
    banyan: PathBuf,
    server: Option<Child>,
    agent: Option<Child>,
    /// The join code, which only the agent's first start needs.
    code: String,
}

/// How a deployment to the one machine ended.
#[derive(Debug)]
pub(super) struct Deployed {
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) detail: String,
}

impl Products {
    /// Starts a server.
    pub(super) fn start(folder: &Path, programs: &Path) -> Result<Self> {
        let mut products = Self {
            folder: folder.to_owned(),
            banyan: programs.join("banyan"),
            server: None,
            agent: None,
            code: String::new(),
        };
        let data = folder.join("server");
        let mut server = Command::new(&products.banyan);
        server.args(["server", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        products.server = Some(products.spawn("server", &mut server)?);
        let profile = data.join("admin.toml");
        wait_for("the server", || profile.exists() && products.admin(&["machines"]).is_ok())?;
        let keys = products.keys();
        products.admin(&["keys", "generate", "--out", &keys])?;
        products.admin(&["keys", "init", "--key", &keys])?;
        let code = products.admin(&["tokens", "create"])?;
        code.trim().clone_into(&mut products.code);
        Ok(products)
    }
    /// Ends the machine's agent, before its root goes.
    pub(super) fn stop_agent(&mut self) {
        end(self.agent.take());
    }
    /// Starts the machine's agent in its root, as root, so that it installs into what it takes for this system.
    pub(super) fn start_agent(&mut self, machine: &Machine) -> Result<()> {
        let mut agent = machine.command("/banyan/programs/banyan-agent");
        agent.args(["--listen", "127.0.0.1:0", "--name", "machine", "--data", "/banyan/agent"]);
        if !self.code.is_empty() {
            agent.args(["--join", &self.code]);
        }
        self.agent = Some(self.spawn("agent", &mut agent)?);
        let online = || self.admin(&["machines", "--json"]).is_ok_and(|text| text.contains("\"online\":true"));
        wait_for("the agent", online)?;
        self.code.clear();
        Ok(())
    }
    fn keys(&self) -> String {
        self.folder.join("keys").display().to_string()
    }
    fn spawn(&self, name: &str, command: &mut Command) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("cannot start {}", words(command)))
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.banyan);
        command.args(arguments).env("BANYAN_PROFILE", self.folder.join("server/admin.toml"));
        command
    }
    fn admin(&self, arguments: &[&str]) -> Result<String> {
        read(&mut self.command(arguments))
    }

    /// Publishes a deb and deploys it. `works` decides what its probe says.
    pub(super) fn deploy(&self, package: &str, version: &str, deb: &Path, works: bool) -> Result<Deployed> {
        let description = self.folder.join("release.toml");
        let probe = if works { "/bin/true" } else { "/bin/false" };
        let text = format!(
            "name = {package:?}\nversion = {version:?}\n[platform.linux-x86_64]\nfile = {:?}\nprobe = [{probe:?}]\n",
            deb.display().to_string()
        );
        fs::write(&description, text)?;
        self.admin(&["publish", &description.display().to_string(), "--key", &self.keys(), "--again"])
            .or_else(|_| self.admin(&["publish", &description.display().to_string(), "--key", &self.keys()]))?;
        let mut command = self.command(&["deploy", package, "--to", "all", "--wait", "--timeout", "15m", "--json"]);
        let output = command.stdin(Stdio::null()).output().with_context(|| words(&command))?;
        let status: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}: {}", words(&command), String::from_utf8_lossy(&output.stderr)))?;
        let machine = &status["addressees"][0];
        let field = |name: &str| machine[name].as_str().unwrap_or_default().to_owned();
        let detail = field("detail").lines().next().unwrap_or_default().to_owned();
        Ok(Deployed { stage: field("stage"), reason: field("reason"), detail })
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        end(self.agent.take());
        end(self.server.take());
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        drop(child.kill());
        drop(child.wait());
    }
}

fn wait_for(what: &str, mut is_ready: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_ready() {
        if began.elapsed() > Duration::from_secs(60) {
            bail!("{what} did not start within a minute");
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
