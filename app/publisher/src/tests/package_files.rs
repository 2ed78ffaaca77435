//! Tests of package files: built ones open, and all others are refused.

use super::*;
use crate::{package_file, roots};
use banyan_trust::{TrustError, package::Head};

/// Builds a package file of one release with two files, one of which is for two platforms.
fn built(world: &World) -> (PathBuf, Vec<u8>) {
    let files = [world.archive("a.zip", &[7; 100_000]), world.archive("b.tar", b"second")];
    let total: u64 = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    let text = "name = \"tool\"\nversion = \"1:2\"\nmin_sequence = 1\n\
        [platform.linux-x86_64]\nfile = \"a.zip\"\n[platform.linux-aarch64]\nfile = \"a.zip\"\n[platform.any]\nfile = \"b.tar\"\n";
    let description = world.file("release.toml", text.as_bytes());
    let state = verified_state::load_recorded_state(&world.keys).unwrap();
    let draft = draft_release(&description, &ReleaseOverrides::default(), &state.published, &mut |_, _| {}).unwrap();
    let mut request = SigningRequest::for_changes(
        &state,
        None,
        Some(release_list::add_release(&state, &draft.manifest, NOW).unwrap()),
    )
    .unwrap();
    request.sign(std::slice::from_ref(&world.keys)).unwrap();
    let head = Head { roots: request.roots, targets: request.targets.unwrap(), manifest: request.manifest.unwrap() };
    let path = world.folder.path().join(banyan_trust::package::file_name(&draft.manifest));
    assert!(path.ends_with("tool-1_2.banyan"));
    let mut copied = 0;
    package_file::write_package(&path, &head, &draft.manifest, &draft.files, &mut |bytes| copied += bytes).unwrap();
    assert_eq!(copied, total, "a file shared by two platforms is stored once");
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn what_was_built_opens_and_its_bytes_are_where_they_should_be() {
    let world = World::new();
    let (path, bytes) = built(&world);
    let opened = package_file::open_package(&path, Some(world.root), NOW).unwrap();
    assert_eq!((opened.release.manifest().package.as_str(), opened.root_hash), ("tool", world.root));
    assert_eq!(opened.signed_by.len(), 1);
    package_file::verify_contents(&opened, &mut |_| {}).unwrap();
    for section in &opened.sections {
        let (from, size) = (usize::try_from(section.offset).unwrap(), usize::try_from(section.size).unwrap());
        assert_eq!(Digest::of(&bytes[from..from + size]), section.digest);
    }
}

#[test]
fn a_file_that_was_cut_grown_changed_or_signed_by_others_is_refused() {
    let world = World::new();
    let (path, bytes) = built(&world);
    let open = |bytes: &[u8], root| {
        std::fs::write(&path, bytes).unwrap();
        package_file::open_package(&path, root, NOW)
    };
    let not_one = |result: Result<package_file::OpenedPackage, PublisherError>| {
        assert!(matches!(result, Err(PublisherError::InvalidPackage { .. })), "{:?}", result.err());
    };
    not_one(open(&bytes[..bytes.len() - 1], None));
    not_one(open(&[&bytes, b"x".as_slice()].concat(), None));
    not_one(open(&bytes[..300], None));
    not_one(open(b"PK", None));
    let mut long = bytes.clone();
    long[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
    not_one(open(&long, None));
    // Unknown publishers, and expired signatures.
    let stranger = open(&bytes, Some(World::new().root));
    assert!(matches!(
        stranger,
        Err(PublisherError::PackageUntrusted { source: TrustError::WrongFirstRoot { .. }, .. })
    ));
    let late = package_file::open_package(&path, None, NOW.plus(roots::YEAR + 1));
    assert!(matches!(late, Err(PublisherError::PackageUntrusted { source: TrustError::Expired { .. }, .. })));
    // A changed head breaks the signatures; a changed byte is found when the content is read.
    let mut changed = bytes.clone();
    let at = bytes.windows(5).position(|word| word == b"tool\\").unwrap();
    changed[at] = b'f';
    assert!(open(&changed, None).is_err());
    let mut changed = bytes;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let opened = open(&changed, None).unwrap();
    assert!(matches!(package_file::verify_contents(&opened, &mut |_| {}), Err(PublisherError::InvalidPackage { .. })));
}

#[test]
fn a_file_that_changes_while_it_is_packed_makes_no_package() {
    let world = World::new();
    let path = world.archive("hello-1.zip", b"one");
    let state = verified_state::load_recorded_state(&world.keys).unwrap();
    let draft = draft_release(&path, &ReleaseOverrides::default(), &state.published, &mut |_, _| {}).unwrap();
    let head = Head { roots: vec![], targets: String::new(), manifest: String::new() };
    std::fs::write(&path, archive_of(b"two")).unwrap();
    let to = world.folder.path().join("x.banyan");
    let mut copied = 0;
    let error = package_file::write_package(&to, &head, &draft.manifest, &draft.files, &mut |bytes| copied += bytes)
        .unwrap_err();
    assert_eq!(copied, 0, "an unsigned chunk was copied");
    assert!(matches!(error, PublisherError::UnsuitableFile { .. }) && !to.exists(), "{error}");
}
