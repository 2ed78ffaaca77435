//! `banyan keys sign|send`: signs a signing request that several people sign in turn, and sends it once it is complete.

use crate::commands::keys::complete_request::{self, lacks, short};
use crate::{
    api_client::Client,
    commands::{connect, publish::description, signature_expiry},
    output::{Exit, Failure, Json, Tried as _, clean, say},
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Digest,
    admin::{Profile, RegisterRoot},
};
use banyan_publisher::{
    Request,
    roots::holders,
    signing_request::{Judged, Missing},
    verified_state,
};
use serde::Serialize;
use std::path::PathBuf;
use tough::schema::{RoleType, Root};

/// Review a signing request and sign it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Show what it changes and who has signed; sign nothing\n  \
    banyan keys sign root-3.tosign\n  \
    # Show it, then sign it with that folder's keys\n  \
    banyan keys sign root-3.tosign --key keys\n\n\
    No server is needed. The changes are derived from the root in the key folder;\n\
    read them before you sign. When the request is complete, anyone with an\n\
    administrator's profile can send it: banyan keys send FILE --key DIR.")]
pub(crate) struct SignArgs {
    /// The signing request
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder with keys; without this option nothing is signed
    #[arg(long = "key", value_name = "DIR")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// Send a complete signing request to the server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Send it, and record the accepted state in that folder\n  \
    banyan keys send root-3.tosign --key keys\n  \
    # Restore the roots that a server has lost after a restore from backup\n  \
    banyan keys send --key keys")]
pub(crate) struct SendArgs {
    /// The signing request [default: the recorded roots that the server lacks]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folder with keys
    #[arg(long = "key", value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// The JSON result of `sign`.
#[derive(Debug, Serialize)]
struct Signed {
    changes: Vec<String>,
    signatures: Vec<Missing>,
    complete: bool,
    added: usize,
}

pub(super) fn sign(args: &SignArgs) -> Result<Exit, Failure> {
    let tried = || format!("sign {}", args.file.display());
    let mut request = Request::read(&args.file).tried(tried)?;
    let changes = match args.keys.first() {
        Some(folder) => told(&request.judge(folder).tried(tried)?),
        None => vec!["pass --key DIR to see what it changes; that folder contains the root that you trust".into()],
    };
    if !args.json.json {
        say(&clean(&changes.join("\n")));
    }
    let added = if args.keys.is_empty() { 0 } else { request.sign(&args.keys).tried(tried)? };
    if !args.keys.is_empty() && added == 0 {
        let wrong = "no key in these folders can add a signature: none may sign, or all have signed already";
        return Err(Failure::new(tried(), wrong, "pass the folder of a key listed above as one that can still sign"));
    }
    if added > 0 {
        request.write(&args.file).tried(tried)?;
    }
    let signatures = request.signatures().tried(tried)?;
    let complete = request.missing().tried(tried)?.is_empty();
    args.json.answer(&Signed { changes, signatures, complete, added }, |signed| {
        signed.signatures.iter().map(|one| lacks(one) + "\n").collect()
    })?;
    let file = args.file.display();
    say(&match complete {
        true => format!("complete; next: run `banyan keys send {file} --key DIR`"),
        false => format!("not complete yet; next: give {file} to another signer"),
    });
    Ok(if complete { Exit::Success } else { Exit::Unsigned })
}

/// Lists what a request changes, derived from the trusted state.
fn told(judged: &Judged) -> Vec<String> {
    let mut lines = vec![];
    match (&judged.before, &judged.root) {
        (None, Some(root)) => {
            lines.push("the first root: check the key ids with their owners".into());
            lines.extend(roles(root, |_, _| "key"));
        }
        (Some(before), Some(root)) => {
            let from = before.version;
            lines.push(format!(
                "root {} after {from}, valid until {}",
                root.version,
                signature_expiry::date(signature_expiry::of_root(root))
            ));
            lines
                .extend(roles(root, |role, id| if holders(before, role).0.contains(id) { "unchanged" } else { "NEW" }));
            for role in ALL {
                let left = holders(root, role).0;
                let gone = holders(before, role).0.into_iter().filter(|id| !left.contains(id));
                lines.extend(gone.map(|id| format!("  {role}: REMOVED {}", short(&id))));
                let (was, is) = (holders(before, role).1, holders(root, role).1);
                if was != is {
                    lines.push(format!("  {role}: {is} must sign instead of {was}"));
                }
            }
        }
        (_, None) => {}
    }
    if let Some(next) = &judged.targets {
        lines.push(format!("list of releases {} after {}", next.version, judged.list.version));
        let gone = judged.list.targets.keys().filter(|name| !next.targets.contains_key(*name));
        lines.extend(gone.map(|name| format!("  WITHDRAWS {name}")));
        if let Some(manifest) = &judged.manifest {
            lines.push(format!("  ADDS {}:", manifest.target_name()));
            lines.push(description(manifest, false));
        }
    }
    lines
}

const ALL: [RoleType; 4] = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];

fn roles(root: &Root, say: impl Fn(RoleType, &String) -> &'static str) -> Vec<String> {
    let role = |role| {
        let (ids, threshold) = holders(root, role);
        let ids: Vec<String> = ids.iter().map(|id| format!("{} {}", say(role, id), short(id))).collect();
        format!("  {role}: {} ({threshold} must sign)", ids.join(", "))
    };
    ALL.into_iter().map(role).collect()
}

pub(super) async fn send(args: &SendArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let Some(file) = &args.file else { return give_back(args, given).await };
    let tried = || format!("send {}", file.display());
    let (path, profile) = profile::load(given).tried(tried)?;
    let client = Client::new(&profile).tried(tried)?;
    let request = Request::read(file).tried(tried)?;
    let missing = request.missing().tried(tried)?;
    if !missing.is_empty() {
        let wrong = missing.iter().map(lacks).collect::<Vec<_>>().join("; ");
        let next = format!("have it signed first: banyan keys sign {} --key DIR", file.display());
        return Err(Failure::new(tried(), wrong, next).ending(Exit::Unsigned));
    }
    for folder in &args.keys {
        // A folder that has not recorded anything yet may have no root. The file is then about the first root.
        request.judge(folder).tried(tried)?;
    }
    if let Some(first) = request.first_digest() {
        note_root(&profile, first, tried)?;
    }
    let done = complete_request::send(&client, &request, &args.keys, tried).await?;
    if let Some(first) = request.first_digest() {
        let profile = Profile { root: Some(first), ..profile };
        profile::save(&path, &profile).tried(|| "note the root in the profile".into())?;
    }
    done.answer(args.json, "accepted by the server")
}

/// Checks that the profile has no root yet, or the same one.
pub(super) fn note_root(profile: &Profile, first: Digest, tried: impl Fn() -> String) -> Result<(), Failure> {
    match profile.root.filter(|root| *root != first) {
        None => Ok(()),
        Some(other) => Err(Failure::new(
            tried(),
            format!("the profile already names another root ({})", other.short()),
            "use the key folder that the other root was created from; enrolled machines trust only that root",
        )),
    }
}

/// Registers the roots that the folder has recorded and a restored server has lost.
async fn give_back(args: &SendArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || "restore the server's missing roots".to_owned();
    let client = connect(given, tried)?;
    let known = verified_state::remembered(args.keys.first().map_or(std::path::Path::new("."), PathBuf::as_path))
        .tried(tried)?;
    let shown = client.targets().await.tried(tried)?.roots.len();
    let last = known.roots.len();
    for (version, root) in known.roots.iter().enumerate().skip(shown) {
        let list = known.list.clone().filter(|_| version + 1 == last);
        let alone = client.register_root(&RegisterRoot { root: root.clone(), targets: None }).await;
        if let (Err(_), Some(list)) = (&alone, list) {
            client.register_root(&RegisterRoot { root: root.clone(), targets: Some(list) }).await.tried(tried)?;
        } else {
            alone.tried(tried)?;
        }
    }
    let given = last.saturating_sub(shown);
    args.json.answer(&given, |given| format!("{given} restored"))?;
    Ok(Exit::Success)
}
