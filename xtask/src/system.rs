//! The system's requirements besides Rust: programs from Debian packages, and two cargo tools. Installs them as root or
//! with `--install`; otherwise the error names the commands to run.

use crate::command::{cargo, show, works};
use anyhow::{Result, bail};
use std::{os::unix::fs::MetadataExt, path::Path, process::Command};

/// A file whose presence shows that a Debian package, or its equivalent on another system, is installed.
pub(crate) struct Need {
    /// A program to find on the path, or the absolute path of a file.
    sign: &'static str,
    package: &'static str,
}

const fn need(sign: &'static str, package: &'static str) -> Need {
    Need { sign, package }
}

/// For building and testing.
pub(crate) const BUILD: &[Need] =
    &[need("gcc", "gcc"), need("/usr/include/stdio.h", "libc6-dev"), need("dpkg-deb", "dpkg"), need("tar", "tar")];
/// For tests about time: a clock that a test can set, and the time zones.
pub(crate) const TIME: &[Need] = &[need("faketime", "faketime"), need("/usr/share/zoneinfo/Asia/Tokyo", "tzdata")];
/// For tests in networks of their own.
pub(crate) const NETWORK: &[Need] = &[need("ip", "iproute2"), need("nsenter", "util-linux"), need("sysctl", "procps")];
/// For compiling for Windows.
pub(crate) const WINDOWS: &[Need] =
    &[need("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"), need("x86_64-w64-mingw32-g++", "g++-mingw-w64-x86-64")];
/// For tests with real windows: a screen, a window manager, a panel, a bus (which tests of conditions also use), and
/// what is needed to draw a window.
pub(crate) const DESKTOP: &[Need] = &[
    need("Xvfb", "xvfb"),
    need("openbox", "openbox"),
    need("xfce4-panel", "xfce4-panel"),
    need("xfconf-query", "xfconf"),
    need("xfce4-notifyd-config", "xfce4-notifyd"),
    need("dbus-daemon", "dbus"),
    need("xdotool", "xdotool"),
    need("import", "imagemagick"),
    need("/usr/libexec/at-spi-bus-launcher", "at-spi2-core"),
    need("/usr/share/icons/Adwaita/index.theme", "adwaita-icon-theme"),
    need("/usr/share/doc/libgl1/copyright", "libgl1"),
    need("/usr/share/doc/libxkbcommon-x11-0/copyright", "libxkbcommon-x11-0"),
    need("/usr/share/doc/libxcursor1/copyright", "libxcursor1"),
    need("/usr/share/doc/libxi6/copyright", "libxi6"),
];
/// For the lab: the shaped network, nginx and curl.
pub(crate) const LAB: &[Need] = &[
    need("ip", "iproute2"),
    need("tc", "iproute2"),
    need("ethtool", "ethtool"),
    need("nginx", "nginx-light"),
    need("curl", "curl"),
    need("openssl", "openssl"),
    need("nft", "nftables"),
    need("gzip", "gzip"),
];

/// For what the lab compares Banyan with.
pub(crate) const RIVALS: &[Need] =
    &[need("/usr/share/doc/python3-libtorrent/copyright", "python3-libtorrent"), need("aria2c", "aria2")];

/// A cargo subcommand of a fixed version.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Checks bans, licences and sources of dependencies.
pub(crate) const DENY: Tool = Tool { name: "deny", version: "0.20.2" };
/// Runs tests, each in its own process, with the groups and limits of `.config/nextest.toml`.
pub(crate) const NEXTEST: Tool = Tool { name: "nextest", version: "0.9.143" };

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Installs what is missing, or fails with the commands to run.
pub(crate) fn provide(needs: &[&[Need]], tools: &[Tool], install: bool) -> Result<()> {
    let mut packages: Vec<_> =
        needs.iter().flat_map(|group| group.iter()).filter(|n| !found(n.sign)).map(|n| n.package).collect();
    packages.dedup();
    let missing: Vec<_> = tools.iter().filter(|tool| !works(cargo().args([tool.name, "--version"]))).collect();
    if packages.is_empty() && missing.is_empty() {
        return Ok(());
    }
    if !(install || is_root()) {
        let mut lines = Vec::new();
        if !packages.is_empty() {
            lines.push(format!("  sudo apt-get install --no-install-recommends {}", packages.join(" ")));
        }
        lines.extend(
            missing
                .iter()
                .map(|tool| format!("  cargo install --locked cargo-{} --version {}", tool.name, tool.version)),
        );
        bail!(
            "required programs are missing on this machine; run\n{}\nor run the same command again with --install",
            lines.join("\n")
        );
    }
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    for tool in missing {
        // Not into this workspace's target folder: the tools' build output is unrelated to it.
        let name = format!("cargo-{}", tool.name);
        show(cargo().env_remove("CARGO_TARGET_DIR").args(["install", "--locked", &name, "--version", tool.version]))?;
    }
    Ok(())
}

/// Installs packages. Keeps a newly installed nginx from starting as a service, because the lab runs its own.
fn install_packages(packages: &[&str]) -> Result<()> {
    const SCRIPT: &str = r#"set -e
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
            printf '#!/bin/sh\nexit 101\n' > $policy
            chmod 755 $policy
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@""#;
    if !found("apt-get") {
        bail!("install these Debian packages, or their equivalents on this system: {}", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    let mut command = if is_root() { Command::new("sh") } else { Command::new("sudo") };
    if !is_root() {
        command.arg("sh");
    }
    let status = command.args(["-c", SCRIPT, "install"]).args(packages).status()?;
    if !status.success() {
        bail!("apt-get failed to install {} ({status})", packages.join(" "));
    }
    Ok(())
}

fn found(sign: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Administrators' folders are not on every user's path.
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(extra).any(|folder| Path::new(&folder).join(sign).is_file())
}
