//! Tests of the metrics: their form, their values, and that the number of series does not grow with the machines.

use crate::world::World;
use banyan_proto::admin::Selection;
use hyper::{Method, StatusCode};
use std::collections::BTreeSet;

/// The metrics' text. Checks its form.
async fn metrics(world: &World) -> String {
    let (status, text) = world.admin().await.raw(Method::GET, "/api/v1/metrics", vec![]).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, found) = rest.split_once(' ').unwrap();
            assert_eq!(name.ends_with("_total"), found == "counter", "{line}");
            assert!(described.insert(name.to_owned()), "{name} is described twice");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
            assert!(described.contains(series.split('{').next().unwrap()), "{line}");
        }
    }
    text
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn metrics_have_few_series_whatever_the_number_of_machines() {
    let mut world = World::new().await;
    let before = metrics(&world).await;
    assert!(before.contains("banyan_machines{state=\"offline\"} 0\n"), "{before}");
    for number in 0..6 {
        world.agent(&format!("secret-name-{number}")).await;
    }
    world.publish("tool", 1, &[("any", b"content")]).await;
    for _ in 0..3 {
        world.deploy("tool", Selection::All, 1).await;
    }
    let after = metrics(&world).await;
    assert!(after.contains("banyan_machines{state=\"offline\"} 6\n"), "{after}");
    assert!(after.contains("banyan_deployments{state=\"running\"} 1\n"), "{after}");
    // The server may have noted meanwhile that they are away.
    let expected = after.lines().filter(|line| line.starts_with("banyan_deployment_machines{stage=\"expected\""));
    let expected: f64 = expected.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert!((expected - 6.0).abs() < 0.1, "{after}");
    assert!(after.contains("banyan_admin_requests_total{status=\"2xx\"}"), "{after}");
    assert!(!after.contains("secret-name"), "{after}");
    assert!(series(&after) < 50 && series(&after) <= series(&before) + 8, "{after}");
}
