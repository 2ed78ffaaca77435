//! Verifies the names in requests and answers: agent and helper may be of different versions while one is updated.

use crate::{
    protocol::{HelperRequest, TrustAnswer, WithoutRestore},
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
    assert_eq!(json(&HelperRequest::SetPersonal), json!("stand-alone"));
    assert_eq!(json(&HelperRequest::ForgetPublisher(root)), json!({ "forget": root }));
    assert_eq!(json(&TrustAnswer::Accepted), json!("yes"));
    let refused = TrustAnswer::Refused { reason: Reason::NotAllowed, detail: "no".into() };
    assert_eq!(json(&refused), json!({ "no": { "reason": "not-allowed", "detail": "no" } }));
    let identity = HelperRequest::SetTrust(TestSigners::new().identity());
    assert!(json(&identity)["believe"]["keys"].is_array());
    let machine = TestMachine::before_enrolment();
    let job = machine.job(&TestRelease::archive("1.0", 1));
    assert!(json(&HelperRequest::Install(Box::new(job)))["install"]["order"].is_object());
    assert_eq!(json(&WithoutRestore::InstallAnyway), json!("go-on"));
}
