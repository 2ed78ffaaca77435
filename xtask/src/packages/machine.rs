//! The machine's root: a fresh overlay over this system's for each package, in memory.

use crate::command::{read, works};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Arguments: the scratch folder, and the folder with the programs. The agent's own folder survives the root.
const MOUNT: &str = r#"set -e
cd "$1"
umount -R -l root 2>/dev/null || true
umount -l upper 2>/dev/null || true
mkdir -p root upper agent
mount -t tmpfs -o size=6g,mode=0755 tmpfs upper
mkdir upper/changed upper/work
mount -t overlay -o "lowerdir=/,upperdir=$1/upper/changed,workdir=$1/upper/work" overlay root
for folder in dev proc sys; do mount --bind "/$folder" "root/$folder"; done
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount -t tmpfs -o mode=0755 tmpfs root/run
mkdir -p root/banyan/agent root/banyan/programs
mount --bind agent root/banyan/agent
mount --bind "$2" root/banyan/programs
printf '#!/bin/sh\nexit 101\n' > root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
# In case this system is itself a container with rules of its own.
rm -f root/etc/apt/apt.conf.d/docker-clean root/etc/dpkg/dpkg.cfg.d/docker*"#;

/// Creates the folder for everything, outside what the overlays cover.
pub(super) fn scratch_folder() -> Result<PathBuf> {
    let folder = PathBuf::from("/run/banyan-packages").join(std::process::id().to_string());
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Removes it. The mounts end with this process's mount namespace.
pub(super) fn remove_scratch(folder: &Path) {
    works(Command::new("umount").args(["-R", "-l"]).arg(folder.join("root")));
    works(Command::new("umount").arg("-l").arg(folder.join("upper")));
    drop(fs::remove_dir_all(folder));
}

/// The root of one package.
pub(super) struct Machine {
    pub(super) root: PathBuf,
}

impl Machine {
    /// Mounts a fresh root.
    pub(super) fn fresh(folder: &Path, programs: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", MOUNT, "mount"]).arg(folder).arg(programs);
        read(&mut command).context("cannot mount the machine's root")?;
        Ok(Self { root: folder.join("root") })
    }
    /// A command in the root.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root).arg(program);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }
    /// Fails when dpkg or apt finds something wrong.
    pub(super) fn check_whole(&self) -> Result<()> {
        let audit = read(self.command("dpkg").arg("--audit"))?;
        if !audit.is_empty() {
            bail!("dpkg --audit: {audit}");
        }
        read(self.command("apt-get").args(["-qq", "check"])).map(drop)
    }
    /// Version and status of a package, such as `installed 1.0`.
    pub(super) fn state(&self, package: &str) -> String {
        read(self.command("dpkg-query").args(["-W", "-f=${db:Status-Status} ${Version}", package]))
            .unwrap_or_else(|_| "not-installed".into())
    }
    /// Installs what a package needs, but not the package.
    pub(super) fn install_dependencies(&self, package: &str) -> Result<()> {
        let options = ["--no-install-recommends", "-o", "APT::Sandbox::User=root"];
        let plan = read(self.command("apt-get").args(["-s", "install"]).args(options).arg(package))?;
        if plan.lines().any(|line| line.starts_with("Remv ")) {
            bail!("apt would remove packages of this system for it");
        }
        let names = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        let needed: Vec<&str> =
            names.filter(|name| *name != package && !name.starts_with(&format!("{package}:"))).collect();
        if needed.len() > 25 {
            bail!("it needs {} other packages", needed.len());
        }
        if !needed.is_empty() {
            read(self.command("apt-get").args(["-y", "-qq", "install"]).args(options).args(&needed))?;
        }
        match self.state(package).starts_with("not-installed") {
            true => Ok(()),
            false => bail!("what it needs needs the package itself"),
        }
    }
}
