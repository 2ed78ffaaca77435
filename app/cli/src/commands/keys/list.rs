//! `banyan keys list`: who may sign what, until when, and which of these keys are on this computer.

use crate::commands::keys::complete_request::{Signing, known, short};
use crate::{
    api_client::Client,
    commands::signature_expiry,
    output::{Exit, Failure, Json, Tried as _, say, table},
};
use banyan_proto::UnixSeconds;
use banyan_publisher::{
    keys::{self, Role},
    roots::{holders, kind},
    verified_state::Known,
};
use serde::Serialize;
use std::path::PathBuf;
use tough::{schema::RoleType, sign::Sign as _};

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
    json: Json,
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct Listed {
    root: u64,
    root_expires: UnixSeconds,
    list: u64,
    list_expires: Option<UnixSeconds>,
    roles: Vec<ListedRole>,
}

#[derive(Debug, Serialize)]
struct ListedRole {
    role: String,
    threshold: u64,
    keys: Vec<ListedKey>,
}

#[derive(Debug, Serialize)]
struct ListedKey {
    id: String,
    /// The key file, if it is in one of the folders.
    file: Option<PathBuf>,
}

pub(super) async fn run(client: &Client, args: &ListArgs) -> Result<Exit, Failure> {
    let tried = || "list the keys".to_owned();
    let signing = Signing { keys: args.keys.clone(), out: None };
    let known = known(client, &signing, tried).await?;
    let mut here: Vec<(String, PathBuf)> = vec![];
    for folder in &args.keys {
        for role in [Role::Root, Role::Targets] {
            for (path, pair) in keys::load(role, folder).tried(tried)? {
                here.push((keys::id(&pair.tuf_key()).tried(tried)?, path));
            }
        }
    }
    let listed = listed(&known, &here);
    args.json.answer(&listed, text)?;
    signature_expiry::warnings(listed.root_expires, listed.list_expires, UnixSeconds::now())
        .iter()
        .for_each(|line| say(line));
    for (id, path) in &here {
        if !listed.roles.iter().any(|role| role.keys.iter().any(|key| key.id == *id)) {
            say(&format!("{} ({}) is not in the root, so its signatures do not count", path.display(), short(id)));
        }
    }
    Ok(Exit::Success)
}

fn listed(known: &Known, here: &[(String, PathBuf)]) -> Listed {
    let role = |role: RoleType| {
        let (ids, threshold) = holders(&known.root, role);
        let file = |id: &String| here.iter().find(|(found, _)| found == id).map(|(_, path)| path.clone());
        let keys = ids.into_iter().map(|id| ListedKey { file: file(&id), id }).collect();
        ListedRole { role: role.to_string(), threshold, keys }
    };
    Listed {
        root: known.root.version.get(),
        root_expires: signature_expiry::of_root(&known.root),
        list: known.published.version,
        list_expires: known.list.as_ref().map(|_| known.published.expires),
        roles: [kind(Role::Root), kind(Role::Targets), RoleType::Snapshot, RoleType::Timestamp].map(role).into(),
    }
}

fn text(listed: &Listed) -> String {
    let mut rows = vec![["ROLE", "KEY", "MUST SIGN", "WHERE"].map(str::to_owned).to_vec()];
    for role in &listed.roles {
        for key in &role.keys {
            let file = key.file.as_ref().map_or_else(|| "elsewhere".into(), |path| path.display().to_string());
            rows.push(vec![
                role.role.clone(),
                short(&key.id).into(),
                format!("{} of {}", role.threshold, role.keys.len()),
                file,
            ]);
        }
    }
    let list = listed.list_expires.map_or_else(
        || "no release yet".into(),
        |expires| format!("list {} until {}", listed.list, signature_expiry::date(expires)),
    );
    format!("{}root {} until {}, {list}\n", table(&rows), listed.root, signature_expiry::date(listed.root_expires))
}
