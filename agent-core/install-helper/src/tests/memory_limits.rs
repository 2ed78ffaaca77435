//! Verifies that a program which the kernel ended because memory ran out is reported as that.

use crate::{
    client::{self, Launcher},
    tests::{
        helper_process::launcher,
        test_machine::{TestMachine, TestRelease, failed_and_restored, is_root_for},
    },
};
use banyan_proto::Reason;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Far more than the install helper needs.
const LIMIT: &str = "134217728";

/// A control group with a limit of memory, removed on drop.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Creates one with version 2 or 1 of control groups. Prints a notice and returns `None` where that is not possible.
    fn create() -> Option<Self> {
        if !is_root_for("limiting memory") {
            return None;
        }
        for (hierarchy, file) in [("", "memory.max"), ("memory", "memory.limit_in_bytes")] {
            let hierarchy = Path::new("/sys/fs/cgroup").join(hierarchy);
            let group = Self(hierarchy.join(format!("banyan-test-{}", std::process::id())));
            let is_hierarchy = hierarchy.join("cgroup.procs").exists();
            if is_hierarchy && fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(file), LIMIT).is_ok() {
                return Some(group);
            }
        }
        println!("skipped: memory cannot be limited here");
        None
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_probe_that_needs_more_memory_than_there_is_says_so() {
    let Some(group) = MemoryGroup::create() else { return };
    let machine = TestMachine::new();
    // It keeps the last line, which never ends.
    let release = TestRelease::archive("1.0", 1).probe(&["/usr/bin/tail", "/dev/zero"]);
    let helper = launcher(&machine);
    let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let mut arguments = vec!["-c".into(), script.into(), group.0.clone().into(), helper.program.into()];
    arguments.extend(helper.arguments);
    let helper = Launcher { program: "/bin/sh".into(), arguments, requests: helper.requests };
    let result = client::install(&helper, release.order, machine.job(&release), machine.artifact(&release)).await;
    let outcome = result.unwrap().outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::ProbeFailed, "{detail}");
    let says =
        "the probe was killed by SIGKILL (memory ran out, and the kernel's out-of-memory killer ended a program)";
    assert!(detail.starts_with(says), "{detail}");
}
