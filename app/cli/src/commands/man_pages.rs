//! `banyan man` (hidden, for packagers): writes the manual pages from the same definition as `--help`.

use crate::output::{Exit, Failure, WithContext as _, print_note};
use std::path::PathBuf;

/// Write the manual pages to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan man --out target/man")]
pub(crate) struct Args {
    /// Output folder, created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes a page for each visible command of `command`, the whole command line.
pub(crate) fn run(args: &Args, command: clap::Command) -> Result<Exit, Failure> {
    let action = || format!("write the manual pages to {}", args.out.display());
    std::fs::create_dir_all(&args.out).with_context(action)?;
    clap_mangen::generate_to(command, &args.out).with_context(action)?;
    print_note(&format!("wrote the manual pages to {}", args.out.display()));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn there_is_a_page_for_every_visible_command() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { out: folder.path().join("man") }, Cli::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join("man").join(name));
        for name in ["banyan.1", "banyan-deploy.1", "banyan-tokens-create.1", "banyan-machines-revoke.1"] {
            assert!(page(name).unwrap().contains(".TH "), "{name}");
        }
        assert!(page("banyan-deploy.1").unwrap().contains("cut\\-through"));
        assert!(page("banyan-install-helper-process.1").is_err(), "a hidden command has a page");
    }
}
