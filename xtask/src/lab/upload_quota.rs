//! `cargo xtask lab --quota`: tests that machines keep a daily upload quota. Every machine may forward 50 MB a day and
//! is sent a larger file. The bytes that leave each machine are counted outside it and compared with the quota and with
//! the machine's own usage history; every machine must still get the whole file. One machine is killed half-way and
//! started again: it must not get a second quota.

use crate::lab::{
    Options,
    banyan_network::BanyanNetwork,
    environment::{LabEnvironment, wait_at_interval},
    network::traffic_meter::TrafficMeter,
    report::Report,
    test_files,
};
use anyhow::{Context, Result};
use std::{path::Path, time::Duration};

/// How much each machine may forward (bytes).
const QUOTA: u64 = 50_000_000;
/// Tolerated difference from the count, as a share of the quota: reports to the server, names, clocks.
const TOLERANCE: f64 = 0.01;
/// How much more a killed machine may count (bytes): what is recorded in advance, and what was in transit.
const LOST: f64 = 2.5e6;
/// How long to wait before the usage is read, so that nothing is in transit any more.
const SETTLE_TIME: Duration = Duration::from_secs(12);
/// A machine is killed once it has sent this much (bytes).
const KILL_AT: u64 = 20_000_000;
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) fn measure(lab: &LabEnvironment, programs: &Path, options: &Options, report: &mut Report) -> Result<()> {
    println!("starting server, machines and agents …");
    let mut banyan = BanyanNetwork::start(lab, programs, options.room())?;
    let file = test_files::archive(&lab.dir, "quota", options.size(), options.seed)?;
    banyan.publish(&file)?;
    let count = lab.net.machines.len();
    let limits = format!(
        r#"{{"request":"set-limits","download":null,"upload":null,"daily_upload":{QUOTA},"forward":true,"free_disk":0}}"#
    );
    for machine in 0..count {
        banyan.send_request(machine, &limits)?;
    }
    let meter = TrafficMeter::start(&lab.net)?;
    let deployment = banyan.deploy_to(&file.name, "all", 2, &[])?;
    let killed =
        wait_at_interval(POLL_INTERVAL, "a machine to have forwarded enough", Duration::from_secs(120), || {
            let reading = meter.read(&lab.net)?;
            Ok(reading.machines.iter().position(|link| link.sent > KILL_AT))
        })?;
    println!("killing {} and starting it again …", lab.net.machines[killed].label);
    banyan.kill(killed)?;
    banyan.restart(killed)?;
    wait_at_interval(Duration::from_millis(1500), "every machine to hold the file", Duration::from_secs(600), || {
        banyan.check_running()?;
        let status = banyan.status(&deployment)?;
        Ok(status.addressees.iter().all(|one| one.installed_after.is_some()).then_some(()))
    })?;
    std::thread::sleep(SETTLE_TIME);
    let reading = meter.read(&lab.net)?;
    report.notes.push(format!(
        "{count} machines, {QUOTA} bytes a day each, a file of {} bytes: all machines received it; the server sent {} bytes.",
        file.size, reading.server.sent
    ));
    let mut used_up = 0;
    for (index, host) in lab.net.machines.iter().enumerate() {
        let counted = reading.machines[index].sent;
        let ledger = banyan.given_today(index).with_context(|| format!("the usage of {}", host.label))?;
        let slack = TOLERANCE * QUOTA as f64;
        let lost = if index == killed { LOST } else { 0.0 };
        let within = counted as f64 <= QUOTA as f64 + slack;
        let miscount = ledger as f64 - counted as f64;
        let equal = (-slack..=slack + lost).contains(&miscount);
        used_up += usize::from(counted as f64 > 0.9 * QUOTA as f64);
        report.missed |= !within || !equal;
        let verdict = if within && equal { "held" } else { "**missed**" };
        report.notes.push(format!(
            "{}{}: {counted} bytes counted on its link, {ledger} in its usage history ({:+.2} %): {verdict}",
            host.label,
            if index == killed { " (killed and started again)" } else { "" },
            100.0 * miscount / counted.max(1) as f64,
        ));
    }
    // If no machine comes near its quota, the run proves nothing.
    report.missed |= used_up == 0;
    Ok(())
}
