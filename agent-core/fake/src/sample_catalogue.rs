//! The fake agent's sample catalogue: one release for each kind of row the window can show.

use banyan_proto::{
    Digest, Reason, UnixSeconds,
    api::{ApiError, OfferedRelease},
    local::{Catalogue, Item, Link, Replaces},
};

/// Returns the sample catalogue: a new package, an update, an installed package and one that some scenes are
/// downloading.
#[must_use]
pub fn offered(now: UnixSeconds) -> Catalogue {
    let item = |n: u8, package: &str, version: &str, size, notes: &str, before: Option<(&str, u64)>| Item {
        release: OfferedRelease {
            package: package.into(),
            version: version.into(),
            sequence: n.into(),
            manifest: Digest([n; 32]),
            size,
            publisher: "Lakeside School IT".into(),
            notes: notes.into(),
        },
        installed: before.map(|(version, sequence)| Replaces {
            version: version.into(),
            sequence,
            at: UnixSeconds(now.0 - 40 * 86_400),
        }),
    };
    let drawing = "Opens drawings in the new format.\nKeeps colours when you save.";
    Catalogue {
        items: vec![
            item(21, "chart-view", "2.1", 12_400_000, "Fixes printing.", Some(("2.0", 20))),
            item(31, "drawing", "3.1", 74_000_000, drawing, None),
            item(26, "libreoffice", "26.2", 655_000_000, "", None),
            item(94, "pdf-reader", "9.4", 31_000_000, "", Some(("9.4", 94))),
        ],
    }
}

/// Returns the error that the real agent gives when it cannot ask its server, or `None` when the server is reachable.
pub(crate) fn unreachable_server(link: Link) -> Option<ApiError> {
    let (reason, detail) = match link {
        Link::NotEnrolled => (Reason::NotAllowed, "this computer is not set up yet; enter a join code, then try again"),
        Link::Away { .. } => {
            (Reason::ServerAway, "the catalogue comes from the server, which cannot be reached at the moment")
        }
        Link::Connecting | Link::Connected => return None,
    };
    Some(ApiError { reason, detail: detail.to_owned() })
}
