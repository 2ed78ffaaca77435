//! A desktop of its own, for tests with real windows and for measuring them: screen, bus, window manager, panel. Everything
//! ends with the value. Whatever does not work here is a fault of the test's surroundings, so it panics and says which.

use crate::programs;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use zbus::{
    blocking::{Connection, Proxy, connection::Builder, proxy},
    proxy::CacheProperties,
};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array"><value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/><value type="int" value="2"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="tasklist"/>
    <property name="plugin-2" type="string" value="systray"/>
  </property>
</channel>"#;

/// The desktop.
pub struct Stage {
    children: Vec<Child>,
    folder: TempDir,
    display: String,
    address: String,
    user: Option<u32>,
}

impl Stage {
    /// A screen, a bus and a window manager; no panel.
    pub fn bare() -> Self {
        Self::begin(None)
    }
    /// Everything runs as this user, who may do nothing but what everybody may. Our programs are in `programs`, since that
    /// user may not look into the folder that they were built in. Takes root.
    pub fn of_user(user: u32) -> Self {
        let stage = Self::begin(Some(user));
        let folder = stage.path("programs");
        fs::create_dir(&folder).expect("a folder");
        for name in ["banyan-tray", "banyan-window", "banyan-agent", "banyan-installer"] {
            fs::copy(programs::folder().join(name), folder.join(name)).expect("the programs are built");
        }
        stage
    }
    fn begin(user: Option<u32>) -> Self {
        let folder = TempDir::with_prefix("banyan-desktop-").expect("a temporary folder");
        let runtime = folder.path().join("run");
        fs::create_dir(&runtime).expect("a folder");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let mut stage = Self { children: vec![], folder, display: String::new(), address: String::new(), user };
        if user.is_some() {
            for path in [stage.folder.path(), &runtime] {
                chown(path, user, user).expect("only root can be somebody else");
            }
        }
        let screen = ["-displayfd", "1", "-screen", "0", "1920x1400x24", "-nolisten", "tcp", "-noreset"];
        stage.display = format!(":{}", stage.start_and_hear("Xvfb", &screen));
        let bus = ["--session", "--nofork", "--nopidfile", "--print-address=1"];
        stage.address = stage.start_and_hear("dbus-daemon", &bus);
        stage.start("openbox", &[]);
        stage
    }
    /// With a panel that shows tray icons.
    pub fn with_panel() -> Self {
        let mut stage = Self::bare();
        stage.start_panel();
        stage
    }
    /// Starts that panel.
    pub fn start_panel(&mut self) {
        let config = self.folder.path().join(".config/xfce4/xfconf/xfce-perchannel-xml");
        fs::create_dir_all(&config).expect("a folder");
        fs::write(config.join("xfce4-panel.xml"), PANEL).expect("its configuration");
        self.start("xfce4-panel", &["--disable-wm-check"]);
    }
    /// The stage's folder: home of its programs, data folder of its agent.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    /// A path in the stage's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// The screen's name.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }
    /// Where the session's bus is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
    /// The session's bus.
    pub fn bus(&self) -> Connection {
        Builder::address(self.address.as_str()).and_then(Builder::build).expect("the bus answers")
    }
    /// Any program, to be run on this desktop.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let home = self.folder.path();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home).env("XDG_CONFIG_HOME", home.join(".config")).env("XDG_RUNTIME_DIR", home.join("run"));
        command.env("DISPLAY", &self.display).env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command.env("LIBGL_ALWAYS_SOFTWARE", "1").env("GTK_THEME", "Adwaita").env("LANG", "C.UTF-8");
        command.current_dir(home).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
    /// A program of ours, to be run on this desktop.
    pub fn ours(&self, name: &str) -> Command {
        let mut command = self.command(programs::folder().join(name));
        command.arg("--socket").arg(self.path("agent.sock"));
        command
    }
    /// Starts it; it ends with the stage. Gives its process id.
    pub fn keep(&mut self, command: &mut Command) -> u32 {
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let id = child.id();
        self.children.push(child);
        id
    }
    /// The standard input of a kept program that was started with a pipe there.
    pub fn stdin(&mut self, id: u32) -> std::process::ChildStdin {
        let child = self.children.iter_mut().find(|child| child.id() == id).expect("it was kept");
        child.stdin.take().expect("it has a pipe")
    }
    /// Whether a kept program still runs.
    pub fn runs(&mut self, id: u32) -> bool {
        let child = self.children.iter_mut().find(|child| child.id() == id).expect("it was kept");
        child.try_wait().expect("the system knows its children").is_none()
    }
    /// Ends a kept program.
    pub fn close(&mut self, id: u32) {
        let at = self.children.iter().position(|child| child.id() == id).expect("it was kept");
        let mut child = self.children.remove(at);
        drop(child.kill());
        drop(child.wait());
    }
    /// Whether no window has this title.
    pub fn no_window(&self, title: &str) -> bool {
        let title = format!("^{title}$");
        let mut command = self.command("xdotool");
        command.args(["search", "--onlyvisible", "--name", &title]).stdout(Stdio::null()).stderr(Stdio::null());
        !command.status().expect("xdotool runs").success()
    }
    fn start(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.path(&format!("{program}.log"))).expect("a log");
        let mut command = self.command(program);
        self.keep(command.args(arguments).stdout(Stdio::null()).stderr(log));
    }
    fn start_and_hear(&mut self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("starting {program}: {error}; `cargo xtask test --install` installs what windows are tested with")
        });
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        self.children.push(child);
        BufReader::new(out).read_line(&mut line).expect("it says where it is");
        line.trim().to_owned()
    }
    /// The id of the window with this title.
    pub fn window(&self, title: &str) -> String {
        let title = format!("^{title}$");
        let found = || {
            let mut command = self.command("xdotool");
            let output = command.args(["search", "--onlyvisible", "--name", &title]).output().expect("xdotool runs");
            String::from_utf8_lossy(&output.stdout).lines().next().map(ToOwned::to_owned)
        };
        wait_for("a window of that title", found)
    }
    /// Photographs a window, or the whole screen (`root`).
    pub fn photograph(&self, window: &str, path: &Path) {
        // Out of the way: what is below the pointer looks different.
        self.run("xdotool", &["mousemove", "0", "0"]);
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        let mut command = self.command("import");
        // The same pixels give the same file, and a small one.
        command.args(["-window", window, "+repage", "-strip", "-define", "png:exclude-chunks=date,time"]);
        command.args(["-define", "png:compression-level=9"]).arg(path);
        assert!(command.status().expect("import runs").success(), "{} was not photographed", path.display());
    }
    /// Runs a program of the desktop to its end and gives what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("starting {program}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
    /// How many colours a picture has: a window that did not draw has one or two.
    pub fn colours(&self, picture: &Path) -> usize {
        let path = picture.to_str().expect("a plain path");
        self.run("identify", &["-format", "%k", path]).parse().expect("a number")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Faces before the screen they are on.
        for child in self.children.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits until it is there, and gives it.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Something on a bus; its properties are asked for each time.
pub fn proxy(bus: &Connection, name: &str, path: &str, interface: &'static str) -> zbus::Result<Proxy<'static>> {
    proxy::Builder::new(bus)
        .destination(name.to_owned())?
        .path(path.to_owned())?
        .interface(interface)?
        .cache_properties(CacheProperties::No)
        .build()
}
