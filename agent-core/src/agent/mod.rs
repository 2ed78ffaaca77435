//! The running agent: carries out the state machine's actions, applies what the server says, and serves as the node
//! loop's host.

mod certificate_renewal;
pub(crate) mod check_in;
mod gates;
mod host;
mod link_check;
mod on_demand;
pub(crate) mod order_end;
mod order_stages;
mod peer_tls;
mod restore;
pub(crate) mod scheduler;
mod site_budget;
pub(crate) mod start;
mod stop;

use crate::{
    change_notifier::ChangeNotifier,
    database::Database,
    identity::Identity,
    pipeline::{
        active_orders::ActiveOrders, authenticate::AuthenticateStage, install::InstallStage, offer::OfferStage,
        report::Reporter,
    },
    publisher_trust::PublisherTrust,
    scheduling::Schedule,
    sensors::Sensors,
    server::{api::ServerApi, catalogue::CatalogueCache, contact::ServerContact},
    sideload::Sideload,
    system_changes::SystemChanges,
    user::User,
};
use banyan_wire::{
    node::NodeHandle,
    tls::{Credentials, Crl},
};
use certificate_renewal::CertificateRenewal;
use gates::Gates;
use link_check::LastLinkCheck;
use peer_tls::PeerTls;
use rcgen::KeyPair;
use site_budget::SiteBudget;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, Weak},
};

/// The handle of the node loop, once it runs.
type NodeSlot = Arc<OnceLock<NodeHandle>>;

/// What the agent is assembled from.
pub(crate) struct AgentParts {
    pub(crate) identity: Arc<Identity>,
    /// The machine's display name.
    pub(crate) label: String,
    /// The address the agent listens on.
    pub(crate) listen: SocketAddr,
    /// The content folder.
    pub(crate) content: PathBuf,
    pub(crate) database: Arc<Database>,
    pub(crate) notifier: Arc<ChangeNotifier>,
    pub(crate) changes: Arc<SystemChanges>,
    pub(crate) user: Arc<User>,
    pub(crate) sensors: Arc<Sensors>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) api: Arc<ServerApi>,
    pub(crate) trust: Arc<PublisherTrust>,
    pub(crate) install: InstallStage,
    pub(crate) key: KeyPair,
    pub(crate) credentials: Credentials,
    /// The newest revocation list of earlier runs.
    pub(crate) crl: Option<Crl>,
}

/// The stages of an order.
pub(crate) struct Stages {
    pub(crate) offer: Arc<OfferStage>,
    pub(crate) authenticate: AuthenticateStage,
    pub(crate) install: InstallStage,
    pub(crate) reporter: Reporter,
}

/// The server, as the agent reaches it.
pub(crate) struct ServerLink {
    pub(crate) api: Arc<ServerApi>,
    pub(crate) contact: Arc<ServerContact>,
    pub(crate) catalogue: CatalogueCache,
}

/// The agent.
pub(crate) struct Agent {
    /// A weak reference to itself, for the tasks it starts.
    this: Weak<Self>,
    pub(crate) identity: Arc<Identity>,
    /// The machine's display name.
    pub(crate) label: String,
    /// The address the agent listens on.
    pub(crate) listen: SocketAddr,
    database: Arc<Database>,
    notifier: Arc<ChangeNotifier>,
    /// Changes of the clock and the network.
    pub(crate) changes: Arc<SystemChanges>,
    pub(crate) user: Arc<User>,
    pub(crate) sensors: Arc<Sensors>,
    /// The accepted orders.
    pub(crate) orders: Arc<ActiveOrders>,
    pub(crate) trust: Arc<PublisherTrust>,
    pub(crate) stages: Stages,
    pub(crate) server: ServerLink,
    pub(crate) tls: Arc<PeerTls>,
    renewal: CertificateRenewal,
    gates: Gates,
    site_budget: SiteBudget,
    last_link_check: LastLinkCheck,
    /// Manual install.
    pub(crate) sideload: Arc<Sideload>,
    node: NodeSlot,
}

impl Agent {
    /// Assembles the agent. The node loop is started later, with [`Agent::start_node`].
    pub(crate) fn new(parts: AgentParts) -> Arc<Self> {
        let AgentParts { identity, database, user, sensors, trust, api, .. } = parts;
        let node = NodeSlot::default();
        let orders = Arc::new(ActiveOrders::new(Arc::clone(&identity)));
        let platform = banyan_proto::platform::platform();
        let offer = Arc::new(OfferStage {
            identity: Arc::clone(&identity),
            platform: platform.clone(),
            folder: parts.content.clone(),
            database: Arc::clone(&database),
            orders: Arc::clone(&orders),
            trust: Arc::clone(&trust),
        });
        let authenticate = AuthenticateStage {
            identity: Arc::clone(&identity),
            server: Arc::clone(&api),
            database: Arc::clone(&database),
            trust: Arc::clone(&trust),
        };
        let reporter = Reporter::start(Arc::clone(&database), Arc::clone(&api));
        let sideload = Arc::new(Sideload {
            identity: Arc::clone(&identity),
            folder: parts.content,
            platform,
            database: Arc::clone(&database),
            trust: Arc::clone(&trust),
            user: Arc::clone(&user),
            orders: Arc::clone(&orders),
        });
        let tls = PeerTls::new(parts.credentials, parts.crl, Arc::clone(&database), Arc::clone(&node));
        let tls = Arc::new(tls);
        let contact = Arc::new(ServerContact::new(Arc::clone(&parts.notifier)));
        let renewal = CertificateRenewal {
            key: parts.key,
            database: Arc::clone(&database),
            trust: Arc::clone(&trust),
            api: Arc::clone(&api),
            contact: Arc::clone(&contact),
            tls: Arc::clone(&tls),
            changes: Arc::clone(&parts.changes),
            renewed: Mutex::default(),
        };
        let site_budget = SiteBudget::open(Arc::clone(&database), Arc::clone(&api), Arc::clone(&node));
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            identity,
            label: parts.label,
            listen: parts.listen,
            database,
            notifier: parts.notifier,
            changes: parts.changes,
            user,
            sensors,
            gates: Gates::new(parts.schedule, Arc::clone(&orders), Arc::clone(&node)),
            orders,
            trust,
            stages: Stages { offer, authenticate, install: parts.install, reporter },
            server: ServerLink { api, contact, catalogue: CatalogueCache::default() },
            tls,
            renewal,
            site_budget,
            last_link_check: LastLinkCheck::default(),
            sideload,
            node,
        })
    }
}
