//! Standalone mode: installs package files on a personal agent that belongs to no server. The publisher's signature
//! and the user's consent replace the server's order (rules N10, N11).
//!
//! This works in per-user mode only, without root and without any other way to privileges. A package opened here can
//! do no more than a program the user starts. The user's consent is stored, synced, before anything relies on it. The
//! installer stores it separately and repeats every check. One package is installed at a time. After a crash, an
//! unfinished install is given to the installer again and finished like every update ([`order`]).
//!
//! Standalone mode ends when the machine enrols: from then on the server's root and orders apply ([`Alone::end`]).

mod closed;
mod enrolled;
mod order;

pub(crate) use enrolled::{learned, retire};

use super::{
    Looked, look_alone,
    take::{self, Incoming, has_room, has_size, head_of, turn},
};
use crate::{for_one::refused, orders::lock, people::People, state::StateError};
use banyan_install_helper::{
    client::{self, Launcher, SetTrustError},
    has_privileges,
};
use banyan_local_api::RequestBody;
use banyan_proto::{
    Digest, OrderId, Reason, UnixSeconds,
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

/// Database key of the publishers the user trusts.
const TRUST: &str = "personal trust";
/// Database key of the packages the user installed.
const ORDERS: &str = "personal orders";
/// How long a request waits for the last steps of a running install before it is refused.
const SOON: Duration = Duration::from_secs(5);

/// The agent in standalone mode.
pub(crate) struct Alone {
    people: Arc<People>,
    /// The content folder.
    folder: PathBuf,
    platform: String,
    launcher: Launcher,
    /// Why packages cannot be installed without an order here; `None` when they can.
    closed: Option<ApiError>,
    trust: Mutex<PersonalTrust>,
    /// The orders, newest last.
    orders: Mutex<Vec<AloneOrder>>,
    /// Locked while something is installed, or while the machine enrols.
    work: Arc<tokio::sync::Mutex<()>>,
    ended: AtomicBool,
}

/// Guard: nothing is installed while it exists.
pub(crate) struct Quiet(#[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>);

impl Alone {
    /// Loads the state of an earlier run. The tuple holds the launcher and whether it may give the installer
    /// privileges.
    ///
    /// # Errors
    /// When the database fails or a record is damaged. Starting afresh would lose the known version floors.
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
        let (platform, work, ended) = (banyan_proto::platform::platform(), Arc::default(), AtomicBool::new(false));
        Ok(Arc::new(Self { people, folder, platform, launcher, closed, trust, orders, work, ended }))
    }

    /// Describes a package file and says whether a caller with these rights may install it. Blocks: it verifies
    /// signatures.
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
            false => Some(refused(
                Reason::NotAllowed,
                "this requires the right to install, which only the agent's own user has",
            )),
        };
        let found = looked.package.refused.take().or_else(|| has_size(&looked.manifest, bytes.len(), size).err());
        looked.package.refused = found.or_else(may).or_else(|| has_room(&looked, &self.folder).err());
        Ok((looked, head))
    }

    /// Receives a package file and starts to install it. It must be the release `wanted`, from a publisher whom the
    /// user trusts or trusts now (`consent`). The caller has checked the right to install.
    pub(crate) async fn install(
        self: &Arc<Self>,
        wanted: Digest,
        consent: Option<Digest>,
        body: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        let _turn = turn()?;
        let work = self.my_turn().await?;
        if self.ended.load(Ordering::Relaxed) {
            return Err(refused(Reason::Busy, "this computer is joining a server; try again in a minute"));
        }
        let size = body.remaining();
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
        client::set_personal(&self.launcher).await.map_err(not_told)?;
        incoming.put(&self.folder.join(artifact.digest.to_string()))?;
        // From here on the install is recorded and will be finished, even if this process ends.
        let first = !trust.is_owned(&looked.package.package);
        let mut order = AloneOrder::new(&looked, &artifact, head);
        (order.number, order.consent, order.first) = (self.next_number(), consent, first);
        self.keep_trust(learned).and_then(|()| self.keep_order(order.clone())).map_err(|error| not_kept(&error))?;
        info!(order = %order.id, package = order.package, "manual install without a server started");
        let id = order.id;
        tokio::spawn(Arc::clone(self).carry_out(order, work));
        Ok(id)
    }

    /// Stops trusting a publisher. Software already installed stays.
    pub(crate) async fn forget(&self, root: Digest) -> Result<(), ApiError> {
        let _quiet = self.quiet().await?;
        let mut trust = lock(&self.trust).clone();
        if !trust.forget(root) {
            return Err(refused(Reason::NotFound, "this computer does not trust this publisher"));
        }
        client::set_personal(&self.launcher).await.map_err(not_told)?;
        client::forget_publisher(&self.launcher, root).await.map_err(not_told)?;
        self.keep_trust(trust).map_err(|error| not_kept(&error))?;
        self.people.changed();
        Ok(())
    }

    /// Returns a guard that keeps anything from being installed while it exists.
    ///
    /// # Errors
    /// When something is being installed.
    pub(crate) async fn quiet(&self) -> Result<Quiet, ApiError> {
        Ok(Quiet(self.my_turn().await?))
    }
    async fn my_turn(&self) -> Result<OwnedMutexGuard<()>, ApiError> {
        let busy = |_| refused(Reason::Busy, "a package is being installed; try again when it has finished");
        timeout(SOON, Arc::clone(&self.work).lock_owned()).await.map_err(busy)
    }
    /// Ends standalone mode after the machine has enrolled. Call this while a [`Quiet`] guard exists.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Adds trusted publishers and standalone updates to the snapshot.
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

fn not_told(error: SetTrustError) -> ApiError {
    match error {
        SetTrustError::Refused { reason, detail } => refused(reason, detail),
        SetTrustError::Helper(error) => refused(Reason::InternalError, format!("nothing was installed: {error}")),
    }
}
fn not_kept(error: &StateError) -> ApiError {
    refused(Reason::DiskFailed, format!("nothing was installed: {error}"))
}
