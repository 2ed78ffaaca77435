//! The files that are sent: archives of random bytes, so that compression has no effect. The same seed and size give
//! the same file.

use crate::command::read;
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

/// Sebastiano Vigna's splitmix64. Any seed works, including neighbouring ones.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn the_published_first_values_for_seed_1234567() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
