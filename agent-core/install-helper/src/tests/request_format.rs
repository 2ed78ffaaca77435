//! Verifies the names in requests and answers: agent and helper may be of different versions while one is updated.

use crate::{
    protocol::{HelperRequest, TrustAnswer},
    tests::{
        signed_documents::TestSigners,
        test_machine::{TestMachine, TestRelease},
    },
};
use banyan_proto::{Digest, Reason};
use serde::Serialize;
use serde_json::json;

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn requests_and_answers_keep_their_names() {
    let root = Digest([7; 32]);
    assert_eq!(json(&HelperRequest::SetPersonal), json!({ "request": "stand-alone" }));
    assert_eq!(json(&HelperRequest::ForgetPublisher(root)), json!({ "request": "forget", "with": root }));
    assert_eq!(json(&TrustAnswer::Accepted), json!("yes"));
    let refused = TrustAnswer::Refused { reason: Reason::NotAllowed, detail: "no".into() };
    assert_eq!(json(&refused), json!({ "no": { "reason": "not-allowed", "detail": "no" } }));
    let identity = HelperRequest::SetTrust(TestSigners::new().identity());
    assert!(json(&identity)["request"] == "believe" && json(&identity)["with"]["keys"].is_array());
    let machine = TestMachine::before_enrolment();
    let job = machine.job(&TestRelease::archive("1.0", 1));
    let install = json(&HelperRequest::Install(Box::new(job)));
    assert!(install["request"] == "install" && install["with"]["order"].is_object());
}

#[test]
fn a_request_that_requires_something_unknown_is_refused_by_name() {
    let read = |text: &str| banyan_proto::format::read::<HelperRequest>(text.as_bytes());
    assert_eq!(read(r#"{"format":1,"request":"stand-alone"}"#).unwrap(), HelperRequest::SetPersonal);
    let newer = read(r#"{"format":1,"must_understand":["sealed"],"request":"stand-alone"}"#).unwrap_err();
    assert!(newer.is_newer() && newer.to_string().contains("\"sealed\""), "{newer}");
}
