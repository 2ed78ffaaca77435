//! Verifies that a machine never has a package installed as archive and as deb.

use crate::tests::deb_builder::{dpkg, known, spec};
use crate::tests::deb_installs::can_install;
use crate::tests::test_machine::{NEWLY_INSTALLED, TestMachine, TestRelease, failed_and_restored};
use banyan_proto::Reason;
use std::fs;

#[test]
fn a_deb_does_not_follow_an_archive_of_its_name_until_that_is_removed() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&TestRelease::archive("1.0", 1)).outcome, NEWLY_INSTALLED);
    let deb = spec("tool", "2.0").release(2);
    let refused = machine.install(&deb).outcome;
    let (reason, detail) = failed_and_restored(&refused);
    assert_eq!(reason, Reason::OtherKind);
    let folder = machine.package("tool");
    assert!(detail.contains(folder.to_str().unwrap()), "{detail}");
    assert_eq!(machine.current("tool").as_deref(), Some("1.0-1"));
    machine.assert_tidy();
    // Packages of other names are none of its business.
    assert_eq!(machine.install(&spec("other", "1.0").release(1)).outcome, NEWLY_INSTALLED);

    fs::remove_dir_all(folder).unwrap();
    assert_eq!(machine.install(&deb).outcome, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "install installed 2.0");
}

#[test]
fn an_archive_does_not_follow_a_deb_of_its_name_that_came_through_banyan() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert_eq!(machine.install(&spec("tool", "1.0").release(1)).outcome, NEWLY_INSTALLED);
    let archive = TestRelease::archive("2.0", 2);
    let refused = machine.install(&archive).outcome;
    let (reason, detail) = failed_and_restored(&refused);
    assert_eq!(reason, Reason::OtherKind);
    assert!(detail.contains("tool 1.0 is installed here as a deb"), "{detail}");
    assert_eq!(machine.versions("tool"), [""; 0]);

    assert!(dpkg(&machine, &["--remove", "tool"]).status.success());
    assert_eq!(machine.install(&archive).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_deb_that_the_administrator_installed_may_have_the_name_of_an_archive() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert!(crate::tests::deb_builder::dpkg_deb(&machine, "--install", &spec("tool", "1.0")));
    assert_eq!(machine.install(&TestRelease::archive("2.0", 2)).outcome, NEWLY_INSTALLED);
}
