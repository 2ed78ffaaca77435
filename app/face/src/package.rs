//! A package file that somebody opened: asked about and installed over a line of its own, since that one is busy as long as
//! the file goes over it.
//!
//! This program reads the file, with the rights of whoever opened it; the agent gets bytes and never a name
//! ([`banyan_proto::local::Package`]).

use crate::line;
use banyan_proto::{
    DeploymentId, Digest, Reason,
    api::ApiError,
    local::{Package, Reply, Request},
};
use interprocess::local_socket::Stream;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

/// What package files begin with; the length of the head follows, four bytes, the largest first.
const MAGIC: &[u8; 17] = b"banyan package 1\n";
/// So many bytes are handed over at once.
const PIECE: usize = 256 << 10;

/// A package file on its way from being opened to being installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The file.
    pub path: PathBuf,
    /// How far it is.
    pub step: Step,
    /// The person says that they trust whoever signed it; asked only where the agent asks.
    pub consent: bool,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The agent looks at it.
    Asked,
    /// This is in it; the person decides.
    Shown(Box<Package>),
    /// Nothing in it can be believed, or it cannot be read.
    Refused(ApiError),
    /// It goes over to the agent: so many of so many bytes.
    Sent(Box<Package>, u64, u64),
    /// From now on it is an update like every other.
    Ordered(Box<Package>, DeploymentId),
    /// It was not taken.
    NotTaken(Box<Package>, ApiError),
}

impl Opening {
    /// One that was just opened.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, step: Step::Asked, consent: false }
    }
}

/// Asks the agent at this socket what is in the file.
#[must_use]
pub fn open(socket: &Path, path: &Path) -> Step {
    match ask(socket, path) {
        Ok(Ok(package)) => Step::Shown(package),
        Ok(Err(refused)) => Step::Refused(refused),
        Err(error) => Step::Refused(broken(path, &error)),
    }
}

/// Has the agent install it; `consent`: the person trusts whoever signed it. `told` hears each step.
pub fn install(socket: &Path, path: &Path, package: Box<Package>, consent: bool, mut told: impl FnMut(Step)) {
    let sent = |sent, of| Step::Sent(package.clone(), sent, of);
    // That very root, which was shown.
    let trust = consent.then_some(package.signer.root);
    let ended = send(socket, path, package.manifest, trust, &mut |now, of| told(sent(now, of)));
    told(match ended {
        Ok(Ok(order)) => Step::Ordered(package, order),
        Ok(Err(refused)) => Step::NotTaken(package, refused),
        Err(error) => Step::NotTaken(package, broken(path, &error)),
    });
}

fn broken(path: &Path, error: &io::Error) -> ApiError {
    let detail = format!("{} could not be handed to the Banyan service: {error}", path.display());
    ApiError { reason: Reason::NotAPackage, detail }
}

type Answer<T> = io::Result<Result<T, ApiError>>;

fn ask(socket: &Path, path: &Path) -> Answer<Box<Package>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut begin = Vec::new();
    Read::by_ref(&mut file).take(MAGIC.len() as u64 + 4).read_to_end(&mut begin)?;
    let length = begin.strip_prefix(MAGIC).and_then(|length| length.first_chunk::<4>());
    let Some(length) = length else {
        let detail = "it does not begin as package files of this version of Banyan do".to_owned();
        return Ok(Err(ApiError { reason: Reason::NotAPackage, detail }));
    };
    let head = (begin.len() as u64 + u64::from(u32::from_be_bytes(*length))).min(size);
    file.rewind()?;
    match hand_over(socket, &Request::OpenPackage { head, size }, &mut file, head, &mut |_| {})? {
        Reply::Package(package) => Ok(Ok(package)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(line::unexpected(&other)),
    }
}

fn send(
    socket: &Path,
    path: &Path,
    manifest: Digest,
    trust: Option<Digest>,
    told: &mut dyn FnMut(u64, u64),
) -> Answer<DeploymentId> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let request = Request::InstallPackage { manifest, size, trust };
    match hand_over(socket, &request, &mut file, size, &mut |sent| told(sent, size))? {
        Reply::Ordered { order } => Ok(Ok(order)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(line::unexpected(&other)),
    }
}

/// A request with so many bytes of the file behind it, and the answer.
fn hand_over(
    socket: &Path,
    request: &Request,
    file: &mut File,
    bytes: u64,
    sent: &mut dyn FnMut(u64),
) -> io::Result<Reply> {
    let stream = line::connect(socket)?;
    let mut from = BufReader::new(&stream);
    line::greet(&stream, &mut from)?;
    line::write(&stream, request)?;
    let (mut done, mut piece) = (0, vec![0; PIECE]);
    while done < bytes {
        let some = usize::try_from((bytes - done).min(PIECE as u64)).unwrap_or(PIECE);
        file.read_exact(&mut piece[..some])?;
        let mut to: &Stream = &stream;
        if io::Write::write_all(&mut to, &piece[..some]).is_err() {
            // It has hung up before it got everything: its answer is on the way to here.
            break;
        }
        done += some as u64;
        sent(done);
    }
    line::reply(&mut from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_begin_as_publishers_write_them() {
        assert_eq!(super::MAGIC, banyan_trust::package::MAGIC);
    }
}
