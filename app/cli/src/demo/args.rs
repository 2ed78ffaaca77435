//! The arguments of `banyan demo`.

use crate::output::OutputArgs;
use std::path::PathBuf;

/// Watch Banyan deliver a package to a simulated fleet on this computer
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Seven machines, a bundled sample package\n  \
    banyan demo\n  \
    # Your own package\n  \
    banyan demo tool-1.4.tar.gz\n  \
    # More machines, in a plain binary tree\n  \
    banyan demo --agents 15 --stripes 1\n  \
    # Keep the folder with all data and logs\n  \
    banyan demo --keep\n\n\
    Everything is real: server and agents are separate processes that speak TLS over\n\
    the loopback interface. The package is signed, published, deployed, shared,\n\
    verified, authenticated, installed and probed on each machine. Nothing outside a\n\
    temporary folder is changed, and the folder is removed at the end, even after\n\
    Ctrl-C.")]
pub(crate) struct Args {
    /// Archive or Debian package to distribute instead of the bundled sample
    pub(crate) file: Option<PathBuf>,
    /// Number of machines
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) agents: u16,
    /// Number of stripes, each with its own tree
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) stripes: u8,
    /// Keep the folder with all data and logs, and print its path
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn arguments() {
        let args: Args = parse("").unwrap();
        assert_eq!((args.agents, args.stripes, args.keep, args.file), (7, 2, false, None));
        let args: Args = parse("x.tar.gz --agents 1 --keep").unwrap();
        assert_eq!((args.agents, args.keep), (1, true));
        assert!(parse::<Args>("--agents 0").is_err() && parse::<Args>("--agents 65").is_err());
    }
}
