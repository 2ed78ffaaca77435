//! What the host tells the machine once, and how long everything is waited for.

use banyan_proto::MachineId;
use std::time::Duration;

/// What the host knows when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// This machine.
    pub me: MachineId,
    /// The server: head of every list. On the server itself the same as `me`.
    pub server: MachineId,
    /// How many pulls are served at once; further ones wait for their turn. `usize::MAX` for the server; 0 serves
    /// nobody.
    pub max_children: usize,
    /// How long everything is waited for.
    pub timings: Timings,
    /// Start of the pseudo-random numbers that spread retries out: different on every machine and at every start. The
    /// same seed and the same inputs give the same actions.
    pub seed: u64,
}

impl Config {
    /// An agent's, with the usual timings.
    #[must_use]
    pub fn agent(me: MachineId, server: MachineId, max_children: usize, seed: u64) -> Self {
        Self { me, server, max_children, timings: Timings::default(), seed }
    }
    /// The server's, with the usual timings: it serves everyone who asks.
    #[must_use]
    pub fn server(me: MachineId, seed: u64) -> Self {
        Self::agent(me, me, usize::MAX, seed)
    }
}

/// How long everything is waited for. The defaults are the protocol's; tests and simulations may shorten them.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    /// A dial that the driver has not ended by then counts as failed. The driver gives up after two seconds itself; this
    /// is the machine's own guard. Default 5 s.
    pub dial: Duration,
    /// An offer that is not answered by then: the head is stepped over. The addressee has to check signatures on a list
    /// of many names first. Default 15 s.
    pub offer: Duration,
    /// A head that took its part and has not handed it on by then is asked again, over a new connection; the third time
    /// it is stepped over. Default 60 s.
    pub handed: Duration,
    /// Pause before a child that went away after it had accepted is dialled again, times the number of times it went.
    /// The first time it is dialled at once. Default 1 s.
    pub redial: Duration,
    /// A source from which nothing at all came for this long is left (rule P8). Default 3 s.
    pub silent: Duration,
    /// A source that holds chunks we lack and delivers fewer than a quarter of the usual rate for this long is left
    /// (rule P8). Default 5 s.
    pub stalled: Duration,
    /// The same while no usual rate is known yet: slow links and large chunks take their time. Default 30 s.
    pub first_chunk: Duration,
    /// A holder that is alive and ahead but has not begun to serve (it serves others first) is left for another after
    /// this. Default 15 s.
    pub queued: Duration,
    /// When a living source has brought nothing for this long because it says it has nothing, another one is asked
    /// whether that is so; the present one is kept until the other delivers. A quarter more for every ancestor, so that
    /// those next to a break ask first; doubles up to `starved_most`. Default 60 s.
    pub starved: Duration,
    /// Longest time between two such questions. Default 10 min.
    pub starved_most: Duration,
    /// How long an ancestor that failed is passed over; doubles with every failure up to `suspect_most`. Default 30 s.
    pub suspect: Duration,
    /// Longest time that an ancestor is passed over. Default 5 min.
    pub suspect_most: Duration,
    /// Those who lost their source at the same moment reach the server spread over this time. Default 400 ms.
    pub server_jitter: Duration,
    /// First pause before the server is asked again for content; doubles up to `server_most`. Default 1 s.
    pub server_retry: Duration,
    /// Longest pause before the server is asked again for content. Default 15 s.
    pub server_most: Duration,
    /// First pause before a receipt or a go-ahead is asked for again; doubles up to `ask_most`. Default 2 s.
    pub ask_retry: Duration,
    /// Longest pause before a receipt or a go-ahead is asked for again. Default 60 s.
    pub ask_most: Duration,
    /// A go-ahead that has waited this long for other installs is asked for anew. Default 10 min (it is fresh for 15).
    pub go_ahead_fresh: Duration,
    /// Least time between two progress reports of one order. Default 2 s.
    pub progress: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            dial: s(5),
            offer: s(15),
            handed: s(60),
            redial: s(1),
            silent: s(3),
            stalled: s(5),
            first_chunk: s(30),
            queued: s(15),
            starved: s(60),
            starved_most: s(600),
            suspect: s(30),
            suspect_most: s(300),
            server_jitter: ms(400),
            server_retry: s(1),
            server_most: s(15),
            ask_retry: s(2),
            ask_most: s(60),
            go_ahead_fresh: s(600),
            progress: s(2),
        }
    }
}
