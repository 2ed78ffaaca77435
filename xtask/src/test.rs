//! `cargo xtask test`: runs every check that a change must pass, cheapest first, with one build for all of them.

use crate::{
    command::{cargo, root, show, target_dir},
    import_cycles,
    steps::Steps,
    system, windows,
};
use anyhow::Result;
use std::path::Path;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install missing Debian packages (with sudo) and cargo tools; root does so without this option
    #[arg(long)]
    install: bool,
    /// Skip the Windows check and the lab
    #[arg(long)]
    quick: bool,
    /// Skip the Windows check
    #[arg(long)]
    no_windows: bool,
    /// Also run the lab in its short form (as root)
    #[arg(long, conflicts_with = "quick")]
    lab: bool,
}

const WINDOWS: &str = "Windows compile check";
const FUZZ: &str = "fuzzing, short";
const LAB: &str = "lab, short";
/// How many machines the short benchmark of the server simulates.
const MACHINES: &str = "300";

/// The smallest scenario: a slow machine, one that loses packets, and the trace of both.
const SCENARIO: [&str; 10] =
    ["lab", "--scenario", "slow:1x10+loss:1x1%", "--machines", "4", "--size", "1M", "--rate", "40", "--trace"];

/// The variable through which tests find the programs that they start.
const PROGRAMS: &str = "BANYAN_BIN_DIR";

/// Seconds of fuzzing for each parser.
const FUZZ_SECONDS: &str = "20";

pub(crate) fn run(options: &Options) -> Result<()> {
    let windows =
        if options.quick || options.no_windows { Err("skipped on request".to_owned()) } else { windows::toolchain() };
    let mut steps = Steps::new();
    steps.run("required programs", || {
        let mut needs = vec![system::BUILD, system::TIME, system::NETWORK, system::DESKTOP];
        needs.extend(windows.is_ok().then_some(system::WINDOWS));
        needs.extend(options.lab.then_some(system::LAB));
        system::provide(&needs, &[system::DENY, system::NEXTEST], options.install)
    })?;

    steps.run("formatting", || show(cargo().args(["fmt", "--all", "--check"])))?;
    steps.run("imports between folders", || import_cycles::check(root()))?;
    steps.run("dependencies: bans, licences, sources", || {
        show(cargo().args(["deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
    })?;
    steps.run("clippy", || {
        show(cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--profile=ci", "--", "-Dwarnings"]))
    })?;
    match &windows {
        Ok(toolchain) => steps.run(WINDOWS, || windows::check(toolchain))?,
        Err(why) => steps.skip(WINDOWS, why),
    }
    steps.run("programs", || show(cargo().args(["build", "--locked", "--workspace", "--bins", "--profile=ci"])))?;
    let programs = target_dir()?.join("ci");
    steps.run("examples in the documentation", || {
        show(cargo().args(["test", "--locked", "--workspace", "--doc", "--profile=ci"]))
    })?;
    match fuzz_program() {
        true => steps.run(FUZZ, || fuzz(&programs))?,
        false => steps.skip(FUZZ, "there are no fuzz targets"),
    }
    steps.run("many machines at once, short", || {
        show(std::process::Command::new(programs.join("many-machines")).arg(MACHINES).env(PROGRAMS, &programs))
    })?;
    match options.lab {
        // Starts a new process, because this program's file may just have been rebuilt, and the lab starts it again as
        // its guard.
        true => steps.run(LAB, || {
            let lab = || std::process::Command::new(programs.join("xtask"));
            show(lab().args(["lab", "--short", "--bin-dir"]).arg(&programs))?;
            show(lab().args(SCENARIO).arg("--bin-dir").arg(&programs))
        })?,
        false => steps.skip(LAB, "only with --lab, as root"),
    }
    // Last, so that its summary ends the output.
    steps.run("tests", || tests(&programs))
}

fn tests(programs: &Path) -> Result<()> {
    show(cargo().env(PROGRAMS, programs).args(["nextest", "run", "--locked", "--workspace", "--cargo-profile=ci"]))
}

/// Returns whether the fuzzing program exists. It is one program in the tests' crate that replays each corpus, then
/// mutates it.
fn fuzz_program() -> bool {
    ["tests/src/bin/fuzz.rs", "tests/src/bin/fuzz/main.rs"].iter().any(|path| root().join(path).is_file())
}

fn fuzz(programs: &Path) -> Result<()> {
    show(std::process::Command::new(programs.join("fuzz")).args(["--seconds", FUZZ_SECONDS]).current_dir(root()))
}
