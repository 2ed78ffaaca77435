//! Accepts connections from other machines.

use banyan_wire::{connection, node::NodeHandle};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tracing::{debug, warn};

/// Maximum number of concurrent handshakes; further connections wait.
const MAX_HANDSHAKES: usize = 64;

/// Accepts connections until the task is dropped.
pub(crate) async fn run(listener: TcpListener, node: NodeHandle) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    match connection::handshake(stream, node.tls().acceptor).await {
                        Ok(stream) => node.accept(stream),
                        Err(error) => debug!(%from, %error, "handshake failed"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Probably out of file handles: other connections must close first.
                warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
