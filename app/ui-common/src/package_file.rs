//! Opening and installing a package file. Both use a connection of their own, because copying the file to the agent
//! keeps the connection busy.
//!
//! This program reads the file with the rights of the person who opened it. The agent receives bytes and never a path
//! ([`banyan_proto::local::Package`]).

use crate::{agent_connection, texts};
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
const BLOCK_BYTES: usize = 256 << 10;

/// A package file that was opened, and how far its installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The current stage.
    pub stage: PackageStage,
    /// The person has ticked that they trust the publisher. The window shows the box only when the agent asks for it.
    pub consent: bool,
}

/// A stage of opening and installing a package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageStage {
    /// The agent is checking the file.
    Checking,
    /// The agent has described the package; the person decides.
    Checked(Box<Package>),
    /// The file cannot be read or verified.
    Invalid(ApiError),
    /// The file is being copied to the agent.
    Copying {
        /// The description of the package.
        package: Box<Package>,
        /// Bytes copied so far.
        copied: u64,
        /// Size of the file (bytes).
        size: u64,
    },
    /// The agent has taken the package: it is now an update with this order.
    Ordered(Box<Package>, OrderId),
    /// The agent refused to install the package.
    InstallRefused(Box<Package>, ApiError),
}

impl PackageFile {
    /// Returns the state of a file that was just opened.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, stage: PackageStage::Checking, consent: false }
    }
}

/// Asks the agent at this socket to describe the file.
#[must_use]
pub fn inspect_package(socket: &Path, path: &Path) -> PackageStage {
    match request_description(socket, path) {
        Ok(Ok(package)) => PackageStage::Checked(package),
        Ok(Err(refused)) => PackageStage::Invalid(refused),
        Err(error) => PackageStage::Invalid(copy_failed(&error)),
    }
}

/// Has the agent install the file and calls `report` for each stage. `consent`: the person trusts the publisher.
pub fn install_package(
    socket: &Path,
    path: &Path,
    package: Box<Package>,
    consent: bool,
    mut report: impl FnMut(PackageStage),
) {
    let copying = |copied, size| PackageStage::Copying { package: package.clone(), copied, size };
    // The consent covers only the root that was shown.
    let trust = consent.then_some(package.signer.root);
    let result =
        request_installation(socket, path, package.manifest, trust, &mut |copied, size| report(copying(copied, size)));
    report(match result {
        Ok(Ok(order)) => PackageStage::Ordered(package, order),
        Ok(Err(refused)) => PackageStage::InstallRefused(package, refused),
        Err(error) => PackageStage::InstallRefused(package, copy_failed(&error)),
    });
}

fn copy_failed(error: &io::Error) -> ApiError {
    let detail = match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        _ => format!("the file couldn't be copied to the Banyan service: {}", texts::status::service_error(error)),
    };
    ApiError { reason: Reason::InternalError, detail }
}

/// Gives an error of the file Banyan's own words.
fn of_file<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::other(texts::package_file::file_error(&error)))
}

type Answer<T> = io::Result<Result<T, ApiError>>;

fn request_description(socket: &Path, path: &Path) -> Answer<Box<Package>> {
    let mut file = of_file(File::open(path))?;
    let size = of_file(file.metadata())?.len();
    let mut begin = Vec::new();
    of_file(Read::by_ref(&mut file).take(MAGIC.len() as u64 + 4).read_to_end(&mut begin))?;
    let length = begin.strip_prefix(MAGIC).and_then(|length| length.first_chunk::<4>());
    let Some(length) = length else {
        let detail = "this isn't a Banyan package file, or it needs a newer version of Banyan".to_owned();
        return Ok(Err(ApiError { reason: Reason::NotAPackage, detail }));
    };
    let head = (begin.len() as u64 + u64::from(u32::from_be_bytes(*length))).min(size);
    file.rewind()?;
    match send_with_file(socket, &Request::OpenPackage { head, size }, &mut file, head, &mut |_| {})? {
        Reply::Package(package) => Ok(Ok(package)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(agent_connection::unexpected_reply(&other)),
    }
}

fn request_installation(
    socket: &Path,
    path: &Path,
    manifest: Digest,
    trust: Option<Digest>,
    report: &mut dyn FnMut(u64, u64),
) -> Answer<OrderId> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let request = Request::InstallPackage { manifest, size, trust };
    match send_with_file(socket, &request, &mut file, size, &mut |sent| report(sent, size))? {
        Reply::Ordered { order } => Ok(Ok(order)),
        Reply::Error(refused) => Ok(Err(refused)),
        other => Err(agent_connection::unexpected_reply(&other)),
    }
}

/// Sends a request followed by this number of bytes of the file, and returns the answer.
fn send_with_file(
    socket: &Path,
    request: &Request,
    file: &mut File,
    bytes: u64,
    sent: &mut dyn FnMut(u64),
) -> io::Result<Reply> {
    let stream = agent_connection::connect(socket)?;
    let mut from = BufReader::new(&stream);
    agent_connection::shake_hands(&stream, &mut from)?;
    agent_connection::write_request(&stream, request)?;
    let (mut done, mut block) = (0, vec![0; BLOCK_BYTES]);
    while done < bytes {
        let some = usize::try_from((bytes - done).min(BLOCK_BYTES as u64)).unwrap_or(BLOCK_BYTES);
        file.read_exact(&mut block[..some])?;
        let mut to: &Stream = &stream;
        if io::Write::write_all(&mut to, &block[..some]).is_err() {
            // The agent answered before it received everything and closed the connection; its answer can still be read.
            break;
        }
        done += some as u64;
        sent(done);
    }
    agent_connection::read_reply(&mut from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_begin_as_publishers_write_them() {
        assert_eq!(super::MAGIC, banyan_trust::package::MAGIC);
    }
}
