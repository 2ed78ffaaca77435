//! What the fake agent pretends that the administrator offers: one release for each way that a row can look.

use banyan_proto::{
    Digest, Reason, UnixSeconds,
    api::{ApiError, OfferedRelease},
    local::{Catalogue, Item, Link, Replaces},
};

/// New here; an update of what is installed; installed already; and what some scenes have on its way.
#[must_use]
pub fn offered(now: UnixSeconds) -> Catalogue {
    let item = |n: u8, package: &str, version: &str, size, notes: &str, before: Option<(&str, u64)>| Item {
        release: OfferedRelease {
            package: package.into(),
            version: version.into(),
            sequence: n.into(),
            manifest: Digest([n; 32]),
            size,
            publisher: "IT of Lakeside School".into(),
            notes: notes.into(),
        },
        installed: before.map(|(version, sequence)| Replaces {
            version: version.into(),
            sequence,
            at: UnixSeconds(now.0 - 40 * 86_400),
        }),
    };
    let drawing = "Opens drawings of the new kind.\nNo longer forgets the colours.";
    Catalogue {
        items: vec![
            item(21, "chart-view", "2.1", 12_400_000, "Prints again.", Some(("2.0", 20))),
            item(31, "drawing", "3.1", 74_000_000, drawing, None),
            item(26, "libreoffice", "26.2", 655_000_000, "", None),
            item(94, "pdf-reader", "9.4", 31_000_000, "", Some(("9.4", 94))),
        ],
    }
}

/// Why nothing can be said of it, where the real agent could not ask its server.
pub(crate) fn out_of_reach(link: Link) -> Option<ApiError> {
    let (reason, detail) = match link {
        Link::NotEnrolled => {
            (Reason::NotAllowed, "this computer belongs to no server yet; enrol it with a join code, then try again")
        }
        Link::Away { .. } => (Reason::ServerAway, "the server has to say what is offered, and cannot be asked now"),
        Link::Connecting | Link::Connected => return None,
    };
    Some(ApiError { reason, detail: detail.to_owned() })
}
