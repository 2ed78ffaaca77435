//! `banyan keys add|rotate|revoke|renew`: the next root, made from the present one.

use super::finish::{Signing, finish, known};
use crate::{
    client::Client,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, say},
    publisher::{
        PublisherError, Request,
        keys::{self, Public, Role},
        lists,
        roots::{self, Change, holders, kind},
        trusted::Known,
    },
};
use banyan_proto::UnixSeconds;
use std::path::PathBuf;
use tough::sign::Sign as _;

/// Let one more key sign
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys add --key keys --role targets                          a new key, made in that folder\n  \
    banyan keys add --key keys --role targets --from bob/public.json   a colleague's, who keeps the secret half\n  \
    banyan keys add --key keys --role targets --from bob/public.json --threshold 2\n\n\
    The new root must be signed with the present root keys. Where these are not all in the folders given, a file is\n\
    written for the others to sign (`banyan keys sign`). Machines follow by themselves.")]
pub(crate) struct AddArgs {
    /// What the key is to sign
    #[arg(long, value_enum)]
    role: Role,
    /// The public keys of somebody else: the public.json that `banyan keys generate` wrote there
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// How many keys of that role must sign from now on; as before unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    json: Json,
}

/// Which keys to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rotated {
    /// Those that sign releases
    Targets,
    /// Those that sign roots
    Root,
    /// Both
    All,
    /// The server's own (snapshot, timestamp), by those that it shows now
    Online,
}

/// Replace the keys in a folder by new ones
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys rotate --key keys                     all keys of that folder, root and targets\n  \
    banyan keys rotate --key keys --role targets      only those that sign releases\n  \
    banyan keys rotate --key keys --role online       after the server was set up with new keys of its own\n\n\
    New keys are made beside the old ones; the old ones sign them in, and are moved into the folder old.\n\
    Make a copy of the folder afterwards. A key that was stolen: see `banyan keys revoke --help`.")]
pub(crate) struct RotateArgs {
    /// Which keys
    #[arg(long, value_enum, default_value_t = Rotated::All)]
    role: Rotated,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    json: Json,
}

/// Let keys not sign any more: lost ones, stolen ones, those of people who have left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys list --key keys                     shows the ids\n  \
    banyan keys revoke 3fd1c2 --key keys            the first digits are enough\n  \
    banyan keys revoke 3fd1c2 --key keys --threshold 1\n\n\
    Where it is the only key of its role, add another one first (`banyan keys add`). What it has signed is signed again with\n\
    the keys that are left, so releases stay. Machines that are connected hear of it at once, the others when they come\n\
    back, before anything is installed.")]
pub(crate) struct RevokeArgs {
    /// The keys' ids, or the first digits of them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// How many of the keys that are left must sign from now on; as before unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: Option<u8>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    json: Json,
}

/// Sign root and list of releases again, for another year
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan keys renew --key keys                    both\n  \
    banyan keys renew --key keys --only targets     only the list of releases, where the root keys are in a safe\n\n\
    Root and list are believed for a year from the day they were signed (publishing signs the list, too). Afterwards\n\
    machines install nothing until they are renewed. `banyan doctor` warns 60 days ahead.")]
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
                let wrong = format!("{} holds no {} key", path.display(), args.role.name());
                return Err(Failure::new(tried(), wrong, "give a public.json that `banyan keys generate` wrote"));
            }
            keys.into_iter().map(|key| Change::Add(args.role, key)).collect()
        }
        None => {
            let (path, pair) = keys::make_one(args.signing.first(), args.role).tried(tried)?;
            say(&format!("made {}; keep a copy in a safe place", path.display()));
            vec![Change::Add(args.role, pair.tuf_key())]
        }
    };
    changes.extend(args.threshold.map(|threshold| Change::Threshold(args.role, threshold.into())));
    let done = change(client, &known, &changes, false, &args.signing, tried).await?;
    done.answer(args.json, "the key can sign from now on")
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
                    say(&format!("made {}; keep a copy in a safe place", path.display()));
                    changes.extend([Change::Add(role, new.tuf_key()), Change::Remove(id)]);
                }
            }
        }
    }
    if changes.is_empty() {
        let wrong = "no key in these folders is in the root";
        return Err(Failure::new(tried(), wrong, "`banyan keys list --key DIR` shows which keys the root names"));
    }
    let done = change(client, &known, &changes, false, &args.signing, tried).await?;
    done.answer(args.json, "the new keys sign from now on")
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
    done.answer(args.json, "revoked: what it signs from now on is refused")
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
    done.answer(args.json, "believed for another year")
}

/// The next root; with the list signed again where its signatures would not count any more, or where that is wanted.
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

/// Whether a list has enough signatures by the keys that a root names.
fn is_signed_under(root: &tough::schema::Root, list: &str) -> Result<bool, PublisherError> {
    let text = banyan_server::repository::signing::unsigned(root.clone())?;
    let signed = banyan_trust::signers(&text, Role::Targets.name(), list).map_err(PublisherError::Untrusted)?;
    Ok(signed.len() as u64 >= holders(root, kind(Role::Targets)).1)
}
