//! The Windows check: agent and command line must compile for `x86_64-pc-windows-gnu`. Links and runs nothing.

use crate::command::{cargo, read, root, show, target_dir};
use anyhow::Result;
use std::{path::PathBuf, process::Command};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// Names a folder with a `bin/rustc` that can compile for Windows, in case the active toolchain cannot.
const VARIABLE: &str = "BANYAN_WINDOWS_TOOLCHAIN";

/// The toolchain that compiles for Windows.
pub(crate) enum Toolchain {
    /// The active one: rustup has installed the target.
    Active,
    /// The folder that [`VARIABLE`] names.
    Folder(PathBuf),
}

/// Finds the toolchain, or says why the check cannot run.
pub(crate) fn toolchain() -> Result<Toolchain, String> {
    let sysroot = read(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root())).unwrap_or_default();
    if PathBuf::from(sysroot).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(Toolchain::Active);
    }
    match std::env::var_os(VARIABLE).map(PathBuf::from) {
        Some(folder) if folder.join("bin/rustc").is_file() => Ok(Toolchain::Folder(folder)),
        Some(folder) => Err(format!("{VARIABLE} is {}, but that folder has no bin/rustc", folder.display())),
        None => Err(format!("this toolchain has no {TARGET}; install it with `rustup target add {TARGET}`")),
    }
}

/// Type-checks what runs on Windows. Compiles the C code in dependencies for real, with mingw's gcc.
pub(crate) fn check(toolchain: &Toolchain) -> Result<()> {
    let mut command = cargo();
    command.args(["check", "--locked", "--profile=ci", "--target", TARGET]);
    command.args(["--package=agent-core", "--package=banyan-install-helper", "--package=banyan"]);
    command.env("CC_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-gcc");
    command.env("CXX_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-g++");
    command.env("AR_x86_64_pc_windows_gnu", "x86_64-w64-mingw32-ar");
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc");
    // aws-lc includes preassembled objects for Windows, so nasm is not needed.
    command.env("AWS_LC_SYS_PREBUILT_NASM", "1");
    if let Toolchain::Folder(folder) = toolchain {
        // A separate target folder, because two compilers in one folder would discard each other's output. The folder
        // has the toolchain's real name, because a rebuilt toolchain reports the same version but has an incompatible
        // standard library.
        let folder = folder.canonicalize()?;
        let name = folder.file_name().unwrap_or_default().display();
        let target = target_dir()?.join(format!("windows-{name}"));
        command.env("RUSTC", folder.join("bin/rustc")).env("CARGO_TARGET_DIR", target);
    }
    show(&mut command)
}
