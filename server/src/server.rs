//! The server: the services that the API calls. `start` creates them.

use crate::{
    access::{idempotency::Idempotency, request_counts::RequestCounts, tokens::AccessTokens},
    audit::AuditLog,
    deadline_clock::DeadlineClock,
    deployments::{
        catalogue::MachineCatalogues, deploy::Deployments, direct_offers::DirectOffers, named_sites::NamedSites,
        order_lifecycle::OrderLifecycle, policies::GroupPolicies, selections::Selections, sideload::Sideload,
        status::DeploymentStatuses,
    },
    events::webhooks::Webhooks,
    identity::{enrolment::Enrolment, registry::Registry, revocation::Revocation, secrets::Secrets},
    long_work::LongWork,
    machines::{
        assignments::Assignments, check_in::CheckIns, deployment_control::DeploymentControl, flows::Flows,
        install_permits::InstallPermits, link_checks::LinkChecks, receipts::Receipts, reports::Reports,
        site_budgets::SiteBudgets, sources::Sources,
    },
    net::{
        connections::Connections, failed_attempts::FailedAttempts, machine_quotas::MachineQuotas,
        tls_configuration::TlsConfiguration,
    },
    private_files,
    publishing::{publication::Publication, repository_cache::RepositoryCache, uploads::Uploads},
    refusal::Refusal,
    store::ServerIdentity,
    suspicion_log::SuspicionLog,
};
use std::{fs, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Program and version, as shown in greetings and lists.
pub(crate) const SOFTWARE: &str = concat!("banyan-server ", env!("CARGO_PKG_VERSION"));

/// What [`Server::check_storage`] writes for a moment (bytes).
const TRIAL_BYTES: usize = 64 << 10;

/// The server.
pub(crate) struct Server {
    pub(crate) identity: ServerIdentity,
    pub(crate) long_work: LongWork,
    pub(crate) clock: Arc<DeadlineClock>,
    // Network and identities.
    pub(crate) tls: Arc<TlsConfiguration>,
    pub(crate) connections: Connections,
    pub(crate) quotas: Arc<MachineQuotas>,
    pub(crate) failed_attempts: FailedAttempts,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) access: Arc<AccessTokens>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) idempotency: Idempotency,
    pub(crate) request_counts: RequestCounts,
    /// Held while a request with `If-Match` compares versions and changes something.
    pub(crate) editing: tokio::sync::Mutex<()>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) enrolment: Enrolment,
    pub(crate) revocation: Arc<Revocation>,
    // What publishers signed.
    pub(crate) repository: Arc<RepositoryCache>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) orders: Arc<OrderLifecycle>,
    pub(crate) publication: Publication,
    // Orders.
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) statuses: DeploymentStatuses,
    pub(crate) selections: Arc<Selections>,
    pub(crate) named_sites: Arc<NamedSites>,
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) direct_offers: Arc<DirectOffers>,
    pub(crate) sideload: Sideload,
    pub(crate) catalogues: MachineCatalogues,
    // What machines ask and report.
    pub(crate) assignments: Assignments,
    pub(crate) check_ins: CheckIns,
    pub(crate) sources: Sources,
    pub(crate) flows: Flows,
    pub(crate) site_budgets: Arc<SiteBudgets>,
    pub(crate) link_checks: Arc<LinkChecks>,
    pub(crate) receipts: Receipts,
    pub(crate) install_permits: Arc<InstallPermits>,
    pub(crate) control: DeploymentControl,
    pub(crate) reports: Reports,
    pub(crate) suspicions: SuspicionLog,
    // What administrators' programs learn of it.
    pub(crate) webhooks: Webhooks,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
}

impl Server {
    /// Tries to store something in the database and beside the artifacts.
    pub(crate) async fn check_storage(&self) -> Result<(), Refusal> {
        self.orders.store.check_writable().await?;
        // The database writes to room that it has already, so it can succeed on a full disk.
        let folder = self.orders.artifacts.folder();
        let path = folder.join("trial");
        let trial = tokio::task::spawn_blocking(move || {
            let written = fs::write(&path, [1; TRIAL_BYTES]);
            drop(fs::remove_file(&path));
            written
        });
        match trial.await.map_err(|error| Refusal::internal(&error))? {
            Err(error) if private_files::is_disk_full(&error) => Err(Refusal::disk_full(Some(folder))),
            written => written.map_err(|error| Refusal::internal(&error)),
        }
    }
}
