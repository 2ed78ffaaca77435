//! Tests of the budgets of sites: told to the machines there and to no others, divided among them, kept over a restart.

use crate::world::{Agent, PATIENCE, World, assert_refused};
use banyan_proto::{
    Reason,
    api::{CheckIn, CheckInReply, SiteBudgetNews},
    schedule::Window,
    site_budget::{
        BudgetHours, SetSiteBudget, ShareUse, SiteBudget, SiteRates, SiteShareReply, SiteShareRequest, SiteStatus,
    },
};
use hyper::StatusCode;
use tokio::time::timeout;

const SITE: &str = "10.9.1.0/24";
const RATE: u64 = 800_000;

fn budget(download: u64) -> SiteBudget {
    let rates = SiteRates { download: Some(download), upload: None };
    SiteBudget(vec![BudgetHours { hours: Window::Any, rates }])
}
async fn set(world: &World, budget: Option<SiteBudget>) {
    let asked = SetSiteBudget { site: SITE.parse().unwrap(), budget };
    world.admin().await.post::<()>("/api/v1/sites", &asked).await.unwrap();
}
/// A check-in of a machine with this address that goes by the notice with this number.
fn check_in(agent: &Agent, address: &str, known: Option<u64>, wait_seconds: u32) -> CheckIn {
    let addresses = vec![format!("{address}:7711").parse().unwrap()];
    CheckIn { site_budget: known, ..agent.check_in(addresses, u64::MAX, wait_seconds) }
}
async fn news(agent: &Agent, address: &str, known: Option<u64>) -> Option<SiteBudgetNews> {
    let asked = check_in(agent, address, known, 0);
    agent.session().await.post::<CheckInReply>("/v1/check-in", &asked).await.unwrap().site_budget
}
async fn share(agent: &Agent, usage: ShareUse) -> SiteShareReply {
    let asked = SiteShareRequest { download: usage, upload: ShareUse::default() };
    agent.session().await.post("/v1/site-share", &asked).await.unwrap()
}
const USED: ShareUse = ShareUse { is_used: true, is_limited: true, bytes_per_second: 0, share: None };

#[tokio::test]
async fn the_machines_of_a_site_learn_of_its_budget_at_once_and_after_a_restart() {
    let mut world = World::new().await;
    let (here, there) = (world.agent("here").await, world.agent("there").await);
    assert_eq!(news(&here, "10.9.1.5", Some(0)).await, None);
    let mut session = here.session().await;
    let waiting = check_in(&here, "10.9.1.5", Some(0), 60);
    let poll = tokio::spawn(async move { session.post::<CheckInReply>("/v1/check-in", &waiting).await });
    set(&world, Some(budget(RATE))).await;
    let reply = timeout(PATIENCE, poll).await.expect("the poll was not answered at once").unwrap().unwrap();
    let notice = reply.site_budget.expect("the reply contains the budget").notice.expect("there is one");
    assert_eq!(notice.site.to_string(), SITE);
    assert_eq!(notice.without_share, SiteRates { download: Some(RATE / 20), upload: None });
    world.restart().await;
    assert_eq!(news(&here, "10.9.1.5", Some(notice.number)).await, None, "it is known");
    assert_eq!(news(&here, "10.9.1.5", None).await, None, "an older agent does not learn of it");
    assert_eq!(news(&there, "10.9.2.5", Some(0)).await, None, "another site");
    // A machine that has moved.
    assert_eq!(news(&here, "10.9.2.6", Some(notice.number)).await, Some(SiteBudgetNews { notice: None }));
    assert!(news(&there, "10.9.1.6", Some(0)).await.is_some());
    set(&world, None).await;
    assert_eq!(news(&there, "10.9.1.6", Some(notice.number)).await, Some(SiteBudgetNews { notice: None }));
}

#[tokio::test]
async fn shares_never_exceed_the_budget_whoever_asks() {
    let world = World::new().await;
    let agents = [world.agent("a").await, world.agent("b").await, world.agent("elsewhere").await];
    for (agent, address) in agents.iter().zip(["10.9.1.5", "10.9.1.6", "10.9.2.5"]) {
        assert_eq!(news(agent, address, Some(0)).await, None);
    }
    let [one, other, elsewhere] = &agents;
    assert_eq!(share(one, USED).await.notice, None, "no budget, no limit");
    set(&world, Some(budget(RATE))).await;
    // The ledger of the server's first seconds grants nothing that nobody had.
    let claimed = ShareUse { share: Some(RATE), ..USED };
    let first = share(one, claimed).await;
    assert_eq!(first.rates.download, Some(RATE));
    assert_eq!(share(other, claimed).await.rates.download, Some(0));
    assert_eq!(share(elsewhere, USED).await.rates, SiteRates::default());
    let shown: Vec<SiteStatus> = world.admin().await.get("/api/v1/sites").await.unwrap();
    let site = shown.iter().find(|site| site.site.to_string() == SITE).unwrap();
    assert_eq!((site.machines, site.rates.download), (2, Some(RATE)));
    let sum: u64 = site.shares.iter().filter_map(|share| share.rates.download).sum();
    assert_eq!((site.shares.len(), sum), (2, RATE), "{site:?}");
    // It gives its share back.
    share(one, ShareUse::default()).await;
    assert_eq!(share(other, claimed).await.rates.download, Some(RATE));
}

#[tokio::test]
async fn an_invalid_budget_is_refused_and_machines_set_none() {
    let world = World::new().await;
    let asked = SetSiteBudget { site: SITE.parse().unwrap(), budget: Some(budget(1)) };
    let refused = world.admin().await.post::<()>("/api/v1/sites", &asked).await;
    assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
    let refused = world.agent("a").await.session().await.post::<()>("/api/v1/sites", &asked).await;
    assert_refused(refused, StatusCode::UNAUTHORIZED, Reason::NotAllowed);
}
