//! A minimal D-Bus connection to the system bus, for method calls and signals, on the agent's own runtime. A full
//! client library would make the agent 4 MiB larger (this adds 0.1 MiB) and start two threads.

use super::{
    message::{self, Call, HEADER_BYTES, Message},
    value::Value,
};
use std::{
    collections::BTreeMap,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStringExt,
            net::{SocketAddr, UnixStream as Blocking},
        },
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// The default address of the bus (D-Bus specification, "System message bus").
const DEFAULT_ADDRESS: &str = "unix:path=/var/run/dbus/system_bus_socket";
/// Maximum wait for the answers of bus and services.
const ANSWER: Duration = Duration::from_secs(3);
/// Maximum length of a line during authentication (bytes).
const MAX_AUTH_LINE: usize = 512;

/// A service's answer to a call: the values, or `None` for an error reply, as when the service does not run.
/// [`io::ErrorKind::TimedOut`]: it did not answer in time.
pub(super) type Answer = io::Result<Option<Vec<Value>>>;

/// A connection to the bus.
pub(super) struct Connection {
    stream: UnixStream,
    read: Vec<u8>,
    serial: u32,
    /// Whether a signal arrived during a call. Which one does not matter: all values are read again.
    has_changed: bool,
}

fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Connection {
    /// Connects to the system bus, or to the one in `DBUS_SYSTEM_BUS_ADDRESS`.
    pub(super) async fn connect() -> io::Result<Self> {
        let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| DEFAULT_ADDRESS.to_owned());
        Self::connect_to(&address).await
    }
    async fn connect_to(address: &str) -> io::Result<Self> {
        let mut last = invalid_data("no local bus address");
        for one in address.split(';') {
            match open(one).await {
                Ok(stream) => {
                    let mut line = Self { stream, read: Vec::new(), serial: 0, has_changed: false };
                    timeout(ANSWER, line.authenticate()).await.map_err(|_| io::ErrorKind::TimedOut)??;
                    return Ok(line);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
    /// Authenticates with the user ID that the kernel reports to the bus (`EXTERNAL`), then obtains the connection's
    /// name.
    async fn authenticate(&mut self) -> io::Result<()> {
        let user: String = nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).await?;
        while !self.read.ends_with(b"\r\n") {
            if self.read.len() > MAX_AUTH_LINE || self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(invalid_data("the bus does not answer the authentication"));
            }
        }
        if !self.read.starts_with(b"OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the bus refused this user"));
        }
        self.read.clear();
        self.stream.write_all(b"BEGIN\r\n").await?;
        let named = self.call_bus("Hello", &[]).await?;
        named.map(drop).ok_or_else(|| invalid_data("the bus assigned no name"))
    }
    async fn call_bus(&mut self, member: &str, arguments: &[&str]) -> Answer {
        let interface = "org.freedesktop.DBus";
        let call = Call { to: interface, path: "/org/freedesktop/DBus", interface, member, arguments };
        let [answer] = self.call_all([call]).await?;
        answer
    }
    /// Subscribes to the signals that match this rule.
    pub(super) async fn add_match(&mut self, rule: &str) -> io::Result<()> {
        self.call_bus("AddMatch", &[rule]).await.map(drop)
    }
    /// Calls several methods at once, so that a slow service costs the others no more than its own time.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn call_all<const N: usize>(&mut self, calls: [Call<'_>; N]) -> io::Result<[Answer; N]> {
        let answers = self.call_each(&calls).await?;
        Ok(answers.try_into().expect("each call has one answer"))
    }
    /// Does the same as [`Self::call_all`] for any number of calls.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn call_each(&mut self, calls: &[Call<'_>]) -> io::Result<Vec<Answer>> {
        let mut pending = BTreeMap::new();
        for (index, call) in calls.iter().enumerate() {
            self.serial += 1;
            self.stream.write_all(&call.encode(self.serial)).await?;
            pending.insert(self.serial, index);
        }
        let mut answers: Vec<Answer> = calls.iter().map(|_| Err(io::ErrorKind::TimedOut.into())).collect();
        let collect = async {
            while !pending.is_empty() {
                match self.next_message().await? {
                    Message::Answer { to, values } => {
                        // Late replies to earlier calls are not pending.
                        pending.remove(&to).into_iter().for_each(|index| answers[index] = Ok(values.clone()));
                    }
                    Message::Signal => self.has_changed = true,
                    Message::Other => {}
                }
            }
            Ok(())
        };
        timeout(ANSWER, collect).await.unwrap_or(io::Result::Ok(()))?;
        Ok(answers)
    }
    /// Waits for the next change. It is cancel-safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn next_change(&mut self) -> io::Result<()> {
        while !std::mem::take(&mut self.has_changed) {
            self.has_changed = self.next_message().await? == Message::Signal;
        }
        Ok(())
    }
    async fn next_message(&mut self) -> io::Result<Message> {
        loop {
            if self.read.len() >= HEADER_BYTES {
                let whole = message::total_length(&self.read[..HEADER_BYTES])
                    .ok_or_else(|| invalid_data("invalid or overlong message"))?;
                if self.read.len() >= whole {
                    let rest = self.read.split_off(whole);
                    let message = std::mem::replace(&mut self.read, rest);
                    // Ignore a message that cannot be parsed; its length is known, so the next one can still be read.
                    return Ok(message::parse(&message).unwrap_or(Message::Other));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Connects to one address, `unix:path=…` or `unix:abstract=…` (D-Bus specification, "Server Addresses").
async fn open(address: &str) -> io::Result<UnixStream> {
    let keys = address.strip_prefix("unix:").ok_or_else(|| invalid_data("not a local address"))?;
    let value = |key: &str| {
        let mut pairs = keys.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| unescape(value))
    };
    if let Some(path) = value("path") {
        return UnixStream::connect(std::ffi::OsString::from_vec(path)).await;
    }
    let Some(name) = value("abstract") else { return Err(invalid_data("the local address has no path")) };
    let stream = Blocking::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Decodes percent escapes: `%20` is a space.
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_address_that_answers_is_used_and_a_failed_authentication_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a bus");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let escaped = path.to_str().unwrap().replace(' ', "%20");
        let refusing = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = vec![0; 16];
            stream.read_exact(&mut received).await.unwrap();
            stream.write_all(b"REJECTED EXTERNAL\r\n").await.unwrap();
            received
        });
        let address = format!("tcp:host=localhost,port=1;unix:path=/nonexistent/bus;unix:guid=1,path={escaped}");
        let error = Connection::connect_to(&address).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        assert_eq!(refusing.await.unwrap(), b"\0AUTH EXTERNAL 3"[..16].to_vec());
    }

    #[tokio::test]
    async fn a_missing_bus_is_an_error_at_once() {
        for address in ["", "unix:", "unix:path=/nonexistent/bus", "unix:abstract=banyan-nobody-is-here", "tcp:host=x"]
        {
            assert!(Connection::connect_to(address).await.is_err(), "{address}");
        }
    }
}
