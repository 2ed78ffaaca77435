//! The options of a lab.

use crate::lab::{
    network::rates::Rate,
    scenarios::{
        promises::{self, Network},
        rival_run::Rival,
        scenario::Scenario,
    },
};
use std::path::PathBuf;

/// Options of `cargo xtask lab`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Number of machines besides the server
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=200))]
    machines: u8,
    /// Rate of every link in each direction, the server's included (Mbit/s, or with kbit, mbit or gbit)
    #[arg(long, default_value = "40", value_parser = Rate::parse)]
    pub(crate) rate: Rate,
    /// Size of the file (suffix K, M or G, times 1024)
    #[arg(long, default_value = "64M", value_parser = bytes)]
    size: u64,
    /// Seed of the file's random bytes
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Run nginx and curl to all machines at once, instead of to four with the rest calculated
    #[arg(long)]
    pub(crate) full: bool,
    /// Run 4 machines with 8 MiB and loose limits: checks that everything works, gives no useful figures
    #[arg(long, conflicts_with = "write")]
    pub(crate) short: bool,
    /// Run nginx and curl only
    #[arg(long)]
    pub(crate) plain: bool,
    /// Send a Debian package only, downloaded with apt: one plain flow, then Banyan, then each machine's dpkg status
    #[arg(long, conflicts_with_all = ["plain", "write"])]
    pub(crate) deb: bool,
    /// Run one plain flow and two undisturbed stripes only, for tuning; writes the traffic of every link to `links.csv`
    /// beside the logs
    #[arg(long, conflicts_with_all = ["plain", "write", "deb"])]
    pub(crate) tune: bool,
    /// What all machines yield to, instead of their default
    #[arg(long, value_parser = ["nobody", "programs"])]
    pub(crate) give_way: Option<String>,
    /// Measure only what a transfer leaves for a flow beside it, under CUBIC and BBR, and the transfer alone (three
    /// machines)
    #[arg(long, conflicts_with_all = ["plain", "write", "deb", "tune", "short"])]
    pub(crate) beside: bool,
    /// Test only a daily upload quota of 50 MB, with a larger file, counted on the links (four machines)
    #[arg(long, conflicts_with_all = ["plain", "write", "deb", "tune", "short", "beside"])]
    pub(crate) quota: bool,
    #[arg(long, value_delimiter = ',', value_parser = Scenario::parse, long_help = Scenario::help(),
        help = "Scenarios to measure instead, separated by commas (--help lists them)",
        conflicts_with_all = ["plain", "write", "deb", "tune", "beside", "quota", "full"])]
    pub(crate) scenario: Vec<Scenario>,
    /// Runs of each scenario, each with other machines picked; the table has the medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) repeat: u8,
    /// Deployments of one run, each of another artifact to the same machines
    #[arg(long, default_value_t = 1, requires = "scenario", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) deployments: u8,
    /// Copies that the server may send, as in `banyan deploy`
    #[arg(long, value_name = "N|auto", default_value = "1", requires = "scenario")]
    pub(crate) server_copies: String,
    /// Record when every chunk arrived and left, and draw it, into the folder of logs; costs some processor time
    #[arg(long)]
    pub(crate) trace: bool,
    /// Also run these rivals in the same network
    #[arg(long, requires = "scenario", value_enum, value_delimiter = ',')]
    pub(crate) rival: Vec<Rival>,
    /// Write the figures of every run to this file [default: lab-results.json in the target folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure what Banyan promises for unequal networks, each network three times and beside libtorrent, in all about
    /// two hours; or only the networks with these names
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 0.., value_parser = promises::parse,
        conflicts_with_all = ["plain", "deb", "tune", "beside", "quota", "full", "scenario", "short"])]
    pub(crate) promises: Option<Vec<&'static Network>>,
    /// Write the table to docs/numbers.md
    #[arg(long)]
    pub(crate) write: bool,
    /// Take `banyan`, `banyan-agent` and `banyan-install-helper` from this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Build profile of the programs
    #[arg(long, default_value = "ci", value_parser = ["ci", "release"])]
    pub(crate) profile: String,
}

impl Options {
    pub(crate) fn machines(&self) -> u8 {
        match () {
            () if self.beside => 3,
            () if self.short || self.quota => 4,
            () => self.machines,
        }
    }
    /// Returns the bytes of disk space for one machine. It holds the content and an unpacked version of each of three
    /// releases, one more while unpacking, and a Debian package.
    pub(crate) fn room(&self) -> u64 {
        self.size() * 8 + crate::lab::debian_package::ROOM
    }
    /// Returns the options that measure one promise.
    pub(crate) fn of_promise(&self, network: &Network) -> Self {
        Self {
            machines: network.machines,
            rate: Rate::of_mbit(network.mbit),
            size: network.mib << 20,
            repeat: if self.repeat > 1 { self.repeat } else { network.runs },
            deployments: network.deployments,
            server_copies: network.server_copies.to_owned(),
            rival: network.rivals.to_vec(),
            ..self.clone()
        }
    }
    /// Returns the size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        if self.short { 8 << 20 } else { self.size }
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        unit => return Err(format!("{unit:?} is not a valid unit; use K, M or G")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (1 << 20..=4 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("the size must be between 1M and 4G".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_parsed_with_their_suffix() {
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        for wrong in ["", "M", "-1M", "64m", "5G", "99999999999999999999G", "1K"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
