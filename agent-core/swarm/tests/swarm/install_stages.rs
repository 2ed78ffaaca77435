//! From the last chunk to the installer: verification, receipt, install permit, one install at a time.

use banyan_proto::{AddresseeList, MachineId, OrderId, Proof, Reason, api::Event};
use banyan_swarm::{Action, Config, Input, Machine, Now, StripeId, TrustedOffer};
use std::time::Duration;

struct Driver {
    machine: Machine,
    now: Now,
}

impl Driver {
    fn new() -> Self {
        let config = Config::agent(MachineId([1; 16]), MachineId([0; 16]), 8, 1);
        Self { machine: Machine::new(config), now: Duration::ZERO }
    }
    fn give(&mut self, input: Input) -> Vec<Action> {
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
        (id, self.give(Input::Restored(offer)))
    }
    /// Restores an order and advances it until the install permit is requested.
    fn authenticated(&mut self, order: u8) -> OrderId {
        let (id, actions) = self.restore(order);
        assert_eq!(actions, [Action::VerifyArtifact(id)]);
        assert_eq!(self.give(Input::ArtifactVerified(id)), [Action::AskReceipt(id)]);
        assert_eq!(
            self.give(Input::Receipted(id)),
            [Action::Report(id, Event::Authenticated), Action::AskInstallPermit(id)]
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
    [Action::Report(id, Event::Installing), Action::Install(id)]
}

#[test]
fn nothing_is_installed_without_receipt_and_install_permit() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    // Answers that were not requested change nothing.
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
    assert_eq!(driver.give(Input::Receipted(id)), []);
    assert_eq!(driver.give(Input::ArtifactVerified(id)), [Action::AskReceipt(id)]);
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
    driver.give(Input::Receipted(id));
    assert_eq!(driver.give(Input::InstallPermit(id)), install(id));
    assert_eq!(driver.give(Input::InstallPermit(id)), [], "once");
    assert_eq!(driver.give(Input::InstallEnded(id, Ok(()))), []);
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
    assert_eq!(driver.machine.next_wake(), None);
}

#[test]
fn nothing_is_verified_before_every_chunk_is_here() {
    let mut driver = Driver::new();
    let (id, actions) = driver.restore_with(1, 3);
    assert!(!actions.contains(&Action::VerifyArtifact(id)));
    assert_eq!(driver.give(Input::ArtifactVerified(id)), []);
    assert_eq!(driver.give(Input::Receipted(id)), []);
}

#[test]
fn installs_are_one_at_a_time_in_the_order_of_their_install_permits() {
    let mut driver = Driver::new();
    let ids = [3, 1, 2].map(|n| driver.authenticated(n));
    assert_eq!(driver.give(Input::InstallPermit(ids[0])), install(ids[0]));
    driver.now += Duration::from_secs(1);
    assert_eq!(driver.give(Input::InstallPermit(ids[1])), []);
    driver.now += Duration::from_secs(1);
    assert_eq!(driver.give(Input::InstallPermit(ids[2])), []);
    assert_eq!(driver.give(Input::InstallEnded(ids[0], Err(Reason::ProbeFailed))), install(ids[1]));
    assert_eq!(driver.give(Input::InstallEnded(ids[1], Ok(()))), install(ids[2]));
}

#[test]
fn a_install_permit_that_grew_old_in_the_queue_is_asked_for_anew() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(Input::InstallPermit(first));
    driver.give(Input::InstallPermit(second));
    driver.now += Duration::from_secs(11 * 60);
    assert_eq!(driver.give(Input::InstallEnded(first, Ok(()))), [Action::AskInstallPermit(second)]);
    assert_eq!(driver.give(Input::InstallPermit(second)), install(second));
}

#[test]
fn later_is_asked_again_after_longer_and_longer_pauses_and_reported_when_the_reason_changes() {
    let mut driver = Driver::new();
    let id = driver.authenticated(1);
    let waits =
        |reason: Reason| Action::Report(id, Event::Waits { reason, detail: reason.for_admin().advice.to_owned() });
    let mut pauses = Vec::new();
    for round in 0..12 {
        let reason = if round < 6 { Reason::Halted } else { Reason::ServerAway };
        let expected = if round == 0 || round == 6 { vec![waits(reason)] } else { vec![] };
        assert_eq!(driver.give(Input::Later(id, reason)), expected, "round {round}");
        assert_eq!(driver.give(Input::Later(id, reason)), [], "an unrequested answer changes nothing");
        let before = driver.now;
        assert_eq!(driver.wake(), [Action::AskInstallPermit(id)]);
        pauses.push(driver.now - before);
    }
    assert!(pauses[0] <= Duration::from_secs(2));
    assert!(pauses[11] >= Duration::from_secs(30) && pauses[11] <= Duration::from_secs(60), "{pauses:?}");
    // An order that waits does not hold up another.
    let other = driver.authenticated(2);
    assert_eq!(driver.give(Input::InstallPermit(other)), install(other));
}

#[test]
fn an_installer_that_cannot_start_lets_the_next_one_go_first() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(Input::InstallPermit(first));
    driver.give(Input::InstallPermit(second));
    let actions = driver.give(Input::Later(first, Reason::PackageManagerBusy));
    assert!(actions.ends_with(&install(second)), "{actions:?}");
    assert_eq!(driver.wake(), [Action::AskInstallPermit(first)]);
}

#[test]
fn a_damaged_artifact_is_fetched_again() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    driver.give(Input::ArtifactVerified(id));
    assert_eq!(driver.give(Input::ArtifactDamaged(id, vec![1, 99])), []);
    let actions = driver.wake();
    assert!(matches!(actions[..], [Action::Dial { peer: MachineId([0, ..]), .. }]), "{actions:?}");
    assert_eq!(driver.give(Input::Receipted(id)), [], "the receipt was for content that is no longer here");
}

#[test]
fn a_refused_receipt_is_final_and_a_dropped_order_is_forgotten() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    driver.give(Input::ArtifactVerified(id));
    assert_eq!(driver.give(Input::ReceiptRefused(id, Reason::CodeWrong)), []);
    assert_eq!(driver.give(Input::Receipted(id)), []);
    assert_eq!(driver.machine.known().count(), 1);
    driver.give(Input::Dropped(id, Reason::OrderSuperseded));
    assert_eq!(driver.machine.known().count(), 0);
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
}

#[test]
fn while_the_schedule_closes_installing_no_leave_is_asked_for() {
    let mut driver = Driver::new();
    let (id, _) = driver.restore(1);
    let waits = Action::Report(
        id,
        Event::Waits { reason: Reason::NotNow, detail: Reason::NotNow.for_admin().advice.to_owned() },
    );
    assert_eq!(driver.give(Input::MayInstall(id, Err(Reason::NotNow))), []);
    driver.give(Input::ArtifactVerified(id));
    assert_eq!(driver.give(Input::Receipted(id)), [Action::Report(id, Event::Authenticated), waits.clone()]);
    assert_eq!(driver.machine.next_wake(), None, "the machine has no wake time");
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
    assert_eq!(driver.give(Input::MayInstall(id, Ok(()))), [Action::AskInstallPermit(id)]);
    // Closed again before the answer: a permit that arrives too late is not used.
    assert_eq!(driver.give(Input::MayInstall(id, Err(Reason::NotNow))), []);
    assert_eq!(driver.give(Input::InstallPermit(id)), []);
    assert_eq!(driver.give(Input::MayInstall(id, Ok(()))), [Action::AskInstallPermit(id)]);
    assert_eq!(driver.give(Input::InstallPermit(id)), install(id));
    // An install that has begun is completed.
    assert_eq!(driver.give(Input::MayInstall(id, Err(Reason::NotNow))), []);
    assert_eq!(driver.give(Input::InstallEnded(id, Ok(()))), []);
}

#[test]
fn an_order_whose_installing_is_closed_holds_up_no_other() {
    let mut driver = Driver::new();
    let (first, second) = (driver.authenticated(1), driver.authenticated(2));
    driver.give(Input::MayInstall(first, Err(Reason::NotNow)));
    driver.give(Input::InstallPermit(first));
    assert_eq!(driver.give(Input::InstallPermit(second)), install(second));
}
