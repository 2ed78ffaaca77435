//! Looks up the host names of addresses, and connects to the first address that answers.

use banyan_proto::Address;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long one address may take to answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for an address before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(300);

/// Returns the socket addresses of a list, in its order and without duplicates. A host name can have several.
///
/// # Errors
/// When no entry has one: the error of the last host name that could not be looked up.
pub async fn lookup(addresses: &[Address]) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "no address is known");
    for address in addresses {
        match tokio::net::lookup_host(address.to_string()).await {
            Ok(sockets) => found.extend(sockets.filter(|socket| !found.contains(socket)).collect::<Vec<_>>()),
            Err(unknown) => error = io::Error::new(unknown.kind(), format!("looking up {address}: {unknown}")),
        }
    }
    if found.is_empty() { Err(error) } else { Ok(found) }
}

/// Connects to the first of these addresses that answers. Each is given a head start of 300 ms, so one that never
/// answers costs no more than that.
///
/// # Errors
/// When none answers: the last error.
pub async fn connect(sockets: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut left = sockets.iter().copied();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address is known");
    loop {
        if let Some(next) = left.next() {
            attempts.spawn(timeout(ATTEMPT_TIMEOUT, TcpStream::connect(next)));
        } else if attempts.is_empty() {
            return Err(last);
        }
        let more = left.len() > 0;
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(Ok(stream))) => return Ok(stream),
                Ok(Ok(Err(error))) => last = error,
                Ok(Err(_)) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 seconds"),
                Err(error) => last = io::Error::other(error),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_never_answers_and_one_that_refuses_delay_the_others_little() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refuses = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Reserved for documentation: no answer, or no route.
        let silent: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let begun = tokio::time::Instant::now();
        let stream = connect(&[refuses, silent, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let error = connect(&[refuses]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn names_and_addresses_are_tried_in_their_order() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Address>>();
        let found =
            lookup(&list(&["127.0.0.2:1", "no-such-host.invalid:1", "127.0.0.1:2", "127.0.0.2:1"])).await.unwrap();
        assert_eq!(found, ["127.0.0.2:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        let error = lookup(&list(&["no-such-host.invalid:1"])).await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid:1"), "{error}");
    }
}
