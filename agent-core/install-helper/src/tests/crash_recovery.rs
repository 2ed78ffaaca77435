//! Verifies that the install helper recovers from a crash after every step, once and twice: the next start finds the
//! install complete, finishes it, or undoes it.

use crate::protocol::Outcome;
use crate::tests::test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored};
use banyan_proto::Reason;
use std::fs;

/// More steps than any job has.
const STEPS: usize = 20;

fn counting(machine: &TestMachine, release: TestRelease, then: &str) -> TestRelease {
    release.probe(&["/bin/sh", "-c", &format!("echo x >> {}/probed; {then}", machine.root.display())])
}

#[test]
fn a_crash_at_any_step_of_an_install_still_installs_once() {
    let mut ends = 0;
    for first in 0..STEPS {
        for second in [0, 1, 3, 5, STEPS] {
            let machine = TestMachine::new();
            machine.install(&TestRelease::archive("1.0", 1));
            let release = counting(&machine, TestRelease::archive("2.0", 2), "./bin/tool");
            let ended = [machine.stop_after(first, &release), machine.stop_after(second, &release)];
            ends += usize::from(ended[0].is_some());
            let last = machine.install(&release).outcome;
            let already = ended.iter().any(Option::is_some);
            assert_eq!(last, Outcome::Installed { already, remark: None }, "died after {first} and {second} steps");
            assert_eq!(machine.current("tool").unwrap(), "2.0-2");
            assert_eq!(machine.versions("tool"), ["1.0-1", "2.0-2"]);
            machine.assert_tidy();
        }
    }
    assert!(ends > 0, "no run finished: STEPS is too small to cover all steps");
}

#[test]
fn a_crash_at_any_step_of_a_rollback_still_rolls_back() {
    for first in 0..STEPS {
        for second in [0, 1, 3, 5, STEPS] {
            let machine = TestMachine::new();
            machine.install(&TestRelease::archive("1.0", 1));
            let release = counting(&machine, TestRelease::archive("2.0", 2), "exit 1");
            machine.stop_after(first, &release);
            machine.stop_after(second, &release);
            let last = machine.install(&release).outcome;
            assert_eq!(failed_and_restored(&last).0, Reason::ProbeFailed, "died after {first} and {second} steps");
            assert_eq!(machine.current("tool").unwrap(), "1.0-1");
            assert_eq!(machine.versions("tool"), ["1.0-1"]);
            machine.assert_tidy();
        }
    }
}

#[test]
fn a_failed_release_is_not_tried_again_after_a_crash() {
    let mut failures_recorded = 0;
    for steps in 0..STEPS {
        let machine = TestMachine::new();
        let release = counting(&machine, TestRelease::archive("1.0", 1), "exit 1");
        let probed = || fs::read_to_string(machine.root.join("probed")).map_or(0, |text| text.lines().count());
        let ended = machine.stop_after(steps, &release).is_some();
        let journal = fs::read_to_string(machine.data().join("journal.json")).unwrap_or_default();
        let before = probed();
        assert_eq!(failed_and_restored(&machine.install(&release).outcome).0, Reason::ProbeFailed);
        let written = journal.contains("undoing");
        failures_recorded += usize::from(written);
        if ended || written {
            assert_eq!((before, probed()), (1, 1), "the release was installed and probed again after {steps} steps");
        }
    }
    assert!(failures_recorded >= 2, "no run died after the cause of the failure was written");
}

#[test]
fn the_next_order_completes_or_undoes_an_unfinished_one() {
    for steps in 0..STEPS {
        for (then, left) in [("exit 0", vec!["1.0-1", "3.0-3"]), ("exit 1", vec!["1.0-1", "3.0-3"])] {
            let machine = TestMachine::new();
            machine.install(&TestRelease::archive("1.0", 1));
            machine.stop_after(steps, &counting(&machine, TestRelease::archive("2.0", 2), then));
            let next = TestRelease::archive("3.0", 3).probe(&["bin/tool"]);
            assert_eq!(machine.install(&next).outcome, NEWLY_INSTALLED, "died after {steps} steps");
            assert_eq!(machine.current("tool").unwrap(), "3.0-3");
            let versions: Vec<_> = machine.versions("tool").into_iter().filter(|name| name != "2.0-2").collect();
            assert_eq!(versions, left);
            machine.assert_tidy();
        }
    }
}

#[test]
fn leftovers_of_a_crash_inside_a_step_are_removed() {
    let machine = TestMachine::new();
    machine.install(&TestRelease::archive("1.0", 1));
    let release = TestRelease::archive("2.0", 2).probe(&["bin/tool"]);
    // Half a copy of the artifact, and half a journal beside the real one's path.
    machine.stop_after(3, &release);
    fs::write(machine.data().join("staging/half.archive"), b"half").unwrap();
    fs::write(machine.data().join("journal.new"), b"{\"inte").unwrap();
    // Half an unpacked tree.
    let unpacking = machine.package("tool").join("versions/2.0-2.tmp");
    let steps = (0..STEPS).find(|steps| {
        machine.stop_after(*steps, &release);
        unpacking.exists()
    });
    assert!(steps.is_some(), "no step leaves a half-unpacked tree");
    fs::remove_dir_all(unpacking.join("bin")).unwrap();
    // Half a switch.
    std::os::unix::fs::symlink("versions/2.0-2", machine.package("tool").join(".current.new")).unwrap();
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert!(machine.package("tool").join("current/bin/tool").is_file());
    machine.assert_tidy();
}

#[test]
fn a_damaged_journal_is_moved_aside() {
    let machine = TestMachine::new();
    machine.install(&TestRelease::archive("1.0", 1));
    fs::write(machine.data().join("journal.json"), b"\0\0\0\0").unwrap();
    let release = TestRelease::archive("2.0", 2).probe(&["bin/tool"]);
    assert_eq!(machine.install(&release).outcome, NEWLY_INSTALLED);
    assert!(machine.data().join("journal.damaged").is_file());
}
