//! Long work is finished although the client went away, and a repeated request joins it.

use crate::{publisher::manifest, world::World};
use banyan_proto::{
    admin::{Publish, Release, Working},
    format,
};
use hyper::{Method, StatusCode};

const PUBLISH: &str = "/api/v1/releases";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_published_although_its_publisher_went_away() {
    let mut world = World::new().await;
    let bytes = vec![7; 60_000_000];
    assert!(world.upload(&bytes).await.is_success());
    let (targets, manifest) = world.publisher.release(&manifest("big", 1, &[("any", &bytes)]));
    let body = format::write(&Publish { targets, manifest }).into_bytes();
    let session = || async {
        let mut session = world.admin().await;
        session.waits = Some(0);
        session
    };

    let (status, answer) = session().await.raw(Method::POST, PUBLISH, body.clone()).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "the client hears that the server is at work");
    let working: Working = serde_json::from_slice(&answer).unwrap();

    // Another client asks for the same, while the work is under way or after it.
    let (status, answer) = session().await.raw(Method::POST, PUBLISH, body).await.unwrap();
    if status == StatusCode::ACCEPTED {
        assert_eq!(serde_json::from_slice::<Working>(&answer).unwrap().work, working.work, "it joins the work");
    }
    let path = format!("/api/v1/work/{}", working.work);
    let status = loop {
        let (status, _) = world.admin().await.raw(Method::GET, &path, vec![]).await.unwrap();
        if status != StatusCode::ACCEPTED {
            break status;
        }
    };
    assert_eq!(status, StatusCode::NO_CONTENT);
    let releases: Vec<Release> = world.admin().await.get(PUBLISH).await.unwrap();
    assert_eq!(releases.len(), 1, "{releases:?}");
    // Work is shown to administrators only.
    let (status, _) = world.stranger().await.raw(Method::GET, &path, vec![]).await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
