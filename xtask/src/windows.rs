//! The Windows check: agent and command line compile for `x86_64-pc-windows-gnu`. Nothing is linked and nothing runs.

use crate::command::{cargo, read, root, show, target_dir};
use anyhow::Result;
use std::{path::PathBuf, process::Command};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// A folder with `bin/rustc` that can compile for Windows, where the active toolchain cannot.
const VARIABLE: &str = "BANYAN_WINDOWS_TOOLCHAIN";

/// What compiles for Windows here.
pub(crate) enum Toolchain {
    /// The active one: rustup has installed the target.
    Active,
    /// The one that [`VARIABLE`] names.
    Folder(PathBuf),
}

/// Finds it, or says why the check cannot be made.
pub(crate) fn toolchain() -> Result<Toolchain, String> {
    let sysroot = read(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root())).unwrap_or_default();
    if PathBuf::from(sysroot).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(Toolchain::Active);
    }
    match std::env::var_os(VARIABLE).map(PathBuf::from) {
        Some(folder) if folder.join("bin/rustc").is_file() => Ok(Toolchain::Folder(folder)),
        Some(folder) => Err(format!("{VARIABLE} is {}, but there is no bin/rustc in it", folder.display())),
        None => Err(format!("this toolchain has no {TARGET}; `rustup target add {TARGET}` installs it")),
    }
}

/// Type-checks what runs on Windows. C code in dependencies is compiled for real, by mingw's gcc.
pub(crate) fn check(toolchain: &Toolchain) -> Result<()> {
    let mut command = cargo();
    command.args(["check", "--locked", "--profile=ci", "--target", TARGET, "--package=agent-core", "--package=banyan"]);
    command.env("CC_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-gcc");
    command.env("CXX_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-g++");
    command.env("AR_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-ar");
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc");
    // aws-lc comes with its assembly for Windows already assembled: no nasm is needed.
    command.env("AWS_LC_SYS_PREBUILT_NASM", "1");
    if let Toolchain::Folder(folder) = toolchain {
        // Another compiler: in one folder with ours, each would throw away what the other built. A toolchain that was made
        // anew says the same version, but its standard library does not fit what was built before: hence the real name.
        let folder = folder.canonicalize()?;
        let name = folder.file_name().unwrap_or_default().display();
        let target = target_dir()?.join(format!("windows-{name}"));
        command.env("RUSTC", folder.join("bin/rustc")).env("CARGO_TARGET_DIR", target);
    }
    show(&mut command)
}
