//! A wall clock that a test sets while programs run, by means of libfaketime. Monotonic clocks are not touched, so
//! waiting programs notice nothing but the clock.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The clock of one or more programs.
#[derive(Debug, Clone)]
pub struct FakeClock(PathBuf);

/// Returns the library's path.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("the folder can be listed").flatten();
    let mut found =
        folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketime is missing: apt-get install faketime")
}

impl FakeClock {
    /// Creates a clock that is right.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let clock = Self(folder.join("clock"));
        clock.set("+0");
        clock
    }
    /// Sets the clock, such as to `+30h` or `-40y` from the real time.
    ///
    /// # Panics
    /// When the disk fails.
    pub fn set(&self, offset: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, offset).expect("the file can be written");
        fs::rename(&new, &self.0).expect("the file can be replaced");
    }
    /// Returns the environment of a program that has this clock.
    ///
    /// # Panics
    /// When libfaketime is missing.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = self.0.to_str().expect("the path is valid UTF-8").to_owned();
        let on = ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"];
        let library = library().to_str().expect("the path is valid UTF-8").to_owned();
        [("LD_PRELOAD".to_owned(), library), ("FAKETIME_TIMESTAMP_FILE".to_owned(), file)]
            .into_iter()
            .chain(on.map(|name| (name.to_owned(), "1".to_owned())))
            .collect()
    }
}
