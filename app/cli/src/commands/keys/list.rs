//! `banyan keys list`: who may sign what, until when, and which of these keys are on this computer.

use crate::{
    api_client::ApiClient,
    commands::{
        keys::complete_request::{SigningArgs, fetch_verified_state, short_key_id},
        signature_expiry,
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, format_table, print_note},
};
use banyan_proto::UnixSeconds;
use banyan_publisher::{
    keys::{self, Role},
    roots::{RoleKeyIds, keys_of_role},
    verified_state::VerifiedState,
};
use serde::Serialize;
use std::path::PathBuf;
use tough::schema::RoleType;

/// Show which keys may sign what, and when root and list expire
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # The ids are what `banyan keys revoke` takes\n  \
    banyan keys list --key keys\n  \
    # For scripts\n  \
    banyan keys list --key keys --json")]
pub(crate) struct ListArgs {
    /// Folder with keys; its root decides what is trusted of the server
    #[arg(long = "key", value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct KeyList {
    root: u64,
    root_expires: UnixSeconds,
    list: u64,
    list_expires: Option<UnixSeconds>,
    roles: Vec<RoleEntry>,
}

#[derive(Debug, Serialize)]
struct RoleEntry {
    role: String,
    threshold: u64,
    keys: Vec<KeyEntry>,
}

#[derive(Debug, Serialize)]
struct KeyEntry {
    id: String,
    /// The key file, if it is in one of the folders.
    file: Option<PathBuf>,
}

pub(super) async fn run(client: &ApiClient, args: &ListArgs) -> Result<Exit, Failure> {
    let action = || "list the keys".to_owned();
    let signing = SigningArgs { keys: args.keys.clone(), out: None };
    let state = fetch_verified_state(client, &signing, action).await?;
    let mut here: Vec<(String, PathBuf)> = vec![];
    for folder in &args.keys {
        for role in [Role::Root, Role::Targets] {
            for key in keys::load_keys(role, folder).with_context(action)? {
                here.push((key.id().with_context(action)?, key.path));
            }
        }
    }
    let listed = build_list(&state, &here);
    args.output.print(&listed, format_list)?;
    signature_expiry::expiry_warnings(listed.root_expires, listed.list_expires, UnixSeconds::now())
        .iter()
        .for_each(|line| print_note(line));
    for (id, path) in &here {
        if !listed.roles.iter().any(|role| role.keys.iter().any(|key| key.id == *id)) {
            print_note(&format!(
                "{} ({}) is not in the root, so its signatures do not count",
                path.display(),
                short_key_id(id)
            ));
        }
    }
    Ok(Exit::Success)
}

fn build_list(state: &VerifiedState, here: &[(String, PathBuf)]) -> KeyList {
    let role = |role: RoleType| {
        let RoleKeyIds { ids, threshold } = keys_of_role(&state.root, role);
        let file = |id: &String| here.iter().find(|(found, _)| found == id).map(|(_, path)| path.clone());
        let keys = ids.into_iter().map(|id| KeyEntry { file: file(&id), id }).collect();
        RoleEntry { role: role.to_string(), threshold, keys }
    };
    KeyList {
        root: state.root.version.get(),
        root_expires: signature_expiry::root_expiry(&state.root),
        list: state.published.version,
        list_expires: state.list.as_ref().map(|_| state.published.expires),
        roles: [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp].map(role).into(),
    }
}

fn format_list(listed: &KeyList) -> String {
    let mut rows = vec![["ROLE", "KEY", "MUST SIGN", "WHERE"].map(str::to_owned).to_vec()];
    for role in &listed.roles {
        for key in &role.keys {
            let file = key.file.as_ref().map_or_else(|| "elsewhere".into(), |path| path.display().to_string());
            rows.push(vec![
                role.role.clone(),
                short_key_id(&key.id).into(),
                format!("{} of {}", role.threshold, role.keys.len()),
                file,
            ]);
        }
    }
    let list = listed.list_expires.map_or_else(
        || "no release yet".into(),
        |expires| format!("list {} until {}", listed.list, signature_expiry::format_date(expires)),
    );
    format!(
        "{}root {} until {}, {list}\n",
        format_table(&rows),
        listed.root,
        signature_expiry::format_date(listed.root_expires)
    )
}
