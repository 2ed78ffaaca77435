//! One body of each kind in the HTTP APIs.

use crate::words::{Words, machine};
use banyan_proto::{
    Digest, LinkRates, MeasuredRate, Reason, UnixSeconds,
    api::{ByteSource, Event, Report},
};
use serde_json::{Value, json};

pub(crate) fn bodies(words: &Words) -> Vec<(&'static str, Value)> {
    let (id, one, keys) = (words.id, machine(1), &words.keys);
    let root = &words.proof.metadata.roots[0];
    let addresses = ["192.0.2.7:7701", "[fe80::1%3]:7701"];
    let source = ByteSource { machine: one, bytes: 5 };
    let report = |number, event| Report { number, at: UnixSeconds(1_800_000_000), order: Some(id), event };
    let measured = |at_most| Some(MeasuredRate { at_least: 2_500_000, at_most, is_rough: false });
    let rates = LinkRates { down: measured(Some(2_500_000)), up: measured(None) };
    let reports = [
        report(1, Event::Offered { stripe: 0, sender: one }),
        report(2, Event::Source { stripe: 1, source: one, left: Some(Reason::BadChunk) }),
        report(3, Event::Verified { sources: vec![source.clone()], rates }),
        report(4, Event::Failed { reason: Reason::ProbeFailed, detail: "exit 1".into(), restored: true }),
    ];
    let way = json!({ "stripe": 0, "path": [machine(0), one], "proof": Digest([4; 32]) });
    let addressee = json!({ "id": one, "label": "pc-1", "stage": "verified", "chunks": [3, 9], "reason": "waits-for-go-ahead",
        "detail": null, "planned": [one], "sources": [source], "verified_after": 1200, "installed_after": null });
    vec![
        (
            "enrol",
            json!({ "secret": "00ff", "csr": "-----BEGIN", "label": "pc-1", "platform": "linux-x86_64", "addresses": addresses, "software": "banyan 0.1.0" }),
        ),
        (
            "enrol-reply",
            json!({ "machine": one, "certificate": "c", "ca": "c", "server": machine(0), "keys": keys, "epoch": 1, "root": root }),
        ),
        ("renew", json!({ "csr": "-----BEGIN" })),
        ("renew-reply", json!({ "certificate": "c" })),
        (
            "check-in",
            json!({ "boot": u64::MAX, "label": "pc-1", "addresses": addresses, "software": "b", "crl_number": 1, "known": [id], "wait_seconds": 300 }),
        ),
        (
            "check-in-reply",
            json!({ "now": 1_800_000_000, "crl_number": 2, "orders": [{ "order": id, "patience_seconds": 9 }], "keys": keys }),
        ),
        ("help", json!({ "offers": [words.offer()], "holders": [one] })),
        (
            "catalogue",
            json!({ "releases": [{ "package": "drawing", "version": "3.1", "sequence": 31, "manifest": Digest([5; 32]), "size": 74_000_000, "publisher": "IT", "notes": "new\ncolours" }] }),
        ),
        ("catalogue-request", json!({ "package": "drawing", "manifest": Digest([5; 32]) })),
        ("receipt", json!({ "order": id, "artifact": words.artifact, "ways": [way], "sources": [source] })),
        ("go-ahead", json!({ "order": id })),
        ("reports", json!(reports)),
        ("error", json!({ "reason": "no-root", "detail": "register it" })),
        (
            "info",
            json!({ "server": one, "software": "b", "epoch": 1, "online_keys": [{ "keytype": "ed25519" }], "keys": keys, "has_root": true }),
        ),
        ("root", json!({ "root": root })),
        ("targets", json!({ "root": root, "targets": null })),
        ("roots", json!({ "roots": [root] })),
        ("next-root", json!({ "root": root, "targets": words.proof.metadata.targets })),
        ("replaced", json!({ "withdrawn": ["hello/3.json"], "stopped": [id] })),
        (
            "check-in-of-one-that-follows",
            json!({ "boot": 1, "label": "pc-1", "addresses": addresses, "software": "b", "crl_number": 1, "known": [], "wait_seconds": 300, "publishers": { "root": 3, "targets": 9 } }),
        ),
        ("token", json!({ "uses": 3, "expires_seconds": 60, "group": "lab" })),
        ("token-created", json!({ "secret": "00112233445566778899aabbccddeeff" })),
        ("publish", json!({ "targets": words.proof.metadata.targets, "manifest": words.proof.manifest })),
        ("releases", json!([{ "package": "hello", "version": "1.3", "sequence": 3, "artifacts": [["any", 7]] }])),
        (
            "machines",
            json!([{ "id": one, "label": "pc-1", "group": null, "platform": "any", "addresses": addresses, "seen": 1, "online": true, "revoked": false, "software": "b" }]),
        ),
        (
            "deploy",
            json!({ "package": "hello", "version": null, "to": { "machines": ["pc-1"] }, "stripes": 2, "spread": "proven", "window": "any", "deadline": 5 }),
        ),
        ("deployed", json!({ "id": id })),
        (
            "status",
            json!({ "id": id, "package": "hello", "version": "1.3", "state": "running", "accepted": 1, "size": 7, "stripes": 2, "server": machine(0), "counts": [["verified", 1]], "server_sent": 14, "addressees": [addressee] }),
        ),
    ]
}
