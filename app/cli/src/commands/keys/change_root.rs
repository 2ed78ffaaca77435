//! `banyan keys add|rotate|revoke|renew`: derives the next root of trust from the current one.

use crate::{
    api_client::ApiClient,
    commands::keys::complete_request::{SigningArgs, fetch_verified_state, sign_and_submit},
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note},
};
use banyan_proto::UnixSeconds;
use banyan_publisher::{
    PublisherError, SigningRequest,
    keys::{self, PublicKeys, Role},
    release_list,
    roots::{self, RootChange, keys_of_role},
    verified_state::VerifiedState,
};
use std::path::PathBuf;

/// Add a signing key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # A new key, created in that folder\n  \
    banyan keys add --key keys --role targets\n  \
    # A colleague's key; the colleague keeps the private half\n  \
    banyan keys add --key keys --role targets --from bob/public.json\n  \
    banyan keys add --key keys --role targets --from bob/public.json --threshold 2\n\n\
    The current root keys must sign the new root. If the given folders do not have\n\
    enough of them, a signing request is written for the other signers (`banyan keys\n\
    sign`). Machines follow the new root automatically.")]
pub(crate) struct AddArgs {
    /// What the key may sign
    #[arg(long, value_enum)]
    role: Role,
    /// Another signer's public keys: the public.json that `banyan keys generate` wrote
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Number of keys of that role that must sign from now on [default: unchanged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The keys to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RotatedKeys {
    /// Keys that sign releases
    Targets,
    /// Keys that sign roots
    Root,
    /// Both
    All,
    /// The server's own keys (snapshot, timestamp), replaced by its current ones
    Online,
}

/// Replace the keys in a folder with new ones
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # All keys of that folder, root and targets\n  \
    banyan keys rotate --key keys\n  \
    # Only the keys that sign releases\n  \
    banyan keys rotate --key keys --role targets\n  \
    # After the server was set up with new keys of its own\n  \
    banyan keys rotate --key keys --role online\n\n\
    New keys are created beside the previous ones, which sign the change and are\n\
    then moved into the folder old. Copy the key folder afterwards. If a key was\n\
    stolen, see `banyan keys revoke --help`.")]
pub(crate) struct RotateArgs {
    /// Keys to replace
    #[arg(long, value_enum, default_value_t = RotatedKeys::All)]
    role: RotatedKeys,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Revoke keys that were lost, stolen or belonged to someone who has left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Show the key ids\n  \
    banyan keys list --key keys\n  \
    # The first digits of an id are enough\n  \
    banyan keys revoke 3fd1c2 --key keys\n  \
    banyan keys revoke 3fd1c2 --key keys --threshold 1\n\n\
    If it is the only key of its role, add another one first (`banyan keys add`).\n\
    The remaining keys sign again what it signed, so releases stay available.\n\
    Connected machines are notified at once; the others learn of the change when\n\
    they reconnect, before they install anything.")]
pub(crate) struct RevokeArgs {
    /// Ids of the keys, or their first digits
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Number of the remaining keys that must sign from now on [default: unchanged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Sign the root and the list of releases again, for another year
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # Both\n  \
    banyan keys renew --key keys\n  \
    # Only the list of releases, if the root keys are in a safe\n  \
    banyan keys renew --key keys --only targets\n\n\
    The root and the list are valid for a year after signing. Publishing signs the\n\
    list, too. After that, machines install nothing until both are renewed. `banyan\n\
    doctor` warns 60 days ahead.")]
pub(crate) struct RenewArgs {
    /// Only one of the two
    #[arg(long, value_enum, value_name = "ROLE")]
    only: Option<Role>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn add(client: &ApiClient, args: &AddArgs) -> Result<Exit, Failure> {
    let action = || format!("add a {} key", args.role.name());
    let state = fetch_verified_state(client, &args.signing, action).await?;
    let mut changes = match &args.from {
        Some(path) => {
            let public = PublicKeys::read(path).with_context(action)?;
            let keys = public.for_role(args.role).to_vec();
            if keys.is_empty() {
                let wrong = format!("{} contains no {} key", path.display(), args.role.name());
                return Err(Failure::new(action(), wrong, "pass a public.json that `banyan keys generate` wrote"));
            }
            keys.into_iter().map(|key| RootChange::Add(args.role, key)).collect()
        }
        None => {
            let key = keys::create_key(args.signing.trusted_folder(), args.role).with_context(action)?;
            print_note(&format!("created {}; keep a copy in a safe place", key.path.display()));
            vec![RootChange::Add(args.role, key.public_key())]
        }
    };
    changes.extend(args.threshold.map(|threshold| RootChange::Threshold(args.role, threshold.into())));
    let done = change(client, &state, &changes, false, &args.signing, action).await?;
    done.print(args.output, "the key can now sign")
}

pub(super) async fn rotate(client: &ApiClient, args: &RotateArgs) -> Result<Exit, Failure> {
    let action = || "replace keys".to_owned();
    let state = fetch_verified_state(client, &args.signing, action).await?;
    let roles: &[Role] = match args.role {
        RotatedKeys::Targets => &[Role::Targets],
        RotatedKeys::Root => &[Role::Root],
        RotatedKeys::All => &[Role::Root, Role::Targets],
        RotatedKeys::Online => &[],
    };
    let mut changes = vec![];
    if args.role == RotatedKeys::Online {
        let info = client.info().await.with_context(action)?;
        changes.push(RootChange::Online(roots::parse_online_keys(&info).with_context(action)?));
    }
    for folder in &args.signing.keys {
        for &role in roles {
            let present = keys_of_role(&state.root, role.role_type()).ids;
            for old in keys::load_keys(role, folder).with_context(action)? {
                let id = old.id().with_context(action)?;
                if present.contains(&id) {
                    let new = keys::create_key(folder, role).with_context(action)?;
                    print_note(&format!("created {}; keep a copy in a safe place", new.path.display()));
                    changes.extend([RootChange::Add(role, new.public_key()), RootChange::Remove(id)]);
                }
            }
        }
    }
    if changes.is_empty() {
        let wrong = "the root names none of the keys in these folders";
        return Err(Failure::new(action(), wrong, "check which keys the root names with `banyan keys list --key DIR`"));
    }
    let done = change(client, &state, &changes, false, &args.signing, action).await?;
    done.print(args.output, "the new keys are now in use")
}

pub(super) async fn revoke(client: &ApiClient, args: &RevokeArgs) -> Result<Exit, Failure> {
    let action = || format!("revoke {}", args.ids.join(", "));
    let state = fetch_verified_state(client, &args.signing, action).await?;
    let mut changes: Vec<RootChange> = args.ids.iter().cloned().map(RootChange::Remove).collect();
    if let Some(threshold) = args.threshold {
        let of = |role: Role| {
            let ids = keys_of_role(&state.root, role.role_type()).ids;
            ids.iter().any(|id| args.ids.iter().any(|wanted| id.starts_with(&wanted.to_lowercase())))
        };
        let roles = [Role::Root, Role::Targets].into_iter().filter(|role| of(*role));
        changes.extend(roles.map(|role| RootChange::Threshold(role, threshold.into())));
    }
    let done = change(client, &state, &changes, false, &args.signing, action).await?;
    done.print(args.output, "revoked; new signatures by it are refused")
}

pub(super) async fn renew(client: &ApiClient, args: &RenewArgs) -> Result<Exit, Failure> {
    let action = || "sign again".to_owned();
    let state = fetch_verified_state(client, &args.signing, action).await?;
    let done = match args.only {
        Some(Role::Targets) => {
            let list = release_list::renew_list(&state, UnixSeconds::now()).with_context(action)?;
            let request = SigningRequest::for_changes(&state, None, Some(list)).with_context(action)?;
            sign_and_submit(client, request, &args.signing, action).await?
        }
        only => change(client, &state, &[], only.is_none(), &args.signing, action).await?,
    };
    done.print(args.output, "renewed for another year")
}

/// Creates the next root. Signs the list of releases again on request, or if the new root would reject its signatures.
async fn change(
    client: &ApiClient,
    state: &VerifiedState,
    changes: &[RootChange],
    with_list: bool,
    signing: &SigningArgs,
    action: impl Fn() -> String,
) -> Result<crate::commands::keys::complete_request::SigningOutcome, Failure> {
    let make = || -> Result<SigningRequest, PublisherError> {
        let now = UnixSeconds::now();
        let next = roots::create_next_root(&state.root, changes, now)?;
        let list = match &state.list {
            Some(list) if with_list || !is_signed_under(&next, list)? => Some(release_list::renew_list(state, now)?),
            _ => None,
        };
        SigningRequest::for_changes(state, Some(next), list)
    };
    let request = make().with_context(&action)?;
    sign_and_submit(client, request, signing, action).await
}

/// Returns whether a list has enough signatures by the keys that a root names.
fn is_signed_under(root: &tough::schema::Root, list: &str) -> Result<bool, PublisherError> {
    let text = banyan_tuf_signing::unsigned(root.clone())?;
    let signed = banyan_trust::valid_signers(&text, Role::Targets.name(), list).map_err(PublisherError::Untrusted)?;
    Ok(signed.len() as u64 >= keys_of_role(root, Role::Targets.role_type()).threshold)
}
