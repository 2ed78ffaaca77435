//! The access tokens of persons. Their hashes are in memory, so that a revoked token is refused from that moment on.

use crate::{
    access::scope::Scope,
    refusal::Refusal,
    store::{AccessTokenRow, NewAccessToken, Store, is_same_name},
};
use banyan_proto::{
    Digest, Reason, UnixSeconds,
    access::{
        Access, AccessCreated, AccessToken, DEFAULT_LIFETIME_SECONDS, LONGEST_LIFETIME_SECONDS, NewAccess, Role, SETUP,
    },
    limits, text,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing::{info, warn};

/// Most tokens that are valid at once.
const MAX_TOKENS: usize = 10_000;
/// Most groups of a token.
const MAX_GROUPS: usize = 64;
/// How long a use of a token stands for later ones (seconds).
const USE_SECONDS: u64 = 60;
/// What the server itself is called in the audit log, so that no person can be.
const RESERVED: [&str; 2] = [SETUP, "system"];

/// Who asks: a person with one of their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) access: Access,
    pub(crate) scope: Scope,
}

impl Identity {
    fn new(access: Access) -> Self {
        Self { scope: Scope::of(&access.groups), access }
    }
}

struct ValidToken {
    identity: Arc<Identity>,
    /// When it was used last, as stored; 0: never.
    used: AtomicU64,
}

impl ValidToken {
    fn new(access: Access) -> Self {
        let used = AtomicU64::new(access.last_used.map_or(0, |at| at.0));
        Self { identity: Arc::new(Identity::new(access)), used }
    }
}

/// The access tokens.
pub(crate) struct AccessTokens {
    store: Arc<dyn Store>,
    /// Those that are not revoked, by the hash of the token.
    valid: RwLock<HashMap<Digest, ValidToken>>,
    /// Held while one is created.
    creating: tokio::sync::Mutex<()>,
}

/// Returns what lists say of the token in the server's own profile.
fn setup_access() -> Access {
    Access {
        id: 0,
        person: SETUP.into(),
        token: "admin.toml".into(),
        role: Role::Owner,
        groups: vec![],
        created: None,
        created_by: None,
        expires: None,
        last_used: None,
        revoked: None,
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.trim() != name || name.len() > limits::LABEL_BYTES || text::has_hidden(name) {
        let most = limits::LABEL_BYTES;
        return Err(Refusal::bad(format!(
            "{name:?} cannot be the name of a {what}: it has 1 to {most} bytes, no control or hidden character, and no \
             space at its ends"
        )));
    }
    Ok(())
}

impl AccessTokens {
    /// `setup` is the hash of the token in the server's own profile.
    pub(crate) fn new(rows: Vec<AccessTokenRow>, setup: Digest, store: Arc<dyn Store>) -> Self {
        let valid = rows.into_iter().filter(|row| row.access.revoked.is_none());
        let mut valid: HashMap<_, _> = valid.map(|row| (row.hash, ValidToken::new(row.access))).collect();
        valid.insert(setup, ValidToken::new(setup_access()));
        Self { store, valid: RwLock::new(valid), creating: tokio::sync::Mutex::default() }
    }
    /// Returns whose token this is, if it is valid. Its hash is looked up, so the time that this takes tells nothing about
    /// the tokens.
    pub(crate) fn authenticate(self: &Arc<Self>, token: &str, now: UnixSeconds) -> Option<Arc<Identity>> {
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
        let found = valid.get(&Digest::of(token.as_bytes()))?;
        let identity = Arc::clone(&found.identity);
        if identity.access.expires.is_some_and(|expires| now >= expires) {
            return None;
        }
        let used = found.used.load(Ordering::Relaxed);
        if now.0 >= used.saturating_add(USE_SECONDS)
            && found.used.compare_exchange(used, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && identity.access.id != 0
        {
            let (this, id) = (Arc::clone(self), identity.access.id);
            tokio::spawn(async move {
                if let Err(error) = this.store.record_access_use(id, now).await {
                    warn!("failed to record the use of an access token: {error}");
                }
            });
        }
        Some(identity)
    }
    /// Returns all tokens, also revoked and expired ones.
    pub(crate) async fn all(&self) -> Result<Vec<Access>, Refusal> {
        let stored = self.store.access_tokens().await?.into_iter().map(|row| row.access);
        Ok(std::iter::once(setup_access()).chain(stored).collect())
    }
    /// Returns the tokens that are limited to this group, as `PERSON/TOKEN`.
    pub(crate) fn limited_to(&self, group: &str, now: UnixSeconds) -> Vec<String> {
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
        let accesses = valid.values().map(|token| &token.identity.access);
        let accesses = accesses.filter(|access| access.expires.is_none_or(|expires| now < expires));
        let limited = accesses.filter(|access| access.groups.iter().any(|own| is_same_name(own, group)));
        let mut names: Vec<String> = limited.map(|access| format!("{}/{}", access.person, access.token)).collect();
        names.sort_unstable();
        names
    }
    /// Creates a token for a person.
    pub(crate) async fn create(
        &self,
        creator: &Access,
        wanted: &NewAccess,
        now: UnixSeconds,
    ) -> Result<AccessCreated, Refusal> {
        let token_name = wanted.token.as_deref().unwrap_or("default");
        check_name("person", &wanted.person)?;
        check_name("token", token_name)?;
        // Lists and the audit log write PERSON/TOKEN and system:PART.
        if let Some(name) = [wanted.person.as_str(), token_name].into_iter().find(|name| name.contains([':', '/'])) {
            return Err(Refusal::bad(format!(
                "{name:?} has a colon or a slash, which names of persons and tokens cannot have"
            )));
        }
        if RESERVED.iter().any(|name| is_same_name(name, &wanted.person)) {
            return Err(Refusal::bad(format!("{:?} is not a person: the server uses this name", wanted.person)));
        }
        check_groups(wanted)?;
        let lifetime = wanted.expires_seconds.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        if lifetime == 0 || lifetime > LONGEST_LIFETIME_SECONDS {
            let days = LONGEST_LIFETIME_SECONDS / (24 * 3600);
            return Err(Refusal::bad(format!(
                "an access token is valid for at least a second, and for {days} days at most"
            )));
        }
        let mut expires = now.plus(lifetime);
        if wanted.role == Role::Owner {
            // Who steals an owner's token must not stay an owner for longer than it is valid.
            let latest = creator.expires.unwrap_or(expires);
            if expires > latest && wanted.expires_seconds.is_some() {
                return Err(Refusal::forbidden(
                    Reason::NotAllowed,
                    "an owner's token is valid at most as long as the token that creates it; use the profile of the \
                     server itself (admin.toml), which does not expire, or a shorter time",
                ));
            }
            expires = expires.min(latest);
        }
        let _creating = self.creating.lock().await;
        let present: Vec<Access> = {
            let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
            valid.values().map(|token| token.identity.access.clone()).collect()
        };
        if present.len() >= MAX_TOKENS {
            let detail = format!("there are {MAX_TOKENS} access tokens already; revoke those that are not used");
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        }
        let same_person = present.iter().find(|access| is_same_name(&access.person, &wanted.person));
        // The spelling that is in use: approvals compare persons.
        let person = same_person.map_or(&wanted.person, |access| &access.person).clone();
        if let Some(old) = present.iter().find(|access| {
            is_same_name(&access.person, &person)
                && is_same_name(&access.token, token_name)
                && access.expires.is_some_and(|expires| now < expires)
        }) {
            return Err(Refusal::conflict(
                Reason::BadRequest,
                format!(
                    "{} has a token {:?} already; revoke it first, or give this one another name with --token",
                    old.person, old.token
                ),
            ));
        }
        let secret = AccessToken::random();
        let row = NewAccessToken {
            hash: secret.hash(),
            person: &person,
            token: token_name,
            role: wanted.role,
            groups: &wanted.groups,
            created: now,
            created_by: &creator.person,
            expires,
        };
        let row = self.store.add_access_token(row).await?;
        info!(person, token = token_name, role = %wanted.role, by = creator.person, "access token created");
        let access = row.access.clone();
        self.valid.write().unwrap_or_else(PoisonError::into_inner).insert(row.hash, ValidToken::new(row.access));
        Ok(AccessCreated { access, secret: secret.secret().clone() })
    }
    /// Revokes a token. Requests that come afterwards are refused. Returns what it was.
    pub(crate) async fn revoke(&self, id: u64, now: UnixSeconds) -> Result<Access, Refusal> {
        if id == 0 {
            let detail = "the token of the server's own profile cannot be revoked over the network; on the server, delete \
                          keys/admin.token in its data folder and start it again, which writes a new admin.toml";
            return Err(Refusal::conflict(Reason::BadRequest, detail));
        }
        let found = self.store.access_tokens().await?.into_iter().find(|row| row.access.id == id);
        let row = found.ok_or_else(|| Refusal::not_found(format!("there is no access token {id}")))?;
        // First in memory: it must not be accepted while the disk is slow.
        self.valid.write().unwrap_or_else(PoisonError::into_inner).remove(&row.hash);
        self.store.revoke_access_token(id, now).await?;
        info!(person = row.access.person, token = row.access.token, "access token revoked");
        Ok(row.access)
    }
}

fn check_groups(wanted: &NewAccess) -> Result<(), Refusal> {
    if wanted.groups.is_empty() {
        return Ok(());
    }
    if !wanted.role.can_be_scoped() {
        let role = wanted.role;
        return Err(Refusal::bad(format!(
            "a token of the role {role} cannot be limited to groups: the role acts on what belongs to all machines"
        )));
    }
    if wanted.groups.len() > MAX_GROUPS {
        return Err(Refusal::bad(format!("a token is limited to {MAX_GROUPS} groups at most")));
    }
    wanted.groups.iter().try_for_each(|group| check_name("group", group))
}
