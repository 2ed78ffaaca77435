//! What can be chosen about a lab.

use std::path::PathBuf;

/// Options of `cargo xtask lab`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Machines beside the server.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=200))]
    machines: u8,
    /// Rate of every link, each way, the server's too (in tc's words: 40mbit, 1gbit).
    #[arg(long, default_value = "40mbit")]
    pub(crate) rate: String,
    /// Size of the file (K, M or G, times 1024).
    #[arg(long, default_value = "64M", value_parser = bytes)]
    size: u64,
    /// Seed of the file's random bytes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// nginx and curl really to all machines at once, not to four and the rest by arithmetic.
    #[arg(long)]
    pub(crate) full: bool,
    /// 4 machines, 8 MiB, loose limits: shows that everything works, measures nothing worth writing down.
    #[arg(long, conflicts_with = "write")]
    pub(crate) short: bool,
    /// Only nginx and curl.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Only a Debian package, fetched with apt: one plain flow, then Banyan, then what each machine's dpkg says.
    #[arg(long, conflicts_with_all = ["plain", "write"])]
    pub(crate) deb: bool,
    /// Only one plain flow and two stripes, undisturbed; what every link carried each second goes to `links.csv` beside
    /// the logs. For tuning.
    #[arg(long, conflicts_with_all = ["plain", "write", "deb"])]
    pub(crate) tune: bool,
    /// To whom all machines give way; without it, to whom they do by themselves.
    #[arg(long, value_parser = ["nobody", "programs"])]
    pub(crate) give_way: Option<String>,
    /// Only what a transfer leaves for others: a flow beside it under CUBIC and BBR, and the transfer alone (three machines).
    #[arg(long, conflicts_with_all = ["plain", "write", "deb", "tune", "short"])]
    pub(crate) beside: bool,
    /// Only a daily upload quota of 50 MB, with a file that is larger, counted on the links (four machines).
    #[arg(long, conflicts_with_all = ["plain", "write", "deb", "tune", "short", "beside"])]
    pub(crate) quota: bool,
    /// Put the table into docs/numbers.md.
    #[arg(long)]
    pub(crate) write: bool,
    /// Take `banyan`, `banyan-agent` and `banyan-installer` from this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Build profile of the programs.
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
    /// Bytes for what is written on one machine: it holds the content and an unpacked version of each of three releases,
    /// and one more while unpacking, and a Debian package.
    pub(crate) fn room(&self) -> u64 {
        self.size() * 8 + super::deb::ROOM
    }
    /// Bytes.
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
        unit => return Err(format!("{unit:?} is none of K, M, G")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (1 << 20..=4 << 30).contains(&bytes) => Ok(bytes),
        _ => Err("between 1M and 4G, please".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        for wrong in ["", "M", "-1M", "64m", "5G", "99999999999999999999G", "1K"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
