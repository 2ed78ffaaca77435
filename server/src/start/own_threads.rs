//! Threads of their own for work that others must not keep waiting, or that must not keep others waiting.
//!
//! Thousands of machines can keep the threads that serve them busy for seconds. Tasks on the same threads take turns in
//! one queue, but the operating system shares the processors between all threads.

use std::{io, thread};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    task::spawn_blocking,
};

/// One accepts connections while another carries out what an administrator asks for.
const FOR_ADMINISTRATORS: usize = 2;

/// Threads that run until they are stopped or dropped.
pub(super) struct OwnThreads {
    /// Present until then.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl OwnThreads {
    /// Starts the threads that accept connections, serve administrators and do what the server does by itself.
    pub(super) fn for_administrators() -> io::Result<Self> {
        Self::start("administrators", FOR_ADMINISTRATORS)
    }
    /// Starts the threads for the TLS handshakes of machines, which take most of the processor when all connect at once.
    pub(super) fn for_handshakes() -> io::Result<Self> {
        Self::start("handshakes", thread::available_parallelism().map_or(1, usize::from))
    }
    fn start(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
    /// Gives a listener to these threads, which then wait for connections.
    pub(super) fn take_listener(&self, listener: TcpListener) -> io::Result<TcpListener> {
        let listener = listener.into_std()?;
        let _entered = self.handle.enter();
        TcpListener::from_std(listener)
    }
    /// Waits until blocking work, such as writing a file, has ended, and stops the threads.
    pub(super) async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            drop(spawn_blocking(|| drop(runtime)).await);
        }
    }
}

impl Drop for OwnThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A task must not wait for threads.
            runtime.shutdown_background();
        }
    }
}
