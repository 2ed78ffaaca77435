//! Reads a caller's first message, the TLS client hello, before its handshake costs anything.

use banyan_proto::ALPN_ADMINISTRATOR;
use rustls::server::Acceptor;
use std::{io, time::Duration};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long the first message may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest first message that is read here (bytes). Banyan's programs send 1,500 bytes.
const MAX_BYTES: usize = 4096;
/// The pause before the rest of a message is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for the caller's first message. Returns whether it announces an administrator, which proves nothing. Leaves the
/// message in the socket.
///
/// # Errors
/// When the caller sends nothing in time, or goes away.
pub(super) async fn announces_administrator(stream: &TcpStream) -> io::Result<bool> {
    let read = async {
        stream.readable().await?;
        let mut bytes = vec![0; MAX_BYTES];
        loop {
            let length = stream.peek(&mut bytes).await?;
            match announces(&bytes[..length]) {
                Some(answer) => return Ok(answer),
                None if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None if length == MAX_BYTES => return Ok(false),
                None => sleep(PAUSE).await,
            }
        }
    };
    timeout(TIMEOUT, read)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS client hello took too long")))
}

/// Returns whether this message announces an administrator; `None` if it is not complete. What is no client hello
/// announces nothing, and fails in the handshake.
fn announces(mut bytes: &[u8]) -> Option<bool> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Some(false);
        }
    }
    match acceptor.accept() {
        Ok(None) => None,
        Ok(Some(accepted)) => {
            let names = accepted.client_hello().alpn();
            Some(names.is_some_and(|mut names| names.any(|name| name == ALPN_ADMINISTRATOR)))
        }
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{ALPN_HTTP, Digest};
    use banyan_wire::tls::{SERVER_NAME, pinned_client};
    use rustls::{ClientConnection, pki_types::ServerName};
    use std::sync::Arc;

    #[test]
    fn only_a_complete_client_hello_announces_an_administrator() {
        let hello = |alpn: &[&[u8]]| {
            let config = pinned_client(Digest([0; 32]), alpn).unwrap();
            let name = ServerName::try_from(SERVER_NAME).unwrap();
            let mut bytes = Vec::new();
            ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
            bytes
        };
        let administrators = hello(&[ALPN_ADMINISTRATOR, ALPN_HTTP]);
        assert_eq!(announces(&administrators), Some(true));
        assert_eq!(announces(&hello(&[ALPN_HTTP])), Some(false));
        assert!(administrators.len() < MAX_BYTES);
        for length in [0, 1, 5, administrators.len() - 1] {
            assert_eq!(announces(&administrators[..length]), None, "{length} bytes");
        }
        assert_eq!(announces(b"GET / HTTP/1.1\r\n\r\n"), Some(false));
    }
}
