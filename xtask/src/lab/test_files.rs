//! The files that are sent: archives of random bytes, so that compression has no effect. The same seed and size give
//! the same file.

use crate::{command::read, lab::random::SplitMix64};
use anyhow::{Context, Result};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// A file to publish.
pub(crate) struct TestFile {
    /// The file's and the package's name.
    pub(crate) name: String,
    pub(crate) version: String,
    /// The kind for `banyan publish`: `archive` or `deb`.
    pub(crate) kind: &'static str,
    pub(crate) path: PathBuf,
    /// The size in bytes.
    pub(crate) size: u64,
}

/// Creates `NAME.tar.gz` with one file of `size` random bytes.
pub(crate) fn archive(dir: &Path, name: &str, size: u64, seed: u64) -> Result<TestFile> {
    let payload = dir.join("payload.bin");
    random(&payload, size, seed).context("cannot write the file to send")?;
    let path = dir.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--mtime=@0", "--owner=0", "--group=0", "--mode=0644", "--use-compress-program=gzip -1 -n"]);
    read(tar.arg("--file").arg(&path).arg("--directory").arg(dir).arg("payload.bin"))?;
    std::fs::remove_file(&payload)?;
    let size = path.metadata()?.len();
    Ok(TestFile { name: name.to_owned(), version: "1.0.0".to_owned(), kind: "archive", path, size })
}

fn random(path: &Path, size: u64, seed: u64) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut random = SplitMix64(seed);
    for _ in 0..size / 8 {
        file.write_all(&random.next().to_le_bytes())?;
    }
    file.flush()
}
