//! Verifies that other programs learn of what happens: over the stream of events, with what they missed, and through
//! webhooks. A receiver that fails, hangs, redirects or vanishes delays no other, and nothing is lost when the server is
//! killed.

use banyan_proto::{
    server_events::{EventKind, ServerEvent},
    webhooks::{Delivery, DeliveryState, Webhook, WebhookSecret},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A post that arrived.
#[derive(Debug, Clone)]
struct Post {
    id: String,
    signature: String,
    kind: String,
    event: ServerEvent,
}

/// What a receiver answers to the first posts; then it answers 204.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Status(u16),
    /// It reads the post, and keeps the connection without an answer.
    Silence,
}

/// A program that takes posts.
struct Receiver {
    url: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    fn start(mut answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let taken = Arc::clone(&posts);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let Some(post) = read_post(&stream) else { continue };
                taken.lock().expect("no test has panicked").push(post);
                let answer = if answers.is_empty() { Answer::Status(204) } else { answers.remove(0) };
                match answer {
                    Answer::Status(status) => {
                        let location = if status == 302 { "location: http://127.0.0.1:1/\r\n" } else { "" };
                        let text =
                            format!("HTTP/1.1 {status} x\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n");
                        drop((&stream).write_all(text.as_bytes()));
                    }
                    Answer::Silence => silent.push(stream),
                }
            }
        });
        Self { url, posts }
    }
    fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no test has panicked").clone()
    }
    fn kinds(&self) -> Vec<String> {
        self.posts().into_iter().map(|post| post.kind).collect()
    }
}

fn read_post(stream: &TcpStream) -> Option<Post> {
    let mut from = BufReader::new(stream);
    let mut headers = HashMap::new();
    for line in from.by_ref().lines() {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    from.read_exact(&mut body).ok()?;
    let payload: serde_json::Value = serde_json::from_slice(&body).ok()?;
    Some(Post {
        id: headers.get("webhook-id")?.clone(),
        signature: headers.get("webhook-signature")?.clone(),
        kind: payload["type"].as_str()?.to_owned(),
        event: serde_json::from_value(payload["data"].clone()).ok()?,
    })
}

fn add(network: &TestNetwork, url: &str, more: &[&str]) -> String {
    let added = network.banyan(&[&["webhooks", "add", url, "--json"], more].concat());
    let added: WebhookSecret = serde_json::from_str(&added).expect("an answer");
    assert!(added.secret.expose().starts_with("whsec_"));
    added.id
}

fn deliveries(network: &TestNetwork, webhook: &str) -> Vec<Delivery> {
    serde_json::from_str(&network.banyan(&["webhooks", "deliveries", webhook, "--json"])).expect("deliveries")
}

#[test]
fn a_receiver_that_does_not_work_delays_no_other_and_nothing_is_lost_when_the_server_is_killed() {
    let mut network = TestNetwork::start(2);
    let healthy = Receiver::start(vec![]);
    let failing = Receiver::start(vec![Answer::Status(500)]);
    let hanging = Receiver::start(vec![Answer::Silence; 3]);
    let redirecting = Receiver::start(vec![Answer::Status(302); 50]);
    let gone = Receiver::start(vec![Answer::Status(410)]);
    let mut ids = HashMap::new();
    for (name, url) in [
        ("healthy", &healthy.url),
        ("failing", &failing.url),
        ("hanging", &hanging.url),
        ("redirecting", &redirecting.url),
        ("gone", &gone.url),
        ("vanished", &"http://127.0.0.1:1/hook".to_owned()),
    ] {
        ids.insert(name, add(&network, url, &["--private"]));
    }
    network.publish("hello", "1.0", 1000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_until("the healthy receiver has the whole story", |_| {
        let kinds = healthy.kinds();
        let count = |kind: EventKind| kinds.iter().filter(|one| *one == kind.name()).count();
        count(EventKind::DeploymentStarted) == 1
            && count(EventKind::MachineInstalled) == 2
            && count(EventKind::DeploymentFinished) == 1
    });
    let posts = healthy.posts();
    let mut sequences: Vec<u64> = posts.iter().map(|post| post.event.sequence).filter(|number| *number > 0).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert!(posts.iter().all(|post| post.signature.starts_with("v1,")), "{posts:?}");
    assert!(posts.iter().filter_map(|post| post.event.deployment).all(|id| id.to_string() == deployment));

    // The one that is gone gets nothing more, and everyone can see why.
    network.wait_until("the receiver that is gone is paused", |network| {
        let all: Vec<Webhook> =
            serde_json::from_str(&network.banyan(&["webhooks", "list", "--json"])).expect("webhooks");
        let paused = all.iter().find(|one| one.id == ids["gone"]).and_then(|one| one.paused.clone());
        paused.is_some_and(|why| why.contains("410"))
    });
    let of_redirecting = deliveries(&network, &ids["redirecting"]);
    let last = of_redirecting.iter().find_map(|one| one.last.clone()).expect("it was attempted");
    assert!(last.what.contains("redirects are not followed"), "{last:?}");

    // What waits is kept, and arrives with the same id.
    network.kill_server();
    network.start_server();
    let before: Vec<String> = failing.posts().into_iter().map(|post| post.id).collect();
    let known = healthy.posts().len();
    network.wait_until("the receiver that failed has everything", |network| {
        deliveries(network, &ids["failing"]).iter().all(|one| one.state == DeliveryState::Delivered)
    });
    let after: Vec<String> = failing.posts().into_iter().map(|post| post.id).collect();
    assert!(after[before.len()..].contains(&before[0]), "{before:?} {after:?}");

    network.banyan(&["webhooks", "test", &ids["healthy"][..8]]);
    network.wait_until("the test arrives", |_| healthy.kinds().contains(&EventKind::WebhookTest.name().to_owned()));
    let again = healthy.posts()[0].clone();
    network.banyan(&["webhooks", "resend", &ids["healthy"], &again.event.id.to_string()]);
    network.wait_until("the event arrives again", |_| healthy.posts()[known..].iter().any(|post| post.id == again.id));
    assert!(failing.kinds().iter().all(|kind| *kind != EventKind::WebhookTest.name()), "a test is for one receiver");
}

#[test]
fn a_receiver_inside_is_not_reached_without_consent() {
    let network = TestNetwork::start(0);
    let inside = Receiver::start(vec![]);
    let url = inside.url.replace("http:", "https:");
    let refused = network.command(&["webhooks", "add", &inside.url]).output().expect("banyan can be run");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--private"));
    for url in [url.clone(), url.replace("127.0.0.1", "[::ffff:127.0.0.1]")] {
        let refused = network.command(&["webhooks", "add", &url]).output().expect("banyan can be run");
        assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("private network"));
    }
    // A name is looked up at each attempt.
    let id = add(&network, &url.replace("127.0.0.1", "localhost"), &[]);
    network.banyan(&["webhooks", "test", &id]);
    network.wait_until("the delivery was attempted", |network| {
        let last = deliveries(network, &id).into_iter().find_map(|one| one.last);
        last.is_some_and(|last| last.what.contains("private network"))
    });
    assert!(inside.posts().is_empty());
}

#[test]
fn the_stream_tells_what_a_program_missed_and_what_happens_next() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 1000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_for_status(&deployment, "the machine has it", |status| {
        status.state == banyan_proto::admin::DeploymentState::Finished
    });
    let read = |arguments: &[&str]| -> Vec<ServerEvent> {
        let text = network.banyan(&[&["events", "--json"], arguments].concat());
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    };
    let all = read(&["--after", "0", "--count", "4"]);
    let kinds: Vec<EventKind> = all.iter().map(|event| event.kind).collect();
    let expected = [
        EventKind::MachineEnrolled,
        EventKind::DeploymentStarted,
        EventKind::MachineInstalled,
        EventKind::DeploymentFinished,
    ];
    assert_eq!(kinds, expected);
    assert_eq!((all[2].label.as_deref(), all[2].package.as_deref()), (Some("m0"), Some("hello")));
    let last = all[3].id;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&["--after", &last.to_string(), "--count", "1"]));
        drop(network.deploy("hello", "all", 1));
        let next = waiting.join().expect("the command ends");
        assert_eq!((next[0].kind, next[0].sequence), (EventKind::DeploymentStarted, 1));
        assert!(next[0].id > last);
    });
}
