//! Verifies with the real programs that the audit log can be exported and verified without the server, that each change of
//! the exported file is named, and that the command line notices a server whose log was put back.

use banyan_tests::TestNetwork;
use std::fs;

#[test]
fn an_exported_log_is_verified_offline_and_a_log_that_was_put_back_is_noticed() {
    let mut network = TestNetwork::start(0);
    let run = |network: &TestNetwork, arguments: &[&str]| {
        let output = network.command(arguments).output().expect("banyan runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    for person in ["anna", "bert", "carl", "dora"] {
        network.banyan(&["access", "add", person, "--role", "viewer"]);
    }
    let (yesterday, file) = (network.path("yesterday.jsonl"), network.path("audit.jsonl"));
    network.banyan(&["audit", "export", &yesterday]);
    network.stop_server();
    network.back_up_server();
    network.start_server();
    network.banyan(&["access", "revoke", "bert"]);
    network.banyan(&["policy", "set", "--catalogue", "none"]);
    let head = network.path("head.json");
    fs::write(&head, network.banyan(&["audit", "head", "--json"])).expect("the head is written");
    let listed = network.banyan(&["audit", "list", "--object", "access:bert*"]);
    assert!(listed.contains("revoke_access") && listed.contains("setup"), "{listed}");
    let table = network.banyan(&["audit", "list", "--limit", "0", "--csv"]);
    assert!(table.contains(",setup,admin.toml,owner,127.0.0.1,create_access,access:anna/default,done,"), "{table}");

    network.banyan(&["audit", "export", &file]);
    let (is_whole, said) = run(&network, &["audit", "verify", &file]);
    assert!(is_whole && said.contains("whole:"), "{said}");
    let text = fs::read_to_string(&file).expect("the export can be read");
    let lines: Vec<&str> = text.lines().collect();
    let cut = |keep: usize| lines[..keep].join("\n") + "\n";
    let changed = network.path("changed.jsonl");
    for (content, finding) in [
        (cut(lines.len() - 3), "3 of"),
        (cut(1), "rows are missing"),
        (text.replace("access:carl/", "access:karl/"), "was edited"),
    ] {
        fs::write(&changed, content).expect("the file is written");
        let (is_whole, said) = run(&network, &["audit", "verify", &changed]);
        assert!(!is_whole && said.contains(finding), "{finding}: {said}");
    }
    // Yesterday's file is older than the head that is known.
    for known in [&[][..], &["--head", &head]] {
        let (is_whole, said) = run(&network, &[&["audit", "verify", &yesterday], known].concat());
        assert!(!is_whole && said.contains("it is older, or rows were cut off"), "{said}");
    }

    // Somebody puts yesterday's database back. This computer keeps the heads beside another copy of the profile.
    let elsewhere = network.path("elsewhere");
    fs::create_dir(&elsewhere).expect("the folder is created");
    fs::copy(network.path("server/admin.toml"), format!("{elsewhere}/profile.toml")).expect("the profile is copied");
    let profile = format!("{elsewhere}/profile.toml");
    let ask = |arguments: &[&str]| {
        let mut command = banyan_tests::programs::banyan();
        let output = command.args(["--profile", &profile]).args(arguments).output().expect("banyan runs");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert!(ask(&["audit", "head"]).0);
    network.stop_server();
    network.restore_server();
    network.start_server();
    let (is_whole, said) = ask(&["audit", "list"]);
    assert!(!is_whole && said.contains("the log was changed") && said.contains("rows are missing"), "{said}");
    assert!(ask(&["audit", "head", "--replace"]).0);
    assert!(ask(&["audit", "list"]).0);
}
