//! Verifies that the machines of a site together keep within its budget, also after one of them dies. Runs in network
//! namespaces, as root.

use banyan_proto::{
    admin::{DeploymentState, Stage},
    site_budget::SiteStatus,
};
use banyan_tests::{
    TestNetwork,
    test_package::Behaviour,
    virtual_network::{Family, UplinkBytes, VirtualNetwork},
};
use std::time::Instant;

/// The server and two machines; then the site with a budget.
const SITES: [u8; 2] = [3, 4];
const BYTES: usize = 6_000_000;
/// Bytes a second.
const BUDGET: u64 = 400_000;
/// Connections, and requests to the server, which are not limited.
const OVERHEAD: u64 = 400_000;

struct Site {
    network: TestNetwork,
    began: Instant,
    deployment: String,
}

impl Site {
    fn deploy() -> Self {
        let mut network = TestNetwork::start_on(VirtualNetwork::start_sites(Family::V4, &SITES), &[]);
        network.banyan(&["sites", "set", "10.77.1.0/24", &BUDGET.to_string()]);
        network.publish("hello", "1.0", BYTES, Behaviour::Works);
        (3..7).for_each(|host| network.computers().count_uplink(host));
        let began = Instant::now();
        let deployment = network.deploy("hello", "all", 2);
        Self { network, began, deployment }
    }
    /// Returns what has crossed the uplink so far.
    fn uplink(&mut self) -> UplinkBytes {
        let computers = self.network.computers();
        let all = (3..7).map(|host| computers.uplink(host));
        all.fold(UplinkBytes::default(), |sum, one| UplinkBytes {
            entered: sum.entered + one.entered,
            left: sum.left + one.left,
        })
    }
    /// Asserts that the budget was kept since the deployment began.
    fn assert_kept(&mut self) {
        let moved = self.uplink();
        let most = (self.began.elapsed().as_secs_f64() * BUDGET as f64 * 1.05) as u64 + OVERHEAD;
        println!("after {:?}: {moved:?} of {most}", self.began.elapsed());
        assert!(moved.entered <= most && moved.left <= most, "{moved:?} of {most}");
    }
    fn shares(&self) -> SiteStatus {
        let text = self.network.banyan(&["sites", "--json"]);
        let sites: Vec<SiteStatus> = serde_json::from_str(&text).expect("sites --json gives JSON");
        sites.into_iter().find(|site| site.budget.is_some()).expect("a site has a budget")
    }
}

#[test]
fn all_machines_of_a_site_together_keep_its_budget() {
    let mut site = Site::deploy();
    site.network.wait_until("a machine has a share", |_| !site.shares().shares.is_empty());
    site.assert_kept();
    let shares = site.shares();
    assert_eq!(shares.machines, 4);
    let sum: u64 = shares.shares.iter().filter_map(|share| share.rates.download).sum();
    assert!(sum <= BUDGET, "{shares:?}");
    let status = site
        .network
        .wait_for_status(&site.deployment, "all machines have it", |status| status.state == DeploymentState::Finished);
    site.assert_kept();
    let moved = site.uplink();
    assert!(moved.entered < status.size * 3 / 2 + OVERHEAD, "{moved:?} of {}", status.size);
    site.network.wait_until("the shares are given back", |_| site.shares().shares.is_empty());
}

#[test]
fn when_a_machine_at_the_uplink_dies_the_others_keep_the_budget_and_finish() {
    let mut site = Site::deploy();
    site.network.wait_until("a machine has a share", |_| !site.shares().shares.is_empty());
    let label = site.shares().shares[0].label.clone();
    let dead = site.network.agents.iter().position(|agent| agent.label == label).expect("it is one of the machines");
    site.network.kill_agent(dead);
    site.assert_kept();
    site.network.wait_for_status(&site.deployment, "the others have it", |status| {
        status.addressees.iter().filter(|one| one.label != label).all(|one| one.stage == Stage::Installed)
    });
    site.assert_kept();
}

#[test]
fn a_budget_can_be_removed_in_the_middle_of_a_transfer() {
    let mut site = Site::deploy();
    site.network.wait_until("a machine has a share", |_| !site.shares().shares.is_empty());
    site.assert_kept();
    site.network.banyan(&["sites", "reset", "10.77.1.0/24"]);
    let finished = |site: &Site| site.network.status(&site.deployment).state == DeploymentState::Finished;
    site.network.wait_until("all machines have it", |_| finished(&site));
    let slow = BYTES as f64 / BUDGET as f64;
    assert!(site.began.elapsed().as_secs_f64() < slow, "the transfer went on as slowly as with the budget");
}
