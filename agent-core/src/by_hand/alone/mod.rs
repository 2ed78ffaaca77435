//! Packages opened by hand on an agent that belongs to a person and to no server: the publishers' signature and the
//! person's word stand in for the order (rules N10, N11).
//!
//! Only in per-user mode, without root and without any other way to rights: whatever a person opens here can do no more
//! than a program that they start themselves. What they said to trust is kept, synced, before anything is done because of
//! it, and again by the installer, which checks everything once more. One package at a time; what was begun is given to
//! the installer again after a crash, and told to its end like every update ([`order`]).
//!
//! When the machine enrols, this ends: the server's root and orders hold from then on ([`Alone::end`]).

mod closed;
mod enrolled;
mod order;

pub(crate) use enrolled::{learned, retire};

use super::{
    Looked, look_alone,
    take::{self, Incoming, has_room, has_size, head_of, turn},
};
use crate::{
    for_one::refused,
    installer::{
        client::{self, BelieveError, Launcher},
        has_privileges,
    },
    local::Body,
    orders::lock,
    people::People,
    state::StateError,
};
use banyan_proto::{
    DeploymentId, Digest, Reason, UnixSeconds,
    api::ApiError,
    local::{Mode, Package, Right, Snapshot, TrustedSigner},
};
use banyan_trust::{PersonalTrust, package::Head};
use order::AloneOrder;
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::OwnedMutexGuard, time::timeout};
use tracing::info;

/// The record of whom the person trusts.
const TRUST: &str = "personal trust";
/// The record of what they had installed.
const ORDERS: &str = "personal orders";
/// Who asks while the last steps of an install are taken is not sent away.
const SOON: Duration = Duration::from_secs(5);

/// Where the agent without a server is, and what it may.
pub(crate) struct Alone {
    people: Arc<People>,
    /// Where content is.
    folder: PathBuf,
    platform: String,
    launcher: Launcher,
    /// Why nothing is installed without an order here; none: it is.
    closed: Option<ApiError>,
    trust: Mutex<PersonalTrust>,
    /// Newest last.
    orders: Mutex<Vec<AloneOrder>>,
    /// Held while something is installed, or the machine enrols.
    work: Arc<tokio::sync::Mutex<()>>,
    ended: AtomicBool,
}

/// Nothing is installed here while it lives.
pub(crate) struct Quiet(#[expect(dead_code, reason = "it is held for its end")] OwnedMutexGuard<()>);

impl Alone {
    /// What an earlier run left. With how the installer is started goes whether that may give it rights.
    ///
    /// # Errors
    /// When the database fails or a record is damaged: what was known of older versions would be lost.
    pub(crate) fn open(
        people: Arc<People>,
        folder: PathBuf,
        (launcher, may_have_rights): (Launcher, bool),
        mode: Mode,
    ) -> Result<Arc<Self>, StateError> {
        let state = people.state();
        let trust = Mutex::new(state.kept(TRUST)?.unwrap_or_default());
        let orders = Mutex::new(state.kept(ORDERS)?.unwrap_or_default());
        let closed = closed::closed(mode, may_have_rights, has_privileges());
        let (platform, work, ended) = (crate::identity::platform(), Arc::default(), AtomicBool::new(false));
        Ok(Arc::new(Self { people, folder, platform, launcher, closed, trust, orders, work, ended }))
    }

    /// What a package file is, and whether a caller with these rights may install it. Blocks on arithmetic.
    pub(crate) fn look_at_package(&self, rights: &[Right], head: &[u8], size: u64) -> Result<Package, ApiError> {
        Ok(self.look(rights, head, size)?.0.package)
    }
    fn look(&self, rights: &[Right], bytes: &[u8], size: u64) -> Result<(Looked, Head), ApiError> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        let head = Head::read(&mut &*bytes).map_err(|error| refused(Reason::NotAPackage, error.to_string()))?;
        let trust = lock(&self.trust).clone();
        let mut looked = look_alone(&trust, &head, &self.platform, UnixSeconds::now())?;
        looked.package.replaces = self.people.installed(&looked.package.package);
        let may = || match rights.contains(&Right::Install) {
            true => None,
            false => Some(refused(Reason::NotAllowed, "this takes the right to install; only its own user has it")),
        };
        let found = looked.package.refused.take().or_else(|| has_size(&looked.manifest, bytes.len(), size).err());
        looked.package.refused = found.or_else(may).or_else(|| has_room(&looked, &self.folder).err());
        Ok((looked, head))
    }

    /// Takes a package file in and begins to install it: the release that was `wanted`, of publishers whom the person trusts
    /// or says to trust now. The right to it was checked by who called.
    pub(crate) async fn install(
        self: &Arc<Self>,
        wanted: Digest,
        consent: Option<Digest>,
        body: &mut Body<'_>,
    ) -> Result<DeploymentId, ApiError> {
        let _turn = turn()?;
        let work = self.my_turn().await?;
        if self.ended.load(Ordering::Relaxed) {
            return Err(refused(Reason::Busy, "this computer is joining a server; try again in a minute"));
        }
        let size = body.left();
        let bytes = head_of(body).await?;
        let this = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || this.look(&[Right::Install], &bytes, size));
        let looked = looking.await.map_err(|error| refused(Reason::InternalError, error.to_string()))?;
        let (looked, head) = looked?;
        let artifact = take::wanted(&looked, wanted)?;
        let trust = lock(&self.trust).clone();
        let checked = trust.check(&head, consent, UnixSeconds::now());
        let (_, learned) = checked.map_err(|error| refused(error.reason(), error.to_string()))?;
        let incoming = Incoming::take(&self.folder, body, &looked.manifest, artifact.digest).await?;
        client::stand_alone(&self.launcher).await.map_err(not_told)?;
        incoming.put(&self.folder.join(artifact.digest.to_string()))?;
        // From here on it is known and done, whatever happens to this process.
        let first = !trust.is_owned(&looked.package.package);
        let mut order = AloneOrder::new(&looked, &artifact, head);
        (order.number, order.consent, order.first) = (self.next_number(), consent, first);
        self.keep_trust(learned).and_then(|()| self.keep_order(order.clone())).map_err(|error| not_kept(&error))?;
        info!(order = %order.id, package = order.package, "a package opened by hand is installed without a server");
        let id = order.id;
        tokio::spawn(Arc::clone(self).carry_out(order, work));
        Ok(id)
    }

    /// The person does not trust these publishers any more. What is installed of theirs stays.
    pub(crate) async fn forget(&self, root: Digest) -> Result<(), ApiError> {
        let _quiet = self.quiet().await?;
        let mut trust = lock(&self.trust).clone();
        if !trust.forget(root) {
            return Err(refused(Reason::NotFound, "these publishers are not trusted here"));
        }
        client::stand_alone(&self.launcher).await.map_err(not_told)?;
        client::forget(&self.launcher, root).await.map_err(not_told)?;
        self.keep_trust(trust).map_err(|error| not_kept(&error))?;
        self.people.changed();
        Ok(())
    }

    /// Nothing is being installed, and nothing will be as long as the answer lives.
    ///
    /// # Errors
    /// When something is being installed.
    pub(crate) async fn quiet(&self) -> Result<Quiet, ApiError> {
        Ok(Quiet(self.my_turn().await?))
    }
    async fn my_turn(&self) -> Result<OwnedMutexGuard<()>, ApiError> {
        let busy = |_| refused(Reason::Busy, "a package is being installed; try again when that has ended");
        timeout(SOON, Arc::clone(&self.work).lock_owned()).await.map_err(busy)
    }
    /// The machine has enrolled: nothing is installed without an order any more. To be said while it is quiet.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// What people see of it.
    pub(crate) fn show(&self, snapshot: &mut Snapshot) {
        let signer = |(root, name): (Digest, &str)| TrustedSigner { root, name: name.to_owned() };
        snapshot.about.signers = lock(&self.trust).trusted().map(signer).collect();
        let orders = lock(&self.orders);
        snapshot.updates.extend(orders.iter().map(|order| order.update(&self.people, &snapshot.scheduling.verdict)));
        drop(orders);
        snapshot.sort();
    }

    fn keep_trust(&self, trust: PersonalTrust) -> Result<(), StateError> {
        self.people.state().keep(TRUST, &trust)?;
        *lock(&self.trust) = trust;
        Ok(())
    }
}

fn not_told(error: BelieveError) -> ApiError {
    match error {
        BelieveError::Refused { reason, detail } => refused(reason, detail),
        BelieveError::Client(error) => refused(Reason::InternalError, format!("nothing was installed: {error}")),
    }
}
fn not_kept(error: &StateError) -> ApiError {
    refused(Reason::DiskFailed, format!("nothing was installed: {error}"))
}
