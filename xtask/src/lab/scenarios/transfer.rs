//! A transfer under way, with any scheme: waits until the machines hold the file, and carries out the incidents.

use super::{
    assignment::{Assignment, Incident, What},
    scenario::When,
};
use crate::lab::{
    environment::LabEnvironment,
    network::traffic_meter::{Reading, TrafficMeter},
};
use anyhow::Result;
use std::time::{Duration, Instant};

const INCIDENT_INTERVAL: Duration = Duration::from_millis(50);
/// The lab gives up after this many times the longest bound, and a minute.
const PATIENCE: f64 = 5.0;

/// The programs that transfer.
pub(super) trait Swarm {
    /// How often to ask.
    const ASK_INTERVAL: Duration;
    /// Returns when each machine held the file (seconds since the start), as far as known.
    fn seconds(&mut self) -> Result<Vec<Option<f64>>>;
    /// Kills a machine's program. It stays away.
    fn kill(&mut self, machine: usize) -> Result<()>;
    /// Kills all programs, the server's too, and starts them again.
    fn restart_everything(&mut self) -> Result<()>;
}

/// What is transferred, and what happens meanwhile.
pub(super) struct Transfer<'a> {
    lab: &'a LabEnvironment,
    assignment: &'a Assignment,
    /// The file's size (bytes).
    pub(super) size: u64,
    /// The file's size over the nominal rate (seconds).
    pub(super) unit: f64,
    /// The incidents to come.
    pending: Vec<Incident>,
    /// The machines whose links became slow, or that were killed.
    pub(super) disturbed: Vec<usize>,
    /// Sentences for the report.
    pub(super) circumstances: Vec<String>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(lab: &'a LabEnvironment, assignment: &'a Assignment, size: u64, unit: f64) -> Self {
        let circumstances = vec![assignment.sentence(|machine| lab.net.machines[machine].label.clone())];
        let pending = assignment.incidents.clone();
        Self { lab, assignment, size, unit, pending, disturbed: Vec::new(), circumstances }
    }

    /// Waits until every machine that is not disturbed holds the file. Returns when each did, and what the links
    /// carried. `forwarding` are the machines to which something may happen because they forward.
    pub(super) fn run<S: Swarm>(
        &mut self,
        swarm: &mut S,
        forwarding: &[usize],
        meter: &TrafficMeter,
        began: Instant,
    ) -> Result<(Vec<Option<f64>>, Reading)> {
        let machines = 0..self.lab.net.machines.len();
        let bound = machines.map(|m| self.assignment.fluid_bound(m, self.size)).fold(0.0, f64::max);
        let deadline = began + Duration::from_secs_f64(60.0 + PATIENCE * bound);
        let mut next_question = began + S::ASK_INTERVAL;
        let mut seconds = vec![None; self.lab.net.machines.len()];
        loop {
            self.carry_out_due(began.elapsed(), forwarding, meter, swarm)?;
            if Instant::now() >= next_question {
                seconds = swarm.seconds()?;
                next_question = Instant::now() + S::ASK_INTERVAL;
            }
            let open: Vec<usize> =
                (0..seconds.len()).filter(|at| seconds[*at].is_none() && !self.disturbed.contains(at)).collect();
            let is_over = self.pending.is_empty() && open.is_empty();
            if is_over || Instant::now() > deadline {
                if !is_over {
                    let labels: Vec<_> = open.iter().map(|&at| self.lab.net.machines[at].label.as_str()).collect();
                    let seconds = began.elapsed().as_secs_f64();
                    self.note(format!("gave up after {seconds:.0} s; without the file: {}", labels.join(" ")));
                }
                return Ok((seconds, meter.read(&self.lab.net)?));
            }
            std::thread::sleep(INCIDENT_INTERVAL);
        }
    }

    /// Carries out the incidents whose time has come.
    fn carry_out_due(
        &mut self,
        elapsed: Duration,
        forwarding: &[usize],
        meter: &TrafficMeter,
        swarm: &mut impl Swarm,
    ) -> Result<()> {
        let mut later = Vec::new();
        for incident in std::mem::take(&mut self.pending) {
            let machine = target(&incident, forwarding);
            let is_due = match incident.when {
                When::Share(share) => elapsed.as_secs_f64() >= share * self.unit,
                When::HoldsHalf => match machine {
                    Some(machine) => meter.read(&self.lab.net)?.machines[machine].received >= self.size / 2,
                    None => true,
                },
            };
            if is_due {
                let words = self.carry_out(&incident, machine, swarm)?;
                self.note(format!("after {:.2} s: {words}", elapsed.as_secs_f64()));
            } else {
                later.push(incident);
            }
        }
        self.pending = later;
        Ok(())
    }

    fn carry_out(&mut self, incident: &Incident, machine: Option<usize>, swarm: &mut impl Swarm) -> Result<String> {
        let hosts = &self.lab.net.machines;
        Ok(match (incident.what, machine) {
            (What::Restart, _) => {
                swarm.restart_everything()?;
                "everything killed and started again".to_owned()
            }
            (What::SlowDown(link), Some(machine)) => {
                self.disturbed.push(machine);
                hosts[machine].change_rates(link)?;
                format!("{} drops to {link} Mbit/s", hosts[machine].label)
            }
            (What::Kill | What::Leave(_), Some(machine)) => {
                self.disturbed.push(machine);
                swarm.kill(machine)?;
                format!("{} killed", hosts[machine].label)
            }
            (What::SlowDown(_) | What::Kill | What::Leave(_), None) => "no machine forwards".to_owned(),
        })
    }

    /// Prints a sentence and keeps it for the report.
    pub(super) fn note(&mut self, words: String) {
        println!("{words}");
        self.circumstances.push(words);
    }
}

/// Returns the machine that an incident is about.
fn target(incident: &Incident, forwarding: &[usize]) -> Option<usize> {
    match incident.what {
        What::Leave(machine) => Some(machine),
        What::Restart => None,
        What::Kill | What::SlowDown(_) => forwarding.get(incident.pick % forwarding.len().max(1)).copied(),
    }
}
