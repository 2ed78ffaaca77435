//! The budget of this machine's site (rule P17). What the server says about it is stored, because it must hold after a
//! restart without the server.

use super::NodeSlot;
use crate::{database::Database, server::api::ServerApi};
use banyan_proto::site_budget::{SiteNotice, SiteShareReply, SiteShareRequest};
use banyan_wire::{
    node::NodeHandle,
    site_share::{ShareGranter, ShareKeeper},
};
use std::sync::Arc;
use tracing::{debug, warn};

/// Database key of the notice.
const KEY: &str = "site-budget";

/// The budget, and this machine's share of it.
pub(crate) struct SiteBudget {
    database: Arc<Database>,
    node: NodeSlot,
    share: Arc<ShareKeeper<Server>>,
}

/// The server, which grants shares.
struct Server(Arc<ServerApi>);

impl ShareGranter for Server {
    async fn ask(&self, request: SiteShareRequest) -> Option<SiteShareReply> {
        let reply =
            self.0.site_share(&request).await.inspect_err(|error| debug!(%error, "no share of the site's budget"));
        debug!(?request, ?reply, "asked for a share of the site's budget");
        reply.ok()
    }
}

impl SiteBudget {
    /// Loads the notice that an earlier run has stored.
    pub(super) fn open(database: Arc<Database>, api: Arc<ServerApi>, node: NodeSlot) -> Self {
        let notice = database.load::<Option<SiteNotice>>(KEY).unwrap_or_else(|error| {
            warn!(%error, "failed to read what is known of the site's budget; the server will repeat it");
            None
        });
        Self { database, node, share: Arc::new(ShareKeeper::new(Server(api), notice.flatten())) }
    }
    /// Returns the number of the notice that this machine goes by; 0 for none.
    pub(super) fn notice_number(&self) -> u64 {
        self.share.notice().map_or(0, |notice| notice.number)
    }
    /// Takes what the server says about the budget.
    pub(super) fn set_notice(&self, notice: Option<SiteNotice>) {
        if self.share.set_notice(notice)
            && let Err(error) = self.database.store(KEY, &notice)
        {
            warn!(%error, "failed to store what is known of the site's budget");
        }
    }
    /// Applies the budget to the node.
    pub(super) fn start(&self) {
        if let Some(limit) = self.node.get().map(NodeHandle::site_limit) {
            self.share.start(Arc::clone(limit));
        }
    }
}
