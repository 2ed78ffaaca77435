//! The bundled sample package: an archive of about 8 MiB with a program for the probe. It is generated at run time, so
//! that the repository contains no binary.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Size of the payload (bytes). It is incompressible, so the package has about the same size.
const PAYLOAD: usize = 8 << 20;
const NAME: &str = "banyan-sample";
const VERSION: &str = "1.0.0";

/// Writes the package and its release description into the folder. Returns the path of the description.
pub(super) fn write_sample(folder: &Path) -> io::Result<PathBuf> {
    let folder = folder.join("sample");
    std::fs::create_dir_all(&folder)?;
    let file = format!("{NAME}-{VERSION}.tar.gz");
    write_archive(&folder.join(&file))?;
    let description = folder.join("release.toml");
    std::fs::write(&description, release_description(&file))?;
    Ok(description)
}

fn write_archive(path: &Path) -> io::Result<()> {
    let gzip =
        flate2::write::GzEncoder::new(io::BufWriter::new(std::fs::File::create(path)?), flate2::Compression::default());
    let mut tar = tar::Builder::new(gzip);
    let mut add = |name: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, content)
    };
    let (name, content) = program();
    add(name, 0o755, content.as_bytes())?;
    add("payload.bin", 0o644, &payload())?;
    tar.into_inner()?.finish()?.flush()
}

/// Returns incompressible bytes that are the same on every computer.
fn payload() -> Vec<u8> {
    let mut bytes = vec![0; PAYLOAD];
    blake3::Hasher::new().update(NAME.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Returns the program: it prints a greeting if its payload is complete. Needs only the shell and `wc`.
#[cfg(not(windows))]
fn program() -> (&'static str, String) {
    let script = format!(
        "#!/bin/sh\n\
         # The program of Banyan's sample package: succeeds if its payload is complete.\n\
         size=$(wc -c < \"${{0%/*}}/payload.bin\") || exit 1\n\
         if [ \"$size\" -ne {PAYLOAD} ]; then\n  echo \"payload.bin has $size bytes instead of {PAYLOAD}\" >&2\n  exit 1\nfi\n\
         echo \"Hello from {NAME} {VERSION}\"\n"
    );
    ("hello", script)
}
/// Returns the program: it prints a greeting if its payload is complete.
#[cfg(windows)]
fn program() -> (&'static str, String) {
    let script = format!(
        "@echo off\r\n\
         rem The program of Banyan's sample package: succeeds if its payload is complete.\r\n\
         for %%F in (\"%~dp0payload.bin\") do if not \"%%~zF\"==\"{PAYLOAD}\" exit /b 1\r\n\
         echo Hello from {NAME} {VERSION}\r\n"
    );
    ("hello.cmd", script)
}

#[cfg(not(windows))]
const PROBE: &str = r#"["{dir}/hello"]"#;
#[cfg(windows)]
const PROBE: &str = r#"["cmd.exe", "/D", "/C", "{dir}\\hello.cmd"]"#;

fn release_description(file: &str) -> String {
    format!(
        "name = \"{NAME}\"\nversion = \"{VERSION}\"\nsequence = 1\nnotes = \"Banyan's sample package: prints a greeting.\"\n\n\
         [platform.any]\nfile = \"{file}\"\nkind = \"archive\"\nprobe = {PROBE}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_publisher::{
        ReleaseList,
        release_draft::{ReleaseOverrides, draft_release},
    };

    #[test]
    fn the_sample_can_be_published_and_has_a_probe() {
        let folder = tempfile::tempdir().unwrap();
        let description = write_sample(folder.path()).unwrap();
        let draft =
            draft_release(&description, &ReleaseOverrides::default(), &ReleaseList::default(), &mut |_, _| {}).unwrap();
        let artifact = draft.manifest.artifact_for("any").unwrap();
        assert_eq!((draft.manifest.package.as_str(), draft.manifest.version.as_str()), (NAME, VERSION));
        assert!(artifact.size > PAYLOAD as u64 && artifact.size < PAYLOAD as u64 * 101 / 100, "{}", artifact.size);
        assert!(artifact.install.probe.is_some());
        assert!(artifact.chunk_count() >= 256);
    }

    #[cfg(unix)]
    #[test]
    fn the_program_runs_only_beside_its_whole_payload() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (name, script) = program();
        let program = folder.path().join(name);
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = || std::process::Command::new("/bin/sh").arg(&program).output().unwrap();
        assert!(!run().status.success(), "it ran without a payload");
        std::fs::write(folder.path().join("payload.bin"), &payload()[1..]).unwrap();
        assert!(!run().status.success(), "it ran with a cut payload");
        std::fs::write(folder.path().join("payload.bin"), payload()).unwrap();
        let output = run();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Hello"), "{output:?}");
    }
}
