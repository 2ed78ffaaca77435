//! Checks in with the server and applies its answers: epoch, certificate, revocation list, publishers' news, policy,
//! expected orders. An idle agent does nothing else.

use super::Agent;
use crate::{
    database::DatabaseError,
    platform,
    refusal::refusal,
    server::{
        check_in::{CheckInState, MachineStatus},
        publishers::PublisherFollower,
    },
};
use banyan_proto::{
    Address, Digest, MachineId, OrderId, Reason, Signed, UnixSeconds,
    api::{ApiError, CheckInReply},
    join::JoinCode,
    schedule::Policy,
};
use banyan_swarm::OrderInput;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{info, warn};

const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// A revocation list is valid for 24 hours, and the server signs a new one every 8. Without news a list is fetched again
/// when it has less than this left (seconds, by the wall clock) …
const CRL_REFRESH_SECONDS: u64 = 12 * 3600;
/// … but not more often than this.
const CRL_RETRY: Duration = Duration::from_secs(600);

/// Checks in until the task is dropped. `boot` is a random number that identifies this run.
pub(crate) async fn run(agent: Arc<Agent>, boot: u64) {
    let mut check_ins = CheckIns::new(agent, boot);
    let mut retry = RETRY_FIRST;
    let mut server_says_expired = false;
    loop {
        let agent = Arc::clone(&check_ins.agent);
        agent.renewal.until_valid(server_says_expired).await;
        let (mut clock, mut network) = (agent.changes.clock(), agent.changes.network());
        let status = check_ins.machine_status().await;
        let reported = status.addresses.clone();
        let request = check_ins.state.next_request(status);
        let moved = async {
            while network.changed().await.is_ok() {
                if agent.reachable_addresses().await != reported {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        let answered = tokio::select! {
            answered = agent.server.api.check_in(&request) => answered,
            // The connection may be dead, and its timer has not counted the sleep.
            _ = clock.changed() => {
                check_ins.start_again();
                continue;
            }
            () = moved => {
                info!("this machine's addresses have changed");
                check_ins.start_again();
                continue;
            }
        };
        match answered {
            Ok(reply) => {
                retry = RETRY_FIRST;
                server_says_expired = false;
                check_ins.apply(&reply).await;
            }
            Err(error) => {
                agent.server.contact.record_failure(&error);
                server_says_expired = error.reason() == Reason::CertificateExpired;
                agent.changes.pause(retry + jitter(retry)).await;
                retry = (retry * 2).min(RETRY_MOST);
            }
        }
    }
}

/// Returns a random duration up to `most`, so that machines that lost the server together do not all return together.
pub(crate) fn jitter(most: Duration) -> Duration {
    let random = u16::from_le_bytes([0, 1].map(|at| MachineId::random().0[at]));
    most.mul_f64(f64::from(random) / f64::from(u16::MAX))
}

/// Returns whether a machine that is excluded for this reason must enrol again, with a new identity.
fn ends_identity(reason: Reason) -> bool {
    matches!(reason, Reason::Revoked | Reason::Retired | Reason::Cloned)
}

/// What the check-ins of one run have in common.
struct CheckIns {
    agent: Arc<Agent>,
    state: CheckInState,
    publishers: PublisherFollower,
    crl_fetched: Option<Instant>,
}

impl CheckIns {
    fn new(agent: Arc<Agent>, boot: u64) -> Self {
        let (database, trust) = (Arc::clone(&agent.database), Arc::clone(&agent.trust));
        let publishers = PublisherFollower::new(database, trust, Arc::clone(&agent.server.api));
        let state = CheckInState::new(boot);
        Self { agent, state, publishers, crl_fetched: None }
    }

    /// Begins with new connections and a check-in that is answered at once.
    fn start_again(&mut self) {
        self.agent.server.api.reconnect();
        self.state.answer_at_once();
    }

    /// Returns the orders of which every stripe has been offered.
    fn offered_orders(&self) -> Vec<OrderId> {
        let orders = self.agent.orders.all();
        orders.iter().filter(|active| active.is_fully_offered()).map(|active| active.order.id).collect()
    }

    async fn machine_status(&self) -> MachineStatus {
        let agent = &self.agent;
        MachineStatus {
            label: agent.label.clone(),
            addresses: agent.reachable_addresses().await,
            software: platform::software(),
            crl_number: agent.tls.crl_number(),
            epoch: agent.identity.epoch.highest(),
            offered_orders: self.offered_orders(),
            publishers: self.publishers.versions_to_report(),
            is_behind_publishers: self.publishers.is_behind(),
            policy: agent.user.policy.current().number,
            clock: UnixSeconds::now(),
            server_addresses: agent.identity.server_addresses.sequence(),
            site_budget: agent.site_budget.notice_number(),
            stop_number: agent.identity.stops.number(),
        }
    }

    async fn apply(&mut self, reply: &CheckInReply) {
        self.state.record_reply(reply);
        self.agent.server.contact.record_answer();
        self.agent.compare_clocks(reply.now, UnixSeconds::now());
        if let Some(announcement) = &reply.server_addresses {
            self.agent.orders.address_hints.learn(std::slice::from_ref(announcement));
        }
        if let Some(epoch) = &reply.epoch {
            self.agent.apply_epoch(epoch);
        }
        if let Some(list) = &reply.stops {
            self.agent.apply_stops(list.clone());
        }
        self.agent.renewal.renew_when_due().await;
        if reply.crl_number > self.agent.tls.crl_number() || self.is_crl_old() {
            self.crl_fetched = Some(Instant::now());
            self.agent.fetch_crl().await;
        }
        if let Some(announced) = reply.publishers {
            let withdrawn = self.publishers.follow(announced).await;
            self.agent.end_withdrawn_orders(&withdrawn);
        }
        if let Some(policy) = &reply.policy
            && let Err(number) = self.agent.apply_policy(policy)
        {
            self.state.record_refused_policy(number);
        }
        if let Some(news) = reply.site_budget {
            self.agent.site_budget.set_notice(news.notice);
        }
        if reply.check_link {
            self.agent.start_link_check();
        }
        if let Some(node) = self.agent.node.get() {
            reply.places.iter().for_each(|order| node.input(OrderInput::PlaceFree(*order)));
        }
        let undelivered = self.state.undelivered_orders(&reply.undelivered, &self.offered_orders());
        for order in undelivered.into_iter().chain(self.state.overdue_orders(&reply.orders)) {
            self.agent.request_help(order).await;
        }
    }
}

impl CheckIns {
    fn is_crl_old(&self) -> bool {
        let has_little_left = |until: UnixSeconds| until <= UnixSeconds::now().plus(CRL_REFRESH_SECONDS);
        self.agent.tls.crl().is_none_or(|list| has_little_left(list.until))
            && self.crl_fetched.is_none_or(|at| at.elapsed() >= CRL_RETRY)
    }
}

impl Agent {
    /// Returns the addresses at which others reach this machine now.
    pub(super) async fn reachable_addresses(&self) -> Vec<Address> {
        let server = self.orders.address_hints.addresses(self.identity.server);
        platform::reachable_addresses(self.listen, &server).await
    }
    /// Waits until the server has excluded this machine for good. Never returns if the server accepts it first.
    pub(crate) async fn until_excluded(&self) -> Reason {
        let mut changes = self.notifier.subscribe();
        while self.server.contact.last_answer().is_none() {
            if let Some(reason) = self.server.contact.exclusion().filter(|&reason| ends_identity(reason)) {
                return reason;
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }
    /// Takes the server's addresses from a join code of the same server.
    pub(crate) fn take_code(&self, code: &JoinCode) -> Result<(), ApiError> {
        if Digest::of(&self.tls.credentials().ca) != code.ca {
            let detail = "this computer already belongs to another server; to move it, stop the agent and start it with \
                          an empty data folder";
            return Err(refusal(Reason::OtherServer, detail));
        }
        if let Some(reason) = self.server.contact.exclusion().filter(|&reason| ends_identity(reason)) {
            let detail = "the code was not used: this computer's registration has ended, and a code does not revive it; to \
                          join again, stop the Banyan service, empty its data folder, and start it with the code";
            return Err(refusal(reason, detail));
        }
        let not_stored = |error: DatabaseError| refusal(error.reason(), format!("nothing was changed: {error}"));
        self.identity.server_addresses.set(&code.servers, &code.to_string()).map(drop).map_err(not_stored)
    }
    /// Compares the server's clock, as it has just stated it, with the one here, and gives up a wrong signed time.
    fn compare_clocks(&self, server: UnixSeconds, here: UnixSeconds) {
        self.server.contact.compare_clocks(server, here);
        if let Err(error) = self.trust.correct_signed_time(server, here) {
            warn!(%error, "failed to store the corrected signed time");
        }
    }
    async fn fetch_crl(&self) {
        match self.server.api.crl().await {
            Ok(der) => self.tls.accept_crl(der),
            Err(error) => warn!(%error, "failed to fetch the revocation list"),
        }
    }
    /// Takes the administrator's policy if the server signed it and it is newer (rule S2); it takes effect at once. It
    /// is signed like an order, because it is stored and stays in force while the server is away.
    ///
    /// # Errors
    /// The policy number to report at check-ins, so that a policy that was refused or not stored is not sent again at
    /// once.
    fn apply_policy(&self, signed: &Signed<Policy>) -> Result<(), u64> {
        let policy = match signed.verify(&self.identity.keys) {
            Ok(policy) => policy,
            Err(error) => {
                warn!(%error, "policy refused; the previous one stays in force");
                return Err(u64::MAX);
            }
        };
        let number = policy.number;
        self.user.policy.replace(policy).map_err(|error| {
            warn!(%error, "failed to store a policy; the previous one stays in force");
            number
        })
    }
    /// Requests the offers of an order directly from the server, because none arrived through the tree (rule L8).
    async fn request_help(&self, order: OrderId) {
        match self.server.api.help(order).await {
            Ok(help) => {
                info!(%order, "no offer arrived through the tree; offer fetched from the server");
                for offer in help.offers {
                    self.accept_help(offer).await;
                }
            }
            Err(error) => warn!(%error, %order, "failed to fetch an offer from the server"),
        }
    }
}
