//! The client of the local API, used by the desktop programs and by `doctor`.

use crate::{
    LocalAddress,
    framing::{LineReader, write_line},
};
use banyan_proto::{
    Digest, Reason,
    api::ApiError,
    format,
    local::{Event, LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request, Right, Status},
};
use banyan_trust::package::{MAGIC, PREFIX_BYTES};
use interprocess::local_socket::tokio::Stream;
use std::{
    collections::VecDeque,
    io::{self, SeekFrom},
    path::Path,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

/// A connection to an agent, after the handshake.
pub struct Client {
    stream: Stream,
    lines: LineReader,
    /// Events that arrived while waiting for a reply.
    queued_events: VecDeque<Event>,
    /// The agent's program name and version.
    pub software: String,
    /// This user's rights at the agent.
    pub rights: Vec<Right>,
}

/// The other program is of another version or is not an agent.
const UNEXPECTED: &str = "it answered something else than asked; restart the agent and this program after updating";

fn invalid(detail: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.into())
}

impl Client {
    /// Connects and performs the handshake.
    ///
    /// # Errors
    /// When no agent answers, this user has no access, or the agent speaks another version.
    pub async fn connect(address: &LocalAddress) -> io::Result<Self> {
        let (stream, lines, queued_events) = (address.connect().await?, LineReader::default(), VecDeque::new());
        let mut client = Self { stream, lines, queued_events, software: String::new(), rights: Vec::new() };
        match client.request(&Request::Hello { version: LOCAL_VERSION }).await? {
            Reply::Hello { version, software, .. } if version != LOCAL_VERSION => {
                let detail = format!(
                    "{software} speaks version {version} of the local API, but this program speaks {LOCAL_VERSION}"
                );
                Err(invalid(format!("{detail}; restart both after updating")))
            }
            Reply::Hello { software, rights, .. } => Ok(Self { software, rights, ..client }),
            Reply::Error(error) => Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
            _ => Err(invalid(UNEXPECTED)),
        }
    }
    /// Sends a request and waits for the reply.
    ///
    /// # Errors
    /// When the agent is gone or sends an invalid message. A refusal is a reply, not an error.
    pub async fn request(&mut self, request: &Request) -> io::Result<Reply> {
        write_line(&self.stream, format::write(request)).await?;
        self.reply().await
    }
    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match self.message().await? {
                Message::Reply(reply) => return Ok(reply),
                Message::Event(event) => self.queued_events.push_back(event),
            }
        }
    }
    /// Asks the agent to inspect a package file. This program reads the file with its own user's rights; the agent
    /// only receives bytes.
    ///
    /// # Errors
    /// When the file cannot be read, or the agent is gone. A refused file is a reply, not an error.
    pub async fn open_package(&mut self, file: &mut File) -> io::Result<Reply> {
        let size = file.seek(SeekFrom::End(0)).await?;
        file.rewind().await?;
        let mut prefix = [0; PREFIX_BYTES];
        let is_too_short = size < prefix.len() as u64;
        if !is_too_short {
            file.read_exact(&mut prefix).await?;
            file.rewind().await?;
        }
        let (magic, length) = (&prefix[..MAGIC.len()], &prefix[MAGIC.len()..]);
        let Some(length) = length.first_chunk::<4>().filter(|_| !is_too_short && magic == MAGIC) else {
            let detail = "the file does not start like a package file of this version of Banyan".to_owned();
            return Ok(Reply::Error(ApiError { reason: Reason::NotAPackage, detail }));
        };
        let head = (prefix.len() as u64 + u64::from(u32::from_be_bytes(*length))).min(size);
        self.send(&Request::OpenPackage { head, size }, file, head, &mut |_| {}).await
    }
    /// Installs the release in a package file that [`banyan_proto::local::Package::manifest`] named. `sent` is called
    /// with the number of bytes sent so far. `trust` names the publisher that the user consents to trust, where this
    /// is asked. The connection is busy until the answer arrives, so use a separate one.
    ///
    /// # Errors
    /// When the file cannot be read, or the agent is gone. A refusal is a reply; the connection cannot be used
    /// afterwards.
    pub async fn install_package(
        &mut self,
        manifest: Digest,
        trust: Option<Digest>,
        file: &mut File,
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<Reply> {
        let size = file.seek(SeekFrom::End(0)).await?;
        file.rewind().await?;
        self.send(&Request::InstallPackage { manifest, size, trust }, file, size, sent).await
    }
    /// Sends a request followed by this many bytes of a file. The agent may answer before it has received all of them.
    async fn send(
        &mut self,
        request: &Request,
        file: &mut File,
        bytes: u64,
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<Reply> {
        write_line(&self.stream, format::write(request)).await?;
        let (mut left, mut buffer, mut done) = (bytes, vec![0; 256 << 10], 0);
        while left > 0 {
            let some = usize::try_from(left.min(buffer.len() as u64)).unwrap_or(buffer.len());
            file.read_exact(&mut buffer[..some]).await?;
            let mut at = 0;
            while at < some {
                let mut to = &self.stream;
                tokio::select! {
                    written = to.write(&buffer[at..some]) => match written {
                        Ok(written) => at += written,
                        // The agent has closed the connection; its answer is already on the way.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return self.reply().await,
                        Err(error) => return Err(error),
                    },
                    line = self.lines.next_line(&self.stream, MESSAGE_BYTES) => {
                        let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                        match serde_json::from_str(&line)? {
                            Message::Reply(reply) => return Ok(reply),
                            Message::Event(event) => self.queued_events.push_back(event),
                        }
                    }
                }
            }
            left -= some as u64;
            done += some as u64;
            sent(done);
        }
        self.reply().await
    }
    /// Returns the next event. Call it only after [`Request::Subscribe`]. It is cancel-safe.
    ///
    /// # Errors
    /// When the agent is gone or sends an invalid message.
    pub async fn event(&mut self) -> io::Result<Event> {
        if let Some(event) = self.queued_events.pop_front() {
            return Ok(event);
        }
        match self.message().await? {
            Message::Event(event) => Ok(event),
            Message::Reply(_) => Err(invalid(UNEXPECTED)),
        }
    }
    async fn message(&mut self) -> io::Result<Message> {
        let line = self.lines.next_line(&self.stream, MESSAGE_BYTES).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Asks the agent with this data folder for its status.
///
/// # Errors
/// When no agent runs there, this user has no access, or the answer is not a status.
pub async fn query_status(data: &Path) -> io::Result<Status> {
    let mut client = Client::connect(&LocalAddress::Own(data.to_owned())).await?;
    match client.request(&Request::Status).await? {
        Reply::Status(status) => Ok(status),
        Reply::Error(refusal) => Err(io::Error::other(refusal)),
        _ => Err(invalid(UNEXPECTED)),
    }
}
