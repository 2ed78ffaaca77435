//! Verifies that the installer recovers from a crash after every step, once and twice: the next start finds the install
//! complete, finishes it, or undoes it.

use crate::protocol::Outcome;
use crate::tests::test_machine::{NEW, Release, World, failed_and_restored};
use banyan_proto::Reason;
use std::fs;

/// More steps than any job has.
const STEPS: usize = 20;

fn counting(world: &World, release: Release, then: &str) -> Release {
    release.probe(&["/bin/sh", "-c", &format!("echo x >> {}/probed; {then}", world.root.display())])
}

#[test]
fn dying_anywhere_in_an_install_installs_it_once() {
    let mut ends = 0;
    for first in 0..STEPS {
        for second in [0, 1, 3, 5, STEPS] {
            let world = World::new();
            world.install(&Release::archive("1.0", 1));
            let release = counting(&world, Release::archive("2.0", 2), "./bin/tool");
            let ended = [world.die_after(first, &release), world.die_after(second, &release)];
            ends += usize::from(ended[0].is_some());
            let last = world.install(&release).outcome;
            let already = ended.iter().any(Option::is_some);
            assert_eq!(last, Outcome::Installed { already }, "died after {first} and {second} steps");
            assert_eq!(world.current("tool").unwrap(), "2.0-2");
            assert_eq!(world.versions("tool"), ["1.0-1", "2.0-2"]);
            world.assert_tidy();
        }
    }
    assert!(ends > 0, "no run finished: STEPS is too small to cover all steps");
}

#[test]
fn dying_anywhere_in_a_rollback_rolls_back_all_the_same() {
    for first in 0..STEPS {
        for second in [0, 1, 3, 5, STEPS] {
            let world = World::new();
            world.install(&Release::archive("1.0", 1));
            let release = counting(&world, Release::archive("2.0", 2), "exit 1");
            world.die_after(first, &release);
            world.die_after(second, &release);
            let last = world.install(&release).outcome;
            assert_eq!(failed_and_restored(&last).0, Reason::ProbeFailed, "died after {first} and {second} steps");
            assert_eq!(world.current("tool").unwrap(), "1.0-1");
            assert_eq!(world.versions("tool"), ["1.0-1"]);
            world.assert_tidy();
        }
    }
}

#[test]
fn a_release_found_bad_is_not_tried_again_after_a_crash() {
    let mut condemned = 0;
    for steps in 0..STEPS {
        let world = World::new();
        let release = counting(&world, Release::archive("1.0", 1), "exit 1");
        let probed = || fs::read_to_string(world.root.join("probed")).map_or(0, |text| text.lines().count());
        let ended = world.die_after(steps, &release).is_some();
        let journal = fs::read_to_string(world.data().join("journal.json")).unwrap_or_default();
        let before = probed();
        assert_eq!(failed_and_restored(&world.install(&release).outcome).0, Reason::ProbeFailed);
        let written = journal.contains("undoing");
        condemned += usize::from(written);
        if ended || written {
            assert_eq!((before, probed()), (1, 1), "the release was installed and probed again after {steps} steps");
        }
    }
    assert!(condemned >= 2, "no run died after the verdict was written");
}

#[test]
fn the_next_order_finds_the_unfinished_one_and_deals_with_it() {
    for steps in 0..STEPS {
        for (then, left) in [("exit 0", vec!["1.0-1", "3.0-3"]), ("exit 1", vec!["1.0-1", "3.0-3"])] {
            let world = World::new();
            world.install(&Release::archive("1.0", 1));
            world.die_after(steps, &counting(&world, Release::archive("2.0", 2), then));
            let next = Release::archive("3.0", 3).probe(&["bin/tool"]);
            assert_eq!(world.install(&next).outcome, NEW, "died after {steps} steps");
            assert_eq!(world.current("tool").unwrap(), "3.0-3");
            let versions: Vec<_> = world.versions("tool").into_iter().filter(|name| name != "2.0-2").collect();
            assert_eq!(versions, left);
            world.assert_tidy();
        }
    }
}

#[test]
fn what_dying_inside_a_step_leaves_is_swept_away() {
    let world = World::new();
    world.install(&Release::archive("1.0", 1));
    let release = Release::archive("2.0", 2).probe(&["bin/tool"]);
    // Half a copy of the artifact, and half a journal beside the real one's path.
    world.die_after(3, &release);
    fs::write(world.data().join("staging/half.archive"), b"half").unwrap();
    fs::write(world.data().join("journal.new"), b"{\"inte").unwrap();
    // Half an unpacked tree.
    let unpacking = world.package("tool").join("versions/2.0-2.tmp");
    let steps = (0..STEPS).find(|steps| {
        world.die_after(*steps, &release);
        unpacking.exists()
    });
    assert!(steps.is_some(), "no step leaves a half-unpacked tree");
    fs::remove_dir_all(unpacking.join("bin")).unwrap();
    // Half a switch.
    std::os::unix::fs::symlink("versions/2.0-2", world.package("tool").join(".current.new")).unwrap();
    assert_eq!(world.install(&release).outcome, NEW);
    assert!(world.package("tool").join("current/bin/tool").is_file());
    world.assert_tidy();
}

#[test]
fn a_damaged_journal_is_put_aside() {
    let world = World::new();
    world.install(&Release::archive("1.0", 1));
    fs::write(world.data().join("journal.json"), b"\0\0\0\0").unwrap();
    let release = Release::archive("2.0", 2).probe(&["bin/tool"]);
    assert_eq!(world.install(&release).outcome, NEW);
    assert!(world.data().join("journal.damaged").is_file());
}
