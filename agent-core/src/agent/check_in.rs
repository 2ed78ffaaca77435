//! The check-in: a long poll that reports this machine's status to the server and returns news, such as expected
//! orders or a newer revocation list. An idle agent does nothing else.

use crate::{agent::Agent, server::publishers::AnnouncedVersions};
use banyan_proto::{
    OrderId, Reason,
    api::{CheckIn, Expected},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How long the server may delay its answer.
const WAIT_SECONDS: u32 = 300;
/// The same while the offer of an expected order is missing.
const WAIT_EXPECTING_SECONDS: u32 = 2;
/// The same while this machine lacks new metadata that publishers have signed.
const WAIT_BEHIND_SECONDS: u32 = 30;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(30);
/// A revocation list is valid for 24 hours. Without news it is fetched again after this time.
const CRL_REFRESH: Duration = Duration::from_secs(6 * 3600);

/// Checks in until the task is dropped.
pub(crate) async fn run(agent: Arc<Agent>, boot: u64) {
    let mut retry = RETRY_FIRST;
    let mut expected: HashMap<OrderId, Instant> = HashMap::new();
    let mut crl_fetched = Instant::now();
    let mut first = true;
    let mut followed = AnnouncedVersions::default();
    let mut renewed = None;
    let mut told_expired = false;
    let mut last = 0;
    // The number of a refused policy, so that it is not sent again at once.
    let mut not_taken = 0;
    loop {
        agent.until_certified(told_expired).await;
        let known: Vec<OrderId> = agent
            .orders
            .all()
            .iter()
            .filter(|active| active.is_fully_offered())
            .map(|active| active.order.id)
            .collect();
        expected.retain(|order, _| !known.contains(order));
        // Expected orders count as known, so that they do not make the server answer at once.
        let told = known.iter().copied().chain(expected.keys().copied()).collect();
        let wait_seconds = match (first, expected.is_empty()) {
            (true, _) => 0,
            (false, false) => WAIT_EXPECTING_SECONDS,
            (false, true) if followed.is_behind(&agent) => WAIT_BEHIND_SECONDS,
            (false, true) => WAIT_SECONDS,
        };
        let body = CheckIn {
            boot,
            last,
            label: agent.label.clone(),
            addresses: agent.addresses_now(),
            software: crate::identity::software(),
            crl_number: agent.crl_number(),
            epoch: agent.offers.epoch.seen(),
            known: told,
            wait_seconds,
            publishers: Some(followed.known(&agent)),
            policy: Some(agent.user.policy().number.max(not_taken)),
        };
        match agent.server.check_in(&body).await {
            Ok(reply) => {
                first = false;
                last = reply.number;
                retry = RETRY_FIRST;
                agent.set_heard();
                told_expired = false;
                if let Some(epoch) = &reply.epoch {
                    agent.hear_epoch(epoch);
                }
                agent.renew_when_due(&mut renewed).await;
                if reply.crl_number > agent.crl_number() || crl_fetched.elapsed() > CRL_REFRESH {
                    crl_fetched = Instant::now();
                    fetch_crl(&agent).await;
                }
                if let Some(there_is) = reply.publishers {
                    followed.hear(&agent, there_is).await;
                }
                if let Some(policy) = &reply.policy {
                    not_taken = agent.hear_policy(policy).err().unwrap_or(not_taken);
                }
                for Expected { order, patience_seconds } in reply.orders {
                    let patience = Duration::from_secs(patience_seconds.into());
                    expected.entry(order).or_insert_with(|| Instant::now() + patience);
                }
                let due: Vec<OrderId> =
                    expected.iter().filter(|(_, at)| **at <= Instant::now()).map(|(&order, _)| order).collect();
                for order in due {
                    expected.insert(order, Instant::now() + Duration::from_secs(30));
                    ask_for_help(&agent, order).await;
                }
            }
            Err(error) => {
                agent.not_heard(&error);
                told_expired = error.reason() == Reason::CertificateExpired;
                tokio::time::sleep(retry + jitter(retry)).await;
                retry = (retry * 2).min(RETRY_MOST);
            }
        }
    }
}

/// Returns a random duration up to `most`, so that machines that lost the server together do not all return together.
fn jitter(most: Duration) -> Duration {
    let random = u16::from_le_bytes([0, 1].map(|at| banyan_proto::MachineId::random().0[at]));
    most.mul_f64(f64::from(random) / f64::from(u16::MAX))
}

async fn fetch_crl(agent: &Agent) {
    match agent.server.crl().await {
        Ok(der) => agent.take_crl(der),
        Err(error) => warn!(%error, "failed to fetch the revocation list"),
    }
}

/// Requests the offers of an order directly from the server, because none arrived through the tree (rule L8).
async fn ask_for_help(agent: &Arc<Agent>, order: OrderId) {
    match agent.server.help(order).await {
        Ok(help) => {
            info!(%order, "no offer arrived through the tree; offer fetched from the server");
            for offer in help.offers {
                agent.helped(offer).await;
            }
        }
        Err(error) => warn!(%error, %order, "failed to fetch an offer from the server"),
    }
}
