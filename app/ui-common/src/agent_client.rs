//! The connection to the agent: handshake, subscription, the newest snapshot, requests, and reconnecting without end.
//!
//! One thread blocks in a read, without an async runtime, so an idle tray uses no processor time.

use banyan_proto::local::{Event, LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request, Right, Snapshot};
use interprocess::local_socket::{GenericFilePath, Stream, ToFsName, prelude::*};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The latest data from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The newest snapshot; none while the agent cannot be reached.
    pub snapshot: Option<Snapshot>,
    /// The rights of this person.
    pub rights: Vec<Right>,
    /// The error of the last connection attempt; none while the agent can be reached.
    pub trouble: Option<String>,
    /// The answer to the last request, when it was refused.
    pub refusal: Option<String>,
}

impl View {
    /// Returns whether this person has a right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// Waits between connection attempts; the last one repeats.
const WAITS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// The connection to the agent. It lasts as long as the program and reconnects on its own.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    view: Mutex<View>,
    to: Mutex<Option<Arc<Stream>>>,
    standing: Mutex<Option<Request>>,
    changed: Box<dyn Fn() + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Connects to the agent at this socket on a thread of its own. That thread calls `changed` after every change of the
    /// view.
    #[must_use]
    pub fn start(socket: PathBuf, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            socket,
            view: Mutex::default(),
            to: Mutex::new(None),
            standing: Mutex::new(None),
            changed: Box::new(changed),
        });
        let keeper = Arc::clone(&shared);
        thread::spawn(move || keeper.keep());
        Self { shared }
    }
    /// Returns the latest data.
    #[must_use]
    pub fn view(&self) -> View {
        lock(&self.shared.view).clone()
    }
    /// Sends a request. Its effect appears in the view. While the agent cannot be reached, the request is dropped and the
    /// view shows why.
    pub fn ask(&self, request: &Request) {
        lock(&self.shared.view).refusal = None;
        if let Some(to) = lock(&self.shared.to).as_deref() {
            // The reading thread notices a broken connection and reports it.
            drop(write(to, request));
        }
    }
    /// Sends a report that lasts only as long as the connection: now, and again after every reconnect, until another
    /// report replaces it. Nothing is sent when this person lacks the right to report.
    pub fn keep_telling(&self, request: Request) {
        *lock(&self.shared.standing) = Some(request);
        if let Some(to) = lock(&self.shared.to).as_deref() {
            // The reading thread notices a broken connection; the next connection sends the report first.
            drop(self.shared.tell_standing(to));
        }
    }
}

impl Shared {
    fn tell_standing(&self, to: &Stream) -> io::Result<()> {
        let standing = lock(&self.standing);
        let rights = lock(&self.view).rights.clone();
        let may = |request: &&Request| request.needs().is_none_or(|right| rights.contains(&right));
        standing.as_ref().filter(may).map_or(Ok(()), |request| write(to, request))
    }
    fn keep(&self) -> ! {
        let mut failures = 0;
        loop {
            let mut greeted = false;
            let ended = self.talk(&mut greeted);
            *lock(&self.to) = None;
            let trouble =
                ended.err().map_or_else(|| "the service closed the connection".to_owned(), |error| error.to_string());
            *lock(&self.view) = View { trouble: Some(trouble), ..View::default() };
            (self.changed)();
            failures = if greeted { 0 } else { (failures + 1).min(WAITS.len() - 1) };
            thread::sleep(WAITS[failures]);
        }
    }

    /// Runs one connection from the handshake to its end.
    fn talk(&self, greeted: &mut bool) -> io::Result<()> {
        let stream = Arc::new(connect(&self.socket)?);
        let mut from = BufReader::new(&*stream);
        write(&stream, &Request::Hello { version: LOCAL_VERSION })?;
        match read(&mut from)? {
            Some(Message::Reply(Reply::Hello { version, software, .. })) if version != LOCAL_VERSION => {
                return Err(other_version(&software, version));
            }
            Some(Message::Reply(Reply::Hello { rights, .. })) => lock(&self.view).rights = rights,
            Some(Message::Reply(Reply::Error(error))) => return Err(io::Error::other(error.to_string())),
            other => return Err(io::Error::other(format!("unexpected greeting from the service: {other:?}"))),
        }
        write(&stream, &Request::Subscribe)?;
        *lock(&self.to) = Some(Arc::clone(&stream));
        *greeted = true;
        self.tell_standing(&stream)?;
        while let Some(message) = read(&mut from)? {
            if self.take(message) {
                (self.changed)();
            }
        }
        Ok(())
    }

    /// Applies a message to the view; returns whether the view changed.
    fn take(&self, message: Message) -> bool {
        let mut view = lock(&self.view);
        match (message, &mut view.snapshot) {
            (Message::Event(Event::Snapshot(first)), _) => {
                view.snapshot = Some(*first);
                view.trouble = None;
            }
            (Message::Event(event), Some(snapshot)) => snapshot.apply(event),
            (Message::Reply(Reply::Error(error)), _) => view.refusal = Some(error.to_string()),
            (Message::Event(_) | Message::Reply(_), _) => return false,
        }
        true
    }
}

/// Returns the error for an agent with another version of the protocol.
fn other_version(software: &str, version: u16) -> io::Error {
    io::Error::other(format!(
        "{software} uses protocol version {version}, this program version {LOCAL_VERSION}; restart both after an update"
    ))
}

pub(crate) fn connect(socket: &Path) -> io::Result<Stream> {
    Stream::connect(socket.to_path_buf().to_fs_name::<GenericFilePath>()?)
}

pub(crate) fn write(mut to: &Stream, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Performs the handshake on a connection for a single request.
pub(crate) fn greet(stream: &Stream, from: &mut BufReader<&Stream>) -> io::Result<()> {
    write(stream, &Request::Hello { version: LOCAL_VERSION })?;
    match reply(from)? {
        Reply::Hello { version: LOCAL_VERSION, .. } => Ok(()),
        Reply::Hello { software, version, .. } => Err(other_version(&software, version)),
        Reply::Error(error) => Err(io::Error::other(error.to_string())),
        other => Err(unexpected(&other)),
    }
}

/// Reads the answer on a connection without a subscription.
pub(crate) fn reply(from: &mut BufReader<&Stream>) -> io::Result<Reply> {
    match read(from)? {
        Some(Message::Reply(reply)) => Ok(reply),
        Some(Message::Event(event)) => Err(io::Error::other(format!("unexpected event from the service: {event:?}"))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Returns the error for an answer of the wrong kind.
pub(crate) fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(format!("unexpected answer from the service: {reply:?}"))
}

/// Reads the next message; none when the agent has closed the connection.
pub(crate) fn read(from: &mut BufReader<&Stream>) -> io::Result<Option<Message>> {
    let mut line = String::new();
    let length = from.take(MESSAGE_BYTES).read_line(&mut line)?;
    if length as u64 == MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the service sent a message that is too long"));
    }
    if length == 0 { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Accepts a connection, grants these rights, and returns the connection once it has subscribed.
    fn greet(listener: &UnixListener, rights: &[Right]) -> BufReader<UnixStream> {
        let (stream, _) = listener.accept().unwrap();
        let mut from = BufReader::new(stream);
        assert!(matches!(heard(&mut from), Request::Hello { .. }));
        let (version, software) = (LOCAL_VERSION, "test agent".to_owned());
        let hello = Message::Reply(Reply::Hello { version, software, rights: rights.to_vec() });
        writeln!(from.get_mut(), "{}", serde_json::to_string(&hello).unwrap()).unwrap();
        assert_eq!(heard(&mut from), Request::Subscribe);
        from
    }

    fn heard(from: &mut BufReader<UnixStream>) -> Request {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn what_counts_only_while_the_line_is_up_is_told_again_on_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let line = Line::start(socket, || {});
        let report = |value| Request::Report { full_screen: Some(value) };
        line.keep_telling(report(true));
        let mut first = greet(&listener, &[Right::See, Right::Choose]);
        assert_eq!(heard(&mut first), report(true));
        line.keep_telling(report(false));
        while heard(&mut first) != report(false) {}
        drop(first);
        let mut second = greet(&listener, &[Right::See, Right::Choose]);
        assert_eq!(heard(&mut second), report(false));
        drop(second);
        // A connection that may only look sends no report, so the next message is the request below.
        let mut third = greet(&listener, &[Right::See]);
        line.keep_telling(report(true));
        while line.shared.to.lock().unwrap().is_none() {
            thread::yield_now();
        }
        line.ask(&Request::Resume);
        assert_eq!(heard(&mut third), Request::Resume);
    }
}
