//! Picks packages of four kinds at random from apt's lists.

use crate::command::read;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Largest deb (bytes).
const MAX_SIZE: u64 = 12 << 20;
/// Sections in which most daemons are.
const DAEMON_SECTIONS: [&str; 6] = ["net", "admin", "httpd", "mail", "database", "web"];

/// What a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PackageKind {
    Library,
    Daemon,
    Font,
    Data,
}

impl PackageKind {
    pub(super) const ALL: [Self; 4] = [Self::Library, Self::Daemon, Self::Font, Self::Data];
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Daemon => "daemon",
            Self::Font => "font",
            Self::Data => "data",
        }
    }
    fn of(field: &impl Fn(&str) -> String) -> Option<Self> {
        let (section, name, depends) = (field("Section"), field("Package"), field("Depends"));
        let needs_init = ["init-system-helpers", "lsb-base", "adduser", "systemd"].iter().any(|d| depends.contains(d));
        match section.as_str() {
            "fonts" => Some(Self::Font),
            "libs" => Some(Self::Library),
            section if DAEMON_SECTIONS.contains(&section) && needs_init => Some(Self::Daemon),
            "localization" | "doc" => Some(Self::Data),
            _ if name.ends_with("-data") => Some(Self::Data),
            _ => None,
        }
    }
}

/// A package of Debian's.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: PackageKind,
}

/// A small generator (splitmix64): the same seed gives the same choice from the same lists.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let to = usize::try_from(self.next() % (at as u64 + 1)).unwrap_or(0);
            items.swap(at, to);
        }
    }
}

/// Returns the candidates in the order in which they are tried: the kinds in turn, each shuffled.
pub(super) fn candidates(seed: u64) -> Result<Vec<Candidate>> {
    let here = read(Command::new("dpkg-query").args(["-W", "-f=${Package}\\n"]))?;
    let here: BTreeSet<&str> = here.lines().collect();
    let all =
        read(Command::new("apt-cache").arg("dumpavail")).context("apt has no package lists; run `apt-get update`")?;
    let mut by_kind: BTreeMap<PackageKind, Vec<Candidate>> = BTreeMap::new();
    for text in all.split("\n\n") {
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
            text.lines().find_map(value).unwrap_or_default()
        };
        let name = field("Package");
        let is_ordinary = field("Essential") != "yes"
            && ["optional", "extra"].contains(&field("Priority").as_str())
            && field("Filename").starts_with("pool/main/")
            && field("Size").parse::<u64>().is_ok_and(|size| size <= MAX_SIZE);
        // The name of a release has at most 64 characters.
        if !is_ordinary || here.contains(name.as_str()) || name.len() > 64 {
            continue;
        }
        if let Some(kind) = PackageKind::of(&field) {
            by_kind.entry(kind).or_default().push(Candidate { name, version: field("Version"), kind });
        }
    }
    let mut random = Random(seed);
    for of_kind in by_kind.values_mut() {
        of_kind.sort_by(|a, b| a.name.cmp(&b.name));
        of_kind.dedup_by(|a, b| a.name == b.name);
        random.shuffle(of_kind);
    }
    let longest = by_kind.values().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|at| PackageKind::ALL.map(|kind| (kind, at)));
    Ok(turns.filter_map(|(kind, at)| by_kind.get(&kind)?.get(at).cloned()).collect())
}
