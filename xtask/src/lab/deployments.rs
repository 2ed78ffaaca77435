//! The runs with Banyan: one stripe, two stripes, two stripes with the head of the first killed half-way, and a Debian
//! package.

use crate::lab::{
    Options,
    banyan_network::{BanyanNetwork, Status},
    debian_package,
    environment::{LabEnvironment, wait_at_interval},
    lab_machine,
    network::traffic_meter::{Reading, TrafficMeter},
    network::virtual_network::TrafficTrace,
    report::{Promise, Report, Row, Unit},
    test_files::{self, TestFile},
};
use anyhow::{Context, Result, bail};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How often the server is asked for the status. The measured times are in its answer, so asking more often would not
/// be more precise: ten requests a second took a sixth of the processors' time.
const STATUS: Duration = Duration::from_millis(1500);

/// The limits of the figures. Makespans are in units, bytes in copies of the file.
struct Limits {
    makespan: f64,
    server: f64,
    upload: f64,
    /// Makespan of the other machines when a head is killed, divided by the undisturbed one.
    killed: f64,
}

const LIMITS: Limits = Limits { makespan: 1.25, server: 1.05, upload: 1.10, killed: 1.6 };

/// Limits for a small file, where handshakes, proofs and timeouts weigh more than content.
const SHORT_LIMITS: Limits = Limits { makespan: 4.0, server: 1.5, upload: 1.5, killed: 6.0 };

pub(crate) fn measure(
    lab: &LabEnvironment,
    programs: &Path,
    archive: &TestFile,
    package: &TestFile,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let unit = report.unit.context("the baseline has not been measured")?;
    println!("starting server, machines and agents …");
    let mut runs = DeploymentRuns { lab, banyan: BanyanNetwork::start(lab, programs, options.room())?, unit };
    if let Some(to) = &options.give_way {
        (0..lab.net.machines.len()).try_for_each(|machine| runs.banyan.give_way(machine, to))?;
    }
    if options.tune {
        runs.banyan.publish(archive)?;
        let trace = TrafficTrace::start(&lab.net, &lab.log("links").with_extension("csv"))?;
        let striped = runs.deploy_undisturbed(archive, 2)?;
        trace.stop()?;
        report.rows.push(striped.row("banyan, two stripes", archive));
        return Ok(());
    }
    if !options.deb {
        measure_archives(&mut runs, archive, options, report)?;
    }
    measure_debian_package(&mut runs, package, report)
}

/// Runs and measures the archives.
fn measure_archives(runs: &mut DeploymentRuns, one: &TestFile, options: &Options, report: &mut Report) -> Result<()> {
    let (lab, unit) = (runs.lab, runs.unit);
    let limits = if options.short { SHORT_LIMITS } else { LIMITS };
    // A different file each time, because a machine that holds the content would not download it recovery.
    let two = test_files::archive(&lab.dir, "lab-two", options.size(), options.seed + 1)?;
    let three = test_files::archive(&lab.dir, "lab-three", options.size(), options.seed + 2)?;

    for file in [one, &two, &three] {
        runs.banyan.publish(file)?;
    }

    println!("one stripe …");
    let tree = runs.deploy_undisturbed(one, 1)?;
    report.rows.push(tree.row("banyan, one stripe (binary tree)", one));
    report.notes.push(tree.installed("With one stripe"));

    println!("two stripes …");
    let striped = runs.deploy_undisturbed(&two, 2)?;
    let row = striped.row("banyan, two stripes", &two);
    report.promises.extend([
        Promise { what: "makespan, two stripes (units)", value: row.units(&unit), limit: limits.makespan },
        Promise { what: "payload sent by the server (copies)", value: row.copies(&unit), limit: limits.server },
        Promise { what: "largest upload of a machine (copies)", value: row.upload(&unit), limit: limits.upload },
    ]);
    report.rows.push(row);
    report.notes.push(striped.installed("With two stripes"));

    println!("two stripes, a head killed half-way …");
    let (others, recovery) = runs.deploy_and_kill_head(&three, striped.makespan / 2)?;
    let value = others.makespan.as_secs_f64() / striped.makespan.as_secs_f64();
    let what = "makespan of the others when the head of stripe 0 is killed, divided by the undisturbed one";
    report.promises.push(Promise { what, value, limit: limits.killed });
    report.rows.push(others.row("the same, head of stripe 0 killed half-way: the others", &three));
    report.notes.push(format!(
        "The killed head, restarted after the others had finished, held the artifact after {:.2} s and {:.3} copies received.",
        recovery.took.as_secs_f64(),
        recovery.received as f64 / unit.wire_per_payload / three.size as f64
    ));
    Ok(())
}

/// Runs the Debian package. Whether it is installed is read from every machine's own dpkg database, not from the
/// agents.
fn measure_debian_package(runs: &mut DeploymentRuns, package: &TestFile, report: &mut Report) -> Result<()> {
    println!("a Debian package …");
    let (before, _) = debian_package::installed(package, runs.banyan.machines());
    let here = lab_machine::package_here(&package.name);
    if before > 0 {
        bail!("{before} machines had {} before it was sent", package.name);
    }
    runs.banyan.publish(package)?;
    let run = runs.deploy_undisturbed(package, 2)?;
    let title = format!("{} {}", package.name, package.version);
    let (count, others) = debian_package::installed(package, runs.banyan.machines());
    // Not a row of the table: the first machines install while the last receive, so the figures are not comparable.
    let row = run.row(&title, package);
    report.notes.push(format!(
        "Debian package {title}, {:.2} MiB, two stripes: the dpkg databases of {count} of {} machines list it as \
         installed. The last machine held it after {:.2} s ({:.2} units); the server sent {:.3} copies. {}",
        package.size as f64 / f64::from(1 << 20),
        runs.lab.net.machines.len(),
        run.makespan.as_secs_f64(),
        row.units(&runs.unit),
        row.copies(&runs.unit),
        run.installed("All in all"),
    ));
    if !others.is_empty() {
        bail!("{title} is not installed everywhere: {}", others.join(", "));
    }
    if lab_machine::package_here(&package.name) != here {
        bail!("installing {title} on the machines changed the dpkg database of this system");
    }
    Ok(())
}

/// One measured deployment.
struct Run {
    /// From the server's acceptance until the last machine held the verified artifact.
    makespan: Duration,
    /// From the acceptance until the new version ran on the last machine; `None` if the run did not wait for it.
    installed: Option<Duration>,
    /// The reading from the request to deploy until the last machine held the artifact.
    reading: Reading,
}

impl Run {
    fn row(&self, title: &str, file: &TestFile) -> Row {
        Row::of(title, self.makespan, file.size, &self.reading)
    }
    /// Returns a sentence with the installation time.
    fn installed(&self, how: &str) -> String {
        let seconds = self.installed.unwrap_or_default().as_secs_f64();
        format!(
            "{how}, the new version was installed on the last machine {seconds:.2} s after the deployment was accepted."
        )
    }
}

/// The recovery of a machine that was killed.
struct Recovery {
    /// From its restart until it held the verified artifact.
    took: Duration,
    /// The bytes that its link received in that time.
    received: u64,
}

struct DeploymentRuns<'a> {
    lab: &'a LabEnvironment,
    banyan: BanyanNetwork<'a>,
    unit: Unit,
}

impl DeploymentRuns<'_> {
    /// Deploys to all machines and waits until all hold the artifact, then until it is installed.
    fn deploy_undisturbed(&mut self, file: &TestFile, stripes: u8) -> Result<Run> {
        let meter = TrafficMeter::start(&self.lab.net)?;
        let deployment = self.banyan.deploy(&file.name, stripes)?;
        let status = self.wait_until(file, &deployment, "every machine to hold the artifact", |status| {
            latest(status, None, |a| a.verified_after).is_some()
        })?;
        let reading = meter.read(&self.lab.net)?;
        self.check_traffic(&reading, file, None)?;
        let makespan = latest(&status, None, |a| a.verified_after).unwrap_or_default();
        let status = self.wait_until(file, &deployment, "every machine to have installed it", |status| {
            latest(status, None, |a| a.installed_after).is_some()
        })?;
        Ok(Run { makespan, installed: latest(&status, None, |a| a.installed_after), reading })
    }

    /// Deploys to all, kills the head of stripe 0 after `half`, waits for the others, restarts the head and waits for
    /// it.
    fn deploy_and_kill_head(&mut self, file: &TestFile, half: Duration) -> Result<(Run, Recovery)> {
        let meter = TrafficMeter::start(&self.lab.net)?;
        let deployment = self.banyan.deploy(&file.name, 2)?;
        let accepted = Instant::now();
        let status = self.banyan.status(&deployment)?;
        let head = status.addressees.iter().find(|a| a.planned.first() == Some(&status.server));
        let label = head.context("the server plans to send stripe 0 to no machine")?.label.clone();
        let index = self.banyan.index(&label)?;
        std::thread::sleep(half.saturating_sub(accepted.elapsed()));
        self.banyan.kill(index)?;
        println!("killed {label} after {:.2} s", accepted.elapsed().as_secs_f64());

        let status = self.wait_until(file, &deployment, "the others to hold the artifact", |status| {
            latest(status, Some(&label), |a| a.verified_after).is_some()
        })?;
        let reading = meter.read(&self.lab.net)?;
        self.check_traffic(&reading, file, Some(index))?;
        let makespan = latest(&status, Some(&label), |a| a.verified_after).unwrap_or_default();

        let meter = TrafficMeter::start(&self.lab.net)?;
        self.banyan.restart(index)?;
        let began = Instant::now();
        self.wait_until(file, &deployment, "the killed machine to hold the artifact", |status| {
            latest(status, None, |a| a.verified_after).is_some()
        })?;
        let recovery =
            Recovery { took: began.elapsed(), received: meter.read(&self.lab.net)?.machines[index].received };
        Ok((Run { makespan, installed: None, reading }, recovery))
    }

    /// Fails unless each machine that reports the file received at least its size over its link: else the measurement
    /// is wrong.
    fn check_traffic(&self, reading: &Reading, file: &TestFile, killed: Option<usize>) -> Result<()> {
        for (index, (host, traffic)) in self.lab.net.machines.iter().zip(&reading.machines).enumerate() {
            if Some(index) != killed && traffic.received < file.size {
                bail!(
                    "{} reports that it holds {} bytes, but its link carried only {}",
                    host.label,
                    file.size,
                    traffic.received
                );
            }
        }
        Ok(())
    }

    /// Asks for the status until it is as wanted, for at most as long as sending to each machine separately would take.
    fn wait_until(
        &mut self,
        file: &TestFile,
        deployment: &str,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let patience = self.unit.seconds(file.size) * self.lab.net.machines.len() as f64 + 60.0;
        let mut unfinished = String::new();
        wait_at_interval(STATUS, what, Duration::from_secs_f64(patience), || {
            self.banyan.check_running()?;
            let status = self.banyan.status(deployment)?;
            unfinished = status.unfinished();
            Ok(wanted(&status).then_some(status))
        })
        .with_context(|| format!("not finished: {unfinished}"))
    }
}

/// Returns when the last target machine, except the one labelled `but`, reached a point; `None` if one has not.
fn latest(
    status: &Status,
    but: Option<&str>,
    when: impl Fn(&crate::lab::banyan_network::Addressee) -> Option<u64>,
) -> Option<Duration> {
    let counted = status.addressees.iter().filter(|addressee| Some(addressee.label.as_str()) != but);
    let times = counted.map(when).collect::<Option<Vec<_>>>()?;
    times.into_iter().max().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_counts_and_an_unfinished_machine_gives_none() {
        let status: Status = serde_json::from_str(
            r#"{"id":"d","server":"s","addressees":[
                {"id":"x","label":"m01","stage":"installed","reason":null,"detail":null,"planned":["s"],"verified_after":900,"installed_after":1000},
                {"id":"x","label":"m02","stage":"verified","reason":null,"detail":null,"planned":["m01"],"verified_after":1500,"installed_after":null},
                {"id":"x","label":"m03","stage":"receiving","reason":null,"detail":null,"planned":["m01"],"verified_after":null,"installed_after":null}]}"#,
        )
        .unwrap();
        assert_eq!(latest(&status, None, |a| a.verified_after), None);
        assert_eq!(latest(&status, Some("m03"), |a| a.verified_after), Some(Duration::from_millis(1500)));
        assert_eq!(latest(&status, Some("m03"), |a| a.installed_after), None);
    }
}
