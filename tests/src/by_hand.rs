//! Package files handed to an agent as a face hands them: the bytes behind the request, over its local socket.

use banyan_proto::{
    Digest,
    local::{LOCAL_VERSION, Message, Reply, Request},
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

/// What the agent says of a file.
///
/// # Panics
/// When it does not answer.
#[must_use]
pub fn open(stream: &UnixStream, file: &[u8]) -> Reply {
    let head = file.get(17..21).map_or(file.len(), |length| {
        let length: [u8; 4] = length.try_into().expect("four bytes");
        file.len().min(21 + u32::from_be_bytes(length) as usize)
    });
    let request = Request::OpenPackage { head: head as u64, size: file.len() as u64 };
    send(stream, &request, &file[..head])
}

/// Has a file installed, as the release that was shown.
///
/// # Panics
/// When the agent does not answer.
#[must_use]
pub fn install(stream: &UnixStream, manifest: Digest, file: &[u8]) -> Reply {
    install_trusting(stream, manifest, None, file)
}

/// The same, by somebody who says that they trust the publishers of this root.
///
/// # Panics
/// When the agent does not answer.
#[must_use]
pub fn install_trusting(stream: &UnixStream, manifest: Digest, trust: Option<Digest>, file: &[u8]) -> Reply {
    send(stream, &Request::InstallPackage { manifest, size: file.len() as u64, trust }, file)
}

/// The reply to a request with these bytes behind it, which may come before all of them were sent.
fn send(stream: &UnixStream, request: &Request, bytes: &[u8]) -> Reply {
    let mut to = stream.try_clone().expect("a handle can be copied");
    let hello = Request::Hello { version: LOCAL_VERSION };
    for line in [&hello, request] {
        let line = serde_json::to_string(line).expect("requests have a JSON form");
        // Who may nothing is hung up on after the first word.
        drop(writeln!(to, "{line}"));
    }
    std::thread::scope(|scope| {
        // Who is refused early is hung up on.
        scope.spawn(move || drop(to.write_all(bytes)));
        let replies = BufReader::new(stream).lines().map_while(Result::ok).take(2);
        let reply = replies.last().expect("the agent answers");
        drop(stream.shutdown(std::net::Shutdown::Both));
        match serde_json::from_str(&reply).expect("in JSON") {
            Message::Reply(reply) => reply,
            Message::Event(event) => panic!("nobody has subscribed: {event:?}"),
        }
    })
}
