//! Verifies that one deployment serves machines of different platforms: each file has an order and a tree of its own, and
//! the server sends each about once.

use banyan_proto::{admin::DeploymentState, join::JoinCode};
use banyan_tests::{TestNetwork, simulated_fleet::SimulatedFleet, test_package::Behaviour};
use std::fs;

/// Real agents, of this computer's platform.
const HERE: usize = 12;
/// Machines that claim another platform. They report an installation and install nothing.
const ELSEWHERE: usize = 4;

#[test]
fn one_deployment_serves_each_platform_with_its_own_file() {
    let network = TestNetwork::start(HERE);
    let here = banyan_proto::platform::platform();
    let release = network.write_package("hello", "1.0", 3_000_000, Behaviour::Works);
    let other = network.write_package("hello", "1.0-other", 900_000, Behaviour::Works);
    let text = fs::read_to_string(&release).expect("the description was written");
    let file_elsewhere = other.trim_end_matches(".toml").rsplit('/').next().expect("a file name").to_owned();
    let own = text.replace("[platform.any]", &format!("[platform.{here}]"));
    let for_others = format!(
        "\n[platform.windows-x86_64]\nfile = \"{file_elsewhere}.tar.gz\"\nkind = \"archive\"\nprobe = [\"{{dir}}/bin/hello\"]\n"
    );
    fs::write(&release, own + &for_others).expect("the description can be changed");
    network.banyan(&["publish", &release, "--key", &network.path("keys")]);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let code: JoinCode = network.join_code(ELSEWHERE).parse().expect("a join code");
    let mut fleet = runtime
        .block_on(SimulatedFleet::enrol_on(&code, ELSEWHERE, "windows-x86_64"))
        .expect("the machines are enrolled");
    runtime.block_on(async { fleet.switch_on() });
    let deployment = network.deploy("hello", "all", 2);
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(status.totals.done as usize, HERE + ELSEWHERE, "{status:#?}");
    let mut orders: Vec<_> = status.orders.iter().map(|order| (order.platform.as_str(), order.machines)).collect();
    orders.sort_unstable();
    let mut expected = [(here.as_str(), 12), ("windows-x86_64", 4)];
    expected.sort_unstable();
    assert_eq!(orders, expected);
    for which in 0..HERE {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"), "m{which}");
    }
    let own = status.orders.iter().find(|order| order.platform == here).expect("the order of this platform");
    assert!(own.server_sent <= own.size * 2, "the server sent {} bytes of {}", own.server_sent, own.size);
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
    let copies = own.server_sent as f64 / own.size as f64;
    println!("{HERE} machines of {here}: the server sent {copies:.2} copies of their file");
    runtime.block_on(fleet.switch_off());
}
