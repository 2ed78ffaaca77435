//! A client for the public TUF conformance suite, over the product's own verification of metadata ([`banyan_trust`]). It is
//! never shipped: machines get metadata with offers, not from a TUF repository over HTTP.
//!
//! ```text
//! tuf-client --metadata-dir D init ROOT
//! tuf-client --metadata-dir D --metadata-url U refresh
//! tuf-client --metadata-dir D --metadata-url U --target-name T --target-dir TD --target-base-url TU download
//! ```
//!
//! D holds exactly the trusted files, as received. Exit code 0 or 1. The suite is
//! <https://github.com/theupdateframework/tuf-conformance>.

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
    let (mut options, mut words) = (HashMap::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--") {
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
            let targets = refresh(&folder, &option("metadata-url")?)?;
            let (name, to) = (option("target-name")?, PathBuf::from(option("target-dir")?));
            download(&targets, &name, &to, &option("target-base-url")?)
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
        let text = match kept.filter(|text| is_current(&text)) {
            Some(text) => text,
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
            Err(error) if failed_role(&error).is_some_and(|failed| failed > at) => {}
            Err(error) => {
                // What came before the failure is trusted, except for a file that names an older version.
                let is_rollback = matches!(error, TrustError::RolledBack { .. });
                let trusted = at.saturating_sub(usize::from(is_rollback));
                for (name, text) in roles.iter().zip(&texts[..trusted]) {
                    fs::write(folder.join(name), text)?;
                }
                return Err(error.into());
            }
        }
    }
    for (name, text) in roles.iter().zip(&texts) {
        fs::write(folder.join(name), text)?;
    }
    Ok(texts.pop().unwrap_or_default())
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

fn download(targets: &str, name: &str, to: &Path, url: &str) -> Result<(), Failure> {
    let targets: Value = serde_json::from_str(targets)?;
    let target = targets["signed"]["targets"].get(name).ok_or("the target is not on the list")?;
    let length = target["length"].as_u64().and_then(|length| usize::try_from(length).ok()).ok_or("no length")?;
    let hash = target["hashes"]["sha256"].as_str().ok_or("no SHA-256")?;
    let (parent, file) = name.rsplit_once('/').map_or(("", name), |(parent, file)| (parent, file));
    let parent = if parent.is_empty() { String::new() } else { format!("{parent}/") };
    let url = url.trim_end_matches('/');
    let bytes = get_bytes(&format!("{url}/{parent}{hash}.{file}"), length)?;
    let bytes = bytes.ok_or("the target is not there")?;
    let found = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    if bytes.len() != length || data_encoding::HEXLOWER.encode(found.as_ref()) != hash {
        return Err("the target does not match its hash or length".into());
    }
    fs::create_dir_all(to)?;
    Ok(fs::write(to.join(name.replace('/', "%2F")), bytes)?)
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
