//! Runs one target: the corpus first, then changes of it, until the time is over or something is found.

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

/// One input may raise the peak of memory by so much (bytes): twice the largest frame, and room for its parsed form.
const MEMORY: u64 = 64 << 20;
/// One input may take so long. Inputs are small: only a hang or something quadratic takes longer, on any machine.
const LONG: Duration = Duration::from_secs(10);
/// How many changed inputs that parsed are kept to be changed further.
const KEPT: usize = 256;
/// After so many inputs memory is looked at: asking the system takes longer than most inputs do.
const BATCH: usize = 32;

/// What is wrong, and with what input.
#[derive(Debug)]
pub(crate) struct Finding {
    what: String,
    /// Where the input is and how to come back to it.
    again: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FOUND: {}\n    {}", self.what, self.again)
    }
}

/// How it went.
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

/// Runs the corpus, then changes of it.
pub(crate) fn fuzz(name: &str, check: &Check, seeds: &[Seed], seed: u64, time: Duration) -> Seen {
    let mut seen = Seen::default();
    if let Err((what, input)) = seen.until_found(name, check, seeds, seed, time) {
        seen.finding = Some(Finding { what, again: save(name, seed, &input) });
    }
    seen
}

/// What is wrong, and the input that shows it.
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
    /// Runs some inputs; tells which of them were taken for valid.
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
            return Err((format!("{} bytes raised the peak of memory by {} MiB", input.len(), grew >> 20), input));
        }
        Ok(parsed)
    }
}

/// Whether the target took the input for valid, or what is wrong with the target.
fn run(check: &Check, input: &[u8]) -> Result<bool, String> {
    let started = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| check(input))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Err(format!("panic: {words}"))
    })?;
    let took = started.elapsed();
    if took > LONG { Err(format!("{} bytes took {took:?}", input.len())) } else { Ok(verdict) }
}

/// Which of the inputs needs so much memory. A peak is reached only once; with as much held aside it is reached again.
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

/// Keeps an input that something was found with.
fn save(name: &str, seed: u64, input: &[u8]) -> String {
    let path: PathBuf = std::env::temp_dir().join(format!("banyan-fuzz-{name}-{seed}-{}", std::process::id()));
    match std::fs::write(&path, input) {
        Ok(()) => format!("seed {seed}; again: fuzz --target {name} --replay {}", path.display()),
        Err(error) => {
            format!("again: fuzz --target {name} --seed {seed} (saving to {} failed: {error})", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found by a target that does not keep the rules for inputs with an `x` in them.
    fn found(seed: u64, broken: fn() -> Result<bool, String>) -> Finding {
        let check: Check = Box::new(move |input| if input.contains(&b'x') { broken() } else { Ok(true) });
        let seeds = [Seed { name: "seed".into(), bytes: b"wwwwyyyy".to_vec() }];
        let finding = fuzz("test", &check, &seeds, seed, Duration::from_secs(60)).finding.expect("it is found");
        let file = finding.again.rsplit_once(' ').expect("the command ends with the file").1;
        let input = std::fs::read(file).expect("the input was saved");
        std::fs::remove_file(file).expect("it can be removed");
        assert!(input.contains(&b'x'), "another input was blamed");
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
        assert!(what.contains("raised the peak of memory by "), "{what}");
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
