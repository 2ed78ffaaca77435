//! The calling side: what faces and `doctor` use.

use super::{
    Place,
    line::{Lines, write},
};
use banyan_proto::local::{Event, LOCAL_VERSION, MESSAGE_BYTES, Message, Reply, Request, Right, Status};
use interprocess::local_socket::tokio::Stream;
use std::{collections::VecDeque, io, path::Path};

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
        loop {
            match self.message().await? {
                Message::Reply(reply) => return Ok(reply),
                Message::Event(event) => self.early.push_back(event),
            }
        }
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
