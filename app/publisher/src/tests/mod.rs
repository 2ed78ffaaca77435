//! Tests of the publisher's side with the server's repository and a machine's trust store: the whole flow, mistakes and
//! attacks.

use crate::{
    PublisherError, ReleaseList, SigningRequest,
    first_root::{RootOptions, request_first_root},
    keys::{self, Role},
    release_draft::{ReleaseDraft, ReleaseOverrides, SourceFile, draft_release},
    release_list, verified_state,
};
use banyan_archive::fixture::{Tar, archive_of};
use banyan_proto::{
    Digest, KeyRing, MachineId, Manifest, Reason, UnixSeconds,
    admin::{CurrentTargets, Info},
    manifest::Kind,
};
use banyan_server::repository::Repository;
use banyan_trust::TrustStore;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod archives;
mod debs;
mod key_changes;
mod package_files;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn info(repository: &Repository) -> Info {
    Info {
        server: MachineId([1; 16]),
        software: String::new(),
        epoch: 1,
        online_keys: repository.online_keys(),
        keys: KeyRing::default(),
        has_root: repository.has_root(),
        capacity: None,
        now: None,
        unconfirmed_clock: None,
        free_bytes: None,
        file_room: None,
        storage_fault: None,
    }
}
fn current(repository: &Repository) -> CurrentTargets {
    CurrentTargets {
        root: repository.newest_root().unwrap().to_owned(),
        targets: repository.targets().map(ToOwned::to_owned),
        roots: repository.roots().to_vec(),
    }
}
/// Registers the first root of a key folder with the repository. Returns the root.
fn begin(keys: &Path, repository: &mut Repository) -> String {
    let folders = [keys.to_owned()];
    let mut request = request_first_root(&folders, &RootOptions::default(), &info(repository), NOW).unwrap();
    request.sign(&folders).unwrap();
    assert!(request.missing_signatures().unwrap().is_empty());
    let root = request.root.clone().unwrap();
    repository.register_root(&root, None, NOW).unwrap();
    request.record_accepted(&folders).unwrap();
    root
}

/// A key folder and a server's repository with its root.
struct World {
    folder: TempDir,
    keys: PathBuf,
    repository: Repository,
    root: Digest,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        keys::generate_keys(&keys, 1, 1).unwrap();
        let mut repository = Repository::open(&folder.path().join("repository"), NOW).unwrap();
        let root = Digest::of(begin(&keys, &mut repository).as_bytes());
        Self { folder, keys, repository, root }
    }
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
    /// Writes an archive that contains one file.
    fn archive(&self, name: &str, content: &[u8]) -> PathBuf {
        self.file(name, &archive_of(content))
    }
    /// Does what `banyan publish` does, without the network.
    fn publish(&mut self, path: &Path) -> Result<Manifest, PublisherError> {
        let state = verified_state::verify_state(&self.keys, &current(&self.repository))?;
        let draft = draft_release(path, &ReleaseOverrides::default(), &state.published, &mut |_, _| {})?;
        let request = signed(&self.keys, &current(&self.repository), &draft.manifest, NOW)?;
        assert!(request.missing_signatures()?.is_empty(), "{:?}", request.missing_signatures());
        self.repository.publish(request.targets.as_ref().unwrap(), request.manifest.as_ref().unwrap(), NOW).unwrap();
        request.record_accepted(std::slice::from_ref(&self.keys))?;
        Ok(draft.manifest)
    }
}

/// Creates a release, signed with every suitable key of the folder.
fn signed(
    keys: &Path,
    current: &CurrentTargets,
    manifest: &Manifest,
    now: UnixSeconds,
) -> Result<SigningRequest, PublisherError> {
    let state = verified_state::verify_state(keys, current)?;
    let list = release_list::add_release(&state, manifest, now)?;
    let mut request = SigningRequest::for_changes(&state, None, Some(list))?;
    request.sign(&[keys.to_owned()])?;
    Ok(request)
}

#[test]
fn from_new_keys_to_a_machine_that_refuses_to_go_back() {
    let mut world = World::new();
    let machine = TrustStore::enrol(world.repository.first_root().unwrap(), world.root).unwrap();
    let path = world.archive("hello-1.0.tar.gz", b"one");
    assert_eq!(world.publish(&path).unwrap().target_name(), "hello/1.json");
    let first = world.repository.proof("hello", 1).unwrap();
    let path = world.archive("hello-1.1.tar.gz", b"two");
    let manifest = world.publish(&path).unwrap();
    assert_eq!((manifest.sequence, manifest.version.as_str()), (2, "1.1"));
    let second = world.repository.proof("hello", 2).unwrap();

    let (release, machine) = machine.check(&second, Digest::of(second.manifest.as_bytes()), NOW).unwrap();
    assert_eq!(release.manifest(), &manifest);
    let error = machine.check(&first, Digest::of(first.manifest.as_bytes()), NOW).unwrap_err();
    assert_eq!(error.reason(), Reason::MetadataRolledBack);
    // The first release is still published, in the current state.
    let first = world.repository.proof("hello", 1).unwrap();
    machine.check(&first, Digest::of(first.manifest.as_bytes()), NOW).unwrap();
}

#[test]
fn keys_that_could_not_all_be_written_leave_the_folder_empty() {
    let folder = TempDir::new().unwrap();
    let (keys, obstacle) = (folder.path().join("keys"), folder.path().join("keys/public.json"));
    std::fs::create_dir_all(&obstacle).unwrap();
    assert!(matches!(keys::generate_keys(&keys, 1, 1), Err(PublisherError::Disk { .. })));
    std::fs::remove_dir(&obstacle).unwrap();
    assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 0);
    assert_eq!(keys::generate_keys(&keys, 1, 1).unwrap().len(), 2, "the next attempt is not refused");
}

#[test]
fn a_sequence_that_no_release_could_follow_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hello-1.0.tar.gz");
    std::fs::write(&path, archive_of(b"x")).unwrap();
    let draft = |sequence| {
        let given = ReleaseOverrides { sequence: Some(sequence), ..ReleaseOverrides::default() };
        draft_release(&path, &given, &ReleaseList::default(), &mut |_, _| {})
    };
    assert_eq!(draft(20_261_129_135_959).unwrap().manifest.sequence, 20_261_129_135_959);
    let error = draft(u64::MAX - 1).err().unwrap().to_string();
    assert!(error.contains("sequence") && error.contains("newer releases"), "{error}");
}

#[test]
fn keys_are_private_apart_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    assert!(matches!(keys::generate_keys(&keys, 2, 3), Err(PublisherError::Threshold { .. })));
    assert!(matches!(keys::generate_keys(&keys, 2, 0), Err(PublisherError::Threshold { .. })));
    let made = keys::generate_keys(&keys, 2, 2).unwrap();
    assert_eq!(made.len(), 4);
    let mut contents: Vec<_> = made.iter().map(|path| std::fs::read(path).unwrap()).collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), 4, "two roles share a key");
    #[cfg(unix)]
    for path in made.iter().chain([&keys]) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path == &keys { 0o700 } else { 0o600 }, "{}", path.display());
    }
    assert!(matches!(keys::generate_keys(&keys, 2, 2), Err(PublisherError::KeysExist(_))));
    // Refused even if only some of the files are left: the keys may be in a safe.
    let settings = std::fs::read(keys.join("keys.toml")).unwrap();
    std::fs::remove_file(keys.join("keys.toml")).unwrap();
    assert!(matches!(keys::generate_keys(&keys, 2, 2), Err(PublisherError::KeysExist(_))));
    let rest = folder.path().join("rest");
    std::fs::create_dir(&rest).unwrap();
    std::fs::write(rest.join("keys.toml"), settings).unwrap();
    assert!(matches!(keys::generate_keys(&rest, 2, 2), Err(PublisherError::KeysExist(_))));
}

#[test]
fn a_root_is_made_once_and_for_one_server() {
    let world = World::new();
    let folders = [world.keys.clone()];
    let again = |info: &Info| request_first_root(&folders, &RootOptions::default(), info, NOW.plus(1));
    let mut same = again(&info(&world.repository)).unwrap();
    same.sign(&folders).unwrap();
    assert_eq!(same.first_root_digest(), Some(world.root));
    let other = Repository::open(&world.folder.path().join("other"), NOW).unwrap();
    assert!(matches!(again(&info(&other)), Err(PublisherError::RootOfOtherServer(_))));
    let mut one_key = info(&world.repository);
    one_key.online_keys.pop();
    assert!(matches!(again(&one_key), Err(PublisherError::OnlineKeys(_))));
    let empty = world.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let wanted = RootOptions { threshold: Some(1), ..RootOptions::default() };
    let missing = request_first_root(&[empty], &wanted, &info(&world.repository), NOW).unwrap_err();
    assert!(matches!(missing, PublisherError::NoKeysLeft { role: "root" }), "{missing}");
}

#[test]
fn two_of_three_publishers_must_sign() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    keys::generate_keys(&keys, 3, 2).unwrap();
    let mut repository = Repository::open(&folder.path().join("repository"), NOW).unwrap();
    begin(&keys, &mut repository);
    let path = folder.path().join("hello-1.zip");
    std::fs::write(&path, archive_of(b"content")).unwrap();
    let manifest =
        draft_release(&path, &ReleaseOverrides::default(), &ReleaseList::default(), &mut |_, _| {}).unwrap().manifest;
    std::fs::remove_file(keys.join("targets-1.key")).unwrap();
    let two = signed(&keys, &current(&repository), &manifest, NOW).unwrap();
    assert!(two.missing_signatures().unwrap().is_empty());
    std::fs::remove_file(keys.join("targets-2.key")).unwrap();
    let one = signed(&keys, &current(&repository), &manifest, NOW).unwrap();
    let missing = one.missing_signatures().unwrap();
    assert_eq!((missing.len(), missing[0].signed.len(), missing[0].may_sign.len(), missing[0].wanted), (1, 1, 2, 2));
    assert!(one.verify_as_machine().is_err());
    assert!(repository.publish(one.targets.as_ref().unwrap(), one.manifest.as_ref().unwrap(), NOW).is_err());
    repository.publish(two.targets.as_ref().unwrap(), two.manifest.as_ref().unwrap(), NOW).unwrap();
}

#[test]
fn a_server_that_lies_about_what_is_published_gets_no_signature() {
    let mut world = World::new();
    let path = world.archive("hello-1.zip", b"one");
    world.publish(&path).unwrap();
    let older = current(&world.repository);
    let path = world.archive("hello-2.zip", b"two");
    let manifest = world.publish(&path).unwrap();
    let next = Manifest { sequence: 3, ..manifest.clone() };
    let sign = |current: &CurrentTargets| signed(&world.keys, current, &next, NOW);
    assert!(sign(&current(&world.repository)).is_ok());
    assert!(matches!(sign(&older), Err(PublisherError::ServerListOutdated { shown: 1, accepted: 2 })));
    let nothing = CurrentTargets { targets: None, ..older.clone() };
    assert!(matches!(sign(&nothing), Err(PublisherError::ServerListOutdated { shown: 0, accepted: 2 })));
    let forged = older.targets.clone().unwrap().replace("hello/1.json", "hello/8.json");
    let forged = CurrentTargets { targets: Some(forged), ..older };
    assert!(matches!(sign(&forged), Err(PublisherError::ServerUntrusted(_))));
    // Another server's root does not replace the one in the folder.
    let mut stranger = World::new();
    let path = stranger.archive("hello-1.zip", b"one");
    stranger.publish(&path).unwrap();
    assert!(matches!(sign(&current(&stranger.repository)), Err(PublisherError::ServerUntrusted(_))));
    // A sequence that is in use is refused. An identical release only renews the list.
    let taken = Manifest { notes: "other".into(), ..manifest.clone() };
    let error = signed(&world.keys, &current(&world.repository), &taken, NOW).unwrap_err();
    assert!(matches!(error, PublisherError::SequenceTooLow { highest: 2, .. }), "{error}");
    let renewed = signed(&world.keys, &current(&world.repository), &manifest, NOW.plus(60)).unwrap();
    let (targets, text) = (renewed.targets.unwrap(), renewed.manifest.unwrap());
    world.repository.publish(&targets, &text, NOW).unwrap();
}

#[test]
fn files_are_hashed_whole_and_by_chunk_in_one_pass() {
    let folder = tempfile::tempdir().unwrap();
    let content = archive_of(&(0..5_000_001_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
    let path = folder.path().join("big-1.tar");
    std::fs::write(&path, &content).unwrap();
    let mut progress = vec![];
    let ReleaseDraft { manifest, files, is_derived, .. } =
        draft_release(&path, &ReleaseOverrides::default(), &ReleaseList::default(), &mut |done, of| {
            progress.push((done, of));
        })
        .unwrap();
    let artifact = &manifest.artifacts[0];
    assert!(is_derived && files == [SourceFile { digest: Digest::of(&content), path }]);
    let size = content.len() as u64;
    assert_eq!((artifact.size, artifact.digest), (size, Digest::of(&content)));
    let chunks: Vec<Digest> = content.chunks(artifact.chunk_size as usize).map(Digest::of).collect();
    assert_eq!(artifact.chunks.0, chunks);
    assert_eq!(progress.last(), Some(&(size, size)));
    assert_eq!(progress.len(), chunks.len());
}

#[test]
fn a_release_description_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tool.tar.gz", "tool.zip"] {
        let content = Tar::new().program("tool", "#!/bin/sh\n").file("name", name.as_bytes()).gz();
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let path = folder.path().join("release.toml");
    let text = r#"
        name = "tool"
        version = "1.4"
        sequence = 14
        min_sequence = 3
        publisher = "Example Ltd"
        notes = "Faster."
        [platform.linux-x86_64]
        file = "tool.tar.gz"
        probe = ["{dir}/tool", "--version"]
        needs_bytes = 1000
        [platform.windows-x86_64]
        file = "tool.zip"
        kind = "archive"
        detect = { argv = ["x"], timeout_seconds = 5 }
    "#;
    std::fs::write(&path, text).unwrap();
    let read = |given: &ReleaseOverrides| draft_release(&path, given, &ReleaseList::default(), &mut |_, _| {});
    let ReleaseDraft { manifest, files, is_derived, .. } = read(&ReleaseOverrides::default()).unwrap();
    assert!(!is_derived && files.len() == 2);
    assert_eq!((manifest.sequence, manifest.min_sequence, manifest.notes.as_str()), (14, 3, "Faster."));
    let linux = manifest.artifact_for("linux-x86_64").unwrap();
    let probe = linux.install.probe.as_ref().unwrap();
    assert_eq!((probe.argv.len(), probe.timeout_seconds, linux.install.needs_bytes), (2, 60, 1000));
    let windows = manifest.artifact_for("windows-x86_64").unwrap();
    assert_eq!(windows.install.detect.as_ref().unwrap().timeout_seconds, 5);

    let given = ReleaseOverrides { version: Some("1.5".into()), sequence: Some(15), ..ReleaseOverrides::default() };
    assert_eq!(read(&given).unwrap().manifest.target_name(), "tool/15.json");
    let given = ReleaseOverrides { kind: Some(Kind::Deb), ..ReleaseOverrides::default() };
    assert!(matches!(read(&given), Err(PublisherError::OptionWithDescription { option: "--kind" })));
    std::fs::write(&path, text.replace("probe =", "prob =")).unwrap();
    let error = read(&ReleaseOverrides::default()).unwrap_err();
    assert!(
        matches!(error, PublisherError::InvalidDescription { .. }) && error.to_string().contains("prob"),
        "{error}"
    );
    std::fs::write(&path, text.replace("min_sequence = 3", "min_sequence = 15")).unwrap();
    assert!(matches!(read(&ReleaseOverrides::default()), Err(PublisherError::Manifest(_))));
}

#[test]
fn bare_files_say_what_they_are_or_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, given: &ReleaseOverrides| {
        let path = folder.path().join(name);
        std::fs::write(
            &path,
            if name.ends_with(".bin") { vec![0xa7, 0x1b, 0x02, 0xc4] } else { archive_of(b"content") },
        )
        .unwrap();
        draft_release(&path, given, &ReleaseList::default(), &mut |_, _| {})
    };
    let none = ReleaseOverrides::default();
    for (file, package, version, platform) in [
        ("tool-1.4.tar.gz", "tool", "1.4", "any"),
        ("My-Tool-v2.0-rc1-linux-x86_64.tar.zst", "my-tool", "2.0-rc1", "linux-x86_64"),
        ("x11_3.zip", "x11", "3", "any"),
        ("a-b-1~2.TGZ", "a-b", "1~2", "any"),
    ] {
        let manifest = of(file, &none).unwrap().manifest;
        let found = (manifest.package.as_str(), manifest.version.as_str(), manifest.artifacts[0].platform.as_str());
        assert_eq!(found, (package, version, platform), "{file}");
    }
    let cannot = |result: Result<ReleaseDraft, PublisherError>| match result {
        Err(PublisherError::CannotDerive { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(cannot(of("tool.tar.gz", &none)), "--name");
    assert_eq!(cannot(of("tool.tar.gz", &ReleaseOverrides { name: Some("tool".into()), ..none.clone() })), "--version");
    assert!(cannot(of("tool-1.bin", &none)).starts_with("--kind"));
    let all = ReleaseOverrides {
        name: Some("tool".into()),
        version: Some("1".into()),
        kind: Some(Kind::Archive),
        platform: Some("linux-x86_64".into()),
        ..none.clone()
    };
    assert_eq!(of("whatever", &all).unwrap().manifest.package, "tool");
    assert!(draft_release(&folder.path().join("nowhere.zip"), &none, &ReleaseList::default(), &mut |_, _| {}).is_err());
    std::fs::write(folder.path().join("empty-1.zip"), "").unwrap();
    let empty = draft_release(&folder.path().join("empty-1.zip"), &none, &ReleaseList::default(), &mut |_, _| {});
    assert!(matches!(empty, Err(PublisherError::UnsuitableFile { .. })));
}
