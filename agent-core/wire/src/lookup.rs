//! Looks up the host names of addresses, and connects to the first address that answers.

use crate::lock::lock;
use banyan_proto::Address;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long one address may take to answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for an address before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(300);

/// Looks up host names. Remembers the last answer for each: it serves while the name servers are slow or away.
#[derive(Debug, Default)]
pub struct Names {
    answers: Mutex<HashMap<Address, Vec<SocketAddr>>>,
}

impl Names {
    /// Returns the socket addresses of a list, in its order and without duplicates. A host name can have several.
    ///
    /// All names are looked up at the same time, for at most `patience`. An answer that comes later is for the next call:
    /// the caller's time may be shorter than that of a system whose first name server is away.
    ///
    /// # Errors
    /// When no entry has an address: why the last host name could not be looked up.
    pub async fn look_up(self: &Arc<Self>, addresses: &[Address], patience: Duration) -> io::Result<Vec<SocketAddr>> {
        self.look_up_with(addresses, patience, ask_system).await
    }
    async fn look_up_with<F>(
        self: &Arc<Self>,
        addresses: &[Address],
        patience: Duration,
        ask: impl Fn(Address) -> F,
    ) -> io::Result<Vec<SocketAddr>>
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let mut questions = JoinSet::new();
        for address in addresses.iter().filter(|address| address.as_socket().is_none()) {
            let (names, address, answer) = (Arc::clone(self), address.clone(), ask(address.clone()));
            // A task of its own, so that it goes on when nobody waits any more.
            let task = tokio::spawn(async move { names.learn(address, answer.await) });
            questions.spawn(task);
        }
        let mut error = io::Error::new(io::ErrorKind::NotFound, "no address is known");
        let all_answered = async {
            while let Some(answer) = questions.join_next().await {
                if let Ok(Ok(Err(unknown))) = answer {
                    error = unknown;
                }
            }
        };
        if timeout(patience, all_answered).await.is_err() {
            let names = addresses.iter().filter(|address| address.as_socket().is_none()).cloned().collect::<Vec<_>>();
            let detail = format!("looking up {}: no answer from the name servers yet", Address::list(&names));
            error = io::Error::new(io::ErrorKind::TimedOut, detail);
        }
        let answers = lock(&self.answers);
        let known = |address: &Address| match address.as_socket() {
            Some(socket) => vec![socket],
            None => answers.get(address).cloned().unwrap_or_default(),
        };
        let mut found = Vec::new();
        for socket in addresses.iter().flat_map(known) {
            if !found.contains(&socket) {
                found.push(socket);
            }
        }
        if found.is_empty() { Err(error) } else { Ok(found) }
    }
    fn learn(&self, address: Address, answer: io::Result<Vec<SocketAddr>>) -> io::Result<()> {
        let wrong = |error: io::Error| io::Error::new(error.kind(), format!("looking up {address}: {error}"));
        let sockets = answer.map_err(wrong)?;
        lock(&self.answers).insert(address, sockets);
        Ok(())
    }
}

async fn ask_system(address: Address) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(address.to_string()).await?.collect())
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

    fn list(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }
    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }
    const SOON: Duration = Duration::from_millis(50);
    const LATE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn names_and_addresses_are_tried_in_their_order() {
        let names = Arc::new(Names::default());
        let mixed = list(&["127.0.0.2:1", "no-such-host.invalid:1", "127.0.0.1:2", "127.0.0.2:1"]);
        assert_eq!(names.look_up(&mixed, LATE).await.unwrap(), sockets(&["127.0.0.2:1", "127.0.0.1:2"]));
        let error = names.look_up(&list(&["no-such-host.invalid:1"]), LATE).await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid:1"), "{error}");
    }

    #[tokio::test]
    async fn slow_name_servers_hold_up_no_address_and_their_late_answer_counts() {
        let names = Arc::new(Names::default());
        let mixed = list(&["slow.example:1", "127.0.0.1:2"]);
        let (say, answer) = tokio::sync::watch::channel(false);
        let slow = move |_| {
            let mut answer = answer.clone();
            async move {
                answer.wait_for(|&is_there| is_there).await.map_err(io::Error::other)?;
                Ok(sockets(&["127.0.0.9:1"]))
            }
        };
        assert_eq!(names.look_up_with(&mixed, SOON, slow.clone()).await.unwrap(), sockets(&["127.0.0.1:2"]));
        let error = names.look_up_with(&mixed[..1], SOON, slow).await.unwrap_err();
        assert!(error.to_string().contains("slow.example:1: no answer from the name servers"), "{error}");
        say.send(true).unwrap();
        while names.look_up_with(&mixed[..1], SOON, |_| std::future::pending()).await.is_err() {}
        let with_late = names.look_up_with(&mixed, SOON, |_| std::future::pending()).await.unwrap();
        assert_eq!(with_late, sockets(&["127.0.0.9:1", "127.0.0.1:2"]));
    }

    #[tokio::test]
    async fn a_new_answer_replaces_the_last_one_which_serves_while_there_is_none() {
        let names = Arc::new(Names::default());
        let name = list(&["moves.example:1"]);
        for (answer, expected) in
            [(Some("127.0.0.1:1"), "127.0.0.1:1"), (None, "127.0.0.1:1"), (Some("127.0.0.2:1"), "127.0.0.2:1")]
        {
            let ask = |_| async move {
                let found = answer.map(|text| sockets(&[text]));
                found.ok_or_else(|| io::Error::other("the name servers are away"))
            };
            assert_eq!(names.look_up_with(&name, LATE, ask).await.unwrap(), sockets(&[expected]));
        }
    }
}
