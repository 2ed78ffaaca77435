//! A client for the public TUF conformance suite, over the product's own verification of metadata ([`banyan_trust`]). It is
//! never shipped: machines get metadata with offers, not from a TUF repository over HTTP.
//!
//! ```text
//! tuf-client --metadata-dir D init ROOT
//! tuf-client --metadata-dir D --metadata-url U refresh
//! tuf-client --metadata-dir D --metadata-url U --target-name T… --target-dir TD --target-base-url TU download
//! ```
//!
//! D holds exactly the trusted files, as received. Exit code 0 or 1. The suite is
//! <https://github.com/theupdateframework/tuf-conformance>.

use aws_lc_rs::digest;
use banyan_proto::{Digest, UnixSeconds, limits, peer::Metadata};
use banyan_trust::{TrustError, TrustStore};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tuf-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (mut options, mut words, mut targets) = (HashMap::new(), Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--") {
            Some("target-name") => targets.extend(arguments.next()),
            Some(name) => drop(options.insert(name.to_owned(), arguments.next().unwrap_or_default())),
            None => words.push(argument),
        }
    }
    let option = |name: &str| options.get(name).cloned().ok_or_else(|| format!("--{name} is missing"));
    let folder = PathBuf::from(option("metadata-dir")?);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["init", root] => {
            let text = fs::read_to_string(root)?;
            TrustStore::enrol(&text, Digest::of(text.as_bytes()))?;
            fs::create_dir_all(&folder)?;
            Ok(fs::write(folder.join("root.json"), text)?)
        }
        ["refresh"] => refresh(&folder, &option("metadata-url")?).map(drop),
        ["download"] => {
            let list = refresh(&folder, &option("metadata-url")?)?;
            let (to, url) = (PathBuf::from(option("target-dir")?), option("target-base-url")?);
            targets.iter().try_for_each(|name| download(&list, name, &to, &url))
        }
        _ => Err("usage: --metadata-dir D (init ROOT | refresh | download)".into()),
    }
}

fn version(text: &str) -> u64 {
    let read = |text| serde_json::from_str::<Value>(text).ok()?["signed"]["version"].as_u64();
    read(text).unwrap_or(0)
}

/// Restores what an earlier run trusted, from its files.
fn load(folder: &Path) -> Result<TrustStore, Failure> {
    let root = fs::read_to_string(folder.join("root.json"))?;
    TrustStore::enrol(&root, Digest::of(root.as_bytes()))?;
    let of = |name: &str| fs::read_to_string(folder.join(name)).map_or(0, |text| version(&text));
    Ok(serde_json::from_value(json!({
        "root": root,
        "versions": {
            "root": version(&root),
            "timestamp": of("timestamp.json"),
            "snapshot": of("snapshot.json"),
            "targets": of("targets.json"),
        },
        "floors": {},
        "signed_time": 0,
    }))?)
}

/// Follows the workflow of the specification (5.3 to 5.6). Returns the trusted targets.json.
fn refresh(folder: &Path, url: &str) -> Result<String, Failure> {
    let url = url.trim_end_matches('/');
    let mut store = load(folder)?;
    for _ in 0..limits::ROOTS {
        let next = version(store.root()) + 1;
        let Some(text) = get(&format!("{url}/{next}.root.json"), limits::METADATA_BYTES)? else { break };
        let newer = store.update_roots(std::slice::from_ref(&text))?;
        if newer.root() == store.root() {
            return Err("the next root has another version".into());
        }
        store = newer;
        fs::write(folder.join("root.json"), store.root())?;
    }
    let is_consistent = serde_json::from_str::<Value>(store.root())?["signed"]["consistent_snapshot"] == true;
    let path = |name: &str, version: &Value| match version.as_u64().filter(|_| is_consistent) {
        Some(version) => format!("{url}/{version}.{name}"),
        None => format!("{url}/{name}"),
    };
    let named = |text: &str, name: &str| {
        let read = |text| Some(serde_json::from_str::<Value>(text).ok()?["signed"]["meta"][name]["version"].clone());
        read(text).unwrap_or_default()
    };
    let roles = ["timestamp.json", "snapshot.json", "targets.json"];
    let mut texts: Vec<String> = Vec::new();
    for (at, name) in roles.iter().enumerate() {
        let from = texts.last().map_or_else(|| format!("{url}/{name}"), |above| path(name, &named(above, name)));
        // A file that is still current need not be asked for again.
        let kept = fs::read_to_string(folder.join(name)).ok();
        let is_current = |text: &&String| at > 0 && json!(version(text)) == named(&texts[at - 1], name);
        let text = match kept.as_ref().filter(is_current) {
            Some(text) => text.clone(),
            None => get(&from, limits::METADATA_BYTES)?.unwrap_or_default(),
        };
        texts.push(text);
        let metadata = Metadata {
            roots: vec![],
            timestamp: texts[0].clone(),
            snapshot: texts.get(1).cloned().unwrap_or_default(),
            targets: texts.get(2).cloned().unwrap_or_default(),
        };
        match store.refresh(&metadata, UnixSeconds::now()) {
            Ok(_) => {}
            // Only the files that were not fetched yet are missing.
            Err(error) if failed_role(&error).is_some_and(|failed| failed > at) && !is_rollback(&error) => {}
            Err(error) => {
                // What came before the failure is trusted.
                for (name, text) in roles.iter().zip(&texts[..at]) {
                    fs::write(folder.join(name), text)?;
                }
                return Err(error.into());
            }
        }
        // A timestamp of the same version changes nothing.
        if let Some(kept) = kept.filter(|kept| at == 0 && version(kept) == version(&texts[0])) {
            texts[0] = kept;
        }
    }
    for (name, text) in roles.iter().zip(&texts) {
        fs::write(folder.join(name), text)?;
    }
    Ok(texts.pop().unwrap_or_default())
}

/// Returns whether a file is, or names, an older version than was seen.
fn is_rollback(error: &TrustError) -> bool {
    matches!(error, TrustError::RolledBack { .. })
}

/// Returns the position of the role that a check failed at; `None` when it failed before the timestamp.
fn failed_role(error: &TrustError) -> Option<usize> {
    let role = match error {
        TrustError::Expired { role, .. } => role.as_str(),
        TrustError::RolledBack { role, .. } | TrustError::Forged { role, .. } => role,
        _ => return None,
    };
    ["timestamp", "snapshot", "targets"].iter().position(|name| *name == role)
}

/// The hashes that are understood, in the order in which they are preferred.
const HASHES: [(&str, &digest::Algorithm); 2] = [("sha256", &digest::SHA256), ("sha512", &digest::SHA512)];

/// Downloads a target, unless it is there already.
fn download(list: &str, name: &str, to: &Path, url: &str) -> Result<(), Failure> {
    let list: Value = serde_json::from_str(list)?;
    let target = list["signed"]["targets"].get(name).ok_or("the target is not on the list")?;
    let length = target["length"].as_u64().and_then(|length| usize::try_from(length).ok()).ok_or("no length")?;
    let hashes = HASHES.into_iter().filter_map(|(name, algorithm)| Some((target["hashes"][name].as_str()?, algorithm)));
    let hashes: Vec<(&str, &digest::Algorithm)> = hashes.collect();
    let (first, _) = *hashes.first().ok_or("no hash that is understood")?;
    let hash = |bytes: &[u8], algorithm| data_encoding::HEXLOWER.encode(digest::digest(algorithm, bytes).as_ref());
    let is_target = |bytes: &[u8]| {
        bytes.len() == length && hashes.iter().all(|(wanted, algorithm)| hash(bytes, algorithm) == **wanted)
    };
    let file = to.join(name.replace('/', "%2F"));
    if fs::read(&file).is_ok_and(|bytes| is_target(&bytes)) {
        return Ok(());
    }
    let (parent, last) =
        name.rsplit_once('/').map_or((String::new(), name), |(parent, last)| (parent.to_owned() + "/", last));
    let url = url.trim_end_matches('/');
    let bytes = get_bytes(&format!("{url}/{parent}{first}.{last}"), length)?.ok_or("the target is not there")?;
    if !is_target(&bytes) {
        return Err("the target does not match its hash or length".into());
    }
    fs::create_dir_all(to)?;
    Ok(fs::write(file, bytes)?)
}

fn get(url: &str, most: usize) -> Result<Option<String>, Failure> {
    get_bytes(url, most)?.map(|bytes| String::from_utf8(bytes).map_err(Into::into)).transpose()
}

/// Fetches a file over plain HTTP; `None` when it does not exist. Refuses more bytes than `most`.
fn get_bytes(url: &str, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let rest = url.strip_prefix("http://").ok_or("only http is supported")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    io::Read::take(&mut stream, (most + (64 << 10)) as u64).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").ok_or("not an HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    match head.split_whitespace().nth(1) {
        Some("200") if answer.len() - end - 4 > most => Err("the file is too long".into()),
        Some("200") => Ok(Some(answer[end + 4..].to_vec())),
        Some("404" | "403") => Ok(None),
        status => Err(format!("status {status:?}").into()),
    }
}
