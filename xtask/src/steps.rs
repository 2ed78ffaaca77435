//! The steps of a long run: prints a title before each step, its time after it, and a table of all steps at the end.

use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// The steps so far.
pub(crate) struct Steps {
    began: Instant,
    done: Vec<(&'static str, Outcome)>,
}

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped(String),
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), done: Vec::new() }
    }

    /// Runs one step. The error of a failed step names it; callers should stop then.
    pub(crate) fn run(&mut self, title: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n── {title}");
        let began = Instant::now();
        let result = work().with_context(|| format!("step failed: {title}"));
        let took = began.elapsed();
        self.done.push((title, if result.is_ok() { Outcome::Passed(took) } else { Outcome::Failed(took) }));
        println!("── {title}: {} after {:.1} s", if result.is_ok() { "passed" } else { "FAILED" }, took.as_secs_f64());
        result
    }

    /// Records that a step was skipped, and why.
    pub(crate) fn skip(&mut self, title: &'static str, why: impl Into<String>) {
        let why = why.into();
        println!("\n── {title}: skipped: {why}");
        self.done.push((title, Outcome::Skipped(why)));
    }
}

/// Prints the table, whether a step failed or not.
impl Drop for Steps {
    fn drop(&mut self) {
        println!();
        for (title, outcome) in &self.done {
            match outcome {
                Outcome::Passed(took) => println!("{:>9.1} s  {title}", took.as_secs_f64()),
                Outcome::Failed(took) => println!("{:>9.1} s  {title}  FAILED", took.as_secs_f64()),
                Outcome::Skipped(why) => println!("{:>11}  {title}  skipped: {why}", "–"),
            }
        }
        println!("{:>9.1} s  in total", self.began.elapsed().as_secs_f64());
    }
}
