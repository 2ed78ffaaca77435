//! One connection to the agent: finding its socket, the handshake, and messages as lines of JSON.

use banyan_proto::{
    format,
    local::{LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request},
};
use interprocess::local_socket::{GenericFilePath, Stream, ToFsName, prelude::*};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

/// The longest path of a socket (bytes).
#[cfg(target_os = "linux")]
const MAX_SOCKET_PATH: usize = 107;

/// Returns the socket (on Windows: the pipe) of an agent that runs as a service.
#[must_use]
pub fn system_socket() -> PathBuf {
    PathBuf::from(if cfg!(unix) { "/run/banyan/agent.sock" } else { r"\\.\pipe\banyan-agent" })
}

/// Connects to the agent at this socket.
pub(crate) fn connect(socket: &Path) -> io::Result<Stream> {
    #[cfg(target_os = "linux")]
    if let (Some(folder), Some(name)) = (socket.parent(), socket.file_name())
        && socket.as_os_str().len() > MAX_SOCKET_PATH
    {
        // The path is too long for a socket; one through the open folder is not.
        let folder = std::fs::File::open(folder)?;
        let through = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
        return Stream::connect(through.join(name).to_fs_name::<GenericFilePath>()?);
    }
    Stream::connect(socket.to_path_buf().to_fs_name::<GenericFilePath>()?)
}

/// Returns the error for an agent with another version of the protocol.
pub(crate) fn version_mismatch(software: &str, version: u16) -> io::Error {
    io::Error::other(format!(
        "{software} uses protocol version {version}, this program version {LOCAL_VERSION}; restart both after an update"
    ))
}

/// Sends a request.
pub(crate) fn write_request(mut to: &Stream, request: &Request) -> io::Result<()> {
    let mut line = format::write(request);
    line.push('\n');
    to.write_all(line.as_bytes())
}

/// Performs the handshake on a connection for a single request.
pub(crate) fn shake_hands(stream: &Stream, from: &mut BufReader<&Stream>) -> io::Result<()> {
    write_request(stream, &Request::Hello { version: LOCAL_VERSION })?;
    match read_reply(from)? {
        Reply::Hello { version: LOCAL_VERSION, .. } => Ok(()),
        Reply::Hello { software, version, .. } => Err(version_mismatch(&software, version)),
        Reply::Error(error) => Err(io::Error::other(error.to_string())),
        other => Err(unexpected_reply(&other)),
    }
}

/// Reads the answer on a connection without a subscription.
pub(crate) fn read_reply(from: &mut BufReader<&Stream>) -> io::Result<Reply> {
    match read_message(from)? {
        Some(Message::Reply(reply)) => Ok(reply),
        Some(Message::Event(event)) => Err(invalid(format!("unexpected event from the service: {event:?}"))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Returns the error for a message that this program cannot read. People do not see its text.
pub(crate) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Returns the error for an answer of the wrong kind.
pub(crate) fn unexpected_reply(reply: &Reply) -> io::Error {
    invalid(format!("unexpected answer from the service: {reply:?}"))
}

/// Reads the next message; none when the agent has closed the connection.
pub(crate) fn read_message(from: &mut BufReader<&Stream>) -> io::Result<Option<Message>> {
    let mut line = String::new();
    let length = from.take(MESSAGE_BYTES).read_line(&mut line)?;
    if length as u64 == MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the service sent a message that is too long"));
    }
    if length == 0 { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use interprocess::local_socket::ListenerOptions;

    #[test]
    fn an_agent_with_a_long_folder_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let listener = ListenerOptions::new().name(folder.path().join("s").to_fs_name::<GenericFilePath>().unwrap());
        let _listener = listener.create_sync().unwrap();
        let long = folder.path().join("d".repeat(200));
        std::os::unix::fs::symlink(folder.path(), &long).unwrap();
        connect(&long.join("s")).unwrap();
        assert_eq!(connect(&long.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
