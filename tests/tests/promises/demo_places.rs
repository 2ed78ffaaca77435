//! Verifies that the demo says at once why it cannot run in a place, and what to do.

use banyan_tests::{programs, test_mount::TestMount};
use tempfile::TempDir;

#[test]
fn a_temporary_folder_without_programs_is_named() {
    let folder = TempDir::with_prefix("banyan-demo-place-").expect("a temporary folder can be created");
    let place = folder.path().join("place");
    let Some(disk) = TestMount::detachable(&place, &folder.path().join("disk")) else { return };
    disk.remount("noexec");
    let demo = programs::banyan().args(["demo", "--agents", "1"]).env("TMPDIR", &place).output();
    let demo = demo.expect("banyan can be run");
    let said = String::from_utf8_lossy(&demo.stderr);
    assert!(!demo.status.success() && said.contains("noexec") && said.contains("TMPDIR="), "{said}");
}
