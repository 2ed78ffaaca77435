//! `banyan keys add|rotate|revoke|renew`: derives the next root of trust from the current one.

use super::finish::{Signing, finish, known};
use crate::{
    client::Client,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, say},
};
use banyan_proto::UnixSeconds;
use banyan_publisher::{
    PublisherError, Request,
    keys::{self, Public, Role},
    lists,
    roots::{self, Change, holders, kind},
    trusted::Known,
};
use std::path::PathBuf;
use tough::sign::Sign as _;

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
    signing: Signing,
    #[command(flatten)]
    json: Json,
}

/// The keys to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rotated {
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
    #[arg(long, value_enum, default_value_t = Rotated::All)]
    role: Rotated,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    json: Json,
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
    signing: Signing,
    #[command(flatten)]
    json: Json,
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
    signing: Signing,
    #[command(flatten)]
    json: Json,
}

pub(super) async fn add(client: &Client, args: &AddArgs) -> Result<Exit, Failure> {
    let tried = || format!("add a {} key", args.role.name());
    let known = known(client, &args.signing, tried).await?;
    let mut changes = match &args.from {
        Some(path) => {
            let public = Public::read(path).tried(tried)?;
            let keys = public.of(args.role).to_vec();
            if keys.is_empty() {
                let wrong = format!("{} contains no {} key", path.display(), args.role.name());
                return Err(Failure::new(tried(), wrong, "pass a public.json that `banyan keys generate` wrote"));
            }
            keys.into_iter().map(|key| Change::Add(args.role, key)).collect()
        }
        None => {
            let (path, pair) = keys::make_one(args.signing.first(), args.role).tried(tried)?;
            say(&format!("created {}; keep a copy in a safe place", path.display()));
            vec![Change::Add(args.role, pair.tuf_key())]
        }
    };
    changes.extend(args.threshold.map(|threshold| Change::Threshold(args.role, threshold.into())));
    let done = change(client, &known, &changes, false, &args.signing, tried).await?;
    done.answer(args.json, "the key can now sign")
}

pub(super) async fn rotate(client: &Client, args: &RotateArgs) -> Result<Exit, Failure> {
    let tried = || "replace keys".to_owned();
    let known = known(client, &args.signing, tried).await?;
    let roles: &[Role] = match args.role {
        Rotated::Targets => &[Role::Targets],
        Rotated::Root => &[Role::Root],
        Rotated::All => &[Role::Root, Role::Targets],
        Rotated::Online => &[],
    };
    let mut changes = vec![];
    if args.role == Rotated::Online {
        let info = client.info().await.tried(tried)?;
        changes.push(Change::Online(roots::online_keys(&info).tried(tried)?));
    }
    for folder in &args.signing.keys {
        for &role in roles {
            let present = holders(&known.root, kind(role)).0;
            for (_, pair) in keys::load(role, folder).tried(tried)? {
                let id = keys::id(&pair.tuf_key()).tried(tried)?;
                if present.contains(&id) {
                    let (path, new) = keys::make_one(folder, role).tried(tried)?;
                    say(&format!("created {}; keep a copy in a safe place", path.display()));
                    changes.extend([Change::Add(role, new.tuf_key()), Change::Remove(id)]);
                }
            }
        }
    }
    if changes.is_empty() {
        let wrong = "the root names none of the keys in these folders";
        return Err(Failure::new(tried(), wrong, "check which keys the root names with `banyan keys list --key DIR`"));
    }
    let done = change(client, &known, &changes, false, &args.signing, tried).await?;
    done.answer(args.json, "the new keys are now in use")
}

pub(super) async fn revoke(client: &Client, args: &RevokeArgs) -> Result<Exit, Failure> {
    let tried = || format!("revoke {}", args.ids.join(", "));
    let known = known(client, &args.signing, tried).await?;
    let mut changes: Vec<Change> = args.ids.iter().cloned().map(Change::Remove).collect();
    if let Some(threshold) = args.threshold {
        let of = |role: Role| {
            let ids = holders(&known.root, kind(role)).0;
            ids.iter().any(|id| args.ids.iter().any(|wanted| id.starts_with(&wanted.to_lowercase())))
        };
        let roles = [Role::Root, Role::Targets].into_iter().filter(|role| of(*role));
        changes.extend(roles.map(|role| Change::Threshold(role, threshold.into())));
    }
    let done = change(client, &known, &changes, false, &args.signing, tried).await?;
    done.answer(args.json, "revoked; new signatures by it are refused")
}

pub(super) async fn renew(client: &Client, args: &RenewArgs) -> Result<Exit, Failure> {
    let tried = || "sign again".to_owned();
    let known = known(client, &args.signing, tried).await?;
    let done = match args.only {
        Some(Role::Targets) => {
            let list = lists::again(&known, UnixSeconds::now()).tried(tried)?;
            let request = Request::next(&known, None, Some(list)).tried(tried)?;
            finish(client, request, &args.signing, tried).await?
        }
        only => change(client, &known, &[], only.is_none(), &args.signing, tried).await?,
    };
    done.answer(args.json, "renewed for another year")
}

/// Creates the next root. Signs the list of releases again on request, or if the new root would reject its signatures.
async fn change(
    client: &Client,
    known: &Known,
    changes: &[Change],
    with_list: bool,
    signing: &Signing,
    tried: impl Fn() -> String,
) -> Result<super::finish::Finished, Failure> {
    let make = || -> Result<Request, PublisherError> {
        let now = UnixSeconds::now();
        let next = roots::next(&known.root, changes, now)?;
        let list = match &known.list {
            Some(list) if with_list || !is_signed_under(&next, list)? => Some(lists::again(known, now)?),
            _ => None,
        };
        Request::next(known, Some(next), list)
    };
    let request = make().tried(&tried)?;
    finish(client, request, signing, tried).await
}

/// Returns whether a list has enough signatures by the keys that a root names.
fn is_signed_under(root: &tough::schema::Root, list: &str) -> Result<bool, PublisherError> {
    let text = banyan_tuf_signing::unsigned(root.clone())?;
    let signed = banyan_trust::valid_signers(&text, Role::Targets.name(), list).map_err(PublisherError::Untrusted)?;
    Ok(signed.len() as u64 >= holders(root, kind(Role::Targets)).1)
}
