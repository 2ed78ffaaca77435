//! Measures the traffic on the links and the load of the processors between two moments.

use super::virtual_network::{NetworkTraffic, Traffic, VirtualNetwork};
use crate::lab::processor_group::ProcessorTime;
use anyhow::{Context, Result};

/// The counters at the start.
pub(crate) struct TrafficMeter {
    traffic: NetworkTraffic,
    cpu: Cpu,
    own: Option<ProcessorTime>,
}

/// The difference between two moments.
pub(crate) struct Reading {
    pub(crate) server: Traffic,
    pub(crate) machines: Vec<Traffic>,
    /// Of each site's uplink.
    pub(crate) uplinks: Vec<Traffic>,
    /// The busy share of all processors' time, 0 to 1.
    pub(crate) busy: f64,
    /// The share of all processors' time that the lab used itself, if it is counted.
    pub(crate) own: Option<f64>,
}

impl TrafficMeter {
    pub(crate) fn start(net: &VirtualNetwork) -> Result<Self> {
        Ok(Self { traffic: net.traffic()?, cpu: Cpu::now()?, own: ProcessorTime::now() })
    }
    pub(crate) fn read(&self, net: &VirtualNetwork) -> Result<Reading> {
        let now = net.traffic()?;
        let since = |now: Traffic, then: &Traffic| Traffic {
            sent: now.sent - then.sent,
            received: now.received - then.received,
        };
        let all = |now: Vec<Traffic>, then: &[Traffic]| now.into_iter().zip(then).map(|(n, t)| since(n, t)).collect();
        Ok(Reading {
            server: since(now.server, &self.traffic.server),
            machines: all(now.machines, &self.traffic.machines),
            uplinks: all(now.uplinks, &self.traffic.uplinks),
            own: ProcessorTime::now().zip(self.own.as_ref()).map(|(now, then)| now.share_since(then)),
            busy: Cpu::now()?.busy_since(&self.cpu),
        })
    }
}

impl Reading {
    /// Returns the bytes that the busiest machine sent.
    pub(crate) fn largest_upload(&self) -> u64 {
        self.machines.iter().map(|traffic| traffic.sent).max().unwrap_or(0)
    }
}

/// Ticks of all processors since the system started.
#[derive(Debug, PartialEq)]
struct Cpu {
    all: u64,
    idle: u64,
}

impl Cpu {
    fn now() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("cannot read the processors' counters")?;
        Self::parse(&stat).context("/proc/stat does not begin with the sum of all processors")
    }
    /// Parses the first line: user nice system idle iowait irq softirq steal. Guest times are part of user's.
    fn parse(stat: &str) -> Option<Self> {
        let mut words = stat.lines().next()?.split_whitespace();
        if words.next()? != "cpu" {
            return None;
        }
        let ticks: Vec<u64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)? })
    }
    fn busy_since(&self, then: &Self) -> f64 {
        let all = self.all - then.all;
        let idle = self.idle.saturating_sub(then.idle);
        if all == 0 { 0.0 } else { 1.0 - idle as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::Cpu;

    #[test]
    fn disk_wait_counts_as_idle_and_guest_time_is_not_counted_twice() {
        let then = Cpu::parse("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 1 1 1").unwrap();
        assert_eq!(then, Cpu { all: 100, idle: 80 });
        let now = Cpu::parse("cpu  85 0 10 90 15 0 0 0 80 0").unwrap();
        assert!((now.busy_since(&then) - 0.75).abs() < 1e-9);
    }
}
