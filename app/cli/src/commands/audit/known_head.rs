//! The newest head of a server's audit log that this computer knows. It is in a file beside the profile, named by the
//! server's CA, so that somebody who can change the server cannot change it.

use crate::{
    api_client::ApiClient,
    output::{Exit, Failure, WithContext as _},
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Digest,
    audit::{AuditHead, KnownHead, TreeHead},
    merkle,
};
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The folder of remembered heads, beside the profile.
const FOLDER: &str = "audit-heads";
const NEXT: &str = "find out who changed the server's database; if the server was restored from a backup, accept its log \
                    with `banyan audit head --replace`";

/// Returns the path of the head of the server with this CA.
fn path_of(profile: &Path, ca: Digest) -> PathBuf {
    profile.parent().unwrap_or(Path::new("")).join(FOLDER).join(format!("{ca}.json"))
}

/// Reads a head from a file.
pub(super) fn read(path: &Path) -> Result<KnownHead, String> {
    let text = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{} is no head of an audit log: {error}", path.display()))
}

/// Returns the head that is remembered for the profile's server, if there is one.
pub(super) fn remembered(given: &ProfileArg) -> Result<Option<KnownHead>, String> {
    let Ok((profile, found)) = profile::load(given) else { return Ok(None) };
    let path = path_of(&profile, found.ca);
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

fn write(path: &Path, known: &KnownHead) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(known).map_err(io::Error::other)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Says what contradicts what is known of a log, if anything does.
fn contradiction(known: &KnownHead, new: &AuditHead) -> Result<(), String> {
    let old = known.head.verify(&known.keys).map_err(|error| format!("the remembered head is damaged: {error}"))?;
    let TreeHead { server, size, root, .. } = new
        .head
        .verify(&known.keys)
        .map_err(|error| format!("its head is not signed with the key that this computer knows: {error}"))?;
    if server != old.server {
        return Err("its head belongs to another server".into());
    }
    if size < old.size {
        let missing = old.size - size;
        return Err(format!("it had {} rows and has {size} now: {missing} rows are missing", old.size));
    }
    if merkle::is_consistent(old.size, old.root, size, root, &new.consistency) {
        Ok(())
    } else {
        Err(format!("its first {} rows are not those that it had before", old.size))
    }
}

/// Fetches the server's newest head, checks it against the remembered one, and remembers it. With `replace`, it is
/// remembered in any case.
pub(super) async fn check(
    client: &ApiClient,
    given: &ProfileArg,
    replace: bool,
) -> Result<(KnownHead, TreeHead), Failure> {
    let action = || "check the server's audit log".to_owned();
    let (profile, found) = profile::load(given).with_context(action)?;
    let path = path_of(&profile, found.ca);
    let failure = |cause: String| Failure::new(action(), cause, NEXT).with_exit(Exit::Refused);
    let known = if path.exists() && !replace { Some(read(&path).map_err(failure)?) } else { None };
    let size = match &known {
        Some(known) => known.head.verify(&known.keys).map_err(|error| failure(error.to_string()))?.size,
        None => 0,
    };
    let new = client.audit_head(size).await.with_context(action)?;
    if let Some(known) = &known {
        contradiction(known, &new).map_err(|wrong| failure(format!("the log was changed: {wrong}")))?;
    }
    let head = new.head.verify(&new.keys).map_err(|error| failure(error.to_string()))?;
    // The keys that were known first stay: they verified the new head.
    let keys = known.map_or(new.keys, |known| known.keys);
    let known = KnownHead { head: new.head, keys };
    write(&path, &known).map_err(|error| failure(format!("cannot write {}: {error}", path.display())))?;
    Ok((known, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{MachineId, SigningKey, UnixSeconds, merkle::TreeHash, signed::KeyRing};

    #[test]
    fn a_log_that_does_not_begin_with_what_it_was_is_noticed() {
        let (key, other) = (SigningKey::generate().0, SigningKey::generate().0);
        let leaves: Vec<TreeHash> = (0_u8..9).map(|number| merkle::leaf(&[number])).collect();
        let head = |leaves: &[TreeHash], server: u8| TreeHead {
            server: MachineId([server; 16]),
            size: leaves.len() as u64,
            root: merkle::root(leaves),
            at: UnixSeconds(1),
        };
        let keys = KeyRing(vec![key.public()]);
        let known = KnownHead { head: key.sign(&head(&leaves[..5], 1)), keys: keys.clone() };
        let answer = |key: &SigningKey, leaves: &[TreeHash], server| AuditHead {
            head: key.sign(&head(leaves, server)),
            keys: keys.clone(),
            consistency: merkle::prove_consistency(leaves, 5),
        };
        for size in 5..=9 {
            assert_eq!(contradiction(&known, &answer(&key, &leaves[..size], 1)), Ok(()));
        }
        let wrong = |answer| contradiction(&known, &answer).unwrap_err();
        assert!(wrong(answer(&key, &leaves[..4], 1)).contains("1 rows are missing"));
        assert!(wrong(answer(&key, &[], 1)).contains("5 rows are missing"));
        let mut changed = leaves.clone();
        changed[2] = merkle::leaf(b"edited");
        assert!(wrong(answer(&key, &changed, 1)).contains("first 5 rows are not those"));
        assert!(wrong(answer(&key, &changed[..5], 1)).contains("first 5 rows are not those"));
        assert!(wrong(answer(&other, &leaves, 1)).contains("not signed with the key"));
        assert!(wrong(answer(&key, &leaves, 2)).contains("another server"));
    }
}
