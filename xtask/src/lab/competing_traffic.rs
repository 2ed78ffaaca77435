//! `cargo xtask lab --beside`: measures a foreground flow, under CUBIC and under BBR, beside a transfer that yields to
//! it, and the transfer alone. All ratios are from one run, with a control: the same transfer without yielding.

use crate::lab::{
    Options,
    banyan_network::BanyanNetwork,
    environment::{LabEnvironment, wait_at_interval},
    network::traffic_meter::TrafficMeter,
    network::virtual_network::Host,
    report::{Report, Row, Unit},
    tcp_flow::FlowSender,
    test_files,
};
use anyhow::{Context, Result};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The share of its solo rate that the flow must keep, and the share of an idle link that the transfer must use.
const MIN_KEPT_SHARE: f64 = 0.90;
const MIN_USED_SHARE: f64 = 0.90;
/// How long a flow is measured (seconds).
const FLOW_SECONDS: u64 = 30;
/// The transfer counts as under way once this many bytes have moved.
const STARTED_BYTES: u64 = 3 << 20;
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Where flow and transfer compete.
struct Case {
    what: &'static str,
    give_way: &'static str,
    /// Host numbers: from, to. The transfer goes from the server to the first machine or, if it `sends`, also between
    /// the first and the third.
    flow: [usize; 2],
    /// Whether the transfer that must yield is the first machine's own upload.
    sends: bool,
    promised: bool,
}

/// Host 0 is the server.
const CASES: [Case; 3] = [
    Case { what: "yields to nothing (control)", give_way: "nobody", flow: [2, 1], sends: false, promised: false },
    Case {
        what: "a program of the receiving machine",
        give_way: "programs",
        flow: [2, 1],
        sends: false,
        promised: true,
    },
    Case { what: "a program of the sending machine", give_way: "programs", flow: [1, 2], sends: true, promised: true },
];

pub(crate) fn measure(lab: &LabEnvironment, programs: &Path, options: &Options, report: &mut Report) -> Result<()> {
    let unit = report.unit.context("the baseline has not been measured")?;
    let host = |number: usize| if number == 0 { &lab.net.server } else { &lab.net.machines[number - 1] };
    println!("starting server, machines and agents …");
    let mut banyan = BanyanNetwork::start(lab, programs, options.room() * 3)?;
    let mut measurements = Measurements { unit, seed: options.seed, options, lines: Vec::new() };
    for give_way in ["nobody", "programs"] {
        banyan.give_way(0, give_way)?;
        measurements.measure_alone(lab, &mut banyan, give_way, report)?;
    }
    for case in &CASES {
        for congestion in ["cubic", "bbr"] {
            let sender = FlowSender::start(lab, host(case.flow[0]), congestion)?;
            let solo = sender.to(host(case.flow[1]), FLOW_SECONDS)?.rate()?;
            measurements.measure_beside(
                lab,
                &mut banyan,
                case,
                congestion,
                solo,
                &sender,
                host(case.flow[1]),
                report,
            )?;
        }
    }
    report.notes.extend(measurements.lines);
    Ok(())
}

struct Measurements<'a> {
    unit: Unit,
    seed: u64,
    options: &'a Options,
    lines: Vec<String>,
}

impl Measurements<'_> {
    /// Publishes a new file for each transfer, because a machine that holds a file does not download it recovery.
    fn publish(&mut self, lab: &LabEnvironment, banyan: &BanyanNetwork<'_>) -> Result<test_files::TestFile> {
        self.seed += 1;
        let file = test_files::archive(&lab.dir, &format!("beside-{}", self.seed), self.options.size(), self.seed)?;
        banyan.publish(&file)?;
        std::fs::remove_file(&file.path)?;
        Ok(file)
    }
    fn measure_alone(
        &mut self,
        lab: &LabEnvironment,
        banyan: &mut BanyanNetwork<'_>,
        give_way: &str,
        report: &mut Report,
    ) -> Result<()> {
        println!("alone, yielding to: {give_way} …");
        let file = self.publish(lab, banyan)?;
        let meter = TrafficMeter::start(&lab.net)?;
        let deployment = banyan.deploy_to(&file.name, "machine:m01", 1, &[])?;
        let took = wait_until_finished(banyan, &deployment)?;
        let row = Row::of(&format!("alone, yielding to {give_way}"), took, file.size, &meter.read(&lab.net)?);
        let used = 1.0 / row.units(&self.unit);
        report.rows.push(row);
        self.record_share(
            &format!("alone, yielding to {give_way}: the transfer uses {used:.3} of the link"),
            used,
            MIN_USED_SHARE,
            report,
        );
        Ok(())
    }
    #[expect(clippy::too_many_arguments, reason = "the parts of one case")]
    fn measure_beside(
        &mut self,
        lab: &LabEnvironment,
        banyan: &mut BanyanNetwork<'_>,
        case: &Case,
        congestion: &str,
        solo: f64,
        sender: &FlowSender<'_>,
        to: &Host,
        report: &mut Report,
    ) -> Result<()> {
        println!("{congestion} beside the transfer: {} …", case.what);
        // With two stripes, each of two machines sends the other the stripe that the server sent to it alone.
        let (machines, stripes) = if case.sends { ("machine:m01,m03", 2) } else { ("machine:m01", 1) };
        for machine in 0..3 {
            banyan.give_way(machine, case.give_way)?;
        }
        let file = self.publish(lab, banyan)?;
        let began = Instant::now();
        let meter = TrafficMeter::start(&lab.net)?;
        let deployment = banyan.deploy_to(&file.name, machines, stripes, &[])?;
        let moved = |reading: &crate::lab::network::traffic_meter::Reading| {
            let link = reading.machines[0];
            if case.sends { link.sent } else { link.received }
        };
        wait_at_interval(POLL_INTERVAL, "the transfer to be under way", Duration::from_secs(60), || {
            Ok((moved(&meter.read(&lab.net)?) > STARTED_BYTES).then_some(()))
        })?;
        let meter = TrafficMeter::start(&lab.net)?;
        let rate = sender.to(to, FLOW_SECONDS)?.rate()?;
        let reading = meter.read(&lab.net)?;
        let kept = rate / solo;
        wait_until_finished(banyan, &deployment)?;
        let line = format!(
            "{congestion}, {} (yielding to {}): {:.2} Mbit/s alone, {:.2} beside the transfer, keeps {kept:.3}; processors {:.0} % busy; the transfer took {:.0} s in all",
            case.what,
            case.give_way,
            solo * 8e-6,
            rate * 8e-6,
            reading.busy * 100.0,
            began.elapsed().as_secs_f64(),
        );
        if case.promised {
            self.record_share(&line, kept, MIN_KEPT_SHARE, report);
        } else {
            self.lines.push(line);
        }
        Ok(())
    }
    fn record_share(&mut self, line: &str, value: f64, least: f64, report: &mut Report) {
        let verdict = if value >= least { "held" } else { "**missed**" };
        println!("{line}");
        self.lines.push(format!("{line}; at least {least:.2}: {verdict}"));
        report.missed |= value < least;
    }
}

/// Waits until every machine has finished. Returns the time since the deployment was accepted.
fn wait_until_finished(banyan: &mut BanyanNetwork<'_>, deployment: &str) -> Result<Duration> {
    wait_at_interval(Duration::from_millis(1500), "the transfer to finish", Duration::from_secs(400), || {
        banyan.check_running()?;
        let status = banyan.status(deployment)?;
        let times = status.addressees.iter().map(|one| one.verified_after.filter(|_| one.installed_after.is_some()));
        Ok(times.collect::<Option<Vec<_>>>().map(|all| Duration::from_millis(all.into_iter().max().unwrap_or(0))))
    })
}
