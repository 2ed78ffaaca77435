//! The local API: how programs on this machine ask the agent. A socket in the agent's folder (a named pipe on Windows),
//! for the agent's own user and root; one JSON value a line, `hello` first.

use crate::{
    agent::Agent,
    orders::{HeldOrder, lock},
};
use banyan_proto::{
    Reason,
    api::ApiError,
    local::{LOCAL_VERSION, OrderStatus, REQUEST_BYTES, Reply, Request, Right, Status},
};
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, Name, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::Semaphore,
    time::timeout,
};
use tracing::{debug, warn};

/// Longest answer that a caller reads (bytes).
const REPLY_BYTES: u64 = 1 << 20;
/// Callers at once; more wait.
const CALLERS: usize = 16;
/// A caller that says nothing for so long is hung up on.
const IDLE: Duration = Duration::from_secs(60);

fn name(data: &Path) -> io::Result<Name<'static>> {
    #[cfg(unix)]
    return data.join("agent.sock").to_fs_name::<GenericFilePath>();
    #[cfg(windows)]
    {
        // Pipes have one folder for the whole machine; the hash keeps two agents apart.
        let folder = data.canonicalize()?;
        let hash = banyan_proto::Digest::of(folder.as_os_str().as_encoded_bytes());
        return format!(r"\\.\pipe\banyan-agent-{}", hash.short()).to_fs_name::<GenericFilePath>();
    }
}

fn listen(data: &Path) -> io::Result<Listener> {
    let options = ListenerOptions::new().name(name(data)?).try_overwrite(true);
    #[cfg(unix)]
    let options = interprocess::os::unix::local_socket::ListenerOptionsExt::mode(options, 0o600);
    options.create_tokio()
}

/// Answers callers for ever. Without it the agent works all the same, so a failure is only logged.
pub(crate) async fn serve(agent: Arc<Agent>, data: std::path::PathBuf) {
    let listener = match listen(&data) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, folder = %data.display(), "the local API could not be opened"),
    };
    let callers = Arc::new(Semaphore::new(CALLERS));
    loop {
        let Ok(permit) = Arc::clone(&callers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    if let Err(error) = answer(&agent, stream).await {
                        debug!(%error, "a local caller is gone");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "a local caller could not be let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(agent: &Agent, stream: Stream) -> io::Result<()> {
    let mut from = BufReader::new(&stream);
    let mut greeted = false;
    loop {
        let Ok(line) = timeout(IDLE, line(&mut from, REQUEST_BYTES)).await else { return Ok(()) };
        let line = line?;
        if line.is_empty() {
            return Ok(());
        }
        let wrong = |detail: &str| Reply::Error(ApiError { reason: Reason::ProtocolBroken, detail: detail.to_owned() });
        let reply = match serde_json::from_str(&line) {
            Ok(Request::Hello { .. }) => {
                greeted = true;
                Reply::Hello { version: LOCAL_VERSION, software: crate::identity::software(), rights: vec![Right::See] }
            }
            Ok(_) if !greeted => wrong("say hello first"),
            Ok(Request::Status) => Reply::Status(status(agent)),
            Ok(_) => wrong("this agent cannot do that yet"),
            Err(error) => wrong(&format!("the request was not understood: {error}")),
        };
        write(&stream, &reply).await?;
    }
}

fn status(agent: &Agent) -> Status {
    let mut orders = agent.orders.all();
    orders.sort_by_key(|held| std::cmp::Reverse(held.order.number));
    let records = agent.state.orders().unwrap_or_default();
    let ended = |held: &HeldOrder| {
        let same = |record: &&crate::state::OrderRecord| record.order == held.signed;
        records.iter().find(same).and_then(|record| record.ended)
    };
    let order = |held: &Arc<HeldOrder>| OrderStatus {
        order: held.order.id,
        package: held.order.package.clone(),
        sequence: held.order.sequence,
        chunks: (
            (0..held.content.stripes()).filter_map(|stripe| held.content.held(stripe)).sum(),
            held.content.artifact().chunk_count(),
        ),
        passed_on: held.content.served(),
        authenticated: held.receipt().is_some(),
        ended: ended(held),
    };
    Status {
        machine: agent.me,
        label: agent.label.clone(),
        server: agent.server.address(),
        heard: agent.heard(),
        trouble: lock(&agent.trouble).clone(),
        certificate_until: banyan_wire::tls::valid_until(&agent.credentials().certificate),
        crl_number: agent.crl_number(),
        orders: orders.iter().map(order).collect(),
    }
}

/// Asks the agent whose folder this is how it is.
///
/// # Errors
/// When no agent runs there, this user may not ask it, or it answers something else.
pub async fn ask(data: &Path) -> io::Result<Status> {
    let invalid = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail.to_owned());
    let stream = Stream::connect(name(data)?).await?;
    let mut from = BufReader::new(&stream);
    write(&stream, &Request::Hello { version: LOCAL_VERSION }).await?;
    match serde_json::from_str(&line(&mut from, REPLY_BYTES).await?)? {
        Reply::Hello { rights, .. } if rights.contains(&Right::See) => {}
        other => return Err(invalid(&format!("the agent answered {other:?}"))),
    }
    write(&stream, &Request::Status).await?;
    match serde_json::from_str(&line(&mut from, REPLY_BYTES).await?)? {
        Reply::Status(status) => Ok(status),
        other => Err(invalid(&format!("the agent answered {other:?}"))),
    }
}

async fn line(from: &mut BufReader<&Stream>, most: u64) -> io::Result<String> {
    let mut line = String::new();
    from.take(most).read_line(&mut line).await?;
    if line.len() as u64 == most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than any message is"));
    }
    Ok(line)
}

async fn write(mut to: &Stream, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}
