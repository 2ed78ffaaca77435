//! The configuration of a [`crate::SwarmState`]: identities, limits and timeouts.

use banyan_proto::MachineId;
use std::time::Duration;

/// The settings that the host passes in at startup.
#[derive(Debug, Clone)]
pub struct Config {
    /// This machine's identifier.
    pub me: MachineId,
    /// The server's identifier. The server is the head of every list; on the server itself this equals `me`.
    pub server: MachineId,
    /// The most pulls served at once; further ones queue. `usize::MAX` on the server; 0 serves none.
    pub max_children: usize,
    /// The timeouts and retry intervals.
    pub timings: Timings,
    /// The seed of the pseudo-random numbers that spread retries. It differs on every machine and at every start. The
    /// same seed and inputs give the same actions.
    pub seed: u64,
}

impl Config {
    /// Returns an agent's configuration with the default timings.
    #[must_use]
    pub fn agent(me: MachineId, server: MachineId, max_children: usize, seed: u64) -> Self {
        Self { me, server, max_children, timings: Timings::default(), seed }
    }
    /// Returns the server's configuration with the default timings and no limit on pulls.
    #[must_use]
    pub fn server(me: MachineId, seed: u64) -> Self {
        Self::agent(me, me, usize::MAX, seed)
    }
}

/// Timeouts and retry intervals. The defaults are the protocol's; tests and simulations may shorten them.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    /// A dial that the driver has not finished within this time counts as failed. The driver itself gives up after two
    /// seconds; this is a safeguard. Default 5 s.
    pub dial_timeout: Duration,
    /// A head that has not answered an offer within this time is skipped. It first has to check signatures on a list of
    /// many names. Default 15 s.
    pub offer_timeout: Duration,
    /// A head that took its part but has not delegated it within this time is asked again over a new connection.
    /// After being late for the fourth time, it is skipped. Default 60 s.
    pub delegation_timeout: Duration,
    /// The pause before redialling a child that disconnected after accepting, times the number of earlier disconnects.
    /// The first redial is immediate. Default 1 s.
    pub redial_delay: Duration,
    /// A source that sends nothing at all for this long is dropped (rule P8). Default 3 s.
    pub silence_timeout: Duration,
    /// A source that has chunks this machine lacks, but delivers less than a quarter of the usual rate for this long,
    /// is dropped (rule P8). Default 5 s.
    pub stall_timeout: Duration,
    /// The same limit while the usual rate is still unknown: slow links and large chunks need time. Default 30 s.
    pub first_chunk_timeout: Duration,
    /// The same limit while the usual rate is still unknown and no byte of content arrives. Default 10 s.
    pub content_timeout: Duration,
    /// How long to wait in the queue of a holder that is alive and ahead before trying another source. Default 15 s.
    pub queue_timeout: Duration,
    /// When a living source reports for this long that it has nothing new, another source is asked as a check. The
    /// current source is kept until the other one delivers. A quarter is added for every ancestor, so that machines
    /// next to a break ask first; the interval doubles up to `probe_interval_max`. Default 60 s.
    pub probe_interval: Duration,
    /// The longest interval between two such checks. Default 10 min.
    pub probe_interval_max: Duration,
    /// How long a failed ancestor is avoided; doubles with every failure up to `peer_backoff_max`. Default 30 s.
    pub peer_backoff: Duration,
    /// The longest time for which an ancestor is avoided. Default 5 min.
    pub peer_backoff_max: Duration,
    /// An ancestor can be asked before its own offer has reached it. For this long after the offer, it is asked again
    /// instead of avoided. Default 5 s.
    pub offer_lag: Duration,
    /// The first pause before such an ancestor is asked again; doubles. Default 100 ms.
    pub offer_lag_retry: Duration,
    /// Machines that lose their source at the same moment spread their requests to the server over this time. Default
    /// 400 ms.
    pub server_jitter: Duration,
    /// The first pause before the server is asked for content again; doubles up to `server_retry_max`. Default 1 s.
    pub server_retry: Duration,
    /// The longest pause before the server is asked for content again. Default 15 s.
    pub server_retry_max: Duration,
    /// The first pause after a chunk could not be stored; doubles up to `disk_retry_max`. Default 1 s.
    pub disk_retry: Duration,
    /// The longest pause after a chunk could not be stored. Default 15 s.
    pub disk_retry_max: Duration,
    /// The first pause before a receipt or an install permit is requested again; doubles up to `request_retry_max`.
    /// Default 2 s.
    pub request_retry: Duration,
    /// The longest pause before a receipt or an install permit is requested again. Default 60 s.
    pub request_retry_max: Duration,
    /// An install permit that has waited this long behind other installs is requested again. Default 10 min (a permit
    /// is valid for 15).
    pub install_permit_max_age: Duration,
    /// The first pause before the server is asked again for a better source; doubles up to `source_retry_max`. Default
    /// 500 ms.
    pub source_retry: Duration,
    /// The longest pause before the server is asked again for a better source. Default 5 s.
    pub source_retry_max: Duration,
    /// The shortest interval between two reports of what arrives. Default 500 ms.
    pub flow_report: Duration,
    /// The shortest interval between two progress reports of one order. Default 2 s.
    pub progress_interval: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            dial_timeout: s(5),
            offer_timeout: s(15),
            delegation_timeout: s(60),
            redial_delay: s(1),
            silence_timeout: s(3),
            stall_timeout: s(5),
            first_chunk_timeout: s(30),
            content_timeout: s(10),
            queue_timeout: s(15),
            probe_interval: s(60),
            probe_interval_max: s(600),
            peer_backoff: s(30),
            peer_backoff_max: s(300),
            offer_lag: s(5),
            offer_lag_retry: ms(100),
            server_jitter: ms(400),
            server_retry: s(1),
            server_retry_max: s(15),
            disk_retry: s(1),
            disk_retry_max: s(15),
            request_retry: s(2),
            request_retry_max: s(60),
            install_permit_max_age: s(600),
            source_retry: ms(500),
            source_retry_max: s(5),
            flow_report: ms(500),
            progress_interval: s(2),
        }
    }
}
