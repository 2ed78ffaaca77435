//! The connection to the agent: handshake, subscription, the newest snapshot, requests, and reconnecting without end.
//!
//! One thread blocks in a read, without an async runtime, so an idle tray uses no processor time.

use crate::{
    agent_connection::{connect, invalid, read_message, version_mismatch, write_request},
    texts::status::service_error,
};
use banyan_proto::local::{Event, LOCAL_VERSION, Message, Reply, Request, Right, Snapshot};
use interprocess::local_socket::Stream;
use std::{
    io::{self, BufReader},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The latest data from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentView {
    /// The newest snapshot; none while the agent cannot be reached.
    pub snapshot: Option<Snapshot>,
    /// The rights of this person.
    pub rights: Vec<Right>,
    /// Why the last connection attempt failed, in words for people; none while the agent can be reached.
    pub connection_error: Option<String>,
    /// The answer to the last request, when it was refused.
    pub refusal: Option<String>,
}

impl AgentView {
    /// Returns whether this person has a right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// Waits between connection attempts; the last one repeats.
const RETRY_DELAYS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// The connection to the agent. It lasts as long as the program and reconnects on its own.
#[derive(Clone)]
pub struct AgentClient {
    shared: Arc<ClientState>,
}

struct ClientState {
    socket: PathBuf,
    view: Mutex<AgentView>,
    stream: Mutex<Option<Arc<Stream>>>,
    /// What this program reports to the agent; see [`AgentClient::set_report`].
    report: Mutex<Option<Request>>,
    changed: Box<dyn Fn() + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AgentClient {
    /// Connects to the agent at this socket on a thread of its own. That thread calls `changed` after every change of the
    /// view.
    #[must_use]
    pub fn start(socket: PathBuf, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(ClientState {
            socket,
            view: Mutex::default(),
            stream: Mutex::new(None),
            report: Mutex::new(None),
            changed: Box::new(changed),
        });
        let connection = Arc::clone(&shared);
        thread::spawn(move || connection.stay_connected());
        Self { shared }
    }
    /// Returns the latest data.
    #[must_use]
    pub fn view(&self) -> AgentView {
        lock(&self.shared.view).clone()
    }
    /// Sends a request. Its effect appears in the view. While the agent cannot be reached, the request is dropped and the
    /// view shows why.
    pub fn send(&self, request: &Request) {
        lock(&self.shared.view).refusal = None;
        if let Some(stream) = lock(&self.shared.stream).as_deref() {
            // The reading thread notices a broken connection and reports it.
            drop(write_request(stream, request));
        }
    }
    /// Sends a report that lasts only as long as the connection: now, and again after every reconnect, until another
    /// report replaces it. Nothing is sent when this person lacks the right to report.
    pub fn set_report(&self, request: Request) {
        *lock(&self.shared.report) = Some(request);
        if let Some(stream) = lock(&self.shared.stream).as_deref() {
            // The reading thread notices a broken connection; the next connection sends the report first.
            drop(self.shared.send_report(stream));
        }
    }
}

impl ClientState {
    fn send_report(&self, stream: &Stream) -> io::Result<()> {
        let report = lock(&self.report);
        let rights = lock(&self.view).rights.clone();
        let may = |request: &&Request| request.needs().is_none_or(|right| rights.contains(&right));
        report.as_ref().filter(may).map_or(Ok(()), |request| write_request(stream, request))
    }
    fn stay_connected(&self) -> ! {
        let mut failures = 0;
        loop {
            let mut greeted = false;
            let result = self.run_connection(&mut greeted);
            *lock(&self.stream) = None;
            let connection_error =
                result.err().map_or_else(|| "it was stopped".to_owned(), |error| service_error(&error));
            *lock(&self.view) = AgentView { connection_error: Some(connection_error), ..AgentView::default() };
            (self.changed)();
            failures = if greeted { 0 } else { (failures + 1).min(RETRY_DELAYS.len() - 1) };
            thread::sleep(RETRY_DELAYS[failures]);
        }
    }

    /// Runs one connection from the handshake to its end.
    fn run_connection(&self, greeted: &mut bool) -> io::Result<()> {
        let stream = Arc::new(connect(&self.socket)?);
        let mut from = BufReader::new(&*stream);
        write_request(&stream, &Request::Hello { version: LOCAL_VERSION })?;
        match read_message(&mut from)? {
            Some(Message::Reply(Reply::Hello { version, software, .. })) if version != LOCAL_VERSION => {
                return Err(version_mismatch(&software, version));
            }
            Some(Message::Reply(Reply::Hello { rights, .. })) => lock(&self.view).rights = rights,
            Some(Message::Reply(Reply::Error(error))) => return Err(io::Error::other(error.to_string())),
            other => return Err(invalid(format!("unexpected greeting from the service: {other:?}"))),
        }
        write_request(&stream, &Request::Subscribe)?;
        *lock(&self.stream) = Some(Arc::clone(&stream));
        *greeted = true;
        self.send_report(&stream)?;
        while let Some(message) = read_message(&mut from)? {
            if self.apply(message) {
                (self.changed)();
            }
        }
        Ok(())
    }

    /// Applies a message to the view; returns whether the view changed.
    fn apply(&self, message: Message) -> bool {
        let mut view = lock(&self.view);
        match (message, &mut view.snapshot) {
            (Message::Event(Event::Snapshot(first)), _) => {
                view.snapshot = Some(*first);
                view.connection_error = None;
            }
            (Message::Event(event), Some(snapshot)) => snapshot.apply(event),
            (Message::Reply(Reply::Error(error)), _) => view.refusal = Some(error.to_string()),
            (Message::Event(_) | Message::Reply(_), _) => return false,
        }
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, Write},
        os::unix::net::{UnixListener, UnixStream},
    };

    /// Accepts a connection, grants these rights, and returns the connection once it has subscribed.
    fn accept_client(listener: &UnixListener, rights: &[Right]) -> BufReader<UnixStream> {
        let (stream, _) = listener.accept().unwrap();
        let mut from = BufReader::new(stream);
        assert!(matches!(read_request(&mut from), Request::Hello { .. }));
        let (version, software) = (LOCAL_VERSION, "test agent".to_owned());
        let hello = Message::Reply(Reply::Hello { version, software, rights: rights.to_vec() });
        writeln!(from.get_mut(), "{}", serde_json::to_string(&hello).unwrap()).unwrap();
        assert_eq!(read_request(&mut from), Request::Subscribe);
        from
    }

    fn read_request(from: &mut BufReader<UnixStream>) -> Request {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_report_is_sent_again_after_every_reconnect() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let client = AgentClient::start(socket, || {});
        let report = |value| Request::Report { full_screen: Some(value) };
        client.set_report(report(true));
        let mut first = accept_client(&listener, &[Right::See, Right::Choose]);
        assert_eq!(read_request(&mut first), report(true));
        client.set_report(report(false));
        while read_request(&mut first) != report(false) {}
        drop(first);
        let mut second = accept_client(&listener, &[Right::See, Right::Choose]);
        assert_eq!(read_request(&mut second), report(false));
        drop(second);
        // A connection that may only look sends no report, so the next message is the request below.
        let mut third = accept_client(&listener, &[Right::See]);
        client.set_report(report(true));
        while client.shared.stream.lock().unwrap().is_none() {
            thread::yield_now();
        }
        client.send(&Request::Resume);
        assert_eq!(read_request(&mut third), Request::Resume);
    }
}
