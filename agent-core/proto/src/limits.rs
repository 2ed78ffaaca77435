//! Upper bounds on all input from outside. Code applies a limit before it stores or parses the bytes.

/// Largest control message between machines, in bytes of JSON. An offer to the head of 10,000 machines fits.
pub const CONTROL_BYTES: usize = 8 << 20;
/// Largest control message that is neither an offer nor a revocation list, in bytes of JSON. The deepest membership
/// proof fits several times.
pub const SMALL_CONTROL_BYTES: usize = 64 << 10;
/// Largest first message of a connection, in bytes of JSON.
pub const HELLO_BYTES: usize = 4 << 10;
/// Largest chunk of content, in bytes.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Smallest chunk of content, in bytes. The last chunk of an artifact can be smaller.
pub const CHUNK_BYTES_MIN: usize = 16 << 10;
/// Largest artifact, in bytes.
pub const ARTIFACT_BYTES: u64 = 64 << 30;
/// Largest number of target machines in one order.
pub const ADDRESSEES: usize = 20_000;
/// Largest number of orders on a list of stopped ones. The server stops the newest; for older ones it only refuses permits.
pub const STOPPED_ORDERS: usize = 10_000;
/// Largest message with a list of stopped orders, in bytes of JSON. [`STOPPED_ORDERS`] fit.
pub const STOP_LIST_BYTES: usize = 1 << 20;
/// Greatest depth of a list: heads on the path from the root to a leaf. The planner joins classes of machines until a list is flatter.
pub const LIST_DEPTH: usize = 64;
/// Largest manifest, in bytes of JSON.
pub const MANIFEST_BYTES: usize = 24 << 20;
/// Largest TUF metadata file, in bytes.
pub const METADATA_BYTES: usize = 4 << 20;
/// Largest number of TUF root versions followed in one step.
pub const ROOTS: usize = 64;
/// Largest head of a package file, in bytes. A manifest, metadata and a long chain of roots fit.
pub const PACKAGE_HEAD_BYTES: usize = 64 << 20;
/// Largest body of an HTTP request to the server, in bytes. Uploads of artifacts are exempt.
pub const HTTP_BODY_BYTES: usize = 32 << 20;
/// Largest number of packages in one catalogue.
pub const CATALOGUE: usize = 200;
/// Longest release notes in a catalogue, in bytes; longer notes are cut. With this limit a whole catalogue fits into
/// one local message, even if every byte is escaped.
pub const CATALOGUE_NOTES_BYTES: usize = 4 << 10;
/// Longest publisher's name in a catalogue, in bytes. See [`CATALOGUE_NOTES_BYTES`].
pub const CATALOGUE_PUBLISHER_BYTES: usize = 256;
/// Largest number of addresses in one machine's hint.
pub const ADDRESSES_PER_MACHINE: usize = 8;
/// Largest body of an enrolment request, in bytes. It is the only request that unauthenticated callers may send.
pub const ENROL_BODY_BYTES: usize = 64 << 10;
/// Largest body of any other request from a machine, in bytes. Agents split long lists of reports over several
/// requests.
pub const AGENT_BODY_BYTES: usize = 4 << 20;
/// Size of the body that server and machine send each other to check the machine's link (rule P14).
pub const LINK_CHECK_BYTES: usize = 128 << 10;
/// Largest delivery of reports that an agent sends, in bytes of JSON; far below [`AGENT_BODY_BYTES`].
pub const REPORTS_BYTES: usize = 1 << 20;
/// Longest explanation of a failed order, with the output of the package manager (bytes).
pub const FAILURE_DETAIL_BYTES: usize = 4000;
/// Largest number of machines that one report or receipt names as sources of content.
pub const SOURCES: usize = 256;
/// Longest label, group or software name, in bytes.
pub const LABEL_BYTES: usize = 128;
/// Largest number of machines that one join secret can enrol.
pub const TOKEN_USES: u32 = 1_000_000;
/// Older versions of one package that can be kept on a machine.
pub const KEPT_VERSIONS: u32 = 100;
