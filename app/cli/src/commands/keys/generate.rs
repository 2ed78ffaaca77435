//! `banyan keys generate`: creates new signing keys in a folder.

use crate::output::{Exit, Failure, OutputArgs, WithContext as _, print_note};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Create new signing keys in a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys generate --out keys\n  \
    # Two of three must sign\n  \
    banyan keys generate --out keys --keys 3 --threshold 2\n\n\
    Existing keys are never overwritten. No server is needed. The file public.json\n\
    in the folder contains no secret; give it to others who create a root with these\n\
    keys and theirs.")]
pub(crate) struct GenerateArgs {
    /// Output folder, created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of keys of each role (root, targets)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    keys: u8,
    /// Number of keys of each role that must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: u8,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result of `generate`.
#[derive(Debug, Serialize)]
struct GenerateResult {
    keys: Vec<PathBuf>,
}

pub(super) fn run(args: &GenerateArgs) -> Result<Exit, Failure> {
    let keys = generate_keys(&args.out, args.keys, args.threshold)?;
    let text =
        |made: &GenerateResult| made.keys.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n");
    args.output.print(&GenerateResult { keys }, text).map_err(|failure| {
        let next = format!("use them: `banyan keys init --key {}`", args.out.display());
        failure.after_success("the keys are created", next)
    })?;
    print_note(&format!(
        "keep a copy of {} in a safe place; next: run `banyan keys init --key {0}`",
        args.out.display()
    ));
    Ok(Exit::Success)
}

/// Creates keys for every role. Returns the paths of the key files.
pub(crate) fn generate_keys(out: &Path, keys: u8, threshold: u8) -> Result<Vec<PathBuf>, Failure> {
    let action = || format!("create keys in {}", out.display());
    if threshold > keys {
        let wrong = format!("a threshold of {threshold} needs more than {keys} keys");
        return Err(Failure::new(action(), wrong, "choose a threshold no higher than the number of keys")
            .with_exit(Exit::Usage));
    }
    banyan_publisher::keys::generate_keys(out, usize::from(keys), u64::from(threshold)).with_context(action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn a_threshold_that_cannot_be_met_is_refused_before_any_key_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("keys");
        let failure = generate_keys(&out, 2, 3).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!out.exists(), "a key was created");
    }

    #[test]
    fn arguments() {
        let args: GenerateArgs = parse("--out k --keys 3 --threshold 2").unwrap();
        assert_eq!((args.keys, args.threshold), (3, 2));
        assert!(parse::<GenerateArgs>("").is_err());
    }
}
