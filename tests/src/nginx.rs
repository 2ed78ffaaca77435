//! nginx and curl with TLS 1.3, which transfers are compared with.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx: one process, which ends when this value is dropped.
pub struct Nginx {
    process: Child,
    address: SocketAddr,
    certificate: PathBuf,
}

impl Nginx {
    /// Starts nginx on loopback. It serves the files in `root`, and keeps its own in `folder`.
    ///
    /// # Panics
    /// When nginx or openssl are not installed, or nginx does not start.
    #[must_use]
    pub fn start(folder: &Path, root: &Path) -> Self {
        let (key, certificate) = (folder.join("nginx.key"), folder.join("nginx.crt"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        let output = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output();
        assert!(output.expect("openssl is installed").status.success(), "openssl made no certificate");
        let address = unused_address();
        let configuration = folder.join("nginx.conf");
        let text = format!(
            "master_process off;\ndaemon off;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n\
             \taccess_log off;\n\tsendfile on;\n\ttcp_nopush on;\n\troot {root};\n\
             \tclient_body_temp_path {folder}/t1;\n\tproxy_temp_path {folder}/t2;\n\tfastcgi_temp_path {folder}/t3;\n\
             \tuwsgi_temp_path {folder}/t4;\n\tscgi_temp_path {folder}/t5;\n\
             \tserver {{\n\t\tlisten {address} ssl;\n\t\tssl_protocols TLSv1.3;\n\
             \t\tssl_certificate {certificate};\n\t\tssl_certificate_key {key};\n\t}}\n}}\n",
            folder = folder.display(),
            root = root.display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        fs::write(&configuration, text).expect("the file can be written");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).arg("-p").arg(folder).args(["-e", "stderr"]);
        // Debian has nginx in a folder that only root has in its path.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let process = command.stdin(Stdio::null()).spawn().expect("nginx is installed");
        let mut nginx = Self { process, address, certificate };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = nginx.process.try_wait().expect("the process status is available");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "nginx does not listen at {address}: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }
    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
    /// Returns a curl that stores a file from here.
    #[must_use]
    pub fn curl(&self, file: &str, to: &Path) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--tlsv1.3", "--cacert"]);
        command.arg(&self.certificate).arg("--output").arg(to).arg(format!("https://{}/{file}", self.address));
        command
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Returns an address of loopback at which nobody listens. The system does not give it out again soon.
fn unused_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("the listener has an address")
}
