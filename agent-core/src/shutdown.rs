//! Waits until this process is asked to stop.

use crate::sys;
use tokio::sync::oneshot;

/// Waits until this process is asked to stop: by the system, by Ctrl-C or, if `with_stdin`, by the end of its standard
/// input.
pub(crate) async fn requested(with_stdin: bool) {
    let (ended, stdin_ended) = oneshot::channel::<()>();
    // A separate thread: at shutdown the runtime would wait for a pending read.
    let reader = with_stdin.then(|| {
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
            drop(ended);
        })
    });
    let stdin_ended = async move {
        match reader {
            Some(_) => drop(stdin_ended.await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stdin_ended => {}
        () = sys::termination_request() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
