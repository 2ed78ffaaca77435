//! The server: the services that the API calls. `start` creates them.

use crate::{
    deadline_clock::DeadlineClock,
    deployments::{
        catalogue::MachineCatalogues, deploy::Deployments, direct_offers::DirectOffers,
        order_lifecycle::OrderLifecycle, policies::GroupPolicies, sideload::Sideload, status::DeploymentStatuses,
    },
    identity::{enrolment::Enrolment, registry::Registry, revocation::Revocation, secrets::Secrets},
    long_work::LongWork,
    machines::{
        check_in::CheckIns, install_permits::InstallPermits, receipts::Receipts, reports::Reports, sources::Sources,
    },
    net::{
        connections::Connections, failed_attempts::FailedAttempts, machine_quotas::MachineQuotas,
        tls_configuration::TlsConfiguration,
    },
    publishing::{publication::Publication, repository_cache::RepositoryCache, uploads::Uploads},
    store::ServerIdentity,
    suspicion_log::SuspicionLog,
};
use std::sync::Arc;

/// Program and version, as shown in greetings and lists.
pub(crate) const SOFTWARE: &str = concat!("banyan-server ", env!("CARGO_PKG_VERSION"));

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
    pub(crate) policies: Arc<GroupPolicies>,
    pub(crate) direct_offers: Arc<DirectOffers>,
    pub(crate) sideload: Sideload,
    pub(crate) catalogues: MachineCatalogues,
    // What machines ask and report.
    pub(crate) check_ins: CheckIns,
    pub(crate) sources: Sources,
    pub(crate) receipts: Receipts,
    pub(crate) install_permits: Arc<InstallPermits>,
    pub(crate) reports: Reports,
    pub(crate) suspicions: SuspicionLog,
}
