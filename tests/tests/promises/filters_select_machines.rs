//! Verifies with the real programs that an administrator groups, tags and names machines, and deploys to those of a
//! filter; that machines follow the policy of their groups at once; and that a table is exported and imported whole.

use banyan_proto::admin::Machine;
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{fs, process::Output};

fn run(network: &TestNetwork, arguments: &[&str]) -> Output {
    network.command(arguments).output().expect("banyan runs")
}
fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
/// Returns the names of the machines that a filter selects.
fn list(network: &TestNetwork, filter: &str) -> Vec<String> {
    let output = network.banyan(&["machines", "--where", filter, "--json"]);
    let machines: Vec<Machine> = serde_json::from_str(&output).expect("a list of machines");
    machines.into_iter().map(|machine| machine.label).collect()
}

#[test]
fn a_filter_decides_who_gets_a_release() {
    let network = TestNetwork::start(3);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "machine:m0,m1", 1);
    network.wait_for_status(&deployment, "both have it", |status| {
        status.addressees.iter().all(|machine| machine.installed_after.is_some())
    });
    network.banyan(&["machines", "tag", "m1", "protected"]);
    assert_eq!(list(&network, "version(hello) = 1.0"), ["m0", "m1"]);

    // Nothing is known of m2's version, and m1 is protected.
    network.publish("hello", "1.1", 300_000, Behaviour::Works);
    let output = run(&network, &["deploy", "hello", "--to", "version(hello) < 1.1", "--wait", "--json"]);
    assert!(output.status.success(), "{}", errors(&output));
    let said = errors(&output);
    assert!(said.contains("1 machine left out, because what the filter asks for is not known"), "{said}");
    assert!(said.contains("1 machine left out, because of the tag protected"), "{said}");
    assert_eq!(list(&network, "version(hello) = 1.1"), ["m0"]);

    for (filter, said) in [
        ("oss = linux", "oss = linux\n^ `oss` is no field"),
        ("os = linux and not group = labb", "                           ^ there is no group `labb`"),
        ("", "the filter is empty"),
    ] {
        for arguments in [&["machines", "--where", filter][..], &["deploy", "hello", "--to", filter]] {
            let output = run(&network, arguments);
            assert!(!output.status.success() && errors(&output).contains(said), "{filter}: {}", errors(&output));
        }
    }
}

#[test]
fn machines_follow_their_groups_and_a_table_is_imported_whole() {
    let network = TestNetwork::start(2);
    network.set_policy("upload = 400000\n", Some("lab"));
    network.banyan(&["policy", "set", "--rank", "3", "--group", "lab"]);
    let done = network.banyan(&["machines", "group", "name = m1", "lab", "--json"]);
    assert!(done.contains(r#""matched":1,"changed":1,"unknown":0"#), "{done}");
    let limit = |network: &TestNetwork, which| network.snapshot(which).scheduling.policy.upload;
    network.wait_until("the policy of the group reaches m1", |network| limit(network, 1) == Some(400_000));
    network.banyan(&["machines", "ungroup", "group:lab", "lab"]);
    network.wait_until("m1 follows it no more", |network| limit(network, 1).is_none());
    assert_eq!(limit(&network, 0), None);
    let refused = run(&network, &["groups", "delete", "lab"]);
    assert!(errors(&refused).contains("a policy of rank 3"), "{}", errors(&refused));

    // Names as people make them up come back from a spreadsheet.
    network.banyan(&["machines", "rename", "m0", "=1+1"]);
    network.banyan(&["machines", "tag", "machine:=1+1,m1", "büro 7", "漢", "007", "a;b", "a,b", "\"q\""]);
    let table = network.banyan(&["machines", "--csv"]);
    assert!(table.starts_with('\u{feff}') && table.contains(",'=1+1,m0,"), "{table}");
    let before = network.machines();
    let path = network.path("machines.csv");
    fs::write(&path, &table).expect("the table is written");
    let same = run(&network, &["machines", "import", &path, "--apply"]);
    assert!(same.status.success() && errors(&same).contains("0 machines changed"), "{}", errors(&same));
    let (id, wrong) = (before[0].id.to_string(), "machine;tags\r\nm1;x\r\nnobody;y\r\n");
    fs::write(&path, wrong).expect("the table is written");
    let refused = run(&network, &["machines", "import", &path, "--apply"]);
    assert!(
        !refused.status.success() && errors(&refused).contains("line 3: no machine has the name"),
        "{}",
        errors(&refused)
    );
    let tags = |machines: &[Machine]| machines.iter().map(|machine| machine.tags.clone()).collect::<Vec<_>>();
    assert_eq!(tags(&network.machines()), tags(&before), "nothing was changed");
    fs::write(&path, format!("\u{feff}Machine;Name;Tags\r\n{id};;'=2, 漢\r\n")).expect("the table is written");
    network.banyan(&["machines", "import", &path, "--apply"]);
    assert_eq!(list(&network, r#"tag = "=2" and name = m0"#), ["m0"]);
}
