//! Sends package files to an agent as the window does: a request followed by the bytes, over the local socket.

use banyan_proto::{
    Digest,
    local::{LOCAL_VERSION, Message, Reply, Request},
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

/// Opens a file and returns the agent's reply.
///
/// # Panics
/// When the agent does not answer.
#[must_use]
pub fn open(stream: &UnixStream, file: &[u8]) -> Reply {
    let head = file.get(17..21).map_or(file.len(), |length| {
        let length: [u8; 4] = length.try_into().expect("four bytes");
        file.len().min(21 + u32::from_be_bytes(length) as usize)
    });
    let request = Request::OpenPackage { head: head as u64, size: file.len() as u64 };
    send(stream, &request, &file[..head])
}

/// Installs a file, as the release that was shown.
///
/// # Panics
/// When the agent does not answer.
#[must_use]
pub fn install(stream: &UnixStream, manifest: Digest, file: &[u8]) -> Reply {
    install_trusting(stream, manifest, None, file)
}

/// Installs a file for a user who trusts the publishers of this root.
///
/// # Panics
/// When the agent does not answer.
#[must_use]
pub fn install_trusting(stream: &UnixStream, manifest: Digest, trust: Option<Digest>, file: &[u8]) -> Reply {
    send(stream, &Request::InstallPackage { manifest, size: file.len() as u64, trust }, file)
}

/// Sends a request and the bytes after it. Returns the reply, which may arrive before all bytes were sent.
fn send(stream: &UnixStream, request: &Request, bytes: &[u8]) -> Reply {
    let mut to = stream.try_clone().expect("the handle can be cloned");
    let hello = Request::Hello { version: LOCAL_VERSION };
    for line in [&hello, request] {
        let line = serde_json::to_string(line).expect("the request can be serialised");
        // The agent closes the connection of a user without rights after the first message.
        drop(writeln!(to, "{line}"));
    }
    std::thread::scope(|scope| {
        // The agent closes the connection early when it refuses.
        scope.spawn(move || drop(to.write_all(bytes)));
        let replies = BufReader::new(stream).lines().map_while(Result::ok).take(2);
        let reply = replies.last().expect("the agent answers");
        drop(stream.shutdown(std::net::Shutdown::Both));
        match serde_json::from_str(&reply).expect("the answer is valid JSON") {
            Message::Reply(reply) => reply,
            Message::Event(event) => panic!("unexpected event without a subscription: {event:?}"),
        }
    })
}
