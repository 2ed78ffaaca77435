//! Tests of the catalogue: a machine is offered only what its group's policy names, only the newest release with a file
//! for the machine, and gets one order for it, for itself alone.

use crate::{
    publisher::manifest,
    world::{Agent, Refused, World, assert_refused},
};
use banyan_proto::{
    Digest, Reason,
    admin::{DeploymentState, Selection, SetPolicy},
    api::{Catalogue, CatalogueRequest, Help},
    schedule::{self, Policy, Who},
};
use hyper::StatusCode;

/// Platforms and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

async fn offer(world: &World, group: Option<&str>, who: Who, packages: &[&str]) {
    let packages = packages.iter().map(|name| (*name).to_owned()).collect();
    let policy = Some(Policy { catalogue: schedule::Catalogue { who, packages }, ..Policy::default() });
    let asked = SetPolicy { group: group.map(str::to_owned), policy, rank: None };
    world.admin().await.post::<()>("/api/v1/policies", &asked).await.unwrap();
}
async fn fetch_catalogue(agent: &Agent) -> Catalogue {
    agent.session().await.get("/v1/catalogue").await.unwrap()
}
async fn place_order(agent: &Agent, package: &str, manifest: Digest) -> Result<Help, Refused> {
    let asked = CatalogueRequest { package: package.into(), manifest };
    agent.session().await.post("/v1/catalogue", &asked).await
}
/// Returns the digest of the manifest that [`World::publish`] made.
fn digest(package: &str, sequence: u64, files: Files<'_>) -> Digest {
    Digest::of(serde_json::to_string(&manifest(package, sequence, files)).unwrap().as_bytes())
}

#[tokio::test]
async fn what_is_offered_is_the_groups_and_one_order_comes_of_asking() {
    let mut world = World::new().await;
    let agent = world.agent("a").await; // of the group `office`
    let (old, new): (Files, Files) = (&[("any", &[1; 20_000])], &[("any", &[2; 30_000])]);
    world.publish("drawing", 1, old).await;
    world.publish("drawing", 2, new).await;
    world.publish("secret", 1, old).await;
    let newest = digest("drawing", 2, new);
    let not_offered = async |package, manifest| {
        assert_refused(place_order(&agent, package, manifest).await, StatusCode::FORBIDDEN, Reason::NotOffered);
    };
    // Without a policy, with one for another group, and with one that offers to no one.
    assert_eq!(fetch_catalogue(&agent).await, Catalogue::default());
    not_offered("drawing", newest).await;
    offer(&world, Some("lab"), Who::Everyone, &["drawing"]).await;
    offer(&world, None, Who::Nobody, &["drawing"]).await;
    assert_eq!(fetch_catalogue(&agent).await, Catalogue::default());
    not_offered("drawing", newest).await;

    offer(&world, Some("office"), Who::Everyone, &["drawing", "never-published"]).await;
    let releases = fetch_catalogue(&agent).await.releases;
    let seen: Vec<_> = releases.iter().map(|one| (one.package.as_str(), one.version.as_str(), one.size)).collect();
    assert_eq!(seen, [("drawing", "1.2", 30_000)]);
    assert_eq!((releases[0].manifest, releases[0].publisher.as_str()), (newest, "tests"));
    not_offered("secret", digest("secret", 1, old)).await;
    // Not offered: an older release, one that was never published, and one of another package.
    for wrong in [digest("drawing", 1, old), digest("secret", 1, old), Digest([7; 32])] {
        assert_refused(place_order(&agent, "drawing", wrong).await, StatusCode::CONFLICT, Reason::NotOffered);
    }
    assert_refused(place_order(&agent, "never-published", newest).await, StatusCode::CONFLICT, Reason::NotOffered);

    let help = place_order(&agent, "drawing", newest).await.unwrap();
    let order = help.offers[0].order.verify(&agent.keys).unwrap();
    assert_eq!((help.offers.len(), help.offers[0].sublist.len(), help.offers[0].sublist.head()), (1, 1, agent.id));
    assert_eq!((order.package.as_str(), order.manifest), ("drawing", newest));
    let again = place_order(&agent, "drawing", newest).await.unwrap();
    assert_eq!(again.offers[0].order.verify(&agent.keys).unwrap().id, order.id, "the same order");
    assert_eq!(world.status(order.id).await.state, DeploymentState::Running);
    // A release that is no longer offered cannot be ordered, even if the machine saw it before.
    offer(&world, Some("office"), Who::Everyone, &["secret"]).await;
    not_offered("drawing", newest).await;
}

#[tokio::test]
async fn a_machine_is_offered_what_has_a_file_for_it_and_the_administrators_order_goes_first() {
    let mut world = World::new().await;
    let (linux, windows) = (world.agent("l").await, world.agent_on("w", "windows-x86_64", vec![]).await);
    let files: Files = &[("windows-x86_64", &[1; 20_000])];
    world.publish("drawing", 1, files).await;
    offer(&world, None, Who::Everyone, &["drawing"]).await;
    assert_eq!((fetch_catalogue(&linux).await.releases.len(), fetch_catalogue(&windows).await.releases.len()), (0, 1));
    let offered = digest("drawing", 1, files);
    assert_refused(place_order(&linux, "drawing", offered).await, StatusCode::CONFLICT, Reason::NotOffered);
    // A newer release is published while an administrator's deployment of the older one is under way there.
    world.deploy("drawing", Selection::Machines(vec![windows.id.to_string()]), 1).await;
    let newer: Files = &[("windows-x86_64", &[2; 20_000])];
    world.publish("drawing", 2, newer).await;
    assert_refused(place_order(&windows, "drawing", offered).await, StatusCode::CONFLICT, Reason::NotOffered);
    assert_refused(
        place_order(&windows, "drawing", digest("drawing", 2, newer)).await,
        StatusCode::CONFLICT,
        Reason::OrderSuperseded,
    );
}

#[tokio::test]
async fn nobody_has_orders_made_without_end() {
    let mut world = World::new().await;
    let agent = world.agent("a").await;
    let names: Vec<String> = (0..21).map(|n| format!("package-{n}")).collect();
    let files: Files = &[("any", &[1; 20_000])];
    for name in &names {
        world.publish(name, 1, files).await;
    }
    offer(&world, None, Who::Everyone, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for name in &names[..20] {
        place_order(&agent, name, digest(name, 1, files)).await.unwrap();
    }
    let last = place_order(&agent, &names[20], digest(&names[20], 1, files)).await;
    assert_refused(last, StatusCode::CONFLICT, Reason::Busy);
    // A package that is already ordered does not count as a further order.
    place_order(&agent, &names[0], digest(&names[0], 1, files)).await.unwrap();
}

#[tokio::test]
async fn who_is_no_machine_sees_nothing() {
    let world = World::new().await;
    let refused = world.stranger().await.get::<Catalogue>("/v1/catalogue").await;
    assert_refused(refused, StatusCode::UNAUTHORIZED, Reason::NotAllowed);
}
