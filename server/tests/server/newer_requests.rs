//! A request that requires something this server does not understand is refused by name, and changes nothing.

use crate::world::{Refused, World};
use banyan_proto::Reason;
use hyper::StatusCode;
use serde_json::json;

#[tokio::test]
async fn are_refused_by_name() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let newer = json!({ "format": 1, "must_understand": ["sealed"] });
    let mut refused: Vec<(&str, Result<(), Refused>)> = Vec::new();
    refused.push(("enrol", world.stranger().await.post("/v1/enrol", &newer).await));
    for path in ["renew", "check-in", "packages", "catalogue", "receipt", "go-ahead", "reports"] {
        refused.push((path, agent.session().await.post(&format!("/v1/{path}"), &newer).await));
    }
    for path in ["root", "targets", "tokens", "releases", "policies", "deployments"] {
        refused.push((path, world.admin().await.post(&format!("/api/v1/{path}"), &newer).await));
    }
    for (path, answer) in refused {
        let (status, error) = answer.expect_err(path);
        assert_eq!((status, error.reason), (StatusCode::UNPROCESSABLE_ENTITY, Reason::NotUnderstood), "{path}");
        assert!(error.detail.contains("\"sealed\""), "{path}: {}", error.detail);
    }
}
