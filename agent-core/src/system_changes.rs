//! Changes of the computer around the agent: the clock was set or the computer slept, the network changed, the time zone
//! changed. Waits on monotonic time know nothing of them, so whoever waits is woken here.
//!
//! On Linux the kernel reports these events, and an idle agent is not woken otherwise. Where it does not, the agent looks
//! every 30 seconds.

use crate::{
    local_zone,
    sys::{ClockEvents, FileEvents, NetworkEvents},
};
use banyan_proto::UnixSeconds;
use banyan_schedule::{ClockWatch, Moment};
use banyan_wire::interfaces;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};

/// How often to look where the system reports no events.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// One change of the network comes as several events within this time.
const SETTLE: Duration = Duration::from_secs(1);

/// Announces changes to any number of waiting tasks.
pub(crate) struct SystemChanges {
    clock: watch::Sender<u64>,
    network: watch::Sender<u64>,
}

impl SystemChanges {
    /// Starts listening. `on_zone_change` is called when the time zone may have changed.
    pub(crate) fn start(on_zone_change: impl Fn() + Send + 'static) -> Arc<Self> {
        let changes = Arc::new(Self { clock: watch::Sender::new(0), network: watch::Sender::new(0) });
        tokio::spawn(watch_clock(Arc::clone(&changes)));
        tokio::spawn(watch_network(Arc::clone(&changes)));
        tokio::spawn(watch_zone(on_zone_change));
        changes
    }
    /// Subscribes to steps of the clock, and to ends of sleep.
    pub(crate) fn clock(&self) -> watch::Receiver<u64> {
        self.clock.subscribe()
    }
    /// Subscribes to changes of the network.
    pub(crate) fn network(&self) -> watch::Receiver<u64> {
        self.network.subscribe()
    }
    /// Waits before another attempt: this long, or until a change that may make it succeed.
    pub(crate) async fn pause(&self, most: Duration) {
        let (mut clock, mut network) = (self.clock(), self.network());
        tokio::select! {
            () = sleep(most) => {}
            _ = clock.changed() => {}
            _ = network.changed() => {}
        }
    }
}

async fn watch_clock(changes: Arc<SystemChanges>) {
    let started = Instant::now();
    let now = || Moment { wall: UnixSeconds::now(), mono: started.elapsed() };
    let mut watch = ClockWatch::new(now());
    let mut events = ClockEvents::open().ok();
    loop {
        match &mut events {
            Some(open) => {
                if open.next().await.is_err() {
                    events = None;
                }
            }
            None => sleep(LOOK_EVERY).await,
        }
        if let Some(seconds) = watch.detect_step(now()) {
            tracing::info!(seconds, "the clock was set, or the computer slept");
            changes.clock.send_modify(|number| *number += 1);
        }
    }
}

async fn watch_network(changes: Arc<SystemChanges>) {
    let mut events = NetworkEvents::open().ok();
    let mut addresses = interfaces::reachable_addresses();
    loop {
        match &mut events {
            Some(open) => {
                if open.next().await.is_err() {
                    events = None;
                }
                sleep(SETTLE).await;
            }
            None => {
                sleep(LOOK_EVERY).await;
                let found = interfaces::reachable_addresses();
                if found == addresses {
                    continue;
                }
                addresses = found;
            }
        }
        changes.network.send_modify(|number| *number += 1);
    }
}

async fn watch_zone(on_change: impl Fn() + Send) {
    let Some(file) = local_zone::zone_file() else { return };
    let Ok(mut events) = FileEvents::open(&file) else { return };
    while events.next().await.is_ok() {
        on_change();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_ends_early_when_the_clock_or_the_network_changes() {
        let changes = SystemChanges { clock: watch::Sender::new(0), network: watch::Sender::new(0) };
        for source in [&changes.clock, &changes.network] {
            let change = async {
                // The pause subscribes when it is first polled, before this.
                source.send_modify(|number| *number += 1);
            };
            let both = async { tokio::join!(changes.pause(Duration::from_secs(300)), change) };
            tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_replaced_file_is_reported_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("localtime");
        let Ok(mut events) = FileEvents::open(&file) else { return };
        std::fs::write(folder.path().join("neighbour"), "x").unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(100), events.next());
        assert!(waiting.await.is_err(), "a neighbour was reported");
        let fresh = folder.path().join("fresh");
        std::fs::write(&fresh, "x").unwrap();
        std::fs::rename(&fresh, &file).unwrap();
        tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap();
    }
}
