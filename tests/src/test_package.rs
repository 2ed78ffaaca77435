//! Generates packages for tests: real archives with incompressible content and a working probe.

use flate2::{Compression, write::GzEncoder};
use std::{fs, path::Path};

/// How the new version behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Its probe passes.
    Works,
    /// Its probe fails.
    Broken,
    /// Its probe prints 2 MB in colours, says why in the last line, and fails.
    FailsAtLength,
    /// Its probe passes, and records the priority with which the install helper started it (`share/priority`).
    TellsItsPriority,
}

/// Writes an archive of about `bytes` bytes and its `release.toml`. Returns the path of the latter.
///
/// # Panics
/// When the disk fails.
pub fn write(folder: &Path, name: &str, version: &str, bytes: usize, behaviour: Behaviour) -> std::path::PathBuf {
    fs::create_dir_all(folder).expect("the folder is accessible");
    let file = format!("{name}-{version}.tar.gz");
    let archive = fs::File::create(folder.join(&file)).expect("the file can be written");
    let mut tar = tar::Builder::new(GzEncoder::new(archive, Compression::none()));
    let exit = i32::from(matches!(behaviour, Behaviour::Broken | Behaviour::FailsAtLength));
    let tells = match behaviour {
        Behaviour::Works | Behaviour::Broken => "",
        Behaviour::FailsAtLength => {
            "e=$(printf '\\033')\nyes \"$e[31mtrying$e[0m\" | head -n 150000\nprintf '50%%\\r100%%\\nno \\351 licence\\n'\n"
        }
        Behaviour::TellsItsPriority => "nice > \"$(dirname \"$0\")/../share/priority\"\n",
    };
    let script = format!("#!/bin/sh\n{tells}echo {name} {version}\nexit {exit}\n");
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        tar.append_data(&mut header, path, content).expect("an entry");
    };
    add("bin/hello", 0o755, script.as_bytes());
    add("share/payload", 0o644, &noise(name, version, bytes));
    tar.into_inner().and_then(GzEncoder::finish).expect("an archive");
    let release = format!(
        "name = {name:?}\nversion = {version:?}\n\n[platform.any]\nfile = {file:?}\nkind = \"archive\"\n\
         probe = [\"{{dir}}/bin/hello\"]\n"
    );
    let path = folder.join(format!("{name}-{version}.toml"));
    fs::write(&path, release).expect("a release description");
    path
}

/// Returns bytes that differ for every release but are the same at every run.
fn noise(name: &str, version: &str, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new_derive_key("banyan tests: payload")
        .update(format!("{name} {version}").as_bytes())
        .finalize_xof()
        .fill(&mut noise);
    noise
}
