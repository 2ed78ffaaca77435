//! Archives: ordinary ones of each format, and attacks.

use super::put;
use banyan_archive::fixture::{Tar, archive_of, gz, zip};

pub(super) fn put_all() {
    put("archives", "plain.tar", archive_of(b"text"));
    put("archives", "plain.tgz", gz(&archive_of(b"text")));
    let links = Tar::new().file("a/f", b"text").symlink("a/l", "../a/f").hard_link("h", "a/f").symlink("up", "a/l/..");
    put("archives", "links.tar", links.tar());
    let long = "folder/".repeat(20);
    let pax = Tar::new().pax(&[("path", &format!("{long}f")), ("size", "4")]).file("x", b"text");
    put("archives", "pax.tar", pax.tar());
    let sparse = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "2000")];
    let mut content = b"2\n0\n2\n1000\n3\n".to_vec();
    content.resize(512, 0);
    content.extend(b"AABBB");
    put("archives", "sparse-1.0.tar", Tar::new().pax(&sparse).file("f", &content).tar());
    let map = [("GNU.sparse.size", "2000"), ("GNU.sparse.map", "0,2,1000,3")];
    put("archives", "sparse-0.1.tar", Tar::new().pax(&map).file("f", b"AABBB").tar());
    let huge = [("GNU.sparse.size", "18446744073709551615"), ("GNU.sparse.map", "18446744073709551615,5")];
    put("archives", "sparse-overflow.tar", Tar::new().pax(&huge).file("f", b"AABBB").tar());
    put("archives", "size-overflow.tar", Tar::new().sized("f", tar::EntryType::Regular, "", u64::MAX, b"").tar());
    put(
        "archives",
        "folders.zip",
        zip(&[("a/", 0o040_755, b""), ("a/f", 0o100_755, b"text"), ("l", 0o120_777, b"a/f")]),
    );
    put("archives", "out.zip", zip(&[("../f", 0o100_644, b"text")]));
}
