//! What the machine sees of itself, looked at only while something is to be done: processor (without the agent's own
//! share and its installer's), power, free disk. Presence, metered networks and full-screen programs are not looked at
//! yet: unknown.

use banyan_proto::{
    UnixSeconds,
    local::{Seen, SeenSignals},
    schedule::{Bounds, Load, Overrule, Power},
};
use banyan_schedule::{
    Moment, Signal, Signals,
    idleness::{Idleness, Thresholds},
};
use std::{path::Path, time::Duration};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What was looked at is good for so long; the keeper looks more often while there is work.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// The processor's load is good for so long.
const LOAD_GOOD_FOR: Duration = Duration::from_secs(15);

/// A value and when it was looked at.
#[derive(Debug, Clone, Copy)]
struct Look<T> {
    value: T,
    at: Moment,
}

/// The newest values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sampled {
    load: Option<Look<Load>>,
    quiet_since: Option<UnixSeconds>,
    power: Option<Look<Power>>,
    free_disk: Option<Look<u64>>,
}

fn signal<T: Copy>(look: Option<Look<T>>, good_for: Duration) -> Signal<T> {
    look.map_or_else(Signal::unknown, |look| Signal::seen(look.value, look.at.mono).good_for(good_for))
}

fn shown<T: Copy>(look: Option<Look<T>>, good_for: Duration, now: Moment, overruled: bool, may: bool) -> Seen<T> {
    let fresh = look.filter(|look| now.mono < look.at.mono + good_for);
    Seen {
        value: fresh.map(|look| look.value),
        at: look.map(|look| look.at.wall),
        overruled: overruled && may,
        may_overrule: may,
    }
}

impl Sampled {
    /// Looks at the disk that this folder is on.
    pub(crate) fn look_at_disk(&mut self, now: Moment, folder: &Path) {
        self.free_disk = crate::offer::free_bytes(folder).map(|value| Look { value, at: now });
    }
    /// For deciding.
    pub(crate) fn signals(&self) -> Signals {
        Signals {
            load: signal(self.load, LOAD_GOOD_FOR),
            power: signal(self.power, GOOD_FOR),
            free_disk: signal(self.free_disk, GOOD_FOR),
            ..Signals::default()
        }
    }
    /// For showing.
    pub(crate) fn seen(&self, now: Moment, over: &Overrule, bounds: &Bounds) -> SeenSignals {
        let load = shown(self.load, LOAD_GOOD_FOR, now, over.processor, bounds.idle);
        SeenSignals {
            quiet_since: self.quiet_since.filter(|_| load.value.is_some()),
            load,
            presence: Seen { overruled: over.presence && bounds.idle, ..Seen::unknown(bounds.idle) },
            power: shown(self.power, GOOD_FOR, now, over.battery, bounds.battery),
            network: Seen::unknown(bounds.metered),
            full_screen: Seen {
                overruled: over.full_screen && bounds.full_screen,
                ..Seen::unknown(bounds.full_screen)
            },
            free_disk: shown(self.free_disk, GOOD_FOR, now, false, false),
        }
    }
}

/// Looks.
pub(crate) struct Sampler {
    system: System,
    me: Option<Pid>,
    cores: f64,
    idleness: Idleness,
    looked: bool,
}

impl Sampler {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "the number of cores is small")]
        let cores = cores as f64;
        let me = sysinfo::get_current_pid().ok();
        Self { system: System::new(), me, cores, idleness: Idleness::new(thresholds), looked: false }
    }
    /// The processor since the last look; the first look only begins.
    pub(crate) fn load(&mut self, into: &mut Sampled, now: Moment, installing: bool) {
        self.system.refresh_cpu_usage();
        // While an installer runs, everything below this process is looked for; else this process alone.
        let which = self.me.map(|me| [me]);
        let which = match &which {
            Some(me) if !installing => ProcessesToUpdate::Some(me),
            _ => ProcessesToUpdate::All,
        };
        self.system.refresh_processes_specifics(which, true, ProcessRefreshKind::nothing().with_cpu());
        if !std::mem::replace(&mut self.looked, true) {
            return;
        }
        let own: f64 = self.own().map(|process| f64::from(process.cpu_usage())).sum();
        let percent = f64::from(self.system.global_cpu_usage()) - own / self.cores;
        into.load = Some(Look { value: self.idleness.sample(now.mono, percent.max(0.0)), at: now });
        into.quiet_since = self
            .idleness
            .quiet_since()
            .map(|since| UnixSeconds(now.wall.0.saturating_sub(now.mono.saturating_sub(since).as_secs())));
    }
    /// This process, and those it has started.
    fn own(&self) -> impl Iterator<Item = &sysinfo::Process> {
        self.system.processes().values().filter(|process| {
            let mut at = Some(process.pid());
            // A chain of parents is short; a damaged table must not hold us.
            for _ in 0..16 {
                if at == self.me {
                    return true;
                }
                at = at.and_then(|pid| self.system.process(pid)).and_then(sysinfo::Process::parent);
            }
            false
        })
    }
    /// Power and disk.
    pub(crate) fn rest(into: &mut Sampled, now: Moment, content: &Path) {
        into.power = power(Path::new("/sys/class/power_supply")).map(|value| Look { value, at: now });
        into.look_at_disk(now, content);
    }
    /// Nobody looks any more: a pause in looking is no quiet time.
    pub(crate) fn stop(&mut self) {
        self.looked = false;
    }
}

/// What the kernel says about batteries and mains; none when there is no battery.
fn power(folder: &Path) -> Option<Power> {
    let read = |supply: &Path, name: &str| Some(std::fs::read_to_string(supply.join(name)).ok()?.trim().to_owned());
    let (mut on_mains, mut discharging, mut charges) = (false, false, Vec::new());
    for supply in std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()) {
        match read(&supply, "type").as_deref() {
            // Mice and keyboards have batteries too.
            Some("Battery") if read(&supply, "scope").as_deref() != Some("Device") => {
                discharging |= read(&supply, "status").as_deref() == Some("Discharging");
                charges.push(read(&supply, "capacity").and_then(|text| text.parse::<u8>().ok()));
            }
            Some("Mains" | "USB") => on_mains |= read(&supply, "online").as_deref() == Some("1"),
            _ => {}
        }
    }
    // Of several batteries the emptiest one counts; one that does not say how full it is counts as not saying.
    let charge = charges.iter().copied().min()?.map(|charge| charge.min(100));
    Some(Power { battery: discharging && !on_mains, charge, saver: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn supplies(all: &[(&str, &[(&str, &str)])]) -> Option<Power> {
        let folder = tempfile::tempdir().unwrap();
        for (name, files) in all {
            fs::create_dir(folder.path().join(name)).unwrap();
            for (file, text) in *files {
                fs::write(folder.path().join(name).join(file), format!("{text}\n")).unwrap();
            }
        }
        power(folder.path())
    }

    #[test]
    fn mains_and_batteries_as_the_kernel_shows_them() {
        let battery = |status| ("BAT0", vec![("type", "Battery"), ("status", status), ("capacity", "57")]);
        let (discharging, charging) = (battery("Discharging"), battery("Charging"));
        let (off, on) =
            (("AC", vec![("type", "Mains"), ("online", "0")]), ("AC", vec![("type", "Mains"), ("online", "1")]));
        let some = |battery| Some(Power { battery, charge: Some(57), saver: false });
        assert_eq!(supplies(&[(discharging.0, &discharging.1), (off.0, &off.1)]), some(true));
        assert_eq!(supplies(&[(charging.0, &charging.1), (on.0, &on.1)]), some(false));
        assert_eq!(supplies(&[(discharging.0, &discharging.1), (on.0, &on.1)]), some(false), "weak mains are mains");
        assert_eq!(supplies(&[(on.0, &on.1)]), None, "no battery");
        let mouse = [("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("capacity", "5")];
        assert_eq!(supplies(&[("mouse", &mouse)]), None);
        let silent = [("type", "Battery"), ("status", "Discharging")];
        assert_eq!(supplies(&[("BAT0", &silent)]), Some(Power { battery: true, charge: None, saver: false }));
    }

    #[test]
    fn what_is_too_old_is_unknown_and_still_has_an_age() {
        let at = |seconds| Moment { wall: UnixSeconds(1000 + seconds), mono: Duration::from_secs(seconds) };
        let sampled = Sampled { free_disk: Some(Look { value: 7, at: at(0) }), ..Sampled::default() };
        let seen = |now| sampled.seen(now, &Overrule::default(), &Bounds::default()).free_disk;
        assert_eq!((seen(at(59)).value, seen(at(61)).value, seen(at(61)).at), (Some(7), None, Some(UnixSeconds(1000))));
        assert_eq!(sampled.signals().free_disk.get(at(61).mono), None);
    }

    #[test]
    fn the_agents_own_work_is_not_the_users() {
        let moment = |seconds| Moment { wall: UnixSeconds(seconds), mono: Duration::from_secs(seconds) };
        let (mut sampler, mut sampled) = (Sampler::new(Thresholds::default()), Sampled::default());
        sampler.load(&mut sampled, moment(0), false);
        assert!(sampled.load.is_none(), "the first look only begins");
        // This thread is busy for a second: it shows in the whole, and is taken out again.
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            std::hint::black_box(begun);
        }
        sampler.load(&mut sampled, moment(1), false);
        let own = sampler.own().map(|process| f64::from(process.cpu_usage())).sum::<f64>();
        assert!(own > 20.0, "this process used {own} % of a core");
        let all = f64::from(sampler.system.global_cpu_usage());
        let percent = f64::from(sampled.load.unwrap().value.percent);
        assert!(percent <= (all - own / sampler.cores).max(0.0) + 1.0, "{percent} of {all}, own {own}");
    }
}
