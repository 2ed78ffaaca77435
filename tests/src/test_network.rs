//! A whole Banyan on loopback, for tests: a server, agents, a publisher and an administrator, all of them the real
//! programs.

use crate::{
    programs::{self, Service, banyan},
    simulated_processor::SimulatedProcessor,
    test_package::{self, Behaviour},
    virtual_network::VirtualNetwork,
};
use banyan_proto::{
    admin::{DeploymentStatus, Machine, Profile},
    local,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a test waits for anything before it fails. No test depends on how long things really take.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// One machine of the network.
pub struct Agent {
    /// The machine's label.
    pub label: String,
    /// Its data folder.
    pub data: PathBuf,
    /// The root folder for its installs.
    pub root: PathBuf,
    /// Extra arguments for its agent, from its next start on.
    pub arguments: Vec<String>,
    /// Extra environment variables for its agent, from its next start on.
    pub environment: Vec<(String, String)>,
    /// The counters of a [`SimulatedProcessor`] for its agent, from its next start on.
    pub processor: Option<PathBuf>,
    join: Option<String>,
    service: Option<Service>,
}

/// The server, the machines and their folder.
pub struct TestNetwork {
    /// The machines, `m0`, `m1`, …
    pub agents: Vec<Agent>,
    /// Extra arguments for the server, from its next start on.
    pub server_arguments: Vec<String>,
    /// Extra environment variables for the server, from its next start on.
    pub server_environment: Vec<(String, String)>,
    /// Whether server and agents cannot write their logs, from their next start on.
    pub has_full_logs: bool,
    /// The virtual network, unless everything runs on loopback.
    computers: Option<VirtualNetwork>,
    /// Arguments for every agent.
    agent_arguments: Vec<String>,
    folder: TempDir,
    server: Option<Service>,
    listen: SocketAddr,
}

impl TestNetwork {
    /// Starts a server with registered publisher's keys and `agents` enrolled machines.
    ///
    /// # Panics
    /// When any of them does not start.
    #[must_use]
    pub fn start(agents: usize) -> Self {
        Self::start_with(agents, |_| Vec::new())
    }
    /// Does the same with environment variables for the server, made from the network's folder.
    ///
    /// # Panics
    /// When any of them does not start.
    #[must_use]
    pub fn start_with(agents: usize, environment: impl FnOnce(&Path) -> Vec<(String, String)>) -> Self {
        let mut network = Self::prepare(([127, 0, 0, 1], 0).into());
        network.server_environment = environment(network.folder.path());
        network.start_server();
        network.listen = network.profile().servers[0].as_socket().expect("the server has an IP address");
        network.set_up(agents);
        network
    }
    /// Starts them on the computers of a virtual network: the server on the first one, and an agent on each of the
    /// others. Each agent listens as it does by default. `arguments` are for the server and for every agent.
    ///
    /// # Panics
    /// When any of them does not start.
    #[must_use]
    pub fn start_on(computers: VirtualNetwork, arguments: &[&str]) -> Self {
        let mut network = Self::prepare((computers.address(0), 7700).into());
        let agents = computers.count() - 1;
        network.computers = Some(computers);
        network.server_arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        network.agent_arguments = network.server_arguments.clone();
        network.start_server();
        network.set_up(agents);
        network
    }
    fn prepare(listen: SocketAddr) -> Self {
        Self {
            agents: Vec::new(),
            server_arguments: Vec::new(),
            server_environment: Vec::new(),
            has_full_logs: false,
            computers: None,
            agent_arguments: Vec::new(),
            folder: TempDir::with_prefix("banyan-world-").expect("a temporary folder can be created"),
            server: None,
            listen,
        }
    }
    /// Registers the publisher's keys at the running server, and enrols machines.
    fn set_up(&mut self, agents: usize) {
        let keys = self.path("keys");
        self.banyan(&["keys", "generate", "--out", &keys]);
        self.banyan(&["keys", "init", "--key", &keys]);
        for _ in 0..agents {
            self.add_agent();
        }
        self.wait_until("every machine is online and ready", |network| {
            network.machines().iter().filter(|machine| machine.online).count() == agents
                && (0..agents).all(|which| network.log_of(which).contains("ready"))
        });
    }
    /// Returns the virtual network.
    ///
    /// # Panics
    /// When this network runs on loopback.
    #[must_use]
    pub fn computers(&mut self) -> &mut VirtualNetwork {
        self.computers.as_mut().expect("the network was started on virtual computers")
    }
    /// Returns a command that runs `program` on a computer of the virtual network: 0 for the server, then the agents.
    fn place(&self, computer: usize, program: Command) -> Command {
        match &self.computers {
            Some(computers) => computers.command(computer, &program),
            None => program,
        }
    }
    /// Returns a path in the network's folder, as text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("the path is valid UTF-8").to_owned()
    }
    /// Returns the administrator's connection profile.
    ///
    /// # Panics
    /// When the server has not written it.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let text = fs::read_to_string(self.path("server/admin.toml")).expect("the server wrote admin.toml");
        toml::from_str(&text).expect("admin.toml is a profile")
    }
    /// Runs an administrator's command that must succeed. Returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn banyan(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("banyan can be run");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "banyan {arguments:?}: {}\n{out}\n{err}\n{}", output.status, self.logs());
        out.into_owned()
    }
    /// Returns an administrator's command to run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = banyan();
        command.arg("--profile").arg(self.path("server/admin.toml")).args(arguments);
        self.place(0, command)
    }
    /// Starts the server, at its previous address if it ran before. Returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_server(&mut self) {
        let mut command = banyan();
        let (data, listen) = (self.path("server"), self.listen.to_string());
        command.args(["server", "--data", &data, "--listen", &listen]).args(&self.server_arguments);
        command.envs(self.server_environment.iter().cloned());
        let admin = PathBuf::from(self.path("server/admin.toml"));
        let mut server = self.start_service(self.place(0, command), "server");
        let answers = || self.command(&["machines"]).output().is_ok_and(|output| output.status.success());
        wait_for("the server listens", || {
            assert!(server.runs(), "the server ended:\n{}", server.log_text());
            let listens = |profile: Profile| match self.computers {
                Some(_) => answers(),
                None => std::net::TcpStream::connect(profile.servers[0].to_string()).is_ok(),
            };
            let text = fs::read_to_string(&admin).ok();
            text.and_then(|text| toml::from_str(&text).ok()).is_some_and(listens)
        });
        self.server = Some(server);
    }
    /// Makes the server listen at another address from its next start on.
    pub fn move_server(&mut self, listen: SocketAddr) {
        self.listen = listen;
    }
    /// Kills the server with `kill -9`.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server runs").kill();
    }
    /// Asks the server to end and waits until it has.
    ///
    /// # Panics
    /// When it is not running, or ends with an error.
    pub fn stop_server(&mut self) {
        self.server.take().expect("the server runs").stop();
    }
    /// Returns the server's process id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn server_id(&self) -> u32 {
        self.server.as_ref().expect("the server runs").id()
    }
    /// Restarts an agent and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn restart_agent(&mut self, which: usize) {
        let before = self.log_of(which).matches("ready").count();
        self.kill_agent(which);
        self.start_agent(which);
        self.wait_until("the agent is back", |network| network.log_of(which).matches("ready").count() > before);
    }
    /// Copies the folder of the stopped server.
    pub fn back_up_server(&self) {
        copy(self.path("server"), self.path("server.backup"));
    }
    /// Replaces the folder of the stopped server with the copy.
    ///
    /// # Panics
    /// When the disk fails.
    pub fn restore_server(&self) {
        fs::remove_dir_all(self.path("server")).expect("the folder can be removed");
        copy(self.path("server.backup"), self.path("server"));
    }
    /// Marks the stopped server as restored.
    pub fn raise_epoch(&self) {
        self.banyan(&["server", "raise-epoch", "--data", &self.path("server")]);
    }
    /// Returns a join code for this many machines.
    #[must_use]
    pub fn join_code(&self, uses: usize) -> String {
        self.banyan(&["tokens", "create", "--uses", &uses.to_string()]).trim().to_owned()
    }
    /// Enrols and starts another machine.
    pub fn add_agent(&mut self) {
        let join = self.join_code(1);
        self.add_machine(Some(join));
    }
    /// Enrols and starts another machine in this group.
    pub fn add_agent_of(&mut self, group: &str) {
        let join = self.banyan(&["tokens", "create", "--uses", "1", "--group", group]).trim().to_owned();
        self.add_machine(Some(join));
    }
    /// Starts another machine, which waits for a join code.
    pub fn add_waiting_agent(&mut self) {
        self.add_machine(None);
    }
    /// Prepares another machine without starting it. Returns its index.
    ///
    /// # Panics
    /// When the disk fails.
    pub fn place_machine(&mut self, join: Option<String>) -> usize {
        let label = format!("m{}", self.agents.len());
        let (data, root) = (self.path(&label).into(), self.path(&format!("{label}-root")).into());
        fs::create_dir_all(&root).expect("the folder is accessible");
        let (arguments, environment) = (Vec::new(), Vec::new());
        self.agents.push(Agent { label, data, root, arguments, environment, processor: None, join, service: None });
        self.agents.len() - 1
    }
    fn add_machine(&mut self, join: Option<String>) {
        let which = self.place_machine(join);
        self.start_agent(which);
    }
    /// Starts a machine's agent.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_agent(&mut self, which: usize) {
        let agent = &self.agents[which];
        let mut command = programs::agent();
        command.arg("--data").arg(&agent.data).arg("--install-root").arg(&agent.root);
        command.args(["--name", &agent.label]).args(&self.agent_arguments);
        if self.computers.is_none() {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if let Some(join) = &agent.join {
            command.args(["--join", join]);
        }
        command.args(&agent.arguments);
        if let Some(counters) = &agent.processor {
            command = SimulatedProcessor::command(counters, &command);
        }
        // The battery and network of the real computer must not affect the test's machines.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system-bus");
        command.envs(agent.environment.iter().cloned());
        let service = self.start_service(self.place(which + 1, command), &agent.label);
        self.agents[which].service = Some(service);
    }
    fn start_service(&self, command: Command, name: &str) -> Service {
        if self.has_full_logs { Service::start_without_log(command) } else { Service::start(command, &self.log(name)) }
    }
    /// Kills a machine's agent with `kill -9`.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill_agent(&mut self, which: usize) {
        self.agents[which].service.take().expect("the agent runs").kill();
    }
    /// Copies the disk of a stopped machine. Returns the index of the clone, which is stopped too.
    ///
    /// # Panics
    /// When the disk fails.
    pub fn clone_disk(&mut self, which: usize) -> usize {
        let clone = self.place_machine(self.agents[which].join.clone());
        copy(&self.agents[which].data, &self.agents[clone].data);
        clone
    }
    /// Gives a stopped machine an empty disk and another join code.
    ///
    /// # Panics
    /// When the disk fails.
    pub fn reinstall(&mut self, which: usize, join: String) {
        fs::remove_dir_all(&self.agents[which].data).expect("the folder can be emptied");
        self.agents[which].join = Some(join);
    }
    /// Returns the agent's service while it is running.
    #[must_use]
    pub fn service(&self, which: usize) -> Option<&Service> {
        self.agents[which].service.as_ref()
    }
    /// Publishes a release of about `bytes` bytes.
    pub fn publish(&self, name: &str, version: &str, bytes: usize, behaviour: Behaviour) {
        let release = self.write_package(name, version, bytes, behaviour);
        self.banyan(&["publish", &release, "--key", &self.path("keys")]);
    }
    /// Writes a release of about `bytes` bytes without publishing it. Returns the path of its description.
    ///
    /// # Panics
    /// When the disk fails.
    #[must_use]
    pub fn write_package(&self, name: &str, version: &str, bytes: usize, behaviour: Behaviour) -> String {
        let release = test_package::write(Path::new(&self.path("packages")), name, version, bytes, behaviour);
        release.to_str().expect("the path is valid UTF-8").to_owned()
    }
    /// Sets a policy for all machines or for a group.
    ///
    /// # Panics
    /// When the disk fails, or the server rejects it.
    pub fn set_policy(&self, text: &str, group: Option<&str>) {
        let path = self.path("policy.toml");
        fs::write(&path, text).expect("the file can be written");
        let group: Vec<&str> = group.into_iter().flat_map(|group| ["--group", group]).collect();
        self.banyan(&[&["policy", "set", path.as_str()][..], group.as_slice()].concat());
    }
    /// Starts a deployment. Returns its id.
    ///
    /// # Panics
    /// When the answer cannot be parsed.
    #[must_use]
    pub fn deploy(&self, release: &str, to: &str, stripes: u8) -> String {
        let text = self.banyan(&["deploy", release, "--to", to, "--stripes", &stripes.to_string(), "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&text).expect("deploy --json gives JSON");
        answer["id"].as_str().expect("deploy gives an id").to_owned()
    }
    /// Returns the status of a deployment.
    ///
    /// # Panics
    /// When the answer cannot be parsed.
    #[must_use]
    pub fn status(&self, deployment: &str) -> DeploymentStatus {
        serde_json::from_str(&self.banyan(&["status", deployment, "--json"])).expect("status --json gives JSON")
    }
    /// Returns the server's list of machines.
    ///
    /// # Panics
    /// When the answer cannot be parsed.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        serde_json::from_str(&self.banyan(&["machines", "--json"])).expect("machines --json gives JSON")
    }
    /// Waits until a deployment's status meets a condition. Returns that status.
    ///
    /// # Panics
    /// When the condition is not met in time.
    pub fn wait_for_status(
        &self,
        deployment: &str,
        what: &str,
        as_wanted: impl Fn(&DeploymentStatus) -> bool,
    ) -> DeploymentStatus {
        let mut last = self.status(deployment);
        let begun = Instant::now();
        while !as_wanted(&last) {
            assert!(begun.elapsed() < PATIENCE, "timed out waiting for: {what}\n{last:#?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
            last = self.status(deployment);
        }
        last
    }
    /// Waits until a condition is met.
    ///
    /// # Panics
    /// When it is not met in time.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "timed out waiting for: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    /// Runs the package's program on a machine and returns its output: the installed version.
    #[must_use]
    pub fn says(&self, which: usize, package: &str) -> Option<String> {
        let program = self.agents[which].root.join("opt/banyan/packages").join(package).join("current/bin/hello");
        let output = Command::new(program).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
    /// Returns an agent's status over its local socket.
    ///
    /// # Panics
    /// When it does not answer with its status.
    #[must_use]
    pub fn ask(&self, which: usize) -> local::Status {
        self.try_ask(which).expect("the agent listens")
    }
    /// Does the same; returns `None` when no agent listens there.
    ///
    /// # Panics
    /// On an unexpected answer.
    #[must_use]
    pub fn try_ask(&self, which: usize) -> Option<local::Status> {
        let stream = UnixStream::connect(self.agents[which].data.join("agent.sock")).ok()?;
        let hello = local::Request::Hello { version: local::LOCAL_VERSION };
        match say(stream, &[hello, local::Request::Status]).pop() {
            Some(local::Reply::Status(status)) => Some(status),
            other => panic!("{other:?}"),
        }
    }
    /// Sends these requests to an agent over its local socket. Returns its replies.
    ///
    /// # Panics
    /// When the agent does not listen, or sends anything but replies.
    #[must_use]
    pub fn say(&self, which: usize, requests: &[local::Request]) -> Vec<local::Reply> {
        let stream = UnixStream::connect(self.agents[which].data.join("agent.sock")).expect("the agent listens");
        say(stream, requests)
    }
    /// Sends a request that the agent must carry out.
    ///
    /// # Panics
    /// When it refuses.
    pub fn tell(&self, which: usize, request: &local::Request) {
        let hello = local::Request::Hello { version: local::LOCAL_VERSION };
        let replies = self.say(which, &[hello, request.clone()]);
        assert_eq!(replies.last(), Some(&local::Reply::Done), "{request:?}");
    }
    /// Returns an agent's snapshot for tray and window.
    ///
    /// # Panics
    /// When the agent does not send one.
    #[must_use]
    pub fn snapshot(&self, which: usize) -> local::Snapshot {
        let mut stream = UnixStream::connect(self.agents[which].data.join("agent.sock")).expect("the agent listens");
        let hello = local::Request::Hello { version: local::LOCAL_VERSION };
        for request in [hello, local::Request::Subscribe] {
            writeln!(stream, "{}", serde_json::to_string(&request).expect("the request can be serialised"))
                .expect("the agent accepts the request");
        }
        for line in BufReader::new(stream).lines() {
            let message = serde_json::from_str(&line.expect("the agent answers")).expect("the answer is valid JSON");
            if let local::Message::Event(local::Event::Snapshot(snapshot)) = message {
                return *snapshot;
            }
        }
        panic!("the agent sent no snapshot\n{}", self.logs())
    }
    /// Greets an agent and sends a request that it must carry out. Returns the open connection, which keeps requests in
    /// force that last only as long as their connection.
    ///
    /// # Panics
    /// When the agent refuses.
    #[must_use]
    pub fn keep_saying(&self, which: usize, request: &local::Request) -> UnixStream {
        let mut stream = UnixStream::connect(self.agents[which].data.join("agent.sock")).expect("the agent listens");
        for request in [&local::Request::Hello { version: local::LOCAL_VERSION }, request] {
            writeln!(stream, "{}", serde_json::to_string(request).expect("the request can be serialised"))
                .expect("the agent accepts the request");
        }
        let mut lines = BufReader::new(stream.try_clone().expect("the handle can be cloned")).lines().skip(1);
        let reply = lines.next().expect("the agent answers").expect("the agent answers");
        assert_eq!(serde_json::from_str::<local::Reply>(&reply).expect("the answer is valid JSON"), local::Reply::Done);
        stream
    }
    /// Returns an agent's whole log.
    #[must_use]
    pub fn log_of(&self, which: usize) -> String {
        fs::read_to_string(self.log(&self.agents[which].label)).unwrap_or_default()
    }
    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
    /// Returns the end of every log, for failure messages.
    #[must_use]
    pub fn logs(&self) -> String {
        let labels = self.agents.iter().map(|agent| agent.label.as_str());
        let tail = |name: &str| {
            let text = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        std::iter::once("server").chain(labels).map(tail).collect()
    }
}

fn say(mut stream: UnixStream, requests: &[local::Request]) -> Vec<local::Reply> {
    for request in requests {
        let line = serde_json::to_string(request).expect("the request can be serialised");
        writeln!(stream, "{line}").expect("the agent accepts the request");
    }
    stream.shutdown(std::net::Shutdown::Write).expect("the agent is still there");
    let lines = BufReader::new(stream).lines();
    lines
        .map(|line| serde_json::from_str(&line.expect("the agent answers")).expect("the answer is valid JSON"))
        .collect()
}

fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = Command::new("cp").arg("-a").arg(from.as_ref()).arg(to.as_ref()).status().expect("cp can be run");
    assert!(copied.success(), "cp could not copy the folder");
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
