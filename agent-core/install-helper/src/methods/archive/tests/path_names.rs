//! Tests single names under both sets of rules.

use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::safe_path::{NameRules, SafePath, check_link_target},
};

const LINUX: NameRules = NameRules { portable: false, links: true };
const ANY: NameRules = NameRules { portable: true, links: true };

#[test]
fn names_that_are_never_allowed() {
    let bad: [&[u8]; 10] =
        [b"a\0b", b"a\nb", b"\x1b[2J", b"a\\b", b"C:x", b"c:", b"C:/x", b"\xff\xfe", "a\u{85}".as_bytes(), b"a/\x7f"];
    for raw in bad {
        for rules in [LINUX, ANY] {
            assert!(matches!(SafePath::parse(raw, rules), Err(ArchiveRefusal::Name { .. })), "{raw:?}");
        }
    }
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
    ];
    for name in only {
        assert!(SafePath::parse(name.as_bytes(), LINUX).is_ok(), "{name}");
        assert!(matches!(SafePath::parse(name.as_bytes(), ANY), Err(ArchiveRefusal::Name { .. })), "{name}");
    }
}

#[test]
fn ordinary_names() {
    for (raw, expected) in
        [("./a//b/", "a/b"), ("a/./b", "a/b"), ("./", ""), ("a b/ü", "a b/ü"), ("com/lpt10", "com/lpt10")]
    {
        let path = SafePath::parse(raw.as_bytes(), ANY).unwrap();
        assert_eq!(path.as_str(), expected);
    }
    let path = SafePath::parse(b"a/b/c", ANY).unwrap();
    assert_eq!(path.parents().collect::<Vec<_>>(), ["a", "a/b"]);
}

#[test]
fn link_targets() {
    let at = SafePath::parse(b"lib/deep/link", LINUX).unwrap();
    for inside in ["x", "../x", "../../x/y", "./../y", ".."] {
        assert!(check_link_target(&at, inside.as_bytes(), LINUX).is_ok(), "{inside}");
    }
    for outside in ["../../../x", "x/../y", "/x", ""] {
        let refused = check_link_target(&at, outside.as_bytes(), LINUX);
        assert!(matches!(refused, Err(ArchiveRefusal::LinkEscapes { .. })), "{outside}");
    }
    assert!(matches!(check_link_target(&at, b"a\\b", LINUX), Err(ArchiveRefusal::Name { .. })));
}
