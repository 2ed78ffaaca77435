//! A separate desktop for tests with real windows and for measuring them: screen, bus, window manager, panel. All of it
//! ends when the value is dropped. A failure here is a fault of the test environment, so it panics with the cause.

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

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

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

/// How programs prove to a screen that they belong to it.
pub const COOKIE_NAME: &str = "MIT-MAGIC-COOKIE-1";

/// The services that the bus starts on demand: the settings of the panel, and assistive technologies.
const ACTIVATED: [&str; 2] = ["org.xfce.Xfconf.service", "org.a11y.Bus.service"];

/// The notification service of the panel's desktop.
const NOTIFICATIONS: &str = "org.xfce.xfce4-notifyd.Notifications.service";

/// The configuration of the session bus.
const BUS: &str = r#"<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <servicedir>SERVICES</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

/// The desktop.
pub struct TestDesktop {
    children: Vec<Child>,
    folder: TempDir,
    display: String,
    /// The secret that the screen asks for.
    cookie: [u8; 16],
    address: String,
    user: Option<u32>,
}

impl TestDesktop {
    /// Creates a desktop with a screen, a bus and a window manager, but no panel.
    pub fn without_panel() -> Self {
        Self::begin(None, &ACTIVATED)
    }
    /// Creates a desktop on which everything runs as this user, without special rights. Our programs are copied to
    /// `programs`, because that user may not read the build folder. Requires root.
    pub fn for_user(user: u32) -> Self {
        let desktop = Self::begin(Some(user), &ACTIVATED);
        let folder = desktop.path("programs");
        fs::create_dir(&folder).expect("the folder is accessible");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder's mode can be set");
        for name in ["banyan-tray", "banyan-window", "banyan-agent", "banyan-install-helper"] {
            fs::copy(programs::folder().join(name), folder.join(name)).expect("the programs are built");
        }
        desktop
    }
    fn begin(user: Option<u32>, services: &[&str]) -> Self {
        let folder = TempDir::with_prefix("banyan-desktop-").expect("a temporary folder can be created");
        let runtime = folder.path().join("run");
        fs::create_dir(&runtime).expect("the folder is accessible");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("the folder's mode can be set");
        let cookie =
            std::array::from_fn(|at| blake3::hash(folder.path().as_os_str().as_encoded_bytes()).as_bytes()[at]);
        let mut desktop =
            Self { children: vec![], folder, display: String::new(), cookie, address: String::new(), user };
        let authority = desktop.write_authority();
        if user.is_some() {
            for path in [desktop.folder.path(), &runtime, &authority] {
                chown(path, user, user).expect("the test runs as root");
            }
        }
        let authority = authority.to_str().expect("the path is valid UTF-8");
        let screen =
            ["-displayfd", "1", "-auth", authority, "-screen", "0", "1920x1400x24", "-nolisten", "tcp", "-noreset"];
        desktop.display = format!(":{}", desktop.start_and_read_line("Xvfb", &screen));
        let configuration = desktop.write_bus_configuration(services);
        let bus = ["--config-file", &configuration, "--nofork", "--nopidfile", "--print-address=1"];
        desktop.address = desktop.start_and_read_line("dbus-daemon", &bus);
        desktop.start_and_read_line("openbox", &["--startup", "echo started"]);
        desktop
    }
    /// Writes the file with the screen's secret: a screen of another test may get the number of one that was closed, and
    /// must not take its programs. Returns its path.
    fn write_authority(&self) -> PathBuf {
        const ANY_ADDRESS: [u8; 2] = [0xff, 0xff];
        let mut entry = ANY_ADDRESS.to_vec();
        for part in [b"".as_slice(), b"", COOKIE_NAME.as_bytes(), &self.cookie] {
            entry.extend(u16::try_from(part.len()).expect("a short text").to_be_bytes());
            entry.extend(part);
        }
        let path = self.path(".Xauthority");
        fs::write(&path, entry).expect("the file can be written");
        path
    }
    /// Writes the configuration of a session bus that starts only what the tests need, whatever else is installed: a
    /// notification service of the system would take the name of the test's own. Returns its path.
    fn write_bus_configuration(&self, activated: &[&str]) -> String {
        let (services, configuration) = (self.path("services"), self.path("bus.conf"));
        fs::create_dir(&services).expect("the folder is accessible");
        for service in activated {
            let installed = Path::new("/usr/share/dbus-1/services").join(service);
            if installed.exists() {
                fs::copy(&installed, services.join(service)).expect("the file is readable");
            }
        }
        let text = BUS
            .replace("SOCKET", self.path("run/bus").to_str().expect("the path is valid UTF-8"))
            .replace("SERVICES", services.to_str().expect("the path is valid UTF-8"));
        fs::write(&configuration, text).expect("the configuration can be written");
        if self.user.is_some() {
            let copied = activated.iter().map(|service| services.join(service)).filter(|file| file.exists());
            for path in copied.chain([services.clone(), configuration.clone()]) {
                chown(path, self.user, self.user).expect("the test runs as root");
            }
        }
        configuration.to_str().expect("the path is valid UTF-8").to_owned()
    }
    /// Creates a desktop with a panel that shows tray icons.
    pub fn with_panel() -> Self {
        let mut desktop = Self::without_panel();
        desktop.start_panel();
        desktop
    }
    /// Creates a desktop with that panel and its notification service.
    pub fn with_panel_and_notifications() -> Self {
        let mut desktop = Self::begin(None, &[ACTIVATED.as_slice(), &[NOTIFICATIONS]].concat());
        desktop.start_panel();
        desktop
    }
    /// Starts that panel.
    pub fn start_panel(&mut self) {
        let config = self.folder.path().join(".config/xfce4/xfconf/xfce-perchannel-xml");
        fs::create_dir_all(&config).expect("the folder is accessible");
        fs::write(config.join("xfce4-panel.xml"), PANEL).expect("the configuration can be written");
        self.start("xfce4-panel", &["--disable-wm-check"]);
    }
    /// Returns the desktop's folder: home of its programs, data folder of its agent.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    /// Returns a path in the desktop's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Returns the screen's name.
    #[must_use]
    pub fn display(&self) -> &str {
        &self.display
    }
    /// Returns the secret that the screen asks for, of the kind [`COOKIE_NAME`].
    #[must_use]
    pub fn cookie(&self) -> &[u8] {
        &self.cookie
    }
    /// Returns the address of the session bus.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
    /// Connects to the session bus.
    pub fn bus(&self) -> Connection {
        Builder::address(self.address.as_str()).and_then(Builder::build).expect("the bus answers")
    }
    /// Returns a command for any program on this desktop.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let home = self.folder.path();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Whatever stores the settings of installed desktops is not started.
        command.env("GSETTINGS_BACKEND", "memory");
        // Times are compared with those of the test itself.
        command.envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)));
        command.env("HOME", home).env("XDG_CONFIG_HOME", home.join(".config")).env("XDG_RUNTIME_DIR", home.join("run"));
        command.env("DISPLAY", &self.display).env("XAUTHORITY", home.join(".Xauthority"));
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command.env("LIBGL_ALWAYS_SOFTWARE", "1").env("GTK_THEME", "Adwaita").env("LANG", "C.UTF-8");
        command.current_dir(home).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
    /// Returns a command for one of our programs on this desktop.
    pub fn ours(&self, name: &str) -> Command {
        let mut command = self.command(programs::folder().join(name));
        command.arg("--socket").arg(self.path("agent.sock"));
        command
    }
    /// Starts a program that ends with the desktop. Returns its process id.
    pub fn keep(&mut self, command: &mut Command) -> u32 {
        let child = command.spawn().unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let id = child.id();
        self.children.push(child);
        id
    }
    /// Takes the standard input of a program started with [`TestDesktop::keep`] and a pipe.
    pub fn stdin(&mut self, id: u32) -> std::process::ChildStdin {
        let child =
            self.children.iter_mut().find(|child| child.id() == id).expect("the program was started with `keep`");
        child.stdin.take().expect("standard input is a pipe")
    }
    /// Whether a program started with [`TestDesktop::keep`] is still running.
    pub fn runs(&mut self, id: u32) -> bool {
        let child =
            self.children.iter_mut().find(|child| child.id() == id).expect("the program was started with `keep`");
        child.try_wait().expect("the process status is available").is_none()
    }
    /// Ends a program started with [`TestDesktop::keep`].
    pub fn close(&mut self, id: u32) {
        let at = self.children.iter().position(|child| child.id() == id).expect("the program was started with `keep`");
        let mut child = self.children.remove(at);
        drop(child.kill());
        drop(child.wait());
    }
    /// Ends the screen, as at the end of a session.
    pub fn close_screen(&mut self) {
        let screen = &mut self.children[0];
        drop(screen.kill());
        drop(screen.wait());
    }
    /// Ends the message bus.
    pub fn close_bus(&mut self) {
        let bus = &mut self.children[1];
        drop(bus.kill());
        drop(bus.wait());
    }
    /// Waits until a program started with [`TestDesktop::keep`] has ended, and returns how.
    pub fn end_of(&mut self, id: u32) -> std::process::ExitStatus {
        let child =
            self.children.iter_mut().find(|child| child.id() == id).expect("the program was started with `keep`");
        wait_for("the program ends", || child.try_wait().expect("the process status is available"))
    }
    /// Whether a window has this title.
    pub fn is_window_open(&self, title: &str) -> bool {
        !self.no_window(title)
    }
    /// Whether no window has this title.
    pub fn no_window(&self, title: &str) -> bool {
        let title = format!("^{title}$");
        let mut command = self.command("xdotool");
        command.args(["search", "--onlyvisible", "--name", &title]).stdout(Stdio::null()).stderr(Stdio::null());
        !command.status().expect("xdotool runs").success()
    }
    fn start(&mut self, program: &str, arguments: &[&str]) {
        let log = fs::File::create(self.path(&format!("{program}.log"))).expect("the log can be created");
        let mut command = self.command(program);
        self.keep(command.args(arguments).stdout(Stdio::null()).stderr(log));
    }
    fn start_and_read_line(&mut self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("could not start {program}: {error}; run `cargo xtask test --install` to install the test tools")
        });
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output is a pipe");
        self.children.push(child);
        BufReader::new(out).read_line(&mut line).expect("the program prints its address");
        line.trim().to_owned()
    }
    /// Waits for the window with this title and returns its id.
    pub fn window(&self, title: &str) -> String {
        let title = format!("^{title}$");
        let found = || {
            let mut command = self.command("xdotool");
            let output = command.args(["search", "--onlyvisible", "--name", &title]).output().expect("xdotool runs");
            String::from_utf8_lossy(&output.stdout).lines().next().map(ToOwned::to_owned)
        };
        found_in_time(found).unwrap_or_else(|| panic!("no window has the title {title}; {}", self.ended()))
    }
    /// Says which of the programs on the desktop have ended.
    fn ended(&self) -> String {
        let state = |id: u32| fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let ended = self.children.iter().map(|child| state(child.id())).filter(|stat| stat.contains(") Z "));
        let names: Vec<String> = ended.filter_map(|stat| Some(stat.split_once(") Z ")?.0.to_owned())).collect();
        if names.is_empty() { "all programs run".into() } else { format!("these have ended: {}", names.join("), ")) }
    }
    /// Takes a screenshot of a window, or of the whole screen (`root`).
    pub fn take_screenshot(&self, window: &str, path: &Path) {
        // Moves the pointer away, because it changes how elements below it look.
        self.run("xdotool", &["mousemove", "0", "0"]);
        fs::create_dir_all(path.parent().expect("a file in a folder")).expect("the folder is accessible");
        // Tests of another run may write and read the same picture.
        let own = path.with_extension(format!("{}.png", std::process::id()));
        let mut command = self.command("import");
        // Strips metadata, so that the same pixels give the same small file.
        command.args(["-window", window, "+repage", "-strip", "-define", "png:exclude-chunks=date,time"]);
        command.args(["-define", "png:compression-level=9"]).arg(&own);
        assert!(command.status().expect("import runs").success(), "no screenshot of {} was taken", path.display());
        fs::rename(&own, path).expect("the folder is accessible");
    }
    /// Runs a program on the desktop to its end and returns its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("could not start {program}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
    /// Counts the colours of a picture: a window that did not draw has one or two.
    pub fn colours(&self, picture: &Path) -> usize {
        let path = picture.to_str().expect("the path is valid UTF-8");
        self.run("identify", &["-format", "%k", path]).parse().expect("a number")
    }
}

impl Drop for TestDesktop {
    fn drop(&mut self) {
        // Ends clients before the screen they use.
        for child in self.children.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits until `look` returns a value, and returns it.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    found_in_time(look).unwrap_or_else(|| panic!("timed out waiting for: {what}"))
}

fn found_in_time<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// Returns a proxy for an object on a bus; its properties are read anew each time.
pub fn proxy(bus: &Connection, name: &str, path: &str, interface: &'static str) -> zbus::Result<Proxy<'static>> {
    proxy::Builder::new(bus)
        .destination(name.to_owned())?
        .path(path.to_owned())?
        .interface(interface)?
        .cache_properties(CacheProperties::No)
        .build()
}
