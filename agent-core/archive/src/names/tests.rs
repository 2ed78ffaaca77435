//! Tests single names under both sets of rules.

use super::{NameRules, SafePath, check_link_target};
use crate::refusal::ArchiveRefusal;

const LINUX: NameRules = NameRules::LINUX;
const WINDOWS: NameRules = NameRules { links: true, ..NameRules::WINDOWS };

#[test]
fn names_that_are_never_allowed() {
    let bad: [&[u8]; 9] =
        [b"a\0b", b"a\nb", b"\x1b[2J", b"C:x", b"c:", b"C:/x", b"\xff\xfe", "a\u{85}".as_bytes(), b"a/\x7f"];
    for raw in bad {
        for rules in [LINUX, WINDOWS] {
            assert!(matches!(SafePath::parse(raw, rules), Err(ArchiveRefusal::Name { .. })), "{raw:?}");
        }
    }
}

#[test]
fn a_path_leaves_room_for_the_folder_of_its_package() {
    let of = |names: usize| SafePath::parse(vec!["n".repeat(99); names].join("/").as_bytes(), LINUX);
    assert!(of(30).is_ok());
    assert!(matches!(of(31), Err(ArchiveRefusal::Name { why: "it is too long", .. })));
}

#[test]
fn names_that_only_linux_allows() {
    let only = [
        "aux",
        "NUL.txt",
        "a/con/b",
        "com1.dll",
        "LPT9",
        "conin$",
        "COM²",
        "x.",
        "x ",
        "ab:c",
        "a?",
        "a|b",
        "Foo::Bar.3pm",
        "mnt-data\\x2dset.mount",
    ];
    for name in only {
        assert!(SafePath::parse(name.as_bytes(), LINUX).is_ok(), "{name}");
        assert!(matches!(SafePath::parse(name.as_bytes(), WINDOWS), Err(ArchiveRefusal::Name { .. })), "{name}");
    }
}

#[test]
fn ordinary_names() {
    for (raw, expected) in
        [("./a//b/", "a/b"), ("a/./b", "a/b"), ("./", ""), ("a b/ü", "a b/ü"), ("com/lpt10", "com/lpt10")]
    {
        let path = SafePath::parse(raw.as_bytes(), WINDOWS).unwrap();
        assert_eq!(path.as_str(), expected);
    }
    let path = SafePath::parse(b"a/b/c", WINDOWS).unwrap();
    assert_eq!(path.parents().collect::<Vec<_>>(), ["a", "a/b"]);
}

#[test]
fn link_targets() {
    let at = SafePath::parse(b"lib/deep/link", LINUX).unwrap();
    for text in ["x", "../x", "x/../y", "./../y", ".."] {
        assert!(check_link_target(&at, text.as_bytes(), LINUX).is_ok(), "{text}");
    }
    assert!(matches!(check_link_target(&at, b"/x", LINUX), Err(ArchiveRefusal::LinkAbsolute { .. })));
    assert!(matches!(check_link_target(&at, b"", LINUX), Err(ArchiveRefusal::LinkEmpty { .. })));
    assert!(matches!(check_link_target(&at, b"a\\b", WINDOWS), Err(ArchiveRefusal::Name { .. })));
}
