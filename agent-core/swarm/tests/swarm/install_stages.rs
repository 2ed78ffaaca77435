//! From the last chunk to the install helper: verification, receipt, install permit, one install at a time.

use banyan_proto::{AddresseeList, MachineId, OrderId, Proof, Reason, api::Event};
use banyan_swarm::{
    Action, Config, Input, InstallLane, Now, OrderInput, OrderTask, StripeId, SwarmState, TrustedOffer,
};
use std::time::Duration;

struct Driver {
    machine: SwarmState,
    now: Now,
}

impl Driver {
    fn new() -> Self {
        let config = Config::agent(MachineId([1; 16]), MachineId([0; 16]), 8, 1);
        Self { machine: SwarmState::new(config), now: Duration::ZERO }
    }
    fn give(&mut self, input: impl Into<Input>) -> Vec<Action> {
        self.machine.handle(self.now, input);
        assert_eq!(self.machine.broken_invariant(), None);
        std::iter::from_fn(|| self.machine.poll_action()).collect()
    }
    /// Restores an order whose chunks are all here.
    fn restore(&mut self, order: u8) -> (OrderId, Vec<Action>) {
        self.restore_with(order, 4)
    }
    /// Restores an order of four chunks, `held` of which are here.
    fn restore_with(&mut self, order: u8, held: u32) -> (OrderId, Vec<Action>) {
        let id = OrderId([order; 16]);
        let sublist = AddresseeList::build(&[MachineId([1; 16])], |_| 0).unwrap();
        let stripe = StripeId { order: id, stripe: 0 };
        let offer = TrustedOffer { stripe, revision: 1, stripes: 1, chunks: 4, sublist, proof: Proof::default(), held };
        (id, self.give(OrderInput::Restored(offer)))
    }
    /// Restores an order and advances it until the install permit is requested.
    fn authenticated(&mut self, order: u8) -> OrderId {
        let (id, actions) = self.restore(order);
        assert_eq!(actions, [Action::Run(id, OrderTask::VerifyArtifact)]);
        assert_eq!(self.give(OrderInput::ArtifactVerified(id)), [Action::Run(id, OrderTask::RequestReceipt)]);
        assert_eq!(
            self.give(OrderInput::Receipted(id)),
            [Action::Report(id, Event::Authenticated), Action::Run(id, OrderTask::RequestInstallPermit)]
        );
        id
    }
    /// Advances the time to the next wake-up.
    fn wake(&mut self) -> Vec<Action> {
        self.now = self.machine.next_wake().expect("a wake time is set");
        self.give(Input::Tick)
    }
}

fn install(id: OrderId) -> [Action; 2] {
    [Action::Report(id, Event::Installing), Action::Run(id, OrderTask::Install)]
}

#[test]
fn nothing_is_installed_without_receipt_and_install_permit() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    // Answers that were not requested change nothing.
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
    assert_eq!(driver.give(OrderInput::Receipted(id)), []);
    assert_eq!(driver.give(OrderInput::ArtifactVerified(id)), [Action::Run(id, OrderTask::RequestReceipt)]);
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
    driver.give(OrderInput::Receipted(id));
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), install(id));
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), [], "once");
    assert_eq!(driver.give(OrderInput::InstallEnded(id, Ok(()))), []);
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
    assert_eq!(driver.machine.next_wake(), None);
}

#[test]
fn nothing_is_verified_before_every_chunk_is_here() {
    let mut driver = Driver::new();
    let (id, actions) = driver.restore_with(1, 3);
    assert!(!actions.contains(&Action::Run(id, OrderTask::VerifyArtifact)));
    assert_eq!(driver.give(OrderInput::ArtifactVerified(id)), []);
    assert_eq!(driver.give(OrderInput::Receipted(id)), []);
}

#[test]
fn installs_are_one_at_a_time_in_the_order_of_their_install_permits() {
    let mut driver = Driver::new();
    let ids = [3, 1, 2].map(|n| driver.authenticated(n));
    assert_eq!(driver.give(OrderInput::InstallPermit(ids[0], InstallLane::Own)), install(ids[0]));
    driver.now += Duration::from_secs(1);
    assert_eq!(driver.give(OrderInput::InstallPermit(ids[1], InstallLane::Own)), []);
    driver.now += Duration::from_secs(1);
    assert_eq!(driver.give(OrderInput::InstallPermit(ids[2], InstallLane::Own)), []);
    assert_eq!(driver.give(OrderInput::InstallEnded(ids[0], Err(Reason::ProbeFailed))), install(ids[1]));
    assert_eq!(driver.give(OrderInput::InstallEnded(ids[1], Ok(()))), install(ids[2]));
}

#[test]
fn an_archive_does_not_wait_for_a_system_package() {
    let mut driver = Driver::new();
    let [slow, next, archive] = [1, 2, 3].map(|n| driver.authenticated(n));
    assert_eq!(driver.give(OrderInput::InstallPermit(slow, InstallLane::System)), install(slow));
    assert_eq!(driver.give(OrderInput::InstallPermit(next, InstallLane::System)), []);
    assert_eq!(driver.give(OrderInput::InstallPermit(archive, InstallLane::Own)), install(archive));
    assert_eq!(driver.give(OrderInput::InstallEnded(archive, Ok(()))), []);
    assert_eq!(driver.give(OrderInput::InstallEnded(slow, Ok(()))), install(next));
}

#[test]
fn a_free_place_repeats_a_refused_request_for_the_install_permit_at_once() {
    let mut driver = Driver::new();
    let id = driver.authenticated(1);
    assert_eq!(driver.give(OrderInput::PlaceFree(id)), [], "the answer to a request is awaited");
    driver.give(OrderInput::RetryLater(id, Reason::WaitsForProof, String::new()));
    assert_eq!(driver.give(OrderInput::PlaceFree(id)), [Action::Run(id, OrderTask::RequestInstallPermit)]);
    assert_eq!(driver.give(OrderInput::PlaceFree(id)), [], "once");
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), install(id));
    assert_eq!(driver.give(OrderInput::PlaceFree(id)), []);
}

#[test]
fn an_install_permit_that_expired_in_the_queue_is_requested_again() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(OrderInput::InstallPermit(first, InstallLane::Own));
    driver.give(OrderInput::InstallPermit(second, InstallLane::Own));
    driver.now += Duration::from_secs(11 * 60);
    assert_eq!(
        driver.give(OrderInput::InstallEnded(first, Ok(()))),
        [Action::Run(second, OrderTask::RequestInstallPermit)]
    );
    assert_eq!(driver.give(OrderInput::InstallPermit(second, InstallLane::Own)), install(second));
}

#[test]
fn postponed_requests_are_retried_after_growing_pauses_and_reported_when_the_reason_changes() {
    let mut driver = Driver::new();
    let id = driver.authenticated(1);
    let waits = |reason: Reason| Action::Report(id, Event::Waits { reason, detail: reason.code().to_owned() });
    let mut pauses = Vec::new();
    for round in 0..12 {
        let reason = if round < 6 { Reason::Halted } else { Reason::ServerAway };
        let expected = if round == 0 || round == 6 { vec![waits(reason)] } else { vec![] };
        let later = || OrderInput::RetryLater(id, reason, reason.code().to_owned());
        assert_eq!(driver.give(later()), expected, "round {round}");
        assert_eq!(driver.give(later()), [], "an unrequested answer changes nothing");
        let before = driver.now;
        assert_eq!(driver.wake(), [Action::Run(id, OrderTask::RequestInstallPermit)]);
        pauses.push(driver.now - before);
    }
    assert!(pauses[0] <= Duration::from_secs(2));
    assert!(pauses[11] >= Duration::from_secs(30) && pauses[11] <= Duration::from_secs(60), "{pauses:?}");
    // An order that waits does not hold up another.
    let other = driver.authenticated(2);
    assert_eq!(driver.give(OrderInput::InstallPermit(other, InstallLane::Own)), install(other));
}

#[test]
fn an_install_helper_that_cannot_start_lets_the_next_one_go_first() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(OrderInput::InstallPermit(first, InstallLane::Own));
    driver.give(OrderInput::InstallPermit(second, InstallLane::Own));
    let actions = driver.give(OrderInput::RetryLater(first, Reason::PackageManagerBusy, String::new()));
    assert!(actions.ends_with(&install(second)), "{actions:?}");
    assert_eq!(driver.wake(), [Action::Run(first, OrderTask::RequestInstallPermit)]);
}

#[test]
fn a_damaged_artifact_is_fetched_again() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    driver.give(OrderInput::ArtifactVerified(id));
    assert_eq!(driver.give(OrderInput::ArtifactDamaged(id, vec![1, 99])), []);
    let actions = driver.wake();
    assert!(matches!(actions[..], [Action::Dial { peer: MachineId([0, ..]), .. }]), "{actions:?}");
    assert_eq!(driver.give(OrderInput::Receipted(id)), [], "the receipt was for content that is no longer here");
}

#[test]
fn a_refused_receipt_is_final_and_a_dropped_order_is_forgotten() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    driver.give(OrderInput::ArtifactVerified(id));
    assert_eq!(driver.give(OrderInput::ReceiptRefused(id, Reason::CodeWrong)), []);
    assert_eq!(driver.give(OrderInput::Receipted(id)), []);
    assert_eq!(driver.machine.complete_offers().count(), 1);
    driver.give(OrderInput::Dropped(id, Reason::OrderSuperseded));
    assert_eq!(driver.machine.complete_offers().count(), 0);
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
}

#[test]
fn while_installing_is_closed_no_install_permit_is_requested() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    let waits = Action::Report(id, Event::Waits { reason: Reason::NotNow, detail: String::new() });
    assert_eq!(driver.give(OrderInput::MayInstall(id, Err(Reason::NotNow))), []);
    driver.give(OrderInput::ArtifactVerified(id));
    assert_eq!(driver.give(OrderInput::Receipted(id)), [Action::Report(id, Event::Authenticated), waits.clone()]);
    assert_eq!(driver.machine.next_wake(), None, "the machine has no wake time");
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
    assert_eq!(driver.give(OrderInput::MayInstall(id, Ok(()))), [Action::Run(id, OrderTask::RequestInstallPermit)]);
    // Closed again before the answer: a permit that arrives too late is not used.
    assert_eq!(driver.give(OrderInput::MayInstall(id, Err(Reason::NotNow))), []);
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), []);
    assert_eq!(driver.give(OrderInput::MayInstall(id, Ok(()))), [Action::Run(id, OrderTask::RequestInstallPermit)]);
    assert_eq!(driver.give(OrderInput::InstallPermit(id, InstallLane::Own)), install(id));
    // An install that has begun is completed.
    assert_eq!(driver.give(OrderInput::MayInstall(id, Err(Reason::NotNow))), []);
    assert_eq!(driver.give(OrderInput::InstallEnded(id, Ok(()))), []);
}

#[test]
fn an_order_whose_installing_is_closed_holds_up_no_other() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(OrderInput::MayInstall(first, Err(Reason::NotNow)));
    driver.give(OrderInput::InstallPermit(first, InstallLane::Own));
    assert_eq!(driver.give(OrderInput::InstallPermit(second, InstallLane::Own)), install(second));
}
