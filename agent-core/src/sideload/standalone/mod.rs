//! Standalone mode: installs package files on a personal agent that belongs to no server. The publisher's signature
//! and the user's consent replace the server's order (rules N10, N11).
//!
//! This works in per-user mode only, without root and without any other way to privileges. A package opened here can
//! do no more than a program the user starts. The user's consent is stored, synced, before anything relies on it. The
//! install helper stores it separately and repeats every check. One package is installed at a time. After a crash, an
//! unfinished install is given to the install helper again and finished like every update ([`install`]).
//!
//! Standalone mode ends when the machine enrols: from then on the server's root and orders apply ([`Standalone::end`]).

mod availability;
mod enrolment;
mod install;

pub(crate) use enrolment::drop_installs;

use super::{
    inspect::{Inspection, inspect_standalone},
    receive::{self, IncomingFile},
};
use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
    refusal::refusal,
    user::User,
};
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
use banyan_wire::lock::lock;
use install::StandaloneInstall;
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

/// Database key of the packages the user installed.
const INSTALLS_KEY: &str = "personal orders";
/// How long a request waits for the last steps of a running install before it is refused.
const INSTALL_PATIENCE: Duration = Duration::from_secs(5);

/// How the agent without a server runs.
pub(crate) struct StandaloneConfig {
    /// The content folder.
    pub(crate) folder: PathBuf,
    /// How the install helper is started.
    pub(crate) launcher: Launcher,
    /// Whether the launcher may give the install helper privileges.
    pub(crate) may_have_privileges: bool,
    pub(crate) mode: Mode,
}

/// The agent in standalone mode.
pub(crate) struct Standalone {
    user: Arc<User>,
    database: Arc<Database>,
    notifier: Arc<ChangeNotifier>,
    /// The content folder.
    folder: PathBuf,
    platform: String,
    launcher: Launcher,
    /// Why packages cannot be installed without an order here; `None` when they can.
    unavailable: Option<ApiError>,
    trust: Mutex<PersonalTrust>,
    /// The installs, newest last.
    installs: Mutex<Vec<StandaloneInstall>>,
    /// Locked while something is installed, or while the machine enrols.
    work: Arc<tokio::sync::Mutex<()>>,
    has_ended: AtomicBool,
}

/// Guard: nothing is installed while it exists.
pub(crate) struct InstallPause(#[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>);

impl Standalone {
    /// Loads the records of an earlier run.
    ///
    /// # Errors
    /// When the database fails or a record is damaged. Starting afresh would lose the known version floors.
    pub(crate) fn open(
        config: StandaloneConfig,
        user: Arc<User>,
        database: Arc<Database>,
        notifier: Arc<ChangeNotifier>,
    ) -> Result<Arc<Self>, DatabaseError> {
        let StandaloneConfig { folder, launcher, may_have_privileges, mode } = config;
        Ok(Arc::new(Self {
            user,
            folder,
            launcher,
            platform: banyan_proto::platform::platform(),
            unavailable: availability::check(mode, may_have_privileges, has_privileges()).err(),
            trust: Mutex::new(database.load_personal_trust()?),
            installs: Mutex::new(database.load(INSTALLS_KEY)?.unwrap_or_default()),
            work: Arc::default(),
            has_ended: AtomicBool::new(false),
            database,
            notifier,
        }))
    }

    /// Describes a package file and says whether a caller with these rights may install it. Blocks: it verifies
    /// signatures.
    pub(crate) fn describe(&self, rights: &[Right], head: &[u8], size: u64) -> Result<Package, ApiError> {
        Ok(self.inspect(rights, head, size)?.0.package)
    }
    fn inspect(&self, rights: &[Right], bytes: &[u8], size: u64) -> Result<(Inspection, Head), ApiError> {
        if let Some(unavailable) = &self.unavailable {
            return Err(unavailable.clone());
        }
        let head = Head::read(&mut &*bytes).map_err(|error| refusal(Reason::NotAPackage, error.to_string()))?;
        let trust = lock(&self.trust).clone();
        let mut inspection = inspect_standalone(&trust, &head, &self.platform, UnixSeconds::now())?;
        inspection.package.replaces = self.user.installed.get(&inspection.package.package);
        let may = || match rights.contains(&Right::Install) {
            true => None,
            false => Some(refusal(
                Reason::NotAllowed,
                "this requires the right to install, which only the agent's own user has",
            )),
        };
        let found = inspection
            .package
            .refused
            .take()
            .or_else(|| receive::check_size(&inspection.manifest, bytes.len(), size).err());
        inspection.package.refused =
            found.or_else(may).or_else(|| receive::check_free_space(&inspection, &self.folder).err());
        Ok((inspection, head))
    }

    /// Receives a package file and starts to install it. It must be the release `wanted`, from a publisher whom the
    /// user trusts or trusts now (`consent`). The caller has checked the right to install.
    pub(crate) async fn install(
        self: &Arc<Self>,
        wanted: Digest,
        consent: Option<Digest>,
        body: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        let _permit = receive::acquire_permit()?;
        let work = self.wait_for_work().await?;
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(refusal(Reason::Busy, "this computer is joining a server; try again in a minute"));
        }
        let size = body.remaining();
        let bytes = receive::read_head(body).await?;
        let this = Arc::clone(self);
        let inspecting = tokio::task::spawn_blocking(move || this.inspect(&[Right::Install], &bytes, size));
        let inspected = inspecting.await.map_err(|error| refusal(Reason::InternalError, error.to_string()))?;
        let (inspection, head) = inspected?;
        let artifact = receive::wanted_artifact(&inspection, wanted)?;
        let trust = lock(&self.trust).clone();
        let checked = trust.check(&head, consent, UnixSeconds::now());
        let (_, learnt) = checked.map_err(|error| refusal(error.reason(), error.to_string()))?;
        let incoming = IncomingFile::receive(&self.folder, body, &inspection.manifest, artifact.digest).await?;
        client::set_personal(&self.launcher).await.map_err(helper_refused)?;
        incoming.move_to(&self.folder.join(artifact.digest.to_string()))?;
        // From here on the install is recorded and will be finished, even if this process ends.
        let first = !trust.is_owned(&inspection.package.package);
        let mut install = StandaloneInstall::new(&inspection, &artifact, head);
        install.number = self.next_number();
        install.consent = consent;
        install.first = first;
        self.store_trust(learnt)
            .and_then(|()| self.store_install(install.clone()))
            .map_err(|error| not_stored(&error))?;
        info!(order = %install.id, package = install.package, "manual install without a server started");
        let id = install.id;
        tokio::spawn(Arc::clone(self).carry_out(install, work));
        Ok(id)
    }

    /// Stops trusting a publisher. Software already installed stays.
    pub(crate) async fn stop_trusting(&self, root: Digest) -> Result<(), ApiError> {
        let _pause = self.pause_installs().await?;
        let mut trust = lock(&self.trust).clone();
        if !trust.forget(root) {
            return Err(refusal(Reason::NotFound, "this computer does not trust this publisher"));
        }
        client::set_personal(&self.launcher).await.map_err(helper_refused)?;
        client::forget_publisher(&self.launcher, root).await.map_err(helper_refused)?;
        self.store_trust(trust).map_err(|error| not_stored(&error))?;
        self.notifier.notify_snapshot();
        Ok(())
    }

    /// Returns a guard that keeps anything from being installed while it exists.
    ///
    /// # Errors
    /// When something is being installed.
    pub(crate) async fn pause_installs(&self) -> Result<InstallPause, ApiError> {
        Ok(InstallPause(self.wait_for_work().await?))
    }
    async fn wait_for_work(&self) -> Result<OwnedMutexGuard<()>, ApiError> {
        let busy = |_| refusal(Reason::Busy, "a package is being installed; try again when it has finished");
        timeout(INSTALL_PATIENCE, Arc::clone(&self.work).lock_owned()).await.map_err(busy)
    }
    /// Ends standalone mode after the machine has enrolled. Call this while a [`InstallPause`] guard exists.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Adds trusted publishers and standalone updates to the snapshot.
    pub(crate) fn add_to_snapshot(&self, snapshot: &mut Snapshot) {
        let signer = |(root, name): (Digest, &str)| TrustedSigner { root, name: name.to_owned() };
        snapshot.about.signers = lock(&self.trust).trusted().map(signer).collect();
        let installs = lock(&self.installs);
        snapshot
            .updates
            .extend(installs.iter().map(|install| install.to_update(&self.user, &snapshot.scheduling.verdict)));
        drop(installs);
        snapshot.sort();
    }

    fn store_trust(&self, trust: PersonalTrust) -> Result<(), DatabaseError> {
        self.database.store_personal_trust(&trust)?;
        *lock(&self.trust) = trust;
        Ok(())
    }
}

fn helper_refused(error: SetTrustError) -> ApiError {
    let reason = error.reason();
    match error {
        SetTrustError::Refused { detail, .. } => refusal(reason, detail),
        SetTrustError::Helper(error) => refusal(reason, format!("nothing was installed: {error}")),
    }
}
fn not_stored(error: &DatabaseError) -> ApiError {
    refusal(error.reason(), format!("nothing was installed: {error}"))
}
