//! Fuzzes every parser of untrusted bytes, on stable Rust and without other tools.
//!
//! Each target replays its committed corpus (`tests/fuzz/corpus/TARGET/`), then mutates it for some seconds. A finding
//! is a panic, a broken invariant of the target, a jump in memory, or an input that takes very long. It is saved, and
//! the command to replay it is printed. The order of inputs depends on the seed alone, so a crash of the whole process
//! (a stack overflow) can be reproduced with the same seed.
//!
//! `cargo run -p banyan-tests --bin fuzz -- --target frames --seconds 600`

mod corpus;
mod memory;
mod mutate;
mod run;
mod targets;

use banyan_proto::MachineId;
use std::{path::PathBuf, process::ExitCode, time::Duration};

const USAGE: &str = "fuzz [--seconds N] [--target NAME] [--seed S] [--replay FILE]
  --seconds N    how long to mutate each target's corpus [default: 20]
  --target NAME  run only this target
  --seed S       repeat a run with the seed that it printed
  --replay FILE  run only this input, with --target";

/// The parsed command line.
struct Options {
    time: Duration,
    target: Option<String>,
    seed: u64,
    replay: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let seed = MachineId::random().0.first_chunk().copied().map_or(1, u32::from_le_bytes);
    let mut options = Options { time: Duration::from_secs(20), target: None, seed: seed.into(), replay: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match word.as_str() {
            "--seconds" => options.time = Duration::from_secs(number(value()?)?),
            "--target" => options.target = Some(value()?),
            "--seed" => options.seed = number(value()?)?,
            "--replay" => options.replay = Some(value()?.into()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn fuzz(options: &Options) -> Result<bool, String> {
    let wanted = |target: &&targets::Target| options.target.as_ref().is_none_or(|name| name == target.name);
    let chosen: Vec<_> = targets::ALL.iter().filter(wanted).collect();
    if chosen.is_empty() || (options.replay.is_some() && chosen.len() != 1) {
        let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        return Err(format!("pass one of these targets: {}", names.join(", ")));
    }
    println!("seed {}", options.seed);
    let mut clean = true;
    for target in chosen {
        let seeds = corpus::load(target.name)?;
        let check = (target.prepare)(&seeds).map_err(|why| format!("target {}: {why}", target.name))?;
        let seen = match &options.replay {
            Some(file) => run::replay(&check, &corpus::read(file)?),
            None => run::fuzz(target.name, &check, &seeds, options.seed, options.time),
        };
        let verdict = match &seen.finding {
            None => "clean".to_owned(),
            Some(finding) => {
                clean = false;
                finding.to_string()
            }
        };
        println!("{:<13} {:>9} runs {:>9} parsed  {verdict}", target.name, seen.runs, seen.parsed);
    }
    Ok(clean)
}

fn main() -> ExitCode {
    match options().and_then(|options| fuzz(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
