//! Opens what the data folder holds, and connects the services to each other.

use crate::{
    access::{idempotency::Idempotency, request_counts::RequestCounts, tokens::AccessTokens},
    audit::AuditLog,
    deadline_clock::DeadlineClock,
    deployments::{
        active_orders::ActiveOrders,
        catalogue::MachineCatalogues,
        deploy::Deployments,
        direct_offers::DirectOffers,
        named_sites::NamedSites,
        newcomers::Newcomers,
        on_demand::{OnDemandOrders, RequestLimiter},
        order_factory::OrderFactory,
        order_lifecycle::OrderLifecycle,
        policies::{GroupPolicies, PolicyCache},
        reachability::Reachability,
        selections::Selections,
        sideload::Sideload,
        status::DeploymentStatuses,
        stop_lists::StopLists,
    },
    events::{webhook_queues::WebhookQueues, webhooks::Webhooks},
    identity::{
        ca::Authority, enrolment::Enrolment, registry::Registry, revocation::Revocation,
        revocation_list::RevocationList, secrets::Secrets,
    },
    long_work::LongWork,
    machines::{
        accused_edges::AccusedEdges, assignments::Assignments, check_in::CheckIns,
        deployment_control::DeploymentControl, dial_checks::DialChecks, flows::Flows, install_permits::InstallPermits,
        link_checks::LinkChecks, monitor::Monitor, permit_queue::PermitQueue, receipts::Receipts, reports::Reports,
        ring_gates::RingGates, row_writer::MachineRowWriter, site_budgets::SiteBudgets, sources::Sources,
    },
    net::{
        accept::Acceptor,
        connections::{Connections, Places},
        failed_attempts::FailedAttempts,
        machine_quotas::MachineQuotas,
        peer_node::PeerNode,
        tls_configuration::TlsConfiguration,
        wake_ups::WakeUps,
    },
    publishing::{
        artifacts::ArtifactStore, publication::Publication, repository_cache::RepositoryCache, uploads::Uploads,
        withdrawal::Withdrawal,
    },
    server::{SOFTWARE, Server},
    start::{StartError, addresses::AnnouncedAddresses, data_folder::check_complete},
    store::{
        AccessStore as _, Counter, DatabaseAge, MachineStore as _, PolicyStore as _, SelectionStore as _,
        ServerIdentity, SiteBudgetStore as _, Sqlite, Store,
    },
    suspicion_log::SuspicionLog,
    swarm_host::SwarmHost,
};
use banyan_proto::{AddressHint, Digest, ServerEpoch, UnixSeconds};
use banyan_wire::{open_files, socket::Keepalive, tls::Crl};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the data folder holds, opened.
pub(super) struct OpenedData {
    pub(super) server: ServerIdentity,
    pub(super) sqlite: Sqlite,
    clock: Arc<DeadlineClock>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) authority: Arc<Authority>,
    tls: Arc<TlsConfiguration>,
    repository: Arc<RepositoryCache>,
    artifacts: Arc<ArtifactStore>,
    /// The folder of the server's keys.
    keys: PathBuf,
}

impl OpenedData {
    /// Opens the folder, whose lock the caller holds. Creates what is missing, as at the first start.
    pub(super) async fn open(data: &Path, keys: PathBuf, now: UnixSeconds) -> Result<Self, StartError> {
        let database = data.join("server.sqlite");
        if fs::metadata(&database).map_or(0, |found| found.len()) == 0 {
            // Checked before opening, which would create it.
            check_complete(&database, &keys, DatabaseAge::Empty)?;
        }
        let sqlite = Sqlite::open(&database).await?;
        check_complete(&database, &keys, sqlite.age().await?)?;
        let server = sqlite.identity().await?;
        let clock = DeadlineClock::new(sqlite.remembered_time().await?);
        sqlite.remember_time(clock.update()).await?;
        let secrets = Secrets::open(&keys)?;
        let authority = Authority::open(&keys, now)?;
        let credentials = authority.server_credentials(&keys, server.id, now)?;
        let revoked = sqlite.revoked_certificates().await?;
        let der = authority.sign_revocation_list(sqlite.next(Counter::Crl).await?, &revoked, now)?;
        let tls = TlsConfiguration::new(&credentials, Crl::read(der, authority.certificate())?)?;
        let repository = RepositoryCache::open(&data.join("repository"), now)?;
        let folder = data.join("artifacts");
        let artifacts =
            ArtifactStore::open(folder.clone()).map_err(|source| StartError::Folder { path: folder, source })?;
        Ok(Self {
            server,
            sqlite,
            clock: Arc::new(clock),
            secrets: Arc::new(secrets),
            authority: Arc::new(authority),
            tls: Arc::new(tls),
            repository: Arc::new(repository),
            artifacts: Arc::new(artifacts),
            keys,
        })
    }
}

/// All services, connected.
pub(super) struct Services {
    pub(super) server: Arc<Server>,
    pub(super) acceptor: Arc<Acceptor<Registry>>,
    pub(super) revocation_list: Arc<RevocationList>,
    pub(super) monitor: Monitor,
    pub(super) gates: Arc<RingGates>,
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) row_writer: Arc<MachineRowWriter>,
    pub(super) webhook_queues: Arc<WebhookQueues>,
    pub(super) orders: Arc<OrderLifecycle>,
    pub(super) swarm_host: Arc<SwarmHost>,
    /// Must be set once the node's loop has started.
    pub(super) node: PeerNode,
    /// Fires when the server must stop.
    pub(super) stop: CancellationToken,
    /// Work in progress that must finish before the server stops.
    pub(super) tasks: TaskTracker,
}

impl Services {
    /// Connects the services. Others reach the server at `addresses`. A machine that has vanished is noticed by
    /// `keepalive`. `handshakes` runs their TLS handshakes.
    pub(super) async fn connect(
        opened: &OpenedData,
        addresses: AnnouncedAddresses,
        keepalive: Keepalive,
        handshakes: Handle,
        now: UnixSeconds,
    ) -> Result<Self, StartError> {
        let OpenedData { server, sqlite, clock, secrets, authority, tls, repository, artifacts, keys } = opened;
        let server = *server;
        let store: Arc<dyn Store> = Arc::new(sqlite.clone());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let AnnouncedAddresses { sequence, addresses } = addresses;
        let hint = AddressHint { machine: server.id, addresses, issued: now, sequence };
        let registry = Arc::new(Registry::new(sqlite.machines().await?, &hint, &secrets.orders, now));
        let suspicions = SuspicionLog::new(Arc::clone(&store), &tasks, stop.clone());

        let setup = Digest::of(secrets.admin_token().as_bytes());
        let access = Arc::new(AccessTokens::new(sqlite.access_tokens().await?, setup, Arc::clone(&store)));
        let audit = Arc::new(AuditLog::open(server, Arc::clone(&store), Arc::clone(secrets)).await?);
        let idempotency = Idempotency::new(Arc::clone(&store));

        // Network and identities.
        let (connections, node, wake_ups) =
            (Connections::new(Places::within(open_files::limit())), PeerNode::default(), Arc::new(WakeUps::default()));
        let permit_queue = Arc::new(PermitQueue::default());
        let row_writer = Arc::new(MachineRowWriter::new(Arc::clone(&store), stop.clone()));
        let dial_checks = Arc::new(DialChecks::new(
            Arc::clone(&registry),
            Arc::clone(tls),
            Arc::clone(&row_writer),
            SOFTWARE,
            tasks.clone(),
            stop.clone(),
        ));
        let link_checks =
            Arc::new(LinkChecks::new(Arc::clone(&registry), Arc::clone(&row_writer), tasks.clone(), stop.clone()));
        let quotas = Arc::new(MachineQuotas::default());
        let revocation_list = Arc::new(RevocationList {
            server,
            keys: keys.clone(),
            store: Arc::clone(&store),
            authority: Arc::clone(authority),
            tls: Arc::clone(tls),
            node: node.clone(),
            wake_ups: Arc::clone(&wake_ups),
            stop: stop.clone(),
            signing: tokio::sync::Mutex::default(),
        });
        let revocation = Arc::new(Revocation {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            list: Arc::clone(&revocation_list),
            connections: connections.clone(),
            node: node.clone(),
            wake_ups: Arc::clone(&wake_ups),
            suspicions: suspicions.clone(),
        });
        let enrolment = Enrolment {
            server,
            store: Arc::clone(&store),
            authority: Arc::clone(authority),
            secrets: Arc::clone(secrets),
            registry: Arc::clone(&registry),
            revocation: Arc::clone(&revocation),
        };
        let acceptor = Arc::new(Acceptor {
            admission: Arc::clone(&registry),
            tls: Arc::clone(tls),
            connections: connections.clone(),
            keepalive,
            node: node.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
            handshakes,
            machines: Handle::current(),
        });

        // Orders.
        let active_orders = Arc::new(ActiveOrders::default());
        let orders = Arc::new(OrderLifecycle {
            server,
            store: Arc::clone(&store),
            repository: Arc::clone(repository),
            artifacts: Arc::clone(artifacts),
            active: Arc::clone(&active_orders),
            node: node.clone(),
            clock: Arc::clone(clock),
            accepting: tokio::sync::Mutex::default(),
        });
        let stop_lists =
            StopLists::open(Arc::clone(secrets), node.clone(), Arc::clone(&wake_ups), Arc::clone(&orders)).await?;
        let stop_lists = Arc::new(stop_lists);
        let policies = Arc::new(GroupPolicies {
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            registry: Arc::clone(&registry),
            wake_ups: Arc::clone(&wake_ups),
            node: node.clone(),
            cache: PolicyCache::new(sqlite.policies().await?),
            changing: tokio::sync::Mutex::default(),
        });
        let named_sites =
            Arc::new(NamedSites::new(sqlite.named_sites().await?, Arc::clone(&store), Arc::clone(&registry)));
        let selections = Arc::new(Selections {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            connections: connections.clone(),
            policies: Arc::clone(&policies),
            sites: Arc::clone(&named_sites),
        });
        let reachability = Arc::new(Reachability {
            started: Instant::now(),
            started_at: now,
            registry: Arc::clone(&registry),
            connections: connections.clone(),
        });
        let factory = Arc::new(OrderFactory {
            server,
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            reachability: Arc::clone(&reachability),
            policies: Arc::clone(&policies),
            artifacts: Arc::clone(artifacts),
        });
        let deployments = Arc::new(Deployments {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            wake_ups: Arc::clone(&wake_ups),
            selections: Arc::clone(&selections),
            repository: Arc::clone(repository),
            orders: Arc::clone(&orders),
            stop_lists: Arc::clone(&stop_lists),
            factory,
        });
        let newcomers = Arc::new(Newcomers { deployments: Arc::clone(&deployments), stop: stop.clone() });
        let direct_offers = Arc::new(DirectOffers {
            server,
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            registry: Arc::clone(&registry),
            connections: connections.clone(),
            repository: Arc::clone(repository),
            orders: Arc::clone(&orders),
            stop_lists: Arc::clone(&stop_lists),
        });
        let on_demand = Arc::new(OnDemandOrders {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            deployments: Arc::clone(&deployments),
            direct_offers: Arc::clone(&direct_offers),
            limiter: RequestLimiter::default(),
        });
        let sideload = Sideload {
            repository: Arc::clone(repository),
            policies: Arc::clone(&policies),
            orders: Arc::clone(&on_demand),
        };
        let catalogues = MachineCatalogues {
            repository: Arc::clone(repository),
            policies: Arc::clone(&policies),
            orders: on_demand,
        };
        let statuses = DeploymentStatuses {
            server,
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            active_orders: Arc::clone(&active_orders),
            connections: connections.clone(),
            reachability: Arc::clone(&reachability),
            clock: Arc::clone(clock),
        };

        // What publishers change; withdrawals end orders.
        let withdrawal = Arc::new(Withdrawal {
            repository: Arc::clone(repository),
            artifacts: Arc::clone(artifacts),
            wake_ups: Arc::clone(&wake_ups),
            deployments: Arc::clone(&orders) as Arc<_>,
        });
        let publication = Publication {
            repository: Arc::clone(repository),
            artifacts: Arc::clone(artifacts),
            withdrawal: Arc::clone(&withdrawal),
            stop: stop.clone(),
        };

        let site_budgets = Arc::new(SiteBudgets::new(
            sqlite.site_budgets().await?,
            Arc::clone(&store),
            Arc::clone(&registry),
            Arc::clone(&wake_ups),
        ));

        // What machines ask and report.
        let assignments = Assignments {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            policies: Arc::clone(&policies),
            selections: Arc::clone(&selections),
        };
        let check_ins = CheckIns {
            server,
            signed_epoch: secrets.orders.sign(&ServerEpoch { server: server.id, epoch: server.epoch }),
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            registry: Arc::clone(&registry),
            revocation: Arc::clone(&revocation),
            tls: Arc::clone(tls),
            wake_ups: Arc::clone(&wake_ups),
            repository: Arc::clone(repository),
            policies: Arc::clone(&policies),
            active_orders: Arc::clone(&active_orders),
            clock: Arc::clone(clock),
            permit_queue: Arc::clone(&permit_queue),
            row_writer: Arc::clone(&row_writer),
            dial_checks: Arc::clone(&dial_checks),
            link_checks: Arc::clone(&link_checks),
            site_budgets: Arc::clone(&site_budgets),
            stop_lists: Arc::clone(&stop_lists),
            audit: Arc::clone(&audit),
            suspicions: suspicions.clone(),
            stop: stop.clone(),
        };
        let receipts = Receipts {
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            orders: Arc::clone(&orders),
            suspicions: suspicions.clone(),
            accusations: AccusedEdges {
                registry: Arc::clone(&registry),
                suspicions: suspicions.clone(),
                tasks: tasks.clone(),
                stop: stop.clone(),
                waiting: Arc::default(),
            },
        };
        let install_permits = Arc::new(InstallPermits {
            registry: Arc::clone(&registry),
            clock: Arc::clone(clock),
            limited: tokio::sync::Mutex::default(),
            server,
            store: Arc::clone(&store),
            secrets: Arc::clone(secrets),
            repository: Arc::clone(repository),
            suspicions: suspicions.clone(),
            connections: connections.clone(),
            wake_ups: Arc::clone(&wake_ups),
            permit_queue: Arc::clone(&permit_queue),
            stop: stop.clone(),
        });
        let gates = Arc::new(RingGates {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            reachability,
            clock: Arc::clone(clock),
            permit_queue: Arc::clone(&permit_queue),
            stop_lists: Arc::clone(&stop_lists),
            blocked: Mutex::default(),
            audit: Arc::clone(&audit),
            reported: Notify::new(),
            stop: stop.clone(),
        });
        let control = DeploymentControl {
            store: Arc::clone(&store),
            orders: Arc::clone(&orders),
            gates: Arc::clone(&gates),
            permit_queue: Arc::clone(&permit_queue),
            wake_ups: Arc::clone(&wake_ups),
            clock: Arc::clone(clock),
            stop_lists: Arc::clone(&stop_lists),
        };
        let reports = Reports {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            active_orders: Arc::clone(&active_orders),
            suspicions: suspicions.clone(),
            quotas: Arc::clone(&quotas),
            permit_queue,
            row_writer: Arc::clone(&row_writer),
            connections: connections.clone(),
            wake_ups: Arc::clone(&wake_ups),
            clock: Arc::clone(clock),
            gates: Arc::clone(&gates),
        };
        let sources =
            Sources::new(Arc::clone(&registry), connections.clone(), Arc::clone(&orders), Arc::clone(&site_budgets));
        let flows = Flows::new(
            Arc::clone(&registry),
            Arc::clone(&policies),
            connections.clone(),
            Arc::clone(&orders),
            Arc::clone(&site_budgets),
        );
        let uploads = Arc::new(Uploads::new(Arc::clone(artifacts)));
        let monitor = Monitor {
            store: Arc::clone(&store),
            uploads: Arc::clone(&uploads),
            repository: Arc::clone(repository),
            withdrawal,
            orders: Arc::clone(&orders),
            connections: connections.clone(),
            wake_ups: Arc::clone(&wake_ups),
            clock: Arc::clone(clock),
            stop: stop.clone(),
        };
        let swarm_host = Arc::new(SwarmHost {
            store,
            registry: Arc::clone(&registry),
            tls: Arc::clone(tls),
            active_orders,
            direct_offers: Arc::clone(&direct_offers),
            artifacts: Arc::clone(artifacts),
            suspicions: suspicions.clone(),
            connections: connections.clone(),
            wake_ups,
            dial_checks,
            link_checks: Arc::clone(&link_checks),
            policies: Arc::clone(&policies),
            stop_lists,
            tasks: tasks.clone(),
        });

        let server = Arc::new(Server {
            identity: server,
            long_work: LongWork::default(),
            clock: Arc::clone(clock),
            tls: Arc::clone(tls),
            connections,
            quotas,
            failed_attempts: FailedAttempts::default(),
            secrets: Arc::clone(secrets),
            access,
            audit,
            idempotency,
            request_counts: RequestCounts::default(),
            editing: tokio::sync::Mutex::default(),
            registry,
            enrolment,
            revocation,
            repository: Arc::clone(repository),
            uploads,
            orders: Arc::clone(&orders),
            publication,
            deployments,
            statuses,
            selections,
            named_sites,
            policies,
            direct_offers,
            sideload,
            catalogues,
            assignments,
            check_ins,
            receipts,
            install_permits,
            control,
            reports,
            sources,
            flows,
            site_budgets,
            link_checks,
            suspicions,
            webhooks: Webhooks { store: Arc::clone(&orders.store) },
            stop: stop.clone(),
        });
        let webhook_queues = Arc::new(WebhookQueues {
            store: Arc::clone(&orders.store),
            server: server.identity.id,
            stop: stop.clone(),
        });
        Ok(Self {
            server,
            acceptor,
            revocation_list,
            monitor,
            gates,
            newcomers,
            row_writer,
            webhook_queues,
            orders,
            swarm_host,
            node,
            stop,
            tasks,
        })
    }
}
