//! What the local API serves: the agent or the fake agent.

use crate::{Caller, RequestBody};
use banyan_proto::{
    Digest, OrderId,
    api::ApiError,
    local::{Catalogue, Package, Request, Right, Snapshot, Status},
};
use std::future::Future;
use tokio::sync::watch;

/// What the local API serves: the agent or the fake agent.
pub trait Backend: Send + Sync + 'static {
    /// Returns the program name and version.
    fn software(&self) -> String;
    /// Returns the caller's present rights.
    fn rights(&self, caller: Caller) -> Vec<Right>;
    /// Returns the short status.
    ///
    /// # Errors
    /// When there is none, because the machine is not enrolled.
    fn status(&self) -> Result<Status, ApiError>;
    /// Returns the full snapshot.
    fn snapshot(&self) -> Snapshot;
    /// Returns a number that changes whenever the snapshot may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Takes a caller's report whether a program fills the screen (`None`: it cannot tell). The right has been
    /// checked. The report counts until the returned value is dropped.
    fn report(&self, caller: Caller, full_screen: Option<bool>) -> Report;
    /// Carries out the request; the right has been checked.
    fn carry_out(&self, request: Request) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Describes a package file of `size` bytes that starts with `head`. `rights` are the caller's.
    fn open_package(
        &self,
        rights: &[Right],
        head: Vec<u8>,
        size: u64,
    ) -> impl Future<Output = Result<Package, ApiError>> + Send;
    /// Returns the catalogue for the users at this machine.
    fn catalogue(&self) -> impl Future<Output = Result<Catalogue, ApiError>> + Send;
    /// Installs the release with this manifest if the catalogue offers it; the right has been checked.
    fn get_from_catalogue(
        &self,
        package: &str,
        manifest: Digest,
    ) -> impl Future<Output = Result<OrderId, ApiError>> + Send;
    /// Installs a package file; the right has been checked. It must contain the release `wanted`. `trust` is the root
    /// of the publisher that the user consents to trust.
    fn install_package(
        &self,
        wanted: Digest,
        trust: Option<Digest>,
        file: &mut RequestBody<'_>,
    ) -> impl Future<Output = Result<OrderId, ApiError>> + Send;
}

/// A caller's report about the screen; it counts until it is dropped.
pub type Report = Box<dyn Send + Sync>;
