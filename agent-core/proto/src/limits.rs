//! Upper bounds on everything that comes from outside. A limit is applied before the bytes are kept or parsed.

/// Largest control message between machines (bytes of JSON): an offer to the head of 10,000 machines fits.
pub const CONTROL_BYTES: usize = 8 << 20;
/// Largest chunk of content (bytes).
pub const CHUNK_BYTES: usize = 256 << 10;
/// Smallest chunk of content (bytes), save the last one of an artifact.
pub const CHUNK_BYTES_MIN: usize = 16 << 10;
/// Largest artifact (bytes).
pub const ARTIFACT_BYTES: u64 = 64 << 30;
/// Most addressees of one order.
pub const ADDRESSEES: usize = 20_000;
/// Deepest a list may nest (heads on the way from the root to a leaf). The planner's halving stays far below.
pub const LIST_DEPTH: usize = 64;
/// Largest manifest (bytes of JSON).
pub const MANIFEST_BYTES: usize = 24 << 20;
/// Largest single TUF metadata file (bytes).
pub const METADATA_BYTES: usize = 4 << 20;
/// Most TUF root versions followed in one step.
pub const ROOTS: usize = 64;
/// Largest head of a package file (bytes): its manifest, its metadata and a long chain of roots fit.
pub const PACKAGE_HEAD_BYTES: usize = 64 << 20;
/// Largest body of an HTTP request to the server, save uploads of artifacts (bytes).
pub const HTTP_BODY_BYTES: usize = 32 << 20;
/// Most packages that one catalogue offers.
pub const CATALOGUE: usize = 200;
/// Longest release notes and longest publisher's name in a catalogue (bytes); what is longer is cut. A whole catalogue then fits
/// into one message to a face, however it is escaped.
pub const CATALOGUE_NOTES_BYTES: usize = 4 << 10;
/// See [`CATALOGUE_NOTES_BYTES`].
pub const CATALOGUE_PUBLISHER_BYTES: usize = 256;
/// Most address hints of one machine.
pub const ADDRESSES_PER_MACHINE: usize = 8;
/// Largest body of an enrolment: the only request that strangers may send (bytes).
pub const ENROL_BODY_BYTES: usize = 64 << 10;
/// Largest body of any other request of a machine (bytes). Long lists of reports are sent in several.
pub const AGENT_BODY_BYTES: usize = 4 << 20;
/// Longest label, group or software name (bytes).
pub const LABEL_BYTES: usize = 128;
/// Most machines a join secret may be good for.
pub const TOKEN_USES: u32 = 1_000_000;
