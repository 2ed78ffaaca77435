//! Thousands of simulated machines in one process: each has its own certificate, address and connection, checks in and
//! reports like an agent, and installs nothing.

use crate::enrolment::read_answer;
use banyan_proto::{
    ALPN_HTTP, MachineId, OrderId, UnixSeconds,
    api::{CheckIn, CheckInReply, EnrolRequest, Event, Report, Reports},
    format,
    join::JoinCode,
};
use banyan_wire::tls::{SERVER_NAME, pinned_client};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How many machines enrol at once.
const ENROL_AT_ONCE: usize = 16;
/// How long a long poll may take (seconds), as with agents.
const LONG_POLL: u32 = 300;

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// One connection to the server's API, for many requests.
pub struct ApiSession {
    stream: BufReader<TlsStream<TcpStream>>,
    token: Option<String>,
}

impl ApiSession {
    /// Connects from this address.
    ///
    /// # Errors
    /// When the server is not reachable or refuses.
    pub async fn open(server: SocketAddr, from: Ipv4Addr, tls: Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(invalid)?;
        Ok(Self { stream: BufReader::new(TlsConnector::from(tls).connect(name, stream).await?), token: None })
    }
    /// Shows this administrator's token with each request.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }
    /// Sends a request and returns the answer's status and body.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> io::Result<(u16, Vec<u8>)> {
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\ncontent-type: application/json\r\n{token}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|status| status.parse().ok()).unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(invalid)?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((status, body))
    }
}

/// One machine.
struct SimulatedMachine {
    id: MachineId,
    label: String,
    address: Ipv4Addr,
    tls: Arc<ClientConfig>,
    /// The number of the machine's last report.
    reports: AtomicU64,
}

/// How far all machines are, counted since the last [`SimulatedFleet::start_counting`].
#[derive(Default)]
struct Counts {
    /// How often counting began.
    round: AtomicUsize,
    checked_in: AtomicUsize,
    told: AtomicUsize,
    reported: AtomicUsize,
    failures: AtomicUsize,
    slowest_check_in: Mutex<Duration>,
}

impl Counts {
    fn record_check_in(&self, took: Duration) {
        self.checked_in.fetch_add(1, Ordering::SeqCst);
        let mut slowest = self.slowest_check_in.lock().unwrap_or_else(PoisonError::into_inner);
        *slowest = (*slowest).max(took);
    }
}

/// What the machines have done since counting began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetProgress {
    /// Machines whose first check-in over a new connection was answered.
    pub checked_in: usize,
    /// Machines that were told of an order.
    pub told: usize,
    /// Machines that have delivered all their reports of an order.
    pub reported: usize,
    /// Connections and requests that failed.
    pub failures: usize,
    /// The longest time from the beginning of a connection to the answer of its first check-in.
    pub slowest_check_in: Duration,
}

/// The machines.
pub struct SimulatedFleet {
    server: SocketAddr,
    machines: Vec<Arc<SimulatedMachine>>,
    counts: Arc<Counts>,
    running: JoinSet<()>,
    /// Whether machines may connect.
    is_on: watch::Sender<bool>,
}

impl SimulatedFleet {
    /// Enrols this many machines.
    ///
    /// # Errors
    /// When the server refuses one of them.
    pub async fn enrol(code: &JoinCode, count: usize) -> io::Result<Self> {
        Self::enrol_on(code, count, "linux-x86_64").await
    }
    /// Does the same with machines that claim this platform.
    ///
    /// # Errors
    /// When the server refuses one of them.
    pub async fn enrol_on(code: &JoinCode, count: usize, platform: &str) -> io::Result<Self> {
        let server = code.servers[0].as_socket().ok_or_else(|| invalid("the server has no IP address"))?;
        let next = Arc::new(AtomicUsize::new(0));
        let mut enrolling = JoinSet::new();
        for _ in 0..ENROL_AT_ONCE {
            let (code, next, platform) = (code.clone(), Arc::clone(&next), platform.to_owned());
            enrolling.spawn(async move {
                let tls = Arc::new(pinned_client(code.ca, &[ALPN_HTTP]).map_err(invalid)?);
                let mut session = ApiSession::open(server, Ipv4Addr::LOCALHOST, tls).await?;
                let mut machines = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return io::Result::Ok(machines);
                    }
                    machines.push(SimulatedMachine::enrol(&mut session, &code, number, &platform).await?);
                }
            });
        }
        let mut machines = Vec::new();
        while let Some(done) = enrolling.join_next().await {
            machines.extend(done.map_err(invalid)??.into_iter().map(Arc::new));
        }
        let is_on = watch::Sender::new(false);
        Ok(Self { server, machines, counts: Arc::default(), running: JoinSet::new(), is_on })
    }
    /// Switches all machines on at once. Each connects, checks in, and stays connected.
    pub fn switch_on(&mut self) {
        for machine in &self.machines {
            let (machine, counts, server) = (Arc::clone(machine), Arc::clone(&self.counts), self.server);
            let mut is_on = self.is_on.subscribe();
            self.running.spawn(async move {
                drop(is_on.wait_for(|is_on| *is_on).await);
                machine.live(server, &counts).await;
            });
        }
        self.is_on.send_replace(true);
    }
    /// Switches all machines off at once.
    pub async fn switch_off(&mut self) {
        self.running.shutdown().await;
        self.is_on.send_replace(false);
    }
    /// Begins to count anew. From now on the machines report another version of their agent, as after an update, so the
    /// server has something to store.
    pub fn start_counting(&self) {
        self.counts.round.fetch_add(1, Ordering::SeqCst);
        for count in [&self.counts.checked_in, &self.counts.told, &self.counts.reported, &self.counts.failures] {
            count.store(0, Ordering::SeqCst);
        }
        *self.counts.slowest_check_in.lock().unwrap_or_else(PoisonError::into_inner) = Duration::ZERO;
    }
    /// Returns what the machines have done since.
    #[must_use]
    pub fn progress(&self) -> FleetProgress {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        FleetProgress {
            checked_in: load(&self.counts.checked_in),
            told: load(&self.counts.told),
            reported: load(&self.counts.reported),
            failures: load(&self.counts.failures),
            slowest_check_in: *self.counts.slowest_check_in.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl SimulatedMachine {
    async fn enrol(session: &mut ApiSession, code: &JoinCode, number: usize, platform: &str) -> io::Result<Self> {
        let key = rcgen::KeyPair::generate().map_err(invalid)?;
        let label = format!("machine-{number}");
        let request = EnrolRequest {
            secret: data_encoding::HEXLOWER.encode(&code.secret),
            csr: crate::evil_agent::certificate_request(&key),
            label: label.clone(),
            platform: platform.into(),
            addresses: vec![],
            software: "simulated".into(),
        };
        let answer = session.request("POST", "/v1/enrol", &format::write(&request)).await?;
        let (reply, credentials) = read_answer(answer, &key)?;
        let tls = credentials.connector(None, &[ALPN_HTTP]).map_err(invalid)?;
        let [_, _, high, low] = u32::try_from(number + 1).unwrap_or(u32::MAX).to_be_bytes();
        let address = Ipv4Addr::new(127, 1, high, low);
        Ok(Self { id: reply.machine, label, address, tls, reports: AtomicU64::new(0) })
    }
    async fn live(&self, server: SocketAddr, counts: &Counts) {
        loop {
            if self.converse(server, counts).await.is_err() {
                counts.failures.fetch_add(1, Ordering::SeqCst);
                // Not all at the same moment again.
                sleep(Duration::from_millis(500 + u64::from(self.id.0[0]) * 4)).await;
            }
        }
    }
    async fn converse(&self, server: SocketAddr, counts: &Counts) -> io::Result<()> {
        let begun = Instant::now();
        let mut session = ApiSession::open(server, self.address, Arc::clone(&self.tls)).await?;
        let software = format!("simulated {}", counts.round.load(Ordering::SeqCst));
        let mut reply = self.check_in(&mut session, &software, 0, vec![], 0).await?;
        counts.record_check_in(begun.elapsed());
        let mut known: Vec<OrderId> = Vec::new();
        loop {
            for expected in reply.orders.iter().filter(|expected| !known.contains(&expected.order)) {
                counts.told.fetch_add(1, Ordering::SeqCst);
                self.report(&mut session, expected.order).await?;
                counts.reported.fetch_add(1, Ordering::SeqCst);
            }
            known = reply.orders.iter().map(|expected| expected.order).chain(known).collect();
            known.truncate(4);
            reply = self.check_in(&mut session, &software, reply.number, known.clone(), LONG_POLL).await?;
        }
    }
    async fn check_in(
        &self,
        session: &mut ApiSession,
        software: &str,
        last: u64,
        known: Vec<OrderId>,
        wait_seconds: u32,
    ) -> io::Result<CheckInReply> {
        let body = format::write(&CheckIn {
            boot: 1,
            last,
            label: self.label.clone(),
            addresses: vec![],
            software: software.into(),
            crl_number: u64::MAX,
            epoch: 0,
            known,
            wait_seconds,
            publishers: None,
            policy: None,
            clock: Some(UnixSeconds::now()),
            server_addresses: None,
            site_budget: None,
            stop_number: None,
        });
        let (status, body) = session.request("POST", "/v1/check-in", &body).await?;
        if status != 200 {
            return Err(invalid(String::from_utf8_lossy(&body)));
        }
        Ok(serde_json::from_slice(&body)?)
    }
    /// Delivers the reports of an installation that succeeds, each when it happens.
    async fn report(&self, session: &mut ApiSession, order: OrderId) -> io::Result<()> {
        let sender = self.id;
        let installed = Event::Installed { already: false, milliseconds: 900, remark: None };
        for event in [Event::Offered { stripe: 0, sender }, Event::Progress { held: 1, of: 1 }, installed] {
            let number = self.reports.fetch_add(1, Ordering::SeqCst) + 1;
            let report = Report { number, at: UnixSeconds::now(), order: Some(order), event };
            let body = format::write(&Reports { reports: vec![report] });
            let (status, body) = session.request("POST", "/v1/reports", &body).await?;
            if !(200..300).contains(&status) {
                return Err(invalid(String::from_utf8_lossy(&body)));
            }
        }
        Ok(())
    }
}
