//! Verifies that a path with bytes that are not UTF-8 is refused at once, with its option, and that nothing is created.

use banyan_tests::programs;
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::Command,
};

/// Runs a program that must refuse a path. Returns what it says.
fn refusal(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert!(!output.status.success() && said.contains("UTF-8") && said.contains("choose another path"), "{said}");
    said
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("the folder can be read").count()
}

#[test]
fn server_agent_and_command_line_refuse_a_path_that_is_not_text() {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let bad = folder.path().join(OsStr::from_bytes(b"b\xfcro"));
    for mut command in [programs::server(), programs::agent()] {
        let said = refusal(command.arg("--data").arg(&bad));
        assert!(said.contains("--data is not valid UTF-8") && said.contains("b\\xFCro"), "{said}");
    }
    for words in [&["server", "--data"][..], &["agent", "--data"], &["keys", "generate", "--out"], &["--profile"]] {
        let said = refusal(programs::banyan().args(words).arg(&bad));
        let option = words.last().expect("there is an option");
        assert!(said.contains(&format!("{option} is not valid UTF-8")), "{said}");
    }
    let said = refusal(programs::server().env("BANYAN_SERVER_DATA", &bad));
    assert!(said.contains("--data"), "{said}");
    let said = refusal(programs::banyan().arg("machines").env("BANYAN_PROFILE", &bad));
    assert!(said.contains("--profile"), "{said}");
    assert_eq!(entries(folder.path()), 0, "something was created");

    // A link and the working folder lead there, too.
    fs::create_dir(&bad).expect("the folder can be created");
    let link = folder.path().join("link");
    symlink(&bad, &link).expect("the link can be created");
    assert!(refusal(programs::agent().arg("--data").arg(&link)).contains("the folder that --data leads to"));
    assert!(refusal(programs::agent().args(["--data", "data"]).current_dir(&bad)).contains("--data"));
    assert_eq!(entries(&bad), 0, "something was created");
}
