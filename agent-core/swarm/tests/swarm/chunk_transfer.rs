//! Chunk transfer in the simulated network: one chunk at a time on each uplink, to the least advanced child first. Each
//! link holds two chunks at most.

use crate::{
    address_lists::id,
    simulated_host::{Character, Serve},
    simulated_network::{Happening, World},
};
use banyan_swarm::{
    Link, LinkInput,
    link_meter::{Direction, PassedChunk},
};
use std::time::Duration;

/// A chunk in transit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentChunk {
    pub(crate) ordinal: u32,
    pub(crate) bad: bool,
}

/// The size of a chunk, where sizes are needed.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;

/// The most chunks in transit on one link.
const IN_FLIGHT: u32 = 2;

/// Returns the time that a chunk takes at this rate.
fn chunk_time(rate: f64) -> Duration {
    Duration::from_secs_f64(1.0 / rate)
}

impl World {
    /// Sends the next chunk, if the uplink is free and a puller can take one.
    pub(crate) fn send_chunk(&mut self, n: usize) {
        let sends_nothing =
            matches!(self.hosts[n].character, Character::Miser | Character::LyingMiser | Character::Boaster);
        if self.hosts[n].uplink_busy || sends_nothing {
            return;
        }
        let Some((link, serve)) = self.next_to_serve(n) else { return };
        let Some((connection, side)) = self.hosts[n].links.get(&link).copied() else { return };
        let tx_end = self.now + chunk_time(self.hosts[n].uplink_rate);
        let bad = self.hosts[n].character == Character::Forger;
        let sent = SentChunk { ordinal: serve.next, bad };
        self.at(tx_end + self.plan.latency, Happening::AtDownlink(connection, 1 - side, sent));
        self.hosts[n].chunks_sent += 1;
        self.hosts[n].uplink_busy = true;
        let boot = self.hosts[n].boot;
        self.at(tx_end, Happening::UplinkFree(n, boot));
        if let Some(serve) = self.hosts[n].serves.get_mut(&link) {
            serve.next += 1;
            serve.in_flight += 1;
        }
        let puller = self.connections[connection].ends[1 - side].host;
        self.measure(n, Direction::Up, puller, serve.next + 1 < self.limit(n, &serve));
    }
    /// Takes a chunk from the network: the downlink carries one after the other, and is no slower than the uplink that
    /// sent it.
    pub(crate) fn at_downlink(&mut self, connection: usize, side: usize, chunk: SentChunk) {
        let n = self.connections[connection].ends[side].host;
        let host = &mut self.hosts[n];
        let arrival = self.now.max(host.downlink_free + chunk_time(host.downlink_rate));
        host.downlink_free = arrival;
        self.arrives(arrival, connection, side, chunk);
    }
    fn measure(&mut self, n: usize, direction: Direction, other: usize, is_next_waiting: bool) {
        let passed = PassedChunk { at: self.now, peer: id(other), bytes: CHUNK_BYTES, is_next_waiting };
        self.hosts[n].link_meter.record(direction, passed);
    }
    fn next_to_serve(&mut self, n: usize) -> Option<(Link, Serve)> {
        let can = |serve: &Serve| serve.active && serve.in_flight < IN_FLIGHT && serve.next < self.limit(n, serve);
        let serves = self.hosts[n].serves.iter().filter(|(_, serve)| can(serve));
        serves.min_by_key(|(link, serve)| (serve.next, **link)).map(|(link, serve)| (*link, *serve))
    }
    /// Returns the chunk up to which this pull can be served now.
    fn limit(&self, n: usize, serve: &Serve) -> u32 {
        let shown = self.shown(n, serve.stripe.stripe);
        if serve.wait { shown } else { shown.min(serve.until) }
    }
    /// Returns how many chunks of a stripe other machines may have.
    pub(crate) fn shown(&self, n: usize, stripe: u8) -> u32 {
        if n == 0 || self.hosts[n].shows_content || !self.plan.spread.withholds() { self.held(n, stripe) } else { 0 }
    }
    pub(crate) fn held(&self, n: usize, stripe: u8) -> u32 {
        if n == 0 { self.chunks_of(stripe) } else { self.hosts[n].disk.held[usize::from(stripe)] }
    }
    /// Delivers a chunk to its receiver.
    pub(crate) fn take_chunk(&mut self, connection: usize, side: usize, chunk: SentChunk) {
        let stripe = self.connections[connection].stripe;
        let (here, there) = (self.connections[connection].ends[side], self.connections[connection].ends[1 - side]);
        let n = here.host;
        if let Some(serve) = self.hosts[there.host].serves.get_mut(&there.link) {
            serve.in_flight = serve.in_flight.saturating_sub(1);
            let (serve, link) = (*serve, there.link);
            let over = if serve.wait { self.chunks_of(stripe.stripe) } else { serve.until };
            if serve.active && serve.in_flight == 0 && serve.next >= over && self.hosts[there.host].up {
                self.give(there.host, LinkInput::Sent(link));
            }
        }
        self.send_chunk(there.host);
        let held = self.hosts[n].disk.held[usize::from(stripe.stripe)];
        if chunk.bad {
            return self.give(n, LinkInput::BadChunk(here.link, chunk.ordinal));
        }
        assert!(chunk.ordinal <= held, "machine {n} received chunk {} but holds {held}", chunk.ordinal);
        if chunk.ordinal < held {
            return self.give(n, LinkInput::Alive(here.link));
        }
        self.hosts[n].disk.held[usize::from(stripe.stripe)] = held + 1;
        self.hosts[n].last_chunk = self.now;
        let watermark = self.hosts[n].watermarks.get(&here.link).copied().unwrap_or(0);
        self.measure(n, Direction::Down, there.host, watermark > held + 1);
        self.give(n, LinkInput::Stored { link: here.link, stripe, held: held + 1 });
        self.send_chunk(n);
    }
}
