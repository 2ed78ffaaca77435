//! Runs one target: the corpus first, then mutations of it, until time runs out or there is a finding.

use crate::{
    corpus::Seed,
    memory::Peak,
    mutate::{Random, mutate},
    targets::Check,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

/// How far one input may raise peak memory (bytes): twice the largest frame, and room for its parsed form.
const MEMORY: u64 = 64 << 20;
/// How long one input may take. Inputs are small: on any machine, only a hang or quadratic behaviour takes longer.
const LONG: Duration = Duration::from_secs(10);
/// How many mutated inputs that parsed are kept for further mutation.
const KEPT: usize = 256;
/// Memory is checked after this many inputs: asking the system takes longer than most inputs do.
const BATCH: usize = 32;

/// A defect and how to reproduce it.
#[derive(Debug)]
pub(crate) struct Finding {
    what: String,
    /// Where the input is saved and how to replay it.
    again: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FOUND: {}\n    {}", self.what, self.again)
    }
}

/// The result of a run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) runs: u64,
    pub(crate) parsed: u64,
    pub(crate) finding: Option<Finding>,
}

/// Runs one input.
pub(crate) fn replay(check: &Check, input: &[u8]) -> Seen {
    let mut seen = Seen::default();
    seen.finding = seen
        .batch(check, &[input.to_vec()], &mut Peak::new())
        .err()
        .map(|(what, _)| Finding { what, again: "replayed".into() });
    seen
}

/// Runs the corpus, then mutations of it.
pub(crate) fn fuzz(name: &str, check: &Check, seeds: &[Seed], seed: u64, time: Duration) -> Seen {
    let mut seen = Seen::default();
    if let Err((what, input)) = seen.until_found(name, check, seeds, seed, time) {
        seen.finding = Some(Finding { what, again: save(name, seed, &input) });
    }
    seen
}

/// The defect, and the input that causes it.
type Found = (String, Vec<u8>);

impl Seen {
    fn until_found(
        &mut self,
        name: &str,
        check: &Check,
        seeds: &[Seed],
        seed: u64,
        time: Duration,
    ) -> Result<(), Found> {
        let mut peak = Peak::new();
        let mut random = Random::new(seed, name);
        let mut pool: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.bytes.clone()).collect();
        self.batch(check, &pool, &mut peak)?;
        let started = Instant::now();
        while started.elapsed() < time {
            let mut change = || {
                let (a, b) = (random.below(pool.len()), random.below(pool.len()));
                mutate(&mut random, &pool[a], &pool[b])
            };
            let inputs: Vec<Vec<u8>> = (0..BATCH).map(|_| change()).collect();
            for at in self.batch(check, &inputs, &mut peak)? {
                if pool.len() < seeds.len() + KEPT {
                    pool.push(inputs[at].clone());
                } else {
                    let old = seeds.len() + random.below(KEPT);
                    pool[old].clone_from(&inputs[at]);
                }
            }
        }
        Ok(())
    }
    /// Runs some inputs and returns which of them parsed.
    fn batch(&mut self, check: &Check, inputs: &[Vec<u8>], peak: &mut Peak) -> Result<Vec<usize>, Found> {
        let before = peak.bytes();
        let mut parsed = Vec::new();
        for (at, input) in inputs.iter().enumerate() {
            self.runs += 1;
            if run(check, input).map_err(|what| (what, input.clone()))? {
                self.parsed += 1;
                parsed.push(at);
            }
        }
        let grew = peak.bytes().saturating_sub(before);
        if grew > MEMORY {
            let input = hungry(check, inputs, grew, peak);
            return Err((format!("{} bytes raised peak memory by {} MiB", input.len(), grew >> 20), input));
        }
        Ok(parsed)
    }
}

/// Returns whether the target parsed the input, or the defect in the target.
fn run(check: &Check, input: &[u8]) -> Result<bool, String> {
    let started = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| check(input))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("panic: {words}"))
    })?;
    let took = started.elapsed();
    if took > LONG { Err(format!("{} bytes took {took:?}", input.len())) } else { Ok(verdict) }
}

/// Returns the input that needs this much memory. Memory is set aside first, because a peak can only be reached once.
fn hungry(check: &Check, inputs: &[Vec<u8>], grew: u64, peak: &mut Peak) -> Vec<u8> {
    let aside = std::hint::black_box(Vec::<u8>::with_capacity(usize::try_from(grew).unwrap_or(0)));
    let mut needs = |input: &&Vec<u8>| {
        let before = peak.bytes();
        drop(run(check, input));
        peak.bytes() - before > MEMORY / 2
    };
    let found = inputs.iter().find(|input| needs(input)).cloned().unwrap_or_default();
    drop(aside);
    found
}

/// Saves an input that caused a finding.
fn save(name: &str, seed: u64, input: &[u8]) -> String {
    let path: PathBuf = std::env::temp_dir().join(format!("banyan-fuzz-{name}-{seed}-{}", std::process::id()));
    match std::fs::write(&path, input) {
        Ok(()) => format!("seed {seed}; replay: fuzz --target {name} --replay {}", path.display()),
        Err(error) => {
            format!("replay: fuzz --target {name} --seed {seed} (saving to {} failed: {error})", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the finding for a target that breaks its rules for inputs with an `x`.
    fn found(seed: u64, broken: fn() -> Result<bool, String>) -> Finding {
        let check: Check = Box::new(move |input| if input.contains(&b'x') { broken() } else { Ok(true) });
        let seeds = [Seed { name: "seed".into(), bytes: b"wwwwyyyy".to_vec() }];
        let finding = fuzz("test", &check, &seeds, seed, Duration::from_secs(60)).finding.expect("the defect is found");
        let file = finding.again.rsplit_once(' ').expect("the command ends with the file").1;
        let input = std::fs::read(file).expect("the input was saved");
        std::fs::remove_file(file).expect("the file can be removed");
        assert!(input.contains(&b'x'), "the wrong input was reported");
        finding
    }

    #[test]
    fn panics_and_broken_invariants_are_found() {
        assert_eq!(found(1, || panic!("on purpose")).what, "panic: on purpose");
        assert_eq!(found(1, || Err("broken".into())).what, "broken");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_asked_for_is_found_though_it_is_not_used() {
        let what = found(2, || Ok(std::hint::black_box(Vec::<u8>::with_capacity(1 << 30)).is_empty())).what;
        assert!(what.contains("raised peak memory by "), "{what}");
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = |seed| {
            let mut random = Random::new(seed, "test");
            (0..50).map(|_| mutate(&mut random, b"{\"a\":[1,2,3]}", b"other")).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
    }
}
