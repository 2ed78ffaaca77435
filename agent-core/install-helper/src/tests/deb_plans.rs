//! Verifies that what must not happen to a machine's packages is refused before anything changes, with its own reason.

use crate::{
    protocol::Outcome,
    tests::{
        deb_builder::{DebSpec, cache, dpkg, dpkg_deb, hold, known, read, spec},
        deb_installs::can_install,
        test_machine::{ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, failed_and_restored},
    },
};
use banyan_proto::{Reason, order::Allowance};
use std::fs;

/// Installs packages with dpkg, then the deb with Banyan, which must refuse it with this reason. Nothing changes.
#[track_caller]
fn refused(before: &[DebSpec<'_>], deb: &DebSpec<'_>, reason: Reason) -> String {
    let machine = TestMachine::new();
    for installed in before {
        assert!(dpkg_deb(&machine, "--install", installed), "{} could not be installed", installed.name);
        cache(&machine, installed);
    }
    let status = read(&machine, "var/lib/dpkg/status");
    let outcome = machine.install(&deb.release(1)).outcome;
    let (found, detail) = failed_and_restored(&outcome);
    assert_eq!(found, reason, "{detail}");
    assert_eq!(read(&machine, "var/lib/dpkg/status"), status);
    machine.assert_tidy();
    detail.to_owned()
}

#[test]
fn what_another_package_needs_stays() {
    if !can_install("planning debs") {
        return;
    }
    let service = DebSpec { control: "Depends: tool (<< 2)\n", ..spec("service", "1") };
    let detail = refused(&[spec("tool", "1"), service.clone()], &spec("tool", "2"), Reason::BreaksOthers);
    assert_eq!(detail, "with tool 2: service 1 needs tool (<< 2)");
    // The same through a name that the new version no longer provides.
    let provider = DebSpec { control: "Provides: api (= 3)\n", ..spec("tool", "1") };
    let service = DebSpec { control: "Depends: api (>= 3) | other-api\n", ..spec("service", "1") };
    let detail = refused(&[provider.clone(), service.clone()], &spec("tool", "2"), Reason::BreaksOthers);
    assert_eq!(detail, "with tool 2: service 1 needs api (>= 3) | other-api");
    let breaking = DebSpec { control: "Breaks: tool (>= 2)\n", ..spec("service", "1") };
    refused(&[spec("tool", "1"), breaking], &spec("tool", "2"), Reason::PackageConflict);

    let machine = TestMachine::new();
    [provider, service].iter().for_each(|deb| assert!(dpkg_deb(&machine, "--install", deb)));
    let next = DebSpec { control: "Provides: api (= 4)\n", ..spec("tool", "2") };
    cache(&machine, &DebSpec { control: "Provides: api (= 3)\n", ..spec("tool", "1") });
    assert_eq!(machine.install(&next.release(1)).outcome, NEWLY_INSTALLED);
}

#[test]
fn packages_that_must_change_together_are_named_with_the_way_out() {
    if !can_install("planning debs") {
        return;
    }
    let lib = |version| spec("lib", version);
    let dev = |version, control| DebSpec { control, ..spec("lib-dev", version) };
    let before = [lib("1"), dev("1", "Depends: lib (= 1)\n")];
    let detail = refused(&before, &lib("2"), Reason::BreaksOthers);
    let together = |names, files| {
        format!(
            "{names} must change together, and Banyan installs one package at a time: install their debs in one run on \
             the machine (`apt-get install {files}`), then run `banyan retry`"
        )
    };
    let way_out = together("lib and lib-dev", "./lib.deb ./lib-dev.deb");
    assert_eq!(detail, format!("with lib 2: lib-dev 1 needs lib (= 1); {way_out}"));
    let detail = refused(&before, &dev("2", "Depends: lib (= 2)\n"), Reason::DependencyMissing);
    let way_out = together("lib-dev and lib", "./lib-dev.deb ./lib.deb");
    assert_eq!(detail, format!("lib-dev 2 needs lib (= 2) (lib 1 is installed); {way_out}"));

    // Once that is done, both deployments find their package in place.
    let machine = TestMachine::new();
    before.iter().for_each(|deb| assert!(dpkg_deb(&machine, "--install", deb)));
    let both = [lib("2"), dev("2", "Depends: lib (= 2)\n")];
    let files = both.each_ref().map(|deb| {
        let file = machine.path(deb.name);
        fs::write(&file, deb.build()).unwrap();
        file.to_str().unwrap().to_owned()
    });
    assert!(dpkg(&machine, &["--install", &files[0], &files[1]]).status.success());
    for deb in both {
        assert_eq!(machine.install(&deb.release(1)).outcome, ALREADY_INSTALLED);
    }
}

#[test]
fn what_the_package_needs_must_be_installed_and_configured() {
    if !can_install("planning debs") {
        return;
    }
    let needs = |control| DebSpec { control, ..spec("tool", "1") };
    let detail = refused(&[spec("lib", "1")], &needs("Depends: lib (>= 2), more\n"), Reason::DependencyMissing);
    assert_eq!(detail, "tool 1 needs lib (>= 2) (lib 1 is installed); more");
    refused(&[], &needs("Pre-Depends: lib\n"), Reason::DependencyMissing);
    refused(&[spec("lib", "1:0.5")], &needs("Depends: lib (<< 1)\n"), Reason::DependencyMissing);

    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--unpack", &spec("lib", "1")));
    let outcome = machine.install(&needs("Depends: lib\n").release(1)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!((reason, detail), (Reason::PackagesUnfinished, "tool 1 needs lib, but lib 1 is unpacked"));
    assert!(dpkg(&machine, &["--configure", "-a"]).status.success());
    assert_eq!(machine.install(&needs("Depends: lib\n").release(2)).outcome, NEWLY_INSTALLED);
    // A virtual package, an alternative, and one for any architecture.
    let provider = DebSpec { control: "Provides: virtual\nMulti-Arch: foreign\n", ..spec("real", "1") };
    assert!(dpkg_deb(&machine, "--install", &provider));
    let next = DebSpec { control: "Depends: virtual, none | real (>= 1)\n", ..spec("next", "1~rc1+x-2") };
    assert_eq!(machine.install(&next.release(1)).outcome, NEWLY_INSTALLED);
}

#[test]
fn conflicts_and_files_of_other_packages_are_refused_by_name() {
    if !can_install("planning debs") {
        return;
    }
    let other = DebSpec { files: &[("usr/bin/thing", "other's")], ..spec("other", "1") };
    let conflicting = DebSpec { control: "Conflicts: other\n", ..spec("tool", "1") };
    let detail = refused(std::slice::from_ref(&other), &conflicting, Reason::PackageConflict);
    assert_eq!(detail, "tool 1 conflicts with other; other 1 is installed");
    refused(
        std::slice::from_ref(&other),
        &DebSpec { control: "Breaks: other (<< 2)\n", ..spec("tool", "1") },
        Reason::PackageConflict,
    );
    let same_file = DebSpec { files: &[("usr/bin/thing", "tool's")], ..spec("tool", "1") };
    let detail = refused(std::slice::from_ref(&other), &same_file, Reason::PackageConflict);
    assert_eq!(detail, "tool 1 contains /usr/bin/thing, which belongs to other 1");

    // Diverted, both files have room.
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &other));
    let divert = |by: &str| {
        let text = format!("/usr/bin/thing\n/usr/bin/thing.other\n{by}\n");
        fs::write(machine.root.join("var/lib/dpkg/diversions"), text).unwrap();
    };
    // The administrator's diversion is for both.
    divert(":");
    assert_eq!(failed_and_restored(&machine.install(&same_file.release(1)).outcome).0, Reason::PackageConflict);
    divert("other");
    assert_eq!(machine.install(&same_file.release(1)).outcome, NEWLY_INSTALLED);
    let both = (read(&machine, "usr/bin/thing"), read(&machine, "usr/bin/thing.other"));
    assert_eq!(both, ("other's".into(), "tool's".into()));
}

#[test]
fn a_deb_for_another_architecture_is_refused() {
    if !can_install("planning debs") {
        return;
    }
    let foreign = DebSpec { architecture: "s390x", ..spec("tool", "1") };
    let detail = refused(&[], &foreign, Reason::WrongPlatform);
    assert!(detail.starts_with("the deb is for s390x, but dpkg on this machine accepts "), "{detail}");
}

#[test]
fn a_package_on_hold_stays_and_keeps_its_hold_when_it_may_change() {
    if !can_install("planning debs") {
        return;
    }
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &spec("tool", "1")));
    cache(&machine, &spec("tool", "1"));
    hold(&machine, "tool");
    let (two, bad) = (spec("tool", "2"), spec("tool", "3").release(2).probe(&["/bin/false"]));
    let outcome = machine.install(&two.release(1)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::PackageHeld, "tool 1 is on hold"));
    assert_eq!(known(&machine, "tool"), "hold installed 1");
    assert_eq!(machine.install_allowing(&two.release(1), &[Allowance::Held]).outcome, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "hold installed 2");
    let outcome = machine.install_allowing(&bad, &[Allowance::Held]).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(known(&machine, "tool"), "hold installed 2");
    // dpkg writes changes to numbered files before it merges them.
    let entry = "Package: tool\nStatus: hold ok installed\nVersion: 9\nArchitecture: all\nDescription: x\n";
    fs::write(machine.root.join("var/lib/dpkg/updates/0001"), entry).unwrap();
    let outcome = machine.install(&spec("tool", "10").release(4)).outcome;
    assert_eq!(failed_and_restored(&outcome), (Reason::PackageHeld, "tool 9 is on hold"));
}

#[test]
fn a_newer_version_that_did_not_come_through_banyan_stays() {
    if !can_install("planning debs") {
        return;
    }
    let detail = refused(&[spec("tool", "1:1")], &spec("tool", "2"), Reason::NewerInstalled);
    assert_eq!(detail, "tool 1:1 is installed, which is newer than 2");
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &spec("tool", "3")));
    cache(&machine, &spec("tool", "3"));
    let mut meant = spec("tool", "2").release(2);
    meant.manifest.rollback_to = Some(1);
    let outcome = machine.install_allowing(&spec("tool", "1").release(1), &[Allowance::Downgrade]).outcome;
    assert_eq!(outcome, NEWLY_INSTALLED);
    assert!(dpkg_deb(&machine, "--install", &spec("tool", "3")));
    assert_eq!(machine.install(&meant).outcome, NEWLY_INSTALLED);
    assert_eq!(known(&machine, "tool"), "install installed 2");
}

#[test]
fn what_dpkg_itself_refuses_is_refused_before_anything_changes() {
    if !can_install("planning debs") {
        return;
    }
    let machine = TestMachine::new();
    let mut release = spec("tool", "1").release(1);
    release.manifest.version = "9".into();
    let outcome = machine.install(&release).outcome;
    assert_eq!(
        failed_and_restored(&outcome),
        (Reason::InstallFailed, "the deb is tool 1, but the manifest says tool 9")
    );
    let Outcome::Failed { restored: true, .. } = outcome else { panic!("{outcome:?}") };
}
