//! Tests of the audit log against somebody who can write to the database: whoever knows an earlier head notices each
//! change.

use crate::world::World;
use banyan_proto::{
    access::{AccessCreated, NewAccess, Role},
    audit::{Actor, AuditExportPage, AuditHead, AuditPage, AuditResult, TreeHead},
    merkle::{self, TreeHash},
};
use hyper::StatusCode;
use sqlx::{Connection as _, SqliteConnection, query, sqlite::SqliteConnectOptions};

async fn head(world: &World, known: u64) -> (AuditHead, TreeHead) {
    let head: AuditHead = world.admin().await.get(&format!("/api/v1/audit/head?known={known}")).await.unwrap();
    let verified = head.head.verify(&head.keys).unwrap();
    (head, verified)
}

async fn leaves(world: &World) -> Vec<TreeHash> {
    let page: AuditExportPage = world.admin().await.get("/api/v1/audit/rows?from=1").await.unwrap();
    let mut all = vec![TreeHash([0; 32])];
    all.extend(page.rows.iter().map(|row| merkle::leaf(row.entry.as_bytes())));
    all
}

/// Changes the database of a stopped server, then starts it again.
async fn tamper(world: &mut World, sql: &'static str) {
    world.stop().await;
    let options = SqliteConnectOptions::new().filename(world.folder.path().join("data/server.sqlite"));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.restart().await;
}

async fn act(world: &World, times: usize) {
    for number in 0..times {
        let wanted = NewAccess {
            person: "anna".into(),
            token: Some(format!("{number}-{}", banyan_proto::Digest::random().short())),
            role: Role::Viewer,
            groups: vec![],
            expires_seconds: None,
        };
        let created: AccessCreated = world.admin().await.post("/api/v1/access", &wanted).await.unwrap();
        assert!(created.secret.expose().starts_with("banyan_pat_"));
    }
}

#[tokio::test]
async fn rows_name_who_did_what_and_stay_when_the_token_is_gone() {
    let world = World::bare().await;
    act(&world, 1).await;
    let viewer = NewAccess {
        person: "Bert".into(),
        token: None,
        role: Role::Viewer,
        groups: vec!["branch".into()],
        expires_seconds: Some(60),
    };
    let created: AccessCreated = world.admin().await.post("/api/v1/access", &viewer).await.unwrap();
    let mut session = world.admin().await;
    session.token = Some(created.secret.expose().to_owned());
    let refused = session.post::<AccessCreated>("/api/v1/access", &viewer).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    let id = created.access.id;
    world.admin().await.raw(hyper::Method::POST, &format!("/api/v1/access/{id}/revoke"), vec![]).await.unwrap();
    let page: AuditPage = world.admin().await.get("/api/v1/audit?actor=bert").await.unwrap();
    let [row] = page.entries.as_slice() else { panic!("{page:?}") };
    let actor = Actor::Person { person: "Bert".into(), token_id: id, token: "default".into(), role: Role::Viewer };
    assert_eq!((&row.actor, row.result), (&actor, AuditResult::Refused));
    assert_eq!((row.action.as_str(), row.from.is_some()), ("create_access", true));
    let page: AuditPage = world.admin().await.get("/api/v1/audit?object=access:b*").await.unwrap();
    let actions: Vec<&str> = page.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["revoke_access", "create_access"], "{page:?}");
    // Pages cover all rows once.
    let first: AuditPage = world.admin().await.get("/api/v1/audit?limit=3").await.unwrap();
    let rest: AuditPage =
        world.admin().await.get(&format!("/api/v1/audit?limit=3&before={}", first.next.unwrap())).await.unwrap();
    let numbers: Vec<u64> = first.entries.iter().chain(&rest.entries).map(|entry| entry.number).collect();
    assert_eq!((numbers, rest.next), (vec![3, 2, 1, 0], None));
    let text = serde_json::to_string(&page).unwrap();
    assert!(!text.contains("banyan_pat_"), "{text}");
}

#[tokio::test]
async fn each_change_of_the_database_contradicts_an_earlier_head() {
    let mut world = World::bare().await;
    act(&world, 12).await;
    let (_, old) = head(&world, 0).await;
    assert_eq!(old.size, 12);
    act(&world, 3).await;
    let (new, now) = head(&world, old.size).await;
    assert!(merkle::is_consistent(old.size, old.root, now.size, now.root, &new.consistency));
    world.restart().await;
    assert_eq!(head(&world, 0).await.1.root, now.root, "a restart changes nothing");

    // One row is edited: the tree still has the hash that it was recorded with.
    tamper(&mut world, "UPDATE audit_rows SET entry = replace(entry, 'anna', 'eve') WHERE number = 4").await;
    let (answer, after) = head(&world, old.size).await;
    assert!(merkle::is_consistent(old.size, old.root, after.size, after.root, &answer.consistency));
    let found = leaves(&world).await;
    let page: AuditExportPage = world.admin().await.get("/api/v1/audit/rows?from=1").await.unwrap();
    assert_ne!(found[4], page.rows[3].leaf);
    // The server says in the log that it was changed.
    let said: AuditPage = world.admin().await.get("/api/v1/audit?actor=system:audit").await.unwrap();
    assert_eq!(said.entries[0].action, "log_changed");
    assert_eq!(said.entries[0].after, Some("row 4 was changed".into()));

    // The last five rows are dropped.
    tamper(&mut world, "DELETE FROM audit_rows WHERE number > (SELECT MAX(number) - 5 FROM audit_rows)").await;
    let (_, cut) = head(&world, after.size).await;
    assert!(cut.size < after.size);
    // All are dropped.
    tamper(&mut world, "DELETE FROM audit_rows").await;
    let (answer, empty) = head(&world, old.size).await;
    assert!(empty.size < old.size && answer.consistency.is_empty());
    act(&world, 20).await;
    let (answer, grown) = head(&world, old.size).await;
    assert!(grown.size > old.size);
    assert!(!merkle::is_consistent(old.size, old.root, grown.size, grown.root, &answer.consistency));
}
