//! Opening and installing a package file. Both use a connection of their own, because copying the file to the agent
//! keeps the connection busy.
//!
//! This program reads the file with the rights of the person who opened it. The agent receives bytes and never a path
//! ([`banyan_proto::local::Package`]).

use crate::agent_client;
use banyan_proto::{
    Digest, OrderId, Reason,
    api::ApiError,
    local::{Package, Reply, Request},
};
use interprocess::local_socket::Stream;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

/// The first bytes of every package file. The length of the head follows as four bytes, big-endian.
const MAGIC: &[u8; 17] = b"banyan package 1\n";
/// Bytes copied to the agent at once.
const PIECE: usize = 256 << 10;

/// A package file that was opened, and how far its installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The path of the file.
    pub path: PathBuf,
    /// The current step.
    pub step: Step,
    /// The person has ticked that they trust the publisher. The window shows the box only when the agent asks for it.
    pub consent: bool,
}

/// A step of opening and installing a package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The agent is checking the file.
    Asked,
    /// The agent has described the package; the person decides.
    Shown(Box<Package>),
    /// The file cannot be read or verified.
    Refused(ApiError),
    /// The file is being copied to the agent: bytes copied, and the size of the file.
    Sent(Box<Package>, u64, u64),
    /// The agent has taken the package: it is now an update with this order.
    Ordered(Box<Package>, OrderId),
    /// The agent refused to install the package.
    NotTaken(Box<Package>, ApiError),
}

impl Opening {
    /// Returns the state of a file that was just opened.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, step: Step::Asked, consent: false }
    }
}

/// Asks the agent at this socket to describe the file.
#[must_use]
pub fn open(socket: &Path, path: &Path) -> Step {
    match ask(socket, path) {
        Ok(Ok(package)) => Step::Shown(package),
        Ok(Err(refused)) => Step::Refused(refused),
        Err(error) => Step::Refused(broken(&error)),
    }
}

/// Has the agent install the file and calls `told` for each step. `consent`: the person trusts the publisher.
pub fn install(socket: &Path, path: &Path, package: Box<Package>, consent: bool, mut told: impl FnMut(Step)) {
    let sent = |sent, of| Step::Sent(package.clone(), sent, of);
    // The consent covers only the root that was shown.
    let trust = consent.then_some(package.signer.root);
    let ended = send(socket, path, package.manifest, trust, &mut |now, of| told(sent(now, of)));
    told(match ended {
        Ok(Ok(order)) => Step::Ordered(package, order),
        Ok(Err(refused)) => Step::NotTaken(package, refused),
        Err(error) => Step::NotTaken(package, broken(&error)),
    });
}

fn broken(error: &io::Error) -> ApiError {
    let detail = format!("the file couldn't be copied to the Banyan service ({error})");
    ApiError { reason: Reason::InternalError, detail }
}

type Answer<T> = io::Result<Result<T, ApiError>>;

fn ask(socket: &Path, path: &Path) -> Answer<Box<Package>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut begin = Vec::new();
    Read::by_ref(&mut file).take(MAGIC.len() as u64 + 4).read_to_end(&mut begin)?;
    let length = begin.strip_prefix(MAGIC).and_then(|length| length.first_chunk::<4>());
    let Some(length) = length else {
        let detail = "this isn't a Banyan package file, or it needs a newer version of Banyan".to_owned();
        return Ok(Err(ApiError { reason: Reason::NotAPackage, detail }));
    };
    let head = (begin.len() as u64 + u64::from(u32::from_be_bytes(*length))).min(size);
    file.rewind()?;
    match hand_over(socket, &Request::OpenPackage { head, size }, &mut file, head, &mut |_| {})? {
        Reply::Package(package) => Ok(Ok(package)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(agent_client::unexpected(&other)),
    }
}

fn send(
    socket: &Path,
    path: &Path,
    manifest: Digest,
    trust: Option<Digest>,
    told: &mut dyn FnMut(u64, u64),
) -> Answer<OrderId> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let request = Request::InstallPackage { manifest, size, trust };
    match hand_over(socket, &request, &mut file, size, &mut |sent| told(sent, size))? {
        Reply::Ordered { order } => Ok(Ok(order)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(agent_client::unexpected(&other)),
    }
}

/// Sends a request followed by this number of bytes of the file, and returns the answer.
fn hand_over(
    socket: &Path,
    request: &Request,
    file: &mut File,
    bytes: u64,
    sent: &mut dyn FnMut(u64),
) -> io::Result<Reply> {
    let stream = agent_client::connect(socket)?;
    let mut from = BufReader::new(&stream);
    agent_client::greet(&stream, &mut from)?;
    agent_client::write(&stream, request)?;
    let (mut done, mut piece) = (0, vec![0; PIECE]);
    while done < bytes {
        let some = usize::try_from((bytes - done).min(PIECE as u64)).unwrap_or(PIECE);
        file.read_exact(&mut piece[..some])?;
        let mut to: &Stream = &stream;
        if io::Write::write_all(&mut to, &piece[..some]).is_err() {
            // The agent answered before it received everything and closed the connection; its answer can still be read.
            break;
        }
        done += some as u64;
        sent(done);
    }
    agent_client::reply(&mut from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_begin_as_publishers_write_them() {
        assert_eq!(super::MAGIC, banyan_trust::package::MAGIC);
    }
}
