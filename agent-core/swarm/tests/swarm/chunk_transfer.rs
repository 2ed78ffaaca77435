//! Chunk transfer in the simulated network: one chunk at a time on each uplink, and a few chunks at most on each
//! connection.

use crate::{
    address_lists::id,
    simulated_host::{Character, Dice, Serve},
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
        let tx_end = self.now + chunk_time(self.hosts[n].uplink_rate * self.fluctuation(n, 0));
        let bad = self.hosts[n].character == Character::Forger;
        let sent = SentChunk { ordinal: serve.next, bad };
        let there = self.connections[connection].ends[1 - side].host;
        let left = match self.site_left(n, there) {
            Some(site) => self.site_links[site].leave(tx_end),
            None => tx_end,
        };
        self.at(left + self.plan.latency, Happening::AtDownlink(connection, 1 - side, sent));
        self.hosts[n].chunks_sent += 1;
        self.hosts[n].uplink_busy = true;
        let boot = self.hosts[n].boot;
        self.at(tx_end, Happening::UplinkFree(n, boot));
        if let Some(serve) = self.hosts[n].serves.get_mut(&link) {
            serve.next += 1;
            serve.turns += 1;
            serve.in_flight += 1;
        }
        let puller = self.connections[connection].ends[1 - side].host;
        let is_limit = self.next_to_serve(n).is_some();
        self.measure(n, Direction::Up, puller, is_limit);
    }
    /// Takes a chunk from the network: the downlink carries one after the other, and is no slower than the uplink that
    /// sent it.
    pub(crate) fn at_downlink(&mut self, connection: usize, side: usize, chunk: SentChunk) {
        let n = self.connections[connection].ends[side].host;
        let there = self.connections[connection].ends[1 - side].host;
        let entered = match self.site_left(n, there) {
            Some(site) => self.site_links[site].enter(self.now),
            None => self.now,
        };
        let fluctuation = self.fluctuation(n, 1);
        let host = &mut self.hosts[n];
        let arrival = entered.max(host.downlink_free + chunk_time(host.downlink_rate * fluctuation));
        host.downlink_free = arrival;
        self.arrives(arrival, connection, side, chunk);
    }
    /// Returns by which factor the rate of a link differs from its usual rate now. It changes five times a second.
    fn fluctuation(&self, n: usize, direction: u64) -> f64 {
        if self.plan.noise == 0.0 {
            return 1.0;
        }
        let moment = self.now.as_millis() as u64 / 200;
        let mut dice = Dice::new(self.plan.seed ^ (moment << 20) ^ ((n as u64) << 2) ^ direction);
        (0..4).for_each(|_| _ = dice.roll(2));
        1.0 + self.plan.noise * (2.0 * dice.roll(1 << 20) as f64 / f64::from(1 << 20) - 1.0)
    }
    /// Returns the site of `n`, if `other` is not in it.
    fn site_left(&self, n: usize, other: usize) -> Option<usize> {
        self.hosts[n].site.filter(|_| self.hosts[n].site != self.hosts[other].site)
    }
    fn measure(&mut self, n: usize, direction: Direction, other: usize, is_next_waiting: bool) {
        let passed = PassedChunk { at: self.now, peer: id(other), bytes: CHUNK_BYTES, is_next_waiting };
        self.hosts[n].link_meter.record(direction, passed);
    }
    /// Returns the pull whose turn it is. One that had nothing to send, or is new, begins at the others' count.
    fn next_to_serve(&mut self, n: usize) -> Option<(Link, Serve)> {
        let has_chunk = |serve: &Serve| serve.active && serve.next < self.limit(n, serve);
        let ready: Vec<bool> = self.hosts[n].serves.values().map(has_chunk).collect();
        let taking_part = self.hosts[n].serves.values().zip(&ready).filter(|(serve, ready)| **ready && !serve.is_idle);
        let least = taking_part.map(|(serve, _)| serve.turns).min().unwrap_or(0);
        for (serve, ready) in self.hosts[n].serves.values_mut().zip(&ready) {
            if *ready && serve.is_idle {
                serve.turns = serve.turns.max(least);
            }
            serve.is_idle = !ready;
        }
        let (most, takes_turns) = (self.plan.in_flight, self.plan.takes_turns);
        let serves = self.hosts[n].serves.iter().zip(&ready);
        let can = serves.filter(|((_, serve), ready)| **ready && serve.in_flight < most);
        let next = can.map(|((link, serve), _)| (*link, *serve)).min_by_key(|(link, serve)| {
            let given = if takes_turns { serve.turns } else { u64::from(serve.next) };
            (given, *link)
        });
        // Who cannot take a turn loses it.
        let given = next.map_or(0, |(_, serve)| serve.turns);
        for (serve, _) in self.hosts[n].serves.values_mut().zip(&ready).filter(|(_, ready)| **ready) {
            serve.turns = serve.turns.max(given);
        }
        next
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
