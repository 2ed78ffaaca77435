//! `banyan demo`: the arguments; what it does stands in `crate::demo`.

use crate::{demo, exit::Exit, failure::Failure, output::Json};
use std::path::PathBuf;

/// See it work: a server and some machines on this computer, one package, everyone gets it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan demo                          seven machines, a bundled sample package\n  \
    banyan demo tool-1.4.tar.gz          a package of your own\n  \
    banyan demo --agents 15 --stripes 1  more machines, the plain binary tree\n  \
    banyan demo --keep                   leave the folder with all data and logs\n\n\
    Everything is real: server and agents are processes of their own that speak TLS over the loopback interface; the\n\
    package is signed, published, deployed, passed on, verified, authenticated, installed and probed on each of them.\n\
    Nothing outside a temporary folder is touched, and nothing is left behind, also after Ctrl-C.")]
pub(crate) struct Args {
    /// An archive or a Debian package to distribute, instead of the bundled sample
    pub(crate) file: Option<PathBuf>,
    /// How many machines
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) agents: u16,
    /// In how many interleaved parts it travels
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) stripes: u8,
    /// Leave the folder with all data and logs behind, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

pub(crate) async fn run(args: &Args) -> Result<Exit, Failure> {
    demo::run(args).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::test_args::parse;

    #[test]
    fn arguments() {
        let args: Args = parse("").unwrap();
        assert_eq!((args.agents, args.stripes, args.keep, args.file), (7, 2, false, None));
        let args: Args = parse("x.tar.gz --agents 1 --keep").unwrap();
        assert_eq!((args.agents, args.keep), (1, true));
        assert!(parse::<Args>("--agents 0").is_err() && parse::<Args>("--agents 65").is_err());
    }
}
