//! Tests that accepted changes survive a restart.

use crate::world::{Agent, World};
use banyan_proto::{
    MachineId,
    admin::{Info, Profile, Selection},
    api::{CheckIn, CheckInReply},
};
use banyan_server::start::{Settings, StartError, start};
use banyan_wire::socket::Keepalive;
use std::path::Path;

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[tokio::test]
async fn identity_secrets_machines_and_open_orders_survive() {
    let mut world = World::new().await;
    let agent = world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let order = world.deploy("hello", Selection::All, 2).await;
    let before: Info = world.admin().await.get("/api/v1/info").await.unwrap();
    let profile = world.folder.path().join("data/admin.toml");
    let mut text: Profile = toml::from_str(&std::fs::read_to_string(&profile).unwrap()).unwrap();
    text.root = Some(banyan_proto::Digest::of(b"root"));
    std::fs::write(&profile, toml::to_string(&text).unwrap()).unwrap();

    world.restart().await;
    let after: Info = world.admin().await.get("/api/v1/info").await.unwrap();
    assert_eq!((before.server, before.keys, before.epoch), (after.server, after.keys, 1));
    assert!(after.has_root && after.server != MachineId([0; 16]));
    let kept: Profile = toml::from_str(&std::fs::read_to_string(&profile).unwrap()).unwrap();
    assert_eq!(kept, text, "the administrator's root and the token must stay");
    let ask = agent.check_in(vec![], u64::MAX, 0);
    let reply: CheckInReply = agent.session().await.post("/v1/check-in", &ask).await.unwrap();
    assert_eq!(reply.orders.iter().map(|expected| expected.order).collect::<Vec<_>>(), [order]);
}

#[tokio::test]
async fn what_many_machines_report_about_themselves_survives() {
    let mut world = World::new().await;
    let mut agents = Vec::new();
    for number in 0..10 {
        agents.push(world.agent(&format!("old-{number}")).await);
    }
    let check_in = async |agent: &Agent, label: String| {
        let request = CheckIn { label, ..agent.check_in(vec![], u64::MAX, 0) };
        agent.session().await.post::<CheckInReply>("/v1/check-in", &request).await.unwrap();
    };
    // The first check-in is stored before its answer, later ones together with those of other machines.
    for agent in &agents {
        check_in(agent, "m".into()).await;
    }
    for (number, agent) in agents.iter().enumerate() {
        check_in(agent, format!("new-{number}")).await;
    }
    world.restart().await;
    let mut labels: Vec<String> = world.machines().await.into_iter().map(|machine| machine.label).collect();
    labels.sort();
    assert_eq!(labels, (0..10).map(|number| format!("new-{number}")).collect::<Vec<_>>());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_servers_secrets() {
    let world = World::bare().await;
    let data = world.folder.path().join("data");
    assert_eq!((mode(&data), mode(&data.join("admin.toml"))), (0o700, 0o600));
    let keys = data.join("keys");
    assert_eq!(mode(&keys), 0o700);
    let files: Vec<_> = std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 6);
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn two_servers_do_not_share_a_folder() {
    let world = World::bare().await;
    let listen = "127.0.0.1:0".parse().unwrap();
    let second = start(Settings {
        data: world.folder.path().join("data"),
        listen,
        advertise: vec![],
        keepalive: Keepalive::default(),
    })
    .await;
    assert!(matches!(second.map(|_| ()), Err(StartError::Running(_))));
}
