//! One run with Banyan: builds the network, deploys, and reads the figures.

use super::{
    assignment::Assignment,
    budget_check::BudgetCheck,
    figures::{Run, RunFacts},
    scenario::Scenario,
    transfer::{Swarm, Transfer},
};
use crate::lab::{
    Options,
    banyan_network::{Addressee, BanyanNetwork, Status},
    environment::{LabEnvironment, LabSettings, wait_for},
    network::traffic_meter::TrafficMeter,
    test_files,
    trace::{Trace, TracedHost},
};
use anyhow::Result;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Stops a machine from forwarding, as its owner can.
const NO_FORWARDING: &str =
    r#"{"request":"set-limits","download":null,"upload":null,"daily_upload":null,"forward":false,"free_disk":0}"#;

/// Measures all deployments of one run, and adds their figures to `runs`.
pub(crate) fn measure(
    scenario: &Scenario,
    assignment: &Assignment,
    number: usize,
    options: &Options,
    programs: &Path,
    runs: &mut Vec<Run>,
) -> Result<()> {
    let files = u64::from(options.deployments);
    let lab = LabEnvironment::start(&LabSettings {
        number,
        network: &assignment.plan,
        server_room: options.size() * (3 * files + 2),
        // The content, an unpacked version, and one more while unpacking.
        machine_room: options.size() * (3 * files + 1),
        logs: &format!("lab-logs/{}-{}", scenario.file_name(), assignment.seed),
        chunk_log: options.trace,
    })?;
    let machines = &lab.net.machines;
    println!("{}", assignment.sentence(|machine| machines[machine].label.clone()));
    super::prepare_links(&lab.net, assignment)?;
    let mut banyan = BanyanNetwork::start(&lab, programs, options.size() * (3 * files + 1))?;
    for &machine in &assignment.no_forwarding {
        banyan.send_request(machine, NO_FORWARDING)?;
    }
    for deployment in 1..=options.deployments {
        let name = format!("lab-{deployment}");
        let seed = options.seed * 100 + u64::from(deployment);
        let file = test_files::archive(&lab.dir, &name, options.size(), seed)?;
        banyan.publish(&file)?;
        std::fs::remove_file(&file.path)?;

        let budgets = BudgetCheck::start(&lab, &banyan, assignment, file.size)?;
        let meter = TrafficMeter::start(&lab.net)?;
        let mut swarm = Deployed::start(&mut banyan, &file.name, &options.server_copies)?;
        let forwarding = swarm.forwarding(assignment)?;
        let mut transfer = Transfer::new(&lab, assignment, file.size, options.rate.seconds(file.size));
        swarm.places(assignment)?.into_iter().for_each(|place| transfer.note(place));
        let began = swarm.began;
        let (seconds, reading) = transfer.run(&mut swarm, &forwarding, &meter, began)?;
        if let Some(budgets) = budgets {
            budgets.sentences(&seconds, &reading)?.into_iter().for_each(|sentence| transfer.note(sentence));
        }
        if options.trace {
            let title = format!("{}, deployment {deployment}; {}", scenario.name, transfer.circumstances.join("; "));
            let hosts = traced_hosts(&lab, assignment, &transfer.disturbed, &swarm.status, file.size);
            let trace = Trace { title: &title, order: &swarm.status.id, hosts: &hosts };
            let sentences = trace.write(&lab.logs, &format!("trace-{deployment}"))?;
            sentences.iter().for_each(|sentence| println!("{sentence}"));
            transfer.circumstances.extend(sentences);
        }
        let facts = RunFacts { scenario: &scenario.name, scheme: "Banyan", deployment };
        let run = Run::new(&facts, transfer, machines, assignment, &seconds, &reading);
        println!("{}", run.line());
        runs.push(run);
        if deployment < options.deployments {
            let earlier = swarm.deployment;
            restore(&lab, &mut banyan, assignment, &earlier)?;
        }
    }
    Ok(())
}

/// Returns server and machines for a trace.
fn traced_hosts(
    lab: &LabEnvironment,
    assignment: &Assignment,
    disturbed: &[usize],
    status: &Status,
    size: u64,
) -> Vec<TracedHost> {
    let server = TracedHost {
        label: "server".to_owned(),
        id: status.server.clone(),
        log: lab.log("server"),
        remark: None,
        bound: 0.0,
        own_link: 0.0,
    };
    let machines = lab.net.machines.iter().enumerate().map(|(number, host)| TracedHost {
        label: host.label.clone(),
        id: status.addressees.iter().find(|one| one.label == host.label).map_or_else(String::new, |one| one.id.clone()),
        log: lab.log(&host.label),
        remark: match () {
            () if disturbed.contains(&number) => Some("disturbed".to_owned()),
            () if assignment.slow.contains(&number) => {
                Some(format!("{} Mbit/s", assignment.plan.machines[number].link))
            }
            () if assignment.no_forwarding.contains(&number) => Some("does not forward".to_owned()),
            () if assignment.no_dial.contains(&number) => Some("cannot be dialled".to_owned()),
            () => None,
        },
        bound: assignment.fluid_bound(number, size),
        own_link: assignment.own_bound(number, size),
    });
    std::iter::once(server).chain(machines).collect()
}

/// Undoes the incidents, and waits until every machine has finished the earlier deployment.
fn restore(lab: &LabEnvironment, banyan: &mut BanyanNetwork<'_>, assignment: &Assignment, earlier: &str) -> Result<()> {
    for (host, machine) in lab.net.machines.iter().zip(&assignment.plan.machines) {
        host.change_rates(machine.link)?;
    }
    banyan.restart_killed()?;
    banyan.wait_until_online()?;
    wait_for("the earlier deployment to finish", Duration::from_secs(300), || {
        banyan.check_running()?;
        let status = banyan.status(earlier)?;
        Ok(status.addressees.iter().all(|machine| machine.installed_after.is_some()).then_some(()))
    })
}

/// A deployment under way.
struct Deployed<'a, 'b> {
    banyan: &'a mut BanyanNetwork<'b>,
    deployment: String,
    began: Instant,
    /// The last status.
    status: Status,
}

impl<'a, 'b> Deployed<'a, 'b> {
    fn start(banyan: &'a mut BanyanNetwork<'b>, package: &str, server_copies: &str) -> Result<Self> {
        let deployment = banyan.deploy_to(package, "all", 2, &["--server-copies", server_copies])?;
        let began = Instant::now();
        let status = banyan.status(&deployment)?;
        Ok(Self { banyan, deployment, began, status })
    }

    /// Returns how many machines this one is planned to send to, over all stripes.
    fn children(&self, machine: &Addressee) -> usize {
        let planned = self.status.addressees.iter().flat_map(|other| &other.planned);
        planned.filter(|&sender| *sender == machine.id).count()
    }

    /// Returns a sentence about the place of each slow machine on the first list.
    fn places(&self, assignment: &Assignment) -> Result<Vec<String>> {
        let mut places = Vec::new();
        for (place, machine) in self.status.addressees.iter().enumerate() {
            if assignment.slow.contains(&self.banyan.index(&machine.label)?) {
                let (label, place, children) = (&machine.label, place + 1, self.children(machine));
                places.push(format!("{label} has place {place} of stripe 0 and is to send to {children}"));
            }
        }
        Ok(places)
    }

    /// Returns the machines that are planned to send most, without those that deviate.
    fn forwarding(&self, assignment: &Assignment) -> Result<Vec<usize>> {
        let most = self.status.addressees.iter().map(|machine| self.children(machine)).max().unwrap_or(0);
        let mut found = Vec::new();
        for machine in self.status.addressees.iter().filter(|machine| self.children(machine) == most) {
            let number = self.banyan.index(&machine.label)?;
            if !assignment.deviates(number) {
                found.push(number);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

impl Swarm for Deployed<'_, '_> {
    /// The measured times are in the answer, so asking more often would not be more precise.
    const ASK_INTERVAL: Duration = Duration::from_millis(1500);

    fn seconds(&mut self) -> Result<Vec<Option<f64>>> {
        self.banyan.check_running()?;
        self.status = self.banyan.status(&self.deployment)?;
        let mut seconds = vec![None; self.status.addressees.len()];
        for addressee in &self.status.addressees {
            seconds[self.banyan.index(&addressee.label)?] = addressee.verified_after.map(|ms| ms as f64 / 1000.0);
        }
        Ok(seconds)
    }
    fn kill(&mut self, machine: usize) -> Result<()> {
        self.banyan.kill(machine)
    }
    fn restart_everything(&mut self) -> Result<()> {
        self.banyan.restart_everything()
    }
}
