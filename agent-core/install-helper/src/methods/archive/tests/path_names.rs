//! Tests single names under both sets of rules.

use crate::{
    error::archive_refusal::Refusal,
    methods::archive::safe_path::{Rules, SafePath, link_target},
};

const LINUX: Rules = Rules { portable: false, links: true };
const ANY: Rules = Rules { portable: true, links: true };

#[test]
fn names_that_are_nowhere_allowed() {
    let bad: [&[u8]; 10] =
        [b"a\0b", b"a\nb", b"\x1b[2J", b"a\\b", b"C:x", b"c:", b"C:/x", b"\xff\xfe", "a\u{85}".as_bytes(), b"a/\x7f"];
    for raw in bad {
        for rules in [LINUX, ANY] {
            assert!(matches!(SafePath::parse(raw, rules), Err(Refusal::Name { .. })), "{raw:?}");
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
        assert!(matches!(SafePath::parse(name.as_bytes(), ANY), Err(Refusal::Name { .. })), "{name}");
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
fn targets_of_links() {
    let at = SafePath::parse(b"lib/deep/link", LINUX).unwrap();
    for inside in ["x", "../x", "../../x/y", "./../y", ".."] {
        assert!(link_target(&at, inside.as_bytes(), LINUX).is_ok(), "{inside}");
    }
    for outside in ["../../../x", "x/../y", "/x", ""] {
        let refused = link_target(&at, outside.as_bytes(), LINUX);
        assert!(matches!(refused, Err(Refusal::LinkLeaves { .. })), "{outside}");
    }
    assert!(matches!(link_target(&at, b"a\\b", LINUX), Err(Refusal::Name { .. })));
}
