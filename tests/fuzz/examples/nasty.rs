//! Malicious inputs, named after the attack.

use crate::{put, put_json, words::Words};
use banyan_proto::{Digest, MachineId, Order, Signed, limits};
use serde_json::{Value, json};

pub(crate) fn write(words: &Words) {
    put("frames", "claims-4-gib.bin", [0xff, 0xff, 0xff, 0xff, 0, b'{']);
    put(
        "frames",
        "claims-the-most-and-ends.bin",
        [&(limits::CONTROL_BYTES as u32 + 1).to_be_bytes()[..], &[0]].concat(),
    );
    put("frames", "no-length.bin", [0; 5]);
    put("frames", "unknown-kind.bin", [0, 0, 0, 1, 9]);
    put("frames", "chunk-without-index.bin", [0, 0, 0, 4, 1, 0, 0, 0]);
    put("messages", "deep.json", "[".repeat(10_000));
    put("messages", "deep-objects.json", "{\"type\":".repeat(5_000));
    put("messages", "type-last-and-twice.json", r#"{"reason":"done","type":"bye","type":"hello"}"#);
    put("messages", "lone-surrogate.json", r#"{"type":"crl","der":"\ud800"}"#);
    put_json("messages", "reason-from-the-future", &json!({ "type": "bye", "reason": "from-the-future" }));

    let entry = |id: u8, first: u32| json!({ "id": MachineId([id; 16]), "first": first });
    let line = |length: usize| json!(vec![entry(1, 0); length]);
    put_json("lists", "empty", &json!([]));
    put_json("lists", "too-deep", &line(limits::LIST_DEPTH + 2));
    put_json("lists", "just-not-too-deep", &line(limits::LIST_DEPTH));
    put_json("lists", "claims-more-than-there-is", &json!([entry(0, u32::MAX), entry(1, 0)]));
    put_json("lists", "same-name-thrice", &json!([entry(1, 1), entry(1, 0), entry(1, 0)]));
    let huge = json!({ "size": u32::MAX, "hash": Digest([0; 32]) });
    let step = json!({ "head": MachineId([1; 16]), "part": "first", "sibling": huge });
    put_json("lists", "proof-of-too-many", &json!([step, step]));
    put_json("lists", "membership-of-too-many", &json!({ "parts": [huge, huge], "proof": [step] }));

    let mut other_kind = json!(words.receipt);
    other_kind["payload"] = json!(words.install_permit)["payload"].take();
    put_json("signed", "payload-of-another-kind", &other_kind);
    let mut altered: Value = json!(words.order);
    let text = altered["payload"].as_str().unwrap_or_default().replace("\"sequence\":3", "\"sequence\":2");
    altered["payload"] = json!(text);
    serde_json::from_value::<Signed<Order>>(altered.clone()).expect("still an envelope");
    put_json("signed", "older-release", &altered);
    altered["signature"] = json!("");
    put_json("signed", "no-signature", &altered);
    // The same signature as two concatenated base64 texts.
    let mut pieces = json!(words.order);
    let signature = pieces["signature"].as_str().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    let signature = signature.expect("a signature in base64");
    let (first, second) = signature.split_at(1);
    pieces["signature"] = json!(data_encoding::BASE64.encode(first) + &data_encoding::BASE64.encode(second));
    put_json("signed", "signature-in-pieces", &pieces);
    put_json("signed", "short-key", &json!(["AAAA"]));

    put("texts", "join-code-cut", &words.join_code().to_string()[..60]);
    put("texts", "join-code-of-nothing", "banyan1-");
    put("texts", "join-code-sharp-s", "banyan1-\u{df}\u{17f}");
    put("texts", "digest-upper-case", "AB".repeat(32));
    put("texts", "chunk-hashes-in-pieces", "AA==".repeat(32));
    put("texts", "deep.toml", format!("server = {}", "[".repeat(2_000)));
    put("texts", "key-with-loose-bits", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=");

    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut manifest = json!(words.full_manifest());
        change(&mut manifest);
        put_json("manifests", name, &manifest);
    };
    changed("leaves-its-folder", &|manifest| manifest["package"] = json!(".."));
    changed("file-name-that-is-a-path", &|manifest| manifest["artifacts"][0]["file_name"] = json!("..\\evil"));
    changed("claims-64-gib", &|manifest| manifest["artifacts"][0]["size"] = json!(limits::ARTIFACT_BYTES));
    changed("chunks-of-nothing", &|manifest| manifest["artifacts"][0]["chunk_size"] = json!(0));
    changed("below-its-own-floor", &|manifest| manifest["min_sequence"] = json!(u64::MAX));
    changed("unknown-field", &|manifest| manifest["artifacts"][0]["install"]["shell"] = json!("sh"));

    let mut without: Value = json!(words.proof);
    without["metadata"]["roots"] = json!([]);
    put_json("metadata", "without-roots", &without);
    without["metadata"]["roots"] = json!(vec![&words.proof.metadata.roots[1]; limits::ROOTS + 1]);
    put_json("metadata", "endless-roots", &without);
    put(
        "metadata",
        "unsigned-root.json",
        words.proof.metadata.roots[0].replace("\"signatures\":[", "\"signatures\":[],\"x\":["),
    );
    let package = words.package();
    put("packages", "head-of-4-gib.banyan", [&package[..17], &[0xff; 4], &package[21..]].concat());
    put("packages", "head-behind-the-end.banyan", [&package[..17], &[0, 1, 0, 0], &package[21..]].concat());
    put("packages", "later-format.banyan", [b"banyan package 2\n", &package[17..]].concat());
    put("packages", "magic-only.banyan", &package[..17]);
    put("packages", "deep.banyan", [&package[..17], &[0, 0, 0x4e, 0x20], "[".repeat(20_000).as_bytes()].concat());
    put("certificates", "length-of-4-gib.der", [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]);
    put("certificates", "endless.der", [0x30, 0x80].repeat(2_000));
    put("certificates", "deep.der", [0x30, 0x82, 0x40, 0x00].repeat(4_000));
    put("bodies", "number-beyond.json", r#"{"uses":1e400,"expires_seconds":18446744073709551616}"#);
    put("bodies", "deep.json", "[".repeat(20_000));
}
