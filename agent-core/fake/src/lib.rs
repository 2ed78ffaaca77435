//! An agent with simulated data: it serves the local API from a scene, so that the tray and the window can be tested
//! and designed without a server, other machines or waiting.
//!
//! As a library, inside the tray (`banyan-tray --fake SCENE`) or a test:
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use banyan_local_api::{Client, LocalAddress};
//! use banyan_fake_agent::{FakeAgent, Scene};
//!
//! let address = LocalAddress::Own("/tmp/some-folder".into());
//! let fake = FakeAgent::start(&address, Scene::Receiving)?; // inside a tokio runtime
//! let mut client = Client::connect(&address).await?; // or the tray or window, connected to the same address
//! fake.show(Scene::Ready); // subscribers receive what changed
//! fake.change(|snapshot| snapshot.about.label = "another".into());
//! let asked = fake.requests(); // every command that clients have sent
//! # Ok(()) }
//! ```
//!
//! As a program: `banyan-fake-agent --data DIR [--scene NAME] [--tour SECONDS]`.
//!
//! Commands take effect: a choice changes the verdicts, computed by the real `banyan-schedule`; *install now* installs.

mod package_scene;
mod sample_catalogue;
mod sample_updates;
mod scene;
mod verdicts;

pub use package_scene::{PackageScene, package_file};
pub use sample_catalogue::offered;
pub use scene::Scene;

use banyan_local_api::{ALL_RIGHTS, Backend, Caller, LocalAddress, Report, RequestBody, serve};
use banyan_proto::{
    Digest, OrderId, Reason, UnixSeconds,
    api::ApiError,
    local::{Catalogue, Item, Package, Request, Right, Snapshot, Status, Update, UpdateState},
    schedule::{Stage, Wish},
};
use jiff::tz::TimeZone;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// An agent that serves simulated data over the local API.
pub struct FakeAgent {
    snapshot: Mutex<Snapshot>,
    requests: Mutex<Vec<Request>>,
    screen_reports: Mutex<Vec<Option<bool>>>,
    rights: Mutex<Vec<Right>>,
    package: Mutex<PackageScene>,
    catalogue: Mutex<Catalogue>,
    clock: Mutex<Option<UnixSeconds>>,
    zone: TimeZone,
    changes: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeAgent {
    /// Serves a scene at this address to callers with every right. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be opened.
    pub fn start(address: &LocalAddress, scene: Scene) -> io::Result<Arc<Self>> {
        let zone = TimeZone::system();
        let snapshot = Mutex::new(scene.snapshot(UnixSeconds::now(), &zone));
        let rights = Mutex::new(ALL_RIGHTS.to_vec());
        let (requests, package, changes) = (Mutex::default(), Mutex::default(), watch::Sender::new(0));
        let (clock, screen_reports) = (Mutex::default(), Mutex::default());
        let catalogue = Mutex::new(offered(UnixSeconds::now()));
        let fake =
            Arc::new(Self { snapshot, requests, screen_reports, rights, package, catalogue, clock, zone, changes });
        tokio::spawn(serve(Arc::clone(&fake), address.listen()?));
        Ok(fake)
    }
    /// Switches to another scene.
    pub fn show(&self, scene: Scene) {
        let next = scene.snapshot(UnixSeconds::now(), &self.zone);
        self.change(|snapshot| *snapshot = next);
    }
    /// Applies any change to the snapshot and notifies subscribers.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut lock(&self.snapshot));
        self.changes.send_modify(|number| *number += 1);
    }
    /// Sets the rights of all callers. With an empty list, callers are turned away.
    pub fn set_rights(&self, rights: &[Right]) {
        *lock(&self.rights) = rights.to_vec();
    }
    /// Sets the answer to every package file that is opened, whatever the file contains.
    pub fn set_package(&self, scene: PackageScene) {
        *lock(&self.package) = scene;
    }
    /// Sets the catalogue that scenes with a reachable server return.
    pub fn set_catalogue(&self, catalogue: Catalogue) {
        *lock(&self.catalogue) = catalogue;
    }
    /// Fixes the clock used for package files, so that screenshots of them stay the same.
    pub fn set_clock(&self, at: UnixSeconds) {
        *lock(&self.clock) = Some(at);
    }
    fn now(&self) -> UnixSeconds {
        lock(&self.clock).unwrap_or_else(UnixSeconds::now)
    }
    /// Returns the commands that clients have sent, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }
    /// Returns the reported screen states, oldest first. Reports do not change the scene.
    #[must_use]
    pub fn screen_reports(&self) -> Vec<Option<bool>> {
        lock(&self.screen_reports).clone()
    }
    /// Advances the simulation by one second: updates that are downloading make progress.
    pub fn tick(&self) {
        self.change(|snapshot| {
            for update in snapshot.updates.iter_mut().filter(|update| update.state == UpdateState::Receiving) {
                let progress = &mut update.progress;
                progress.held = (progress.held + progress.down).min(progress.of);
                if progress.held == progress.of {
                    (update.state, progress.down) = (UpdateState::Ready, 0);
                }
            }
        });
    }
    fn change_choice(&self, request: &Request) -> Result<(), ApiError> {
        let mut snapshot = lock(&self.snapshot);
        let (choice, policy) = (snapshot.scheduling.choice.as_ref(), &snapshot.scheduling.policy);
        snapshot.scheduling.choice = banyan_schedule::apply_to_choice(request, choice, policy, UnixSeconds::now())
            .map_err(|error| error.to_api_error())?;
        drop(snapshot);
        self.update_verdicts();
        Ok(())
    }
    /// Adds an update, replacing one of the same order, and returns its order.
    fn add_update(&self, update: Update) -> OrderId {
        let order = update.order;
        self.change(|snapshot| {
            snapshot.updates.retain(|update| update.order != order);
            snapshot.updates.push(update);
            snapshot.sort();
        });
        self.update_verdicts();
        order
    }
    fn update_verdicts(&self) {
        self.change(|snapshot| verdicts::update_all(snapshot, UnixSeconds::now(), &self.zone));
    }
    fn set_wish(&self, order: OrderId, stage: Stage, wish: Wish) -> Result<(), ApiError> {
        let mut snapshot = lock(&self.snapshot);
        let unknown = || ApiError { reason: Reason::NotFound, detail: "this update is no longer in progress".into() };
        let update = snapshot.updates.iter_mut().find(|update| update.order == order && !update.state.is_over());
        let update = update.ok_or_else(unknown)?;
        update.wishes =
            banyan_schedule::apply_wish(update.wishes, stage, wish).map_err(|error| error.to_api_error())?;
        if (stage, wish, &update.state) == (Stage::Install, Wish::Now, &UpdateState::Ready) && update.waits.is_none() {
            update.state = UpdateState::Installing;
        }
        drop(snapshot);
        self.update_verdicts();
        Ok(())
    }
}

impl Backend for FakeAgent {
    fn software(&self) -> String {
        format!("banyan-fake-agent {}", env!("CARGO_PKG_VERSION"))
    }
    fn rights(&self, _: Caller) -> Vec<Right> {
        lock(&self.rights).clone()
    }
    fn status(&self) -> Result<Status, ApiError> {
        Err(ApiError {
            reason: Reason::NotFound,
            detail: "the fake agent does not answer status requests; subscribe instead".into(),
        })
    }
    fn snapshot(&self) -> Snapshot {
        lock(&self.snapshot).clone()
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    fn report(&self, _: Caller, full_screen: Option<bool>) -> Report {
        lock(&self.screen_reports).push(full_screen);
        Box::new(())
    }
    async fn carry_out(&self, request: Request) -> Result<(), ApiError> {
        lock(&self.requests).push(request.clone());
        match request {
            Request::SetWindow { .. }
            | Request::SetInstallWindow { .. }
            | Request::SetLimits { .. }
            | Request::SetGiveWay { .. }
            | Request::Pause { .. }
            | Request::Resume
            | Request::Overrule { .. }
            | Request::ForgetChoice => self.change_choice(&request),
            Request::Wish { order, stage, wish } => self.set_wish(order, stage, wish),
            Request::Enrol { code } if code.trim() == "good" => {
                self.show(Scene::Idle);
                Ok(())
            }
            Request::Enrol { .. } => {
                let detail = "this is not a valid join code (the fake agent accepts the word \"good\")".to_owned();
                Err(ApiError { reason: Reason::JoinRefused, detail })
            }
            Request::ForgetSigner { root } => {
                self.change(|snapshot| snapshot.about.signers.retain(|signer| signer.root != root));
                Ok(())
            }
            Request::Hello { .. }
            | Request::Status
            | Request::Subscribe
            | Request::Report { .. }
            | Request::Catalogue
            | Request::GetFromCatalogue { .. }
            | Request::OpenPackage { .. }
            | Request::InstallPackage { .. } => Ok(()),
        }
    }
    async fn open_package(&self, rights: &[Right], _: Vec<u8>, size: u64) -> Result<Package, ApiError> {
        lock(&self.requests).push(Request::OpenPackage { head: 0, size });
        let scene = if rights.contains(&Right::Install) { *lock(&self.package) } else { PackageScene::NotAllowed };
        scene.answer(self.now())
    }
    async fn install_package(
        &self,
        wanted: Digest,
        trust: Option<Digest>,
        file: &mut RequestBody<'_>,
    ) -> Result<OrderId, ApiError> {
        lock(&self.requests).push(Request::InstallPackage { manifest: wanted, size: file.remaining(), trust });
        let now = self.now();
        let answer = lock(&self.package).answer(now);
        let package = answer?;
        if let Some(refused) = package.refused {
            return Err(refused);
        }
        if package.signer.asks && trust != Some(package.signer.root) {
            let detail = "this publisher is not trusted on this computer yet".to_owned();
            return Err(ApiError { reason: Reason::NotConsented, detail });
        }
        let broken = |error: io::Error| ApiError { reason: Reason::NotAPackage, detail: error.to_string() };
        file.skip(file.remaining()).await.map_err(broken)?;
        Ok(self.add_update(sample_updates::of_package_file(&package, now)))
    }
    async fn catalogue(&self) -> Result<Catalogue, ApiError> {
        lock(&self.requests).push(Request::Catalogue);
        let link = lock(&self.snapshot).link;
        sample_catalogue::unreachable_server(link).map_or_else(|| Ok(lock(&self.catalogue).clone()), Err)
    }
    async fn get_from_catalogue(&self, package: &str, manifest: Digest) -> Result<OrderId, ApiError> {
        lock(&self.requests).push(Request::GetFromCatalogue { package: package.to_owned(), manifest });
        let link = lock(&self.snapshot).link;
        if let Some(refused) = sample_catalogue::unreachable_server(link) {
            return Err(refused);
        }
        let wanted = |item: &&Item| item.release.package == package && item.release.manifest == manifest;
        let item = lock(&self.catalogue).items.iter().find(wanted).cloned();
        let detail = format!("your administrator does not offer {package} on this computer");
        let item = item.ok_or(ApiError { reason: Reason::NotOffered, detail })?;
        Ok(self.add_update(sample_updates::of_catalogue(&item.release, self.now())))
    }
}

#[cfg(test)]
mod tests;
