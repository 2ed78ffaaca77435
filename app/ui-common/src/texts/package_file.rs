//! A package file that the person opened: its publisher, what installing it does, and the result.

use crate::{Clock, texts::format};
use banyan_proto::{api::ApiError, format_size, local::Package, text};
use std::io;

pub const CHECKING: &str = "Checking the package…";
pub const INSTALL: &str = "Install";
pub const INSTALL_OLDER: &str = "Install older version";
pub const CLOSE: &str = "Close";
pub const CANCEL: &str = "Cancel";
pub const SIGNED_BY: &str = "Signed by";
pub const SIGNATURE_EXPIRES: &str = "Signature expires";
pub const TRUSTED_PUBLISHER: &str = "Trusted publisher";
pub const UNTRUSTED_PUBLISHER: &str = "Untrusted publisher";
pub const UNKNOWN_PUBLISHER: &str = "Unknown publisher: check the key before you install";
pub const TRUST_QUESTION: &str = "Do you trust this publisher?";
pub const TRUST_EXPLANATION: &str = "If you do, you won't be asked again about packages signed with this key. Software you install from them can do \
     anything you can do on this computer.";
pub const COMPARE_KEY: &str = "This is the publisher's key. Check that every digit matches the key they give you elsewhere, such as on their website.";
pub const CLAIMED_NAME: &str = "Claims to be";
pub const UNNAMED_PUBLISHER: &str = "Unnamed publisher";
pub const PUBLISHER_KEY: &str = "Publisher's key";
pub const INSTALL_STEPS: &str = "What this will do";
pub const REPLACES: &str = "Replaces";
pub const SIZE: &str = "Size";
pub const NOT_INSTALLABLE: &str = "This package can't be installed";
pub const INSTALL_FAILED: &str = "Couldn't install this package";
pub const NOTHING_BEFORE: &str = "Nothing (not installed by Banyan before)";
pub const CONTINUES_IN_BACKGROUND: &str = "You can close this page; the update continues in the background.";

/// Says why a file cannot be read.
#[must_use]
pub fn file_error(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "the file is no longer there",
        io::ErrorKind::PermissionDenied => "your account isn't allowed to read the file",
        io::ErrorKind::IsADirectory => "this is a folder, not a package file",
        _ => "the file can't be read; check the disk that it is on",
    };
    text.to_owned()
}

/// Returns a package's name and version: `drawing 3.1`.
#[must_use]
pub fn title(package: &Package) -> String {
    format!("{} {}", package.package, package.version)
}

/// Returns the facts about a package file, as names and values.
#[must_use]
pub fn facts(package: &Package, clock: &Clock) -> Vec<(&'static str, String)> {
    let signer = &package.signer;
    let publisher = match (signer.trusted, package.publisher.is_empty()) {
        (true, false) => package.publisher.clone(),
        (true, true) => "A publisher you trust".to_owned(),
        // The name is unverified: signers choose it themselves.
        (false, _) => "Unknown".to_owned(),
    };
    let mut facts = vec![
        (SIGNED_BY, publisher),
        (SIGNATURE_EXPIRES, format::capitalise(&format::past_moment(signer.until, clock))),
    ];
    if signer.asks {
        let named = publisher_name(&package.publisher);
        facts.push((CLAIMED_NAME, format!("{named} (not verified)")));
    } else if !signer.trusted {
        let short = |text: &str| text.chars().take(16).collect::<String>();
        let keys: Vec<_> = signer.keys.iter().map(|key| short(key)).collect();
        facts.push((PUBLISHER_KEY, format!("{}; signed with {}", short(&signer.root.to_string()), keys.join(", "))));
    }
    if let Some(file) = &package.file {
        facts.push((SIZE, format_size(file.size)));
    }
    facts.push((REPLACES, replaced_version(package, clock)));
    facts
}

/// Returns a publisher's name, or a stand-in when it is empty.
#[must_use]
pub fn publisher_name(name: &str) -> &str {
    if name.is_empty() { UNNAMED_PUBLISHER } else { name }
}

/// Returns the label of the consent box: `I've compared the key and trust Mia's tools`.
#[must_use]
pub fn consent_label(name: &str) -> String {
    let name = if name.is_empty() { "this publisher" } else { name };
    format!("I've compared the key and trust {name}")
}

pub(super) fn replaced_version(package: &Package, clock: &Clock) -> String {
    match &package.replaces {
        None => NOTHING_BEFORE.to_owned(),
        Some(old) if old.sequence > package.sequence => {
            format!("Version {}, which is newer than this one", old.version)
        }
        Some(old) => format!("Version {}, installed {}", old.version, format::past_moment(old.at, clock)),
    }
}

/// Returns whether installing the package would go back to an older version.
#[must_use]
pub fn is_older(package: &Package) -> bool {
    package.replaces.as_ref().is_some_and(|old| old.sequence > package.sequence)
}

/// Says why a package file was refused, and what to do.
#[must_use]
pub fn refusal(error: &ApiError) -> String {
    let detail = text::without_error_numbers(&error.detail);
    let detail = format::capitalise(detail.trim_end_matches('.'));
    match text::without_repeats(error.reason.for_user().advice, &[&detail]) {
        next if next.is_empty() => format!("{detail}."),
        next => format!("{detail}. {}.", format::capitalise(&next)),
    }
}

/// Returns how much of a package file was copied: `Copied 12 MB of 74 MB`.
#[must_use]
pub fn copy_progress(sent: u64, of: u64) -> String {
    format!("Copied {} of {}", format_size(sent), format_size(of))
}
