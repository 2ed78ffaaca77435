//! Verifies that going back takes nothing away: settings behind links, copies beside them, files of other packages, and
//! data that were there before the package.

use crate::{
    protocol::Outcome,
    tests::{
        deb_builder::{DebSpec, cache, dpkg, dpkg_deb, known, read, spec},
        deb_installs::{can_install, give_program, give_shell},
        test_machine::{ALREADY_INSTALLED, NEWLY_INSTALLED, TestMachine, failed_and_restored},
    },
};
use banyan_proto::{Reason, order::Allowance};
use std::{fs, os::unix::fs::symlink};

const BAD: &[&str] = &["/bin/false"];

fn write(machine: &TestMachine, path: &str, text: &str) {
    let path = machine.root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_setting_behind_links_is_not_purged() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    write(&machine, "srv/settings/tool.conf", "mine");
    fs::create_dir_all(machine.root.join("etc")).unwrap();
    symlink("../srv/settings/link", machine.root.join("etc/tool.conf")).unwrap();
    symlink("/srv/settings/tool.conf", machine.root.join("srv/settings/link")).unwrap();
    let deb = DebSpec { settings: &[("etc/tool.conf", "default")], ..spec("tool", "1") };
    let outcome = machine.install(&deb.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    let setting = read(&machine, "srv/settings/tool.conf");
    assert_eq!((known(&machine, "tool").as_str(), setting.as_str()), ("", "mine"));
    assert_eq!(TestMachine::names(&machine.root.join("srv/settings")), ["link", "tool.conf"]);
}

#[test]
fn copies_beside_a_setting_are_not_purged() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let copies = ["#tool.conf#", "tool.conf", "tool.conf%", "tool.conf.bak", "tool.conf.dpkg-old", "tool.conf~"];
    let numbered = "tool.conf~12~";
    for name in copies.into_iter().chain([numbered]) {
        write(&machine, &format!("etc/{name}"), name);
    }
    let before = TestMachine::names(&machine.root.join("etc"));
    let deb = DebSpec { settings: &[("etc/tool.conf", "default")], ..spec("tool", "1") };
    let outcome = machine.install(&deb.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(TestMachine::names(&machine.root.join("etc")), before);
    assert!(before.iter().all(|name| read(&machine, &format!("etc/{name}")) == *name));
}

#[test]
fn data_that_were_there_before_the_package_are_not_purged() {
    if !can_install("installing debs") {
        return;
    }
    let purge = "test \"$1\" != purge || rm -rf /var/lib/tool /srv/pool /var/lib/database /etc/by-hand.conf";
    let scripts = &[("postrm", purge)];
    let deb = DebSpec { files: &[("srv/pool/.keep", "")], scripts, ..spec("tool", "1") };
    for data in ["var/lib/tool/data", "srv/pool/data", "var/lib/database/data", "etc/by-hand.conf", "elsewhere"] {
        let machine = TestMachine::new();
        give_shell(&machine);
        give_program(&machine, "/bin/rm");
        write(&machine, data, "mine");
        let outcome = machine.install(&deb.release(1).probe(BAD)).outcome;
        let (_, detail) = failed_and_restored(&outcome);
        assert!(detail.ends_with("tool was removed again; it was not installed before"), "{detail}");
        assert_eq!((known(&machine, "tool").as_str(), read(&machine, data).as_str()), ("", "mine"), "{data}");
        assert_eq!(machine.root.join("srv/pool/data").exists(), data == "srv/pool/data");
        assert_eq!(machine.root.join("srv/pool").exists(), data == "srv/pool/data");
        machine.assert_tidy();
    }
}

#[test]
fn a_package_whose_files_were_taken_over_has_them_again() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let common = DebSpec { files: &[("usr/share/x/taken", "common"), ("usr/share/x/own", "c")], ..spec("common", "1") };
    let tool = |version, control, files| DebSpec { control, files, ..spec("tool", version) };
    assert!(dpkg_deb(&machine, "--install", &common));
    assert_eq!(machine.install(&tool("1", "", &[]).release(1)).outcome, NEWLY_INSTALLED);
    let two = tool("2", "Replaces: common\n", &[("usr/share/x/taken", "tool")]);
    let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
    let (_, detail) = failed_and_restored(&outcome);
    assert!(detail.ends_with("tool 1 is back; common has its files again"), "{detail}");
    assert_eq!(read(&machine, "usr/share/x/taken"), "common");
    let owner = dpkg(&machine, &["--search", "/usr/share/x/taken"]);
    assert_eq!(String::from_utf8(owner.stdout).unwrap(), "common: /usr/share/x/taken\n");
    assert!(dpkg(&machine, &["--verify"]).stdout.is_empty());
    machine.assert_tidy();
    assert_eq!(machine.install(&two.release(3)).outcome, NEWLY_INSTALLED);
    assert_eq!(read(&machine, "usr/share/x/taken"), "tool");
}

#[test]
fn other_content_of_a_version_is_not_taken_for_the_one_that_banyan_installed() {
    if !can_install("installing debs") {
        return;
    }
    let content = |version, content, scripts| DebSpec { content, scripts, ..spec("tool", version) };
    for is_script in [false, true] {
        let scripts: &[(&str, &str)] = if is_script { &[("config", "true")] } else { &[] };
        let machine = TestMachine::new();
        assert_eq!(machine.install(&content("1", "ours", &[]).release(1)).outcome, NEWLY_INSTALLED);
        let theirs = content("1", if is_script { "ours" } else { "theirs" }, scripts);
        assert!(dpkg_deb(&machine, "--install", &theirs));
        // Going back would bring other content than was there.
        let outcome = machine.install(&content("2", "", &[]).release(2).probe(BAD)).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::CannotRestore, "{outcome:?}");
        // A deb of that name in apt's cache is of no use, either, unless it is the one.
        cache(&machine, &DebSpec { scripts: &[("md5sums", "0  usr/share/tool/version")], ..theirs.clone() });
        let outcome = machine.install(&content("2", "", &[]).release(3).probe(BAD)).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::CannotRestore, "{outcome:?}");
        // The version is not in place, and is installed again.
        let again = content("1", "ours", &[]).release(4);
        let outcome = machine.install_allowing(&again, &[Allowance::NoRestore]).outcome;
        assert_eq!(outcome, NEWLY_INSTALLED);
        assert_eq!(read(&machine, "usr/share/tool/version"), "1 ours");
        assert_eq!(machine.install(&content("1", "ours", &[]).release(5)).outcome, ALREADY_INSTALLED);
        let outcome = machine.install(&content("2", "", &[]).release(6).probe(BAD)).outcome;
        assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
        assert_eq!(read(&machine, "usr/share/tool/version"), "1 ours");
    }
}

#[test]
fn packages_that_need_each_other_are_removed_together_and_restored() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    let base = spec("base", "1");
    let extra = DebSpec { control: "Depends: base\n", ..spec("a-extra", "1") };
    let old = DebSpec { control: "Depends: a-extra\n", ..spec("tool", "0") };
    for deb in [&base, &extra, &old] {
        assert!(dpkg_deb(&machine, "--install", deb));
        cache(&machine, deb);
    }
    let control = "Conflicts: base, a-extra\nReplaces: base, a-extra\n";
    let new = DebSpec { control, ..spec("tool", "1") };
    let outcome = machine.install(&new.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed, "{outcome:?}");
    let all = ["base", "a-extra", "tool"].map(|name| known(&machine, name));
    assert_eq!(all, ["install installed 1", "install installed 1", "install installed 0"]);
    let outcome = machine.install(&new.release(2)).outcome;
    assert!(matches!(outcome, Outcome::Installed { .. }), "{outcome:?}");
    assert!(dpkg(&machine, &["--audit"]).stdout.is_empty());
}

#[test]
fn a_lost_or_damaged_list_of_packages_is_named_and_not_written_to() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    assert!(dpkg_deb(&machine, "--install", &spec("other", "1")));
    let status = machine.root.join("var/lib/dpkg/status");
    let whole = fs::read_to_string(&status).unwrap();
    let zeros = format!("{}\0\0\0\0", &whole[..whole.len() / 2]);
    for (content, says) in [("", "is missing or empty"), (&zeros, "is damaged"), ("Package other\n", "line 1 of ")] {
        fs::write(&status, content).unwrap();
        let outcome = machine.install(&spec("tool", "1").release(1)).outcome;
        let (reason, detail) = failed_and_restored(&outcome);
        assert_eq!(reason, Reason::PackageDatabaseDamaged, "{detail}");
        assert!(detail.contains(says), "{detail}");
        assert_eq!(fs::read_to_string(&status).unwrap(), content);
    }
    fs::remove_file(&status).unwrap();
    let outcome = machine.install(&spec("tool", "1").release(2)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::PackageDatabaseDamaged);
    assert!(!status.exists());
    // dpkg itself knows more about its files.
    fs::write(&status, whole).unwrap();
    write(&machine, "var/lib/dpkg/statoverride", "nobody nosuchgroup 755 /usr/bin/x\n");
    let outcome = machine.install(&spec("tool", "1").release(3)).outcome;
    let (reason, detail) = failed_and_restored(&outcome);
    assert_eq!(reason, Reason::PackageDatabaseDamaged, "{detail}");
    assert!(detail.contains("nosuchgroup"), "{detail}");
    fs::remove_file(machine.root.join("var/lib/dpkg/statoverride")).unwrap();
    assert_eq!(machine.install(&spec("tool", "1").release(4)).outcome, NEWLY_INSTALLED);
}

#[test]
fn a_folder_that_became_a_link_is_a_folder_again_before_files_go_into_it() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    ["/usr/bin/rmdir", "/usr/bin/ln"].iter().for_each(|program| give_program(&machine, program));
    let common = DebSpec { files: &[("usr/share/doc/common/copyright", "common's")], ..spec("common", "1") };
    assert!(dpkg_deb(&machine, "--install", &common));
    let one = DebSpec { files: &[("usr/share/doc/tool/copyright", "tool's")], ..spec("tool", "1") };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    // As `dpkg-maintscript-helper dir_to_symlink` does.
    let scripts = &[(
        "postinst",
        "test -L /usr/share/doc/tool || { rmdir /usr/share/doc/tool; ln -s common /usr/share/doc/tool; }",
    )];
    let with_link = |version| DebSpec { links: &[("usr/share/doc/tool", "common")], scripts, ..spec("tool", version) };
    let outcome = machine.install(&with_link("2").release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    let folder = machine.root.join("usr/share/doc/tool");
    assert!(fs::symlink_metadata(&folder).unwrap().is_dir());
    let both = || (read(&machine, "usr/share/doc/tool/copyright"), read(&machine, "usr/share/doc/common/copyright"));
    assert_eq!(both(), ("tool's".into(), "common's".into()));
    // The next version takes nothing from the other package either.
    assert_eq!(machine.install(&with_link("3").release(3)).outcome, NEWLY_INSTALLED);
    assert_eq!(both(), ("common's".into(), "common's".into()));
}

#[test]
fn a_link_that_became_a_folder_is_a_link_again() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    give_program(&machine, "/usr/bin/rm");
    let one = DebSpec {
        files: &[("usr/share/tool/new/data", "1")],
        links: &[("usr/share/tool/old", "new")],
        ..spec("tool", "1")
    };
    assert_eq!(machine.install(&one.release(1)).outcome, NEWLY_INSTALLED);
    let two = DebSpec {
        files: &[("usr/share/tool/new/data", "2"), ("usr/share/tool/old/data", "2")],
        scripts: &[("preinst", "test ! -L /usr/share/tool/old || rm /usr/share/tool/old")],
        ..spec("tool", "2")
    };
    let outcome = machine.install(&two.release(2).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(fs::read_link(machine.root.join("usr/share/tool/old")).unwrap().to_str(), Some("new"));
    assert_eq!(read(&machine, "usr/share/tool/old/data"), "1");

    // What people put into the folder meanwhile is not deleted, and the link is not said to be back.
    let script = "rm /usr/share/tool/old; mkdir /usr/share/tool/old; echo mine > /usr/share/tool/old/mine";
    give_program(&machine, "/usr/bin/mkdir");
    let outcome = machine.install(&DebSpec { scripts: &[("preinst", script)], ..two }.release(3).probe(BAD)).outcome;
    let Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(detail.contains("/usr/share/tool/old was a link to new before"), "{detail}");
    assert_eq!(read(&machine, "usr/share/tool/old/mine"), "mine\n");
}

#[test]
fn a_package_may_divert_a_file_of_another_one_before_it_takes_its_name() {
    if !can_install("installing debs") {
        return;
    }
    let machine = TestMachine::new();
    give_shell(&machine);
    give_program(&machine, "/usr/bin/dpkg-divert");
    let other = DebSpec { files: &[("usr/bin/tool", "other's")], ..spec("other", "1") };
    assert!(dpkg_deb(&machine, "--install", &other));
    let divert = "dpkg-divert --package wrap --rename --divert /usr/bin/tool.real";
    let (add, remove) = (format!("{divert} --add /usr/bin/tool"), format!("{divert} --remove /usr/bin/tool"));
    let wrap = DebSpec {
        files: &[("usr/bin/tool", "wrap's")],
        scripts: &[("preinst", &add), ("postrm", &remove)],
        ..spec("wrap", "1")
    };
    let both = || (read(&machine, "usr/bin/tool"), read(&machine, "usr/bin/tool.real"));
    let outcome = machine.install(&wrap.release(1).probe(BAD)).outcome;
    assert_eq!(failed_and_restored(&outcome).0, Reason::ProbeFailed);
    assert_eq!(both(), ("other's".into(), String::new()));
    assert_eq!(machine.install(&wrap.release(2)).outcome, NEWLY_INSTALLED);
    assert_eq!(both(), ("wrap's".into(), "other's".into()));

    // A script that only mentions it does not make room: dpkg refuses, and nothing is lost.
    let liar = DebSpec { scripts: &[("preinst", "true # dpkg-divert")], ..DebSpec { name: "liar", ..wrap } };
    let outcome = machine.install(&liar.release(3)).outcome;
    failed_and_restored(&outcome);
    assert_eq!(both(), ("wrap's".into(), "other's".into()));
}
