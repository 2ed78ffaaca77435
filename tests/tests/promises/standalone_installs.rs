//! Verifies personal installs: a user without special rights and without a server opens package files. They see who
//! signed them, nothing is installed before they trust the publisher, and installs go into their own folders.
//! Publishers and programs are real; the agent runs as Debian's `nobody`.

use banyan_proto::{
    Digest, Reason,
    api::ApiError,
    local::{Link, Mode, Reply, Request, UpdateState},
};
use banyan_tests::{
    World,
    standalone_agent::{Alone, NOBODY},
    test_package::Behaviour,
};
use std::{fs, os::unix::fs::MetadataExt};

/// Builds a package file of the world's publishers and publishes it, so that the next one is on the same list.
fn build(world: &World, name: &str, version: &str, floor: u64) -> Vec<u8> {
    build_that(world, name, version, floor, Behaviour::Works)
}
fn build_that(world: &World, name: &str, version: &str, floor: u64, behaviour: Behaviour) -> Vec<u8> {
    let release = world.write_package(name, version, 300_000, behaviour);
    let described = fs::read_to_string(&release).expect("the description is accessible");
    fs::write(&release, format!("min_sequence = {floor}\n{described}")).expect("the description is accessible");
    let path = world.path(&format!("{name}-{version}.banyan"));
    world.banyan(&["package", "build", &release, "--key", &world.path("keys"), "--to", &path]);
    world.banyan(&["publish", &path, "--key", &world.path("keys")]);
    fs::read(&path).expect("a package file")
}
fn reason<T>(result: Result<T, ApiError>) -> Option<Reason> {
    result.err().map(|error| error.reason)
}
/// Returns why a file that can be shown is not installed.
fn refused(alone: &Alone, file: &[u8]) -> Option<Reason> {
    alone.open(file).expect("the package is shown").refused.map(|error| error.reason)
}
#[track_caller]
fn installs(alone: &Alone, file: &[u8], trust: Option<Digest>) {
    let order = alone.install(file, trust).expect("the install is accepted");
    let end = alone.end_of(order);
    assert!(matches!(end, UpdateState::Installed { .. }), "{end:?}\n{}", alone.log());
}

#[test]
fn a_person_says_whom_they_trust_and_has_it_in_their_own_folders() {
    let (world, strangers) = (World::start(0), World::start(0));
    let (first, second) = (build(&world, "hello", "1.0", 0), build(&world, "hello", "2.0", 2));
    let mut alone = Alone::start();
    let about = alone.snapshot().about;
    assert_eq!((about.mode, about.enrolled, about.signers), (Mode::User, None, vec![]));

    // It is shown as an unknown publisher's, with the key for comparison.
    let package = alone.open(&first).expect("the package is shown");
    let root = package.signer.root;
    assert_eq!(world.profile().root, Some(root));
    assert!(package.signer.asks && !package.signer.trusted && package.refused.is_none(), "{package:?}");
    assert_eq!((package.package.as_str(), package.version.as_str()), ("hello", "1.0"));
    let file = package.file.expect("there is a file for this platform");
    assert!(file.size > 300_000 && file.does().iter().any(|does| does.contains("bin/hello")));
    // Nothing is installed without the user's consent, or with consent for a different publisher.
    assert_eq!(reason(alone.install(&first, None)), Some(Reason::NotConsented));
    assert_eq!(reason(alone.install(&first, Some(Digest([9; 32])))), Some(Reason::NotConsented));
    assert_eq!((alone.says("hello"), alone.snapshot().about.signers), (None, vec![]));

    installs(&alone, &first, Some(root));
    assert_eq!(alone.says("hello").as_deref(), Some("hello 1.0"));
    let owner = fs::metadata(alone.installed("hello").join("bin/hello")).expect("the file exists").uid();
    assert_eq!(owner, NOBODY);
    assert_eq!(
        fs::read_dir(alone.data().join("content")).expect("the folder is accessible").count(),
        0,
        "the file must not be kept twice"
    );
    let snapshot = alone.snapshot();
    assert_eq!(snapshot.about.signers.iter().map(|signer| signer.root).collect::<Vec<_>>(), [root]);
    assert!(snapshot.updates[0].alone && snapshot.link == Link::NotEnrolled);

    // The consent is remembered, even over a restart: the next version needs no new one.
    alone.kill();
    alone.start_again();
    let package = alone.open(&second).expect("the package is shown");
    assert!(package.signer.trusted && !package.signer.asks);
    assert_eq!(package.replaces.expect("the package was installed").version, "1.0");
    installs(&alone, &second, None);
    assert_eq!(alone.says("hello").as_deref(), Some("hello 2.0"));

    // Below the minimum sequence that it set; altered in its head and in its content; from other publishers with the
    // same package name.
    assert_eq!(refused(&alone, &first), Some(Reason::BelowFloor));
    assert_eq!(reason(alone.install(&first, Some(root))), Some(Reason::BelowFloor));
    let third = build(&world, "hello", "3.0", 2);
    let last = third.len() - 1;
    let mut altered = third.clone();
    altered[last] ^= 1;
    assert_eq!(reason(alone.install(&altered, None)), Some(Reason::BadArtifact));
    let text = String::from_utf8_lossy(&third[21..]).into_owned();
    let at = text.find("hello-3.0.tar.gz").expect("the name is in the head") + 21;
    let mut altered = third.clone();
    altered[at..at + 5].copy_from_slice(b"hallo");
    assert_eq!(reason(alone.open(&altered)), Some(Reason::NotPublished));
    assert_eq!(reason(alone.open(b"something else altogether")), Some(Reason::NotAPackage));
    let (theirs, other) = (build(&strangers, "hello", "9.0", 0), build(&strangers, "other", "1.0", 0));
    let their_root = alone.open(&theirs).expect("the package is shown").signer.root;
    assert_ne!(their_root, root);
    assert_eq!(refused(&alone, &theirs), Some(Reason::OtherSigner));
    installs(&alone, &other, Some(their_root));
    assert_eq!(reason(alone.install(&theirs, Some(their_root))), Some(Reason::OtherSigner));
    assert_eq!(
        (alone.says("hello").as_deref(), alone.says("other").as_deref()),
        (Some("hello 2.0"), Some("other 1.0"))
    );
    assert_eq!(fs::read_dir(alone.data().join("content")).expect("the folder is accessible").count(), 0);

    // Once the publisher is no longer trusted, consent is required again, and other publishers may use the package
    // name.
    assert_eq!(alone.ask(&Request::ForgetSigner { root }), Reply::Done);
    assert!(alone.open(&third).expect("the package is shown").signer.asks);
    assert_eq!(reason(alone.install(&third, None)), Some(Reason::NotConsented));
    installs(&alone, &theirs, None);
    assert_eq!(alone.says("hello").as_deref(), Some("hello 9.0"));
}

#[test]
fn what_does_not_run_is_taken_back_and_what_a_killed_agent_began_comes_to_its_end() {
    let world = World::start(0);
    let first = build(&world, "hello", "1.0", 0);
    let broken = build_that(&world, "hello", "2.0", 0, Behaviour::Broken);
    let mut alone = Alone::start();
    let root = alone.open(&first).expect("the package is shown").signer.root;
    let order = alone.install(&first, Some(root)).expect("the install is accepted");
    // Kills the agent, however far the install is.
    alone.kill();
    alone.start_again();
    assert!(matches!(alone.end_of(order), UpdateState::Installed { .. }), "{}", alone.log());
    assert_eq!(alone.says("hello").as_deref(), Some("hello 1.0"));
    let order = alone.install(&broken, None).expect("the install is accepted");
    let end = alone.end_of(order);
    assert!(
        matches!(&end, UpdateState::Failed { reason: Reason::ProbeFailed, restored: true, .. }),
        "{end:?}\n{}",
        alone.log()
    );
    assert_eq!(alone.says("hello").as_deref(), Some("hello 1.0"));
}

#[test]
fn after_it_has_joined_a_server_its_orders_are_the_only_way() {
    let (world, strangers) = (World::start(0), World::start(0));
    let (old, floor) = (build(&world, "hello", "1.0", 0), build(&world, "hello", "2.0", 2));
    let theirs = build(&strangers, "other", "1.0", 0);
    let mut alone = Alone::start();
    for file in [&floor, &theirs] {
        let root = alone.open(file).expect("the package is shown").signer.root;
        installs(&alone, file, Some(root));
    }
    assert_eq!(alone.ask(&Request::Enrol { code: world.join_code(1) }), Reply::Done);
    alone.wait("the agent has joined the server", |alone| alone.snapshot().link == Link::Connected);
    alone.wait("the agent is ready", |alone| alone.log().contains("ready"));
    let about = alone.snapshot().about;
    assert!(about.enrolled.is_some() && about.signers.is_empty());

    // The server's publishers are trusted, with the minimum sequences learned before. No other publisher is, whatever
    // the user consents to.
    let (new, other) = (build(&world, "hello", "3.0", 2), build(&strangers, "other", "2.0", 0));
    assert_eq!(refused(&alone, &old), Some(Reason::BelowFloor));
    let package = alone.open(&new).expect("the package is shown");
    assert!(package.signer.trusted && !package.signer.asks);
    let package = alone.open(&other).expect("the package is shown");
    assert!(!package.signer.trusted && !package.signer.asks);
    assert_eq!(refused(&alone, &other), Some(Reason::MetadataForged));
    assert_eq!(reason(alone.install(&other, Some(package.signer.root))), Some(Reason::NotAllowed));
    let forget = alone.ask(&Request::ForgetSigner { root: package.signer.root });
    assert!(matches!(forget, Reply::Error(error) if error.reason == Reason::NotAllowed));
    // The server's order installs it. Packages from other publishers stay as they are.
    installs(&alone, &new, None);
    assert_eq!(
        (alone.says("hello").as_deref(), alone.says("other").as_deref()),
        (Some("hello 3.0"), Some("other 1.0"))
    );
    alone.kill();
    alone.start_again();
    alone.wait("the agent has joined the server", |alone| alone.snapshot().link == Link::Connected);
    assert_eq!(refused(&alone, &other), Some(Reason::MetadataForged));
}

#[test]
fn an_agent_with_rights_or_for_everybody_installs_nothing_that_way() {
    let world = World::start(0);
    let file = build(&world, "hello", "1.0", 0);
    let mut alone = Alone::start();
    assert!(alone.open(&file).is_ok());
    let everybodys = alone.data().join("everybody/agent.sock").to_str().expect("the path is valid UTF-8").to_owned();
    for arguments in [["--installer", "sudo -n banyan-install-helper"], ["--socket", &everybodys]] {
        alone.kill();
        alone.arguments = arguments.map(str::to_owned).to_vec();
        alone.start_again();
        assert_eq!(reason(alone.open(&file)), Some(Reason::NotAllowed), "{arguments:?}");
        assert_eq!(reason(alone.install(&file, Some(Digest([9; 32])))), Some(Reason::NotAllowed));
    }
}
