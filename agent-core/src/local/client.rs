//! The calling side: what faces and `doctor` use.

use super::{
    Place,
    line::{Lines, write},
};
use banyan_proto::{
    Digest, Reason,
    api::ApiError,
    local::{Event, LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request, Right, Status},
};
use banyan_trust::package::MAGIC;
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

/// A connection to an agent, greeted.
pub struct Client {
    stream: Stream,
    lines: Lines,
    /// Events that came while a reply was waited for.
    early: VecDeque<Event>,
    /// Program and version of the agent.
    pub software: String,
    /// What this user may do there.
    pub rights: Vec<Right>,
}

fn invalid(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}

impl Client {
    /// Calls and greets.
    ///
    /// # Errors
    /// When nobody answers, this user may do nothing there, or the agent speaks another version.
    pub async fn connect(place: &Place) -> io::Result<Self> {
        let (stream, lines, early) = (place.connect().await?, Lines::default(), VecDeque::new());
        let mut client = Self { stream, lines, early, software: String::new(), rights: Vec::new() };
        match client.request(&Request::Hello { version: LOCAL_VERSION }).await? {
            Reply::Hello { version, software, .. } if version != LOCAL_VERSION => {
                let detail =
                    format!("{software} speaks version {version} of the local API, this program {LOCAL_VERSION}");
                Err(invalid(format!("{detail}; restart both after an update")))
            }
            Reply::Hello { software, rights, .. } => Ok(Self { software, rights, ..client }),
            Reply::Error(error) => Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
            other => Err(invalid(format!("the agent answered {other:?}"))),
        }
    }
    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// When the agent is gone or says something that is no message. A refusal is a reply.
    pub async fn request(&mut self, request: &Request) -> io::Result<Reply> {
        write(&self.stream, request).await?;
        self.reply().await
    }
    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match self.message().await? {
                Message::Reply(reply) => return Ok(reply),
                Message::Event(event) => self.early.push_back(event),
            }
        }
    }
    /// What is in a package file. This program reads it, with its own user's rights; the agent only gets bytes.
    ///
    /// # Errors
    /// When the file cannot be read, or the agent is gone. That it is no package is a reply.
    pub async fn open_package(&mut self, file: &mut File) -> io::Result<Reply> {
        let size = file.seek(SeekFrom::End(0)).await?;
        file.rewind().await?;
        let mut begin = [0; MAGIC.len() + 4];
        let shorter = size < begin.len() as u64;
        if !shorter {
            file.read_exact(&mut begin).await?;
            file.rewind().await?;
        }
        let (magic, length) = (&begin[..MAGIC.len()], &begin[MAGIC.len()..]);
        let Some(length) = length.first_chunk::<4>().filter(|_| !shorter && magic == MAGIC) else {
            let detail = "it does not begin as a package file of this version of Banyan does".to_owned();
            return Ok(Reply::Error(ApiError { reason: Reason::NotAPackage, detail }));
        };
        let head = (begin.len() as u64 + u64::from(u32::from_be_bytes(*length))).min(size);
        self.send(&Request::OpenPackage { head, size }, file, head, &mut |_| {}).await
    }
    /// Installs a package file: the release that [`banyan_proto::local::Package::manifest`] named. `sent` hears how many
    /// bytes of it have been handed over so far. `trust` names whom the person says to trust, where that is asked. Use a connection of its own: it is busy until the answer is here.
    ///
    /// # Errors
    /// When the file cannot be read, or the agent is gone. A refusal is a reply; the connection is of no use afterwards.
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
    /// A request with so many bytes of a file behind it. The agent may answer before it has got them all.
    async fn send(
        &mut self,
        request: &Request,
        file: &mut File,
        bytes: u64,
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<Reply> {
        write(&self.stream, request).await?;
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
                        // It has hung up: its answer is on the way to here.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return self.reply().await,
                        Err(error) => return Err(error),
                    },
                    line = self.lines.next(&self.stream, MESSAGE_BYTES) => {
                        let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                        match serde_json::from_str(&line)? {
                            Message::Reply(reply) => return Ok(reply),
                            Message::Event(event) => self.early.push_back(event),
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
    /// The next event; only after [`Request::Subscribe`]. Giving up the wait loses nothing.
    ///
    /// # Errors
    /// When the agent is gone or says something that is no message.
    pub async fn event(&mut self) -> io::Result<Event> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        match self.message().await? {
            Message::Event(event) => Ok(event),
            Message::Reply(reply) => Err(invalid(format!("a reply to nothing: {reply:?}"))),
        }
    }
    async fn message(&mut self) -> io::Result<Message> {
        let line = self.lines.next(&self.stream, MESSAGE_BYTES).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Asks the agent whose folder this is how it is.
///
/// # Errors
/// When no agent runs there, this user may not ask it, or it answers something else.
pub async fn ask(data: &Path) -> io::Result<Status> {
    let mut client = Client::connect(&Place::Own(data.to_owned())).await?;
    match client.request(&Request::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(invalid(format!("the agent answered {other:?}"))),
    }
}
