//! `banyan keys sign|send`: signs a signing request that several people sign in turn, and sends it once it is complete.

use crate::{
    commands::{
        client_of, connect,
        keys::complete_request::{self, describe_missing, short_key_id},
        release_summary::describe_release,
        signature_expiry,
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note, sanitise},
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Digest,
    admin::{Profile, RegisterRoot},
};
use banyan_publisher::{
    SigningRequest,
    roots::{RoleKeyIds, keys_of_role},
    signing_request::{DocumentSignatures, RequestReview},
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
    output: OutputArgs,
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
    output: OutputArgs,
}

/// The JSON result of `sign`.
#[derive(Debug, Serialize)]
struct SignResult {
    changes: Vec<String>,
    signatures: Vec<DocumentSignatures>,
    complete: bool,
    added: usize,
}

pub(super) fn sign(args: &SignArgs) -> Result<Exit, Failure> {
    let action = || format!("sign {}", args.file.display());
    let mut request = SigningRequest::read(&args.file).with_context(action)?;
    let changes = match args.keys.first() {
        Some(folder) => describe_changes(&request.review(folder).with_context(action)?),
        None => vec!["pass --key DIR to see what it changes; that folder contains the root that you trust".into()],
    };
    if !args.output.json {
        print_note(&sanitise(&changes.join("\n")));
    }
    let added = if args.keys.is_empty() { 0 } else { request.sign(&args.keys).with_context(action)? };
    if !args.keys.is_empty() && added == 0 {
        let wrong = "no key in these folders can add a signature: none may sign, or all have signed already";
        return Err(Failure::new(action(), wrong, "pass the folder of a key listed above as one that can still sign"));
    }
    if added > 0 {
        request.write(&args.file).with_context(action)?;
    }
    let signatures = request.signatures().with_context(action)?;
    let complete = request.missing_signatures().with_context(action)?.is_empty();
    args.output.print(&SignResult { changes, signatures, complete, added }, |signed| {
        signed.signatures.iter().map(|one| describe_missing(one) + "\n").collect()
    })?;
    let file = args.file.display();
    print_note(&match complete {
        true => format!("complete; next: run `banyan keys send {file} --key DIR`"),
        false => format!("not complete yet; next: give {file} to another signer"),
    });
    Ok(if complete { Exit::Success } else { Exit::Unsigned })
}

/// Lists what a request changes, derived from the trusted state.
fn describe_changes(review: &RequestReview) -> Vec<String> {
    let mut lines = vec![];
    match (&review.current_root, &review.next_root) {
        (None, Some(root)) => {
            lines.push("the first root: check the key ids with their owners".into());
            lines.extend(describe_roles(root, |_, _| "key"));
        }
        (Some(before), Some(root)) => {
            let from = before.version;
            lines.push(format!(
                "root {} after {from}, valid until {}",
                root.version,
                signature_expiry::format_date(signature_expiry::root_expiry(root))
            ));
            lines.extend(describe_roles(root, |role, id| {
                if keys_of_role(before, role).ids.contains(id) { "unchanged" } else { "NEW" }
            }));
            for role in ALL_ROLES {
                let left = keys_of_role(root, role).ids;
                let gone = keys_of_role(before, role).ids.into_iter().filter(|id| !left.contains(id));
                lines.extend(gone.map(|id| format!("  {role}: REMOVED {}", short_key_id(&id))));
                let (was, is) = (keys_of_role(before, role).threshold, keys_of_role(root, role).threshold);
                if was != is {
                    lines.push(format!("  {role}: {is} must sign instead of {was}"));
                }
            }
        }
        (_, None) => {}
    }
    if let Some(next) = &review.next_list {
        lines.push(format!("list of releases {} after {}", next.version, review.current_list.version));
        let gone = review.current_list.targets.keys().filter(|name| !next.targets.contains_key(*name));
        lines.extend(gone.map(|name| format!("  WITHDRAWS {name}")));
        if let Some(manifest) = &review.manifest {
            lines.push(format!("  ADDS {}:", manifest.target_name()));
            lines.push(describe_release(manifest, false));
        }
    }
    lines
}

const ALL_ROLES: [RoleType; 4] = [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];

fn describe_roles(root: &Root, label: impl Fn(RoleType, &String) -> &'static str) -> Vec<String> {
    let role = |role| {
        let RoleKeyIds { ids, threshold } = keys_of_role(root, role);
        let ids: Vec<String> = ids.iter().map(|id| format!("{} {}", label(role, id), short_key_id(id))).collect();
        format!("  {role}: {} ({threshold} must sign)", ids.join(", "))
    };
    ALL_ROLES.into_iter().map(role).collect()
}

pub(super) async fn send(args: &SendArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let Some(file) = &args.file else { return restore_roots(args, given).await };
    let action = || format!("send {}", file.display());
    let (path, profile) = profile::load(given).with_context(action)?;
    let client = client_of(&profile).with_context(action)?;
    let request = SigningRequest::read(file).with_context(action)?;
    let missing = request.missing_signatures().with_context(action)?;
    if !missing.is_empty() {
        let wrong = missing.iter().map(describe_missing).collect::<Vec<_>>().join("; ");
        let next = format!("have it signed first: banyan keys sign {} --key DIR", file.display());
        return Err(Failure::new(action(), wrong, next).with_exit(Exit::Unsigned));
    }
    for folder in &args.keys {
        // A folder that has not recorded anything yet may have no root. The file is then about the first root.
        request.review(folder).with_context(action)?;
    }
    if let Some(first) = request.first_root_digest() {
        check_root_of_profile(&profile, first, action)?;
    }
    let done = complete_request::submit_complete(&client, &request, &args.keys, action).await?;
    if let Some(first) = request.first_root_digest() {
        let profile = Profile { root: Some(first), ..profile };
        profile::save(&path, &profile).with_context(|| "note the root in the profile".into())?;
    }
    done.print(args.output, "accepted by the server")
}

/// Checks that the profile has no root yet, or the same one.
pub(super) fn check_root_of_profile(
    profile: &Profile,
    first: Digest,
    action: impl Fn() -> String,
) -> Result<(), Failure> {
    match profile.root.filter(|root| *root != first) {
        None => Ok(()),
        Some(other) => Err(Failure::new(
            action(),
            format!("the profile already names another root ({})", other.short()),
            "use the key folder that the other root was created from; enrolled machines trust only that root",
        )),
    }
}

/// Registers the roots that the folder has recorded and a restored server has lost.
async fn restore_roots(args: &SendArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "restore the server's missing roots".to_owned();
    let client = connect(given, action)?;
    let state =
        verified_state::load_recorded_state(args.keys.first().map_or(std::path::Path::new("."), PathBuf::as_path))
            .with_context(action)?;
    let shown = client.targets().await.with_context(action)?.roots.len();
    let last = state.roots.len();
    for (version, root) in state.roots.iter().enumerate().skip(shown) {
        let list = state.list.clone().filter(|_| version + 1 == last);
        let alone = client.register_root(&RegisterRoot { root: root.clone(), targets: None }).await;
        if let (Err(_), Some(list)) = (&alone, list) {
            client
                .register_root(&RegisterRoot { root: root.clone(), targets: Some(list) })
                .await
                .with_context(action)?;
        } else {
            alone.with_context(action)?;
        }
    }
    let given = last.saturating_sub(shown);
    args.output.print(&given, |given| format!("{given} restored"))?;
    Ok(Exit::Success)
}
