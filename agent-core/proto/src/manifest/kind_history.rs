//! Whether a new release keeps the kind of package that machines have. An archive and a deb of one name would be
//! installed beside each other: neither replaces the other, and each has its own way back.

use super::{Kind, Manifest};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The kinds of a release's files, by platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformKinds(BTreeMap<String, Kind>);

impl PlatformKinds {
    /// Returns the kind that a machine of the platform installs, as [`Manifest::artifact_for`] picks the file.
    fn on(&self, platform: &str) -> Option<Kind> {
        self.0.get(platform).or_else(|| self.0.get("any")).copied()
    }
}

impl FromIterator<(String, Kind)> for PlatformKinds {
    fn from_iter<T: IntoIterator<Item = (String, Kind)>>(kinds: T) -> Self {
        Self(kinds.into_iter().collect())
    }
}

impl Manifest {
    /// Returns the kinds of the files, by platform.
    #[must_use]
    pub fn kinds(&self) -> PlatformKinds {
        self.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.install.kind)).collect()
    }
}

/// Compares a new release with earlier ones of its package, the newest first. For each platform, the newest release with
/// a file for it counts.
#[derive(Debug)]
pub struct KindHistory {
    new: PlatformKinds,
    decided: BTreeSet<String>,
}

/// A platform for which the new release is of another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindChange {
    /// The platform.
    pub platform: String,
    /// The kind of the earlier release.
    pub before: Kind,
    /// The kind of the new release.
    pub now: Kind,
}

impl KindHistory {
    /// Begins with a new release.
    #[must_use]
    pub fn new(new: &Manifest) -> Self {
        Self { new: new.kinds(), decided: BTreeSet::new() }
    }
    /// Returns the platforms that an earlier release with files for `there` decides.
    fn undecided<'a>(&'a self, there: &BTreeSet<&'a str>) -> Vec<&'a str> {
        let has = |platform: &str| there.contains(platform) || there.contains("any");
        let all = there.iter().copied().chain(self.new.0.keys().map(String::as_str));
        all.filter(|platform| !self.decided.contains(*platform) && self.new.on(platform).is_some() && has(platform))
            .collect()
    }
    /// Returns whether an earlier release with files for these platforms must be compared.
    #[must_use]
    pub fn needs(&self, platforms: &BTreeSet<&str>) -> bool {
        !self.undecided(platforms).is_empty()
    }
    /// Compares the next earlier release.
    ///
    /// # Errors
    /// The first platform whose kind changes.
    pub fn compare(&mut self, earlier: &PlatformKinds) -> Result<(), KindChange> {
        let there = earlier.0.keys().map(String::as_str).collect();
        let platforms: Vec<String> = self.undecided(&there).into_iter().map(str::to_owned).collect();
        for platform in platforms {
            if let (Some(before), Some(now)) = (earlier.on(&platform), self.new.on(&platform))
                && before != now
                && is_installable(before, &platform)
                && is_installable(now, &platform)
            {
                return Err(KindChange { platform, before, now });
            }
            self.decided.insert(platform);
        }
        Ok(())
    }
}

/// Returns whether machines of the platform can install the kind. A deb without processor is published for `any`.
fn is_installable(kind: Kind, platform: &str) -> bool {
    match kind {
        Kind::Deb => platform == "any" || platform.starts_with("linux-"),
        Kind::Archive | Kind::Unknown => true,
    }
}

impl fmt::Display for KindChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, before, now } = self;
        let (before, now) = (before.name(), now.name());
        write!(f, "kind {before} for {platform}, and this one has kind {now}: machines would have both installed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format as _, artifact::tests::artifact};
    use Kind::{Archive, Deb};

    fn release(files: &[(&str, Kind)]) -> Manifest {
        let of = |(platform, kind): &(&str, Kind)| {
            let mut artifact = artifact(100);
            artifact.platform = (*platform).to_owned();
            artifact.install.kind = *kind;
            artifact
        };
        Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            package: "tool".into(),
            title: String::new(),
            version: "1.0".into(),
            sequence: 1,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: files.iter().map(of).collect(),
        }
    }

    /// Compares a new release with earlier ones, newest first. Returns the platform that changes.
    fn change(new: &[(&str, Kind)], earlier: &[&[(&str, Kind)]]) -> Option<String> {
        let mut history = KindHistory::new(&release(new));
        for files in earlier {
            let platforms = files.iter().map(|(platform, _)| *platform).collect();
            let before = release(files).kinds();
            if !history.needs(&platforms) {
                continue;
            }
            if let Err(change) = history.compare(&before) {
                return Some(change.platform);
            }
        }
        None
    }

    #[test]
    fn the_kind_of_a_package_is_one_for_each_platform() {
        let [linux, arm, windows] = ["linux-x86_64", "linux-aarch64", "windows-x86_64"];
        assert_eq!(change(&[(linux, Deb)], &[&[(linux, Archive)]]).as_deref(), Some(linux));
        assert_eq!(change(&[(linux, Archive)], &[&[(linux, Deb)]]).as_deref(), Some(linux));
        assert_eq!(change(&[(linux, Deb)], &[]), None);
        assert_eq!(change(&[(linux, Deb), (windows, Archive)], &[&[(windows, Archive)], &[(linux, Deb)]]), None);
        // An earlier release without the platform does not hide an older one with it.
        assert_eq!(change(&[(linux, Deb)], &[&[(windows, Archive)], &[(linux, Archive)]]).as_deref(), Some(linux));
        // A file for every machine counts where no other fits.
        assert_eq!(change(&[(linux, Deb)], &[&[("any", Archive)]]).as_deref(), Some(linux));
        assert_eq!(change(&[("any", Deb)], &[&[(arm, Archive)]]).as_deref(), Some(arm));
        assert_eq!(change(&[("any", Deb)], &[&[(windows, Archive)]]), None, "no such machine installs debs");
        // What changed before this was refused stays possible.
        assert_eq!(change(&[(linux, Deb)], &[&[(linux, Deb)], &[(linux, Archive)]]), None);
    }
}
