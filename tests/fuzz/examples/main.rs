//! Regenerates the fuzz corpus (`tests/fuzz/corpus/TARGET/`): valid examples of every format, signed with throwaway
//! keys, and malicious inputs named after the attack. Run it after a format has changed, and commit its output:
//!
//! `cargo run -p banyan-tests --example fuzz-corpus`
//!
//! Inputs added by hand or saved from a finding are kept.

mod archives;
mod bodies;
mod nasty;
mod pki;
mod words;

use banyan_proto::frame::{Frame, Heartbeat};
use serde_json::{Value, json};
use std::path::Path;

/// Writes one input.
fn put(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&folder).expect("the corpus can be written");
    std::fs::write(folder.join(name), bytes).expect("the corpus can be written");
}

/// Writes one input as JSON.
fn put_json(target: &str, name: &str, value: &impl serde::Serialize) {
    put(target, &format!("{name}.json"), serde_json::to_vec(value).expect("the value can be serialised"));
}

fn main() {
    let words = words::Words::new();
    let mut stream = Vec::new();
    for (name, control) in words.messages() {
        put_json("messages", name, &control);
        let frame = Frame::Control(control).encode();
        put("frames", &format!("{name}.bin"), &frame);
        stream.extend(frame);
    }
    for frame in [
        Frame::Chunk { index: 7, bytes: vec![0xab; 100] },
        Frame::Heartbeat(Heartbeat { watermark: u32::MAX, ..Heartbeat::default() }),
    ] {
        stream.extend(frame.encode());
    }
    put("frames", "stream.bin", stream);
    put_json("messages", "refused-reply", &json!({ "answer": "refused", "reason": "not-ancestor", "detail": "no" }));

    put_json("lists", "halved", &words.list);
    put_json("lists", "membership", &words.membership());
    put_json("lists", "proof", &words.membership().proof);
    put_json("signed", "keys", &words.keys);
    put_json("signed", "order", &words.order);
    put_json("signed", "hint", &words.hint);
    put_json("signed", "receipt", &words.receipt);
    put_json("signed", "go-ahead", &words.install_permit);
    for (name, text) in words.texts() {
        put("texts", name, text);
    }
    archives::put_all();
    put("packages", "hello.banyan", words.package());
    put("manifests", "small.json", &words.proof.manifest);
    put_json("manifests", "full", &words.full_manifest());
    put_json("metadata", "release", &words.proof);
    let metadata = &words.proof.metadata;
    put("metadata", "root-1.json", &metadata.roots[0]);
    put("metadata", "root-2.json", &metadata.roots[1]);
    put("metadata", "timestamp.json", &metadata.timestamp);
    put("metadata", "snapshot.json", &metadata.snapshot);
    put("metadata", "targets.json", &metadata.targets);
    for (name, bytes) in pki::certificates() {
        put("certificates", name, bytes);
    }
    let all: Vec<(&str, Value)> = bodies::bodies(&words);
    for (name, body) in all {
        put_json("bodies", name, &body);
    }
    nasty::write(&words);
}
