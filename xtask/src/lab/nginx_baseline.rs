//! The baseline, with nginx on the server and curl on the machines. Measures what one flow carries (the unit for all
//! other figures), with and without TLS, and what sending to each machine separately costs.

use crate::command::{read, words};
use crate::lab::{
    Options,
    environment::{LabEnvironment, wait_for},
    network::traffic_meter::TrafficMeter,
    network::virtual_network::{Host, path},
    report::{Report, Row, Unit},
    test_files::TestFile,
};
use anyhow::{Context, Result, bail};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How many machines download at once unless all do (`--full`); the time for all of them is then calculated.
const MAX_MEASURED_MACHINES: usize = 4;

pub(crate) fn measure(lab: &LabEnvironment, file: &TestFile, options: &Options, report: &mut Report) -> Result<()> {
    let mut nginx = lab.spawn("nginx", &mut nginx(lab, &file.path)?)?;
    let address = lab.net.server.address;
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let plain = format!("http://{address}/{name}");
    let tls = format!("https://{address}/{name}");
    wait_for("nginx to answer", Duration::from_secs(10), || {
        nginx.check_running()?;
        Ok(fetch(lab, &lab.net.server, &tls, 2).status().is_ok_and(|s| s.success()).then_some(()))
    })?;

    println!("one flow …");
    let (row, unit) = one_flow(lab, file, &plain, "nginx + curl, one machine")?;
    report.unit = Some(unit);
    report.rows.push(row);
    if options.deb || options.tune || options.beside || options.quota {
        return Ok(());
    }
    let (row, _) = one_flow(lab, file, &tls, "the same with TLS 1.3")?;
    report.rows.push(row);

    let machines = &lab.net.machines;
    let count = if options.full { machines.len() } else { MAX_MEASURED_MACHINES.min(machines.len()) };
    println!("{count} flows at once …");
    let limit = 60 + (unit.seconds(file.size) * count as f64 * 3.0) as u64;
    report.rows.push(at_once(lab, file, &machines[..count], &plain, limit)?);
    if count < machines.len() {
        report.notes.push(format!(
            "nginx + curl to all {} machines was not measured; the calculated time is {} units.",
            machines.len(),
            machines.len()
        ));
    }
    Ok(())
}

/// Measures one machine downloading the file over an idle network.
fn one_flow(lab: &LabEnvironment, file: &TestFile, url: &str, title: &str) -> Result<(Row, Unit)> {
    let meter = TrafficMeter::start(&lab.net)?;
    let seconds = fetched(&mut fetch(lab, &lab.net.machines[0], url, 600), file.size)?;
    let reading = meter.read(&lab.net)?;
    let unit =
        Unit { goodput: file.size as f64 / seconds, wire_per_payload: reading.server.sent as f64 / file.size as f64 };
    Ok((Row::of(title, Duration::from_secs_f64(seconds), file.size, &reading), unit))
}

/// Measures several machines downloading the file at the same time.
fn at_once(lab: &LabEnvironment, file: &TestFile, machines: &[Host], url: &str, limit: u64) -> Result<Row> {
    let meter = TrafficMeter::start(&lab.net)?;
    let began = Instant::now();
    let running = machines
        .iter()
        .map(|host| fetch(lab, host, url, limit).stdout(Stdio::null()).spawn().context("cannot start curl"))
        .collect::<Result<Vec<_>>>()?;
    for mut one in running {
        let status = one.wait()?;
        if !status.success() {
            bail!("a curl failed to download the file ({status})");
        }
    }
    let took = began.elapsed();
    let title = format!("nginx + curl, {} machines at once", machines.len());
    Ok(Row::of(&title, took, file.size, &meter.read(&lab.net)?))
}

/// Returns a curl on this host that prints how many bytes it received, and in how many seconds.
fn fetch(lab: &LabEnvironment, host: &Host, url: &str, seconds: u64) -> Command {
    let mut command = host.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--output", "/dev/null", "--max-time", &seconds.to_string()]);
    command.args(["--noproxy", "*", "--write-out", "%{size_download} %{time_total}", "--cacert"]);
    command.arg(lab.dir.join("nginx.crt")).arg(url).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs such a curl and returns the seconds it took. Fails unless it received `size` bytes.
fn fetched(command: &mut Command, size: u64) -> Result<f64> {
    let said = read(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    match said.split_once(' ') {
        Some((bytes, seconds)) if bytes.parse() == Ok(size) => Ok(seconds.parse()?),
        _ => bail!("`{}` did not receive the expected file: {said:?}", words(command)),
    }
}

/// Returns an nginx with this configuration only. It is a single process, so that killing it leaves none behind; one
/// process serves many times a link's rate.
fn nginx(lab: &LabEnvironment, file: &Path) -> Result<Command> {
    let dir = lab.dir.join("nginx");
    std::fs::create_dir(&dir)?;
    let host = &lab.net.server;
    let (key, certificate) = (lab.dir.join("nginx.key"), lab.dir.join("nginx.crt"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=lab", "-addext", &format!("subjectAltName=IP:{}", host.address)]);
    read(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;

    let configuration = dir.join("nginx.conf");
    let text = format!(
        "master_process off;\ndaemon off;\npid {dir}/pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n\
         \taccess_log off;\n\tsendfile on;\n\ttcp_nopush on;\n\troot {root};\n\
         \tclient_body_temp_path {dir}/t1;\n\tproxy_temp_path {dir}/t2;\n\tfastcgi_temp_path {dir}/t3;\n\
         \tuwsgi_temp_path {dir}/t4;\n\tscgi_temp_path {dir}/t5;\n\
         \tserver {{\n\t\tlisten {address}:80;\n\t\tlisten {address}:443 ssl;\n\t\tssl_protocols TLSv1.3;\n\
         \t\tssl_certificate {certificate};\n\t\tssl_certificate_key {key};\n\t}}\n}}\n",
        dir = dir.display(),
        root = file.parent().unwrap_or(file).display(),
        address = host.address,
        certificate = certificate.display(),
        key = key.display(),
    );
    std::fs::write(&configuration, text)?;
    let mut command = host.command("nginx");
    command.arg("-c").arg(&configuration).arg("-p").arg(&dir).args(["-e", "stderr"]);
    command.env("PATH", path());
    Ok(command)
}
