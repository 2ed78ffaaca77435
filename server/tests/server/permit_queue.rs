//! Machines that wait for others to prove a release are invited as soon as a place is free.

use crate::{
    receipts::{CONTENT, authenticate},
    world::{Agent, Session, World},
};
use banyan_proto::{
    InstallPermit, OrderId, Reason, ServerCopies, Signed,
    admin::{Deploy, Deployed, Selection},
    api::{CheckInReply, Event, InstallPermitRequest},
    order::{Spread, Window},
    rollout::Rollout,
};

pub(crate) async fn ask(agent: &Agent, order: OrderId) -> Result<(), Reason> {
    let (mut session, request) = (agent.session().await, InstallPermitRequest { order });
    let asked = session.post::<Signed<InstallPermit>>("/v1/go-ahead", &request).await;
    asked.map(drop).map_err(|(_, error)| error.reason)
}

/// Waits in a check-in. Returns the orders in which a place is free.
pub(crate) async fn check_in(agent: &Agent, session: &mut Session, order: OrderId, wait_seconds: u32) -> Vec<OrderId> {
    let mut request = agent.check_in(vec![], u64::MAX, wait_seconds);
    request.known = vec![order];
    session.post::<CheckInReply>("/v1/check-in", &request).await.unwrap().places
}

/// Connects the machine. Returns when the server knows that it is online.
pub(crate) async fn online(agent: &Agent, order: OrderId) -> Session {
    let mut session = agent.session().await;
    assert_eq!(check_in(agent, &mut session, order, 0).await, []);
    session
}

pub(crate) async fn installed(agent: &Agent, order: OrderId) {
    agent.report(1, order, Event::Installed { already: false, milliseconds: 1, remark: None }).await;
}

#[tokio::test]
async fn machines_that_wait_are_told_of_free_places_in_the_order_in_which_they_asked() {
    let mut world = World::new().await;
    let mut agents = Vec::new();
    for label in ["a", "b", "offline", "first", "second", "third"] {
        agents.push(world.agent(label).await);
    }
    let [a, b, offline, first, second, third] = &*agents else { panic!("six machines") };
    world.publish("hello", 1, &[("any", CONTENT)]).await;
    let request = Deploy {
        package: "hello".into(),
        version: None,
        to: Selection::All,
        stripes: 1,
        spread: Spread::Proven,
        window: Window::Any,
        deadline: None,
        allow: vec![],
        include_protected: false,
        server_copies: ServerCopies::ONE,
        rollout: Rollout::default(),
    };
    let order = world.admin().await.post::<Deployed>("/api/v1/deployments", &request).await.unwrap().id.first_order();
    for agent in &agents {
        authenticate(agent, order).await;
    }
    for agent in [a, b] {
        assert_eq!(ask(agent, order).await, Ok(()));
    }
    for agent in [offline, first, second, third] {
        assert_eq!(ask(agent, order).await, Err(Reason::WaitsForProof));
    }

    // One of the first two installs the release, so one more may.
    let mut sessions = Vec::new();
    for agent in [first, second, third] {
        sessions.push(online(agent, order).await);
    }
    let [one, two, three] = sessions.as_mut_slice() else { panic!("three sessions") };
    let (one, two, three, ()) = tokio::join!(
        check_in(first, one, order, 60),
        check_in(second, two, order, 2),
        check_in(third, three, order, 2),
        installed(a, order)
    );
    assert_eq!((one, two, three), (vec![order], vec![], vec![]));
    assert_eq!(ask(first, order).await, Ok(()));
    assert_eq!(ask(second, order).await, Err(Reason::WaitsForProof), "there are two places");
    // The machine that was offline asked before the others, so it is the next one.
    let mut session = online(offline, order).await;
    installed(b, order).await;
    assert_eq!(check_in(offline, &mut session, order, 60).await, [order]);
}
