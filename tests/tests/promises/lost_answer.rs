//! Verifies with the real programs that a deployment whose answer is lost on the way is started once, although `banyan`
//! sends the request again.

use banyan_proto::admin::DeploymentStatus;
use banyan_tests::{TestNetwork, inspecting_proxy::InspectingProxy, test_package::Behaviour};

#[test]
fn a_deployment_whose_answer_is_lost_is_started_once() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let proxy = InspectingProxy::start(&network);
    proxy.lose_next_answer();
    let output = proxy.command(&["deploy", "hello", "--to", "all", "--json"]).output().expect("banyan runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", network.logs());
    assert!(!proxy.will_lose_an_answer(), "the answer was lost");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("deploy --json gives JSON");
    let deployments: Vec<DeploymentStatus> =
        serde_json::from_str(&network.banyan(&["status", "--json"])).expect("status --json gives JSON");
    let ids: Vec<String> = deployments.iter().map(|deployment| deployment.id.to_string()).collect();
    assert_eq!(ids, [answer["id"].as_str().expect("an id").to_owned()]);
}
