//! The line to the agent: says hello, subscribes, keeps the newest snapshot, carries requests, and calls again for ever
//! when the agent is gone.
//!
//! A thread that sleeps in a read, no runtime: a tray that people leave running costs nothing while nothing happens.

use banyan_proto::local::{Event, LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request, Right, Snapshot};
use interprocess::local_socket::{GenericFilePath, Stream, ToFsName, prelude::*};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What is known of the agent now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Everything it told; none while it cannot be reached.
    pub snapshot: Option<Snapshot>,
    /// What this person may do.
    pub rights: Vec<Right>,
    /// Why it cannot be reached, in the system's words; none while it can.
    pub trouble: Option<String>,
    /// Its answer to the last request, when that was a refusal.
    pub refusal: Option<String>,
}

impl View {
    /// Whether this person may do that.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// Waits between calls when the agent does not answer; the last one for ever.
const WAITS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// The line. It stays up as long as the program.
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
    /// Calls the agent at this socket, from now on. `changed` is called on another thread after every change of the view.
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
    /// What is known now.
    #[must_use]
    pub fn view(&self) -> View {
        lock(&self.shared.view).clone()
    }
    /// Asks for something. What comes of it shows in the view; while the line is down nothing is sent, and the view says
    /// that already.
    pub fn ask(&self, request: &Request) {
        lock(&self.shared.view).refusal = None;
        if let Some(to) = lock(&self.shared.to).as_deref() {
            // A line that broke is noticed by its reader, which says so.
            drop(write(to, request));
        }
    }
    /// Tells the agent something that counts only as long as the line is up: now, and whenever it is up again, until
    /// something else is told in its place. An agent that does not let this person do so is not told.
    pub fn keep_telling(&self, request: Request) {
        *lock(&self.shared.standing) = Some(request);
        if let Some(to) = lock(&self.shared.to).as_deref() {
            // A line that broke is noticed by its reader, and the next one begins with it.
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
            let trouble = ended.err().map_or_else(|| "it hung up".to_owned(), |error| error.to_string());
            *lock(&self.view) = View { trouble: Some(trouble), ..View::default() };
            (self.changed)();
            failures = if greeted { 0 } else { (failures + 1).min(WAITS.len() - 1) };
            thread::sleep(WAITS[failures]);
        }
    }

    /// One connection, from hello to its end.
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
            other => return Err(io::Error::other(format!("its greeting was not understood: {other:?}"))),
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

    /// Notes what the agent said; true when the view has changed.
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

/// The agent is of another release.
fn other_version(software: &str, version: u16) -> io::Error {
    io::Error::other(format!(
        "{software} speaks version {version}, this program {LOCAL_VERSION}; restart both after an update"
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

/// Greets the agent on a connection that is for one question.
pub(crate) fn greet(stream: &Stream, from: &mut BufReader<&Stream>) -> io::Result<()> {
    write(stream, &Request::Hello { version: LOCAL_VERSION })?;
    match reply(from)? {
        Reply::Hello { version: LOCAL_VERSION, .. } => Ok(()),
        Reply::Hello { software, version, .. } => Err(other_version(&software, version)),
        Reply::Error(error) => Err(io::Error::other(error.to_string())),
        other => Err(unexpected(&other)),
    }
}

/// The answer, on a connection that has not subscribed.
pub(crate) fn reply(from: &mut BufReader<&Stream>) -> io::Result<Reply> {
    match read(from)? {
        Some(Message::Reply(reply)) => Ok(reply),
        Some(Message::Event(event)) => Err(io::Error::other(format!("it told {event:?} without being asked"))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// An answer to something else.
pub(crate) fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(format!("it answered {reply:?}"))
}

/// The next message; none when the agent has hung up.
pub(crate) fn read(from: &mut BufReader<&Stream>) -> io::Result<Option<Message>> {
    let mut line = String::new();
    let length = from.take(MESSAGE_BYTES).read_line(&mut line)?;
    if length as u64 == MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than any message is"));
    }
    if length == 0 { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Answers a greeting with these rights; gives the connection after it has subscribed.
    fn greet(listener: &UnixListener, rights: &[Right]) -> BufReader<UnixStream> {
        let (stream, _) = listener.accept().unwrap();
        let mut from = BufReader::new(stream);
        assert!(matches!(heard(&mut from), Request::Hello { .. }));
        let (version, software) = (LOCAL_VERSION, "an agent of the tests".to_owned());
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
        // Who may only look tells nothing: the next that is heard is what was asked.
        let mut third = greet(&listener, &[Right::See]);
        line.keep_telling(report(true));
        while line.shared.to.lock().unwrap().is_none() {
            thread::yield_now();
        }
        line.ask(&Request::Resume);
        assert_eq!(heard(&mut third), Request::Resume);
    }
}
