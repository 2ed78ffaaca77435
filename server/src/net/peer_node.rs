//! The server's node in the peer-to-peer network. Services share it before it starts, because the node's host is made of
//! them.

use banyan_wire::node::NodeHandle;
use std::sync::{Arc, OnceLock};

/// The handle of the node's loop; empty until the node starts.
#[derive(Clone, Default)]
pub(crate) struct PeerNode(Arc<OnceLock<NodeHandle>>);

impl PeerNode {
    /// Sets the handle. Only the first call has an effect.
    pub(crate) fn set(&self, handle: NodeHandle) {
        drop(self.0.set(handle));
    }
    /// Returns the handle, or `None` before the node starts.
    pub(crate) fn get(&self) -> Option<&NodeHandle> {
        self.0.get()
    }
}
