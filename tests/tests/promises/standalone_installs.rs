//! Verifies personal installs: a user without special rights and without a server opens package files. They see who
//! signed them, nothing is installed before they trust the publisher, and installs go into their own folders.
//! Publishers and programs are real; the agent runs as Debian's `nobody`.

use banyan_proto::{
    Digest, Reason,
    api::ApiError,
    local::{Link, Mode, Reply, Request, UpdateState},
};
use banyan_tests::{
    TestNetwork,
    standalone_agent::{NOBODY, StandaloneAgent},
    test_package::Behaviour,
};
use std::{fs, os::unix::fs::MetadataExt};

/// Builds a package file of the network's publishers and publishes it, so that the next one is on the same list.
fn build(network: &TestNetwork, name: &str, version: &str, floor: u64) -> Vec<u8> {
    build_that(network, name, version, floor, Behaviour::Works)
}
fn build_that(network: &TestNetwork, name: &str, version: &str, floor: u64, behaviour: Behaviour) -> Vec<u8> {
    let release = network.write_package(name, version, 300_000, behaviour);
    let described = fs::read_to_string(&release).expect("the description is accessible");
    fs::write(&release, format!("min_sequence = {floor}\n{described}")).expect("the description is accessible");
    let path = network.path(&format!("{name}-{version}.banyan"));
    network.banyan(&["package", "build", &release, "--key", &network.path("keys"), "--to", &path]);
    network.banyan(&["publish", &path, "--key", &network.path("keys")]);
    fs::read(&path).expect("a package file")
}
fn reason<T>(result: Result<T, ApiError>) -> Option<Reason> {
    result.err().map(|error| error.reason)
}
/// Returns why a file that can be shown is not installed.
fn refused(agent: &StandaloneAgent, file: &[u8]) -> Option<Reason> {
    agent.open(file).expect("the package is shown").refused.map(|error| error.reason)
}
#[track_caller]
fn installs(agent: &StandaloneAgent, file: &[u8], trust: Option<Digest>) {
    let order = agent.install(file, trust).expect("the install is accepted");
    let end = agent.end_of(order);
    assert!(matches!(end, UpdateState::Installed { .. }), "{end:?}\n{}", agent.log());
}

#[test]
fn packages_install_into_the_users_own_folders_after_the_user_trusts_the_publisher() {
    let (network, strangers) = (TestNetwork::start(0), TestNetwork::start(0));
    let (first, second) = (build(&network, "hello", "1.0", 0), build(&network, "hello", "2.0", 2));
    let mut agent = StandaloneAgent::start();
    let about = agent.snapshot().about;
    assert_eq!((about.mode, about.enrolled, about.signers), (Mode::User, None, vec![]));

    // It is shown as an unknown publisher's, with the key for comparison.
    let package = agent.open(&first).expect("the package is shown");
    let root = package.signer.root;
    assert_eq!(network.profile().root, Some(root));
    assert!(package.signer.asks && !package.signer.trusted && package.refused.is_none(), "{package:?}");
    assert_eq!((package.package.as_str(), package.version.as_str()), ("hello", "1.0"));
    let file = package.file.expect("there is a file for this platform");
    assert!(file.size > 300_000 && file.does().iter().any(|does| does.contains("bin/hello")));
    // Nothing is installed without the user's consent, or with consent for a different publisher.
    assert_eq!(reason(agent.install(&first, None)), Some(Reason::NotConsented));
    assert_eq!(reason(agent.install(&first, Some(Digest([9; 32])))), Some(Reason::NotConsented));
    assert_eq!((agent.says("hello"), agent.snapshot().about.signers), (None, vec![]));

    installs(&agent, &first, Some(root));
    assert_eq!(agent.says("hello").as_deref(), Some("hello 1.0"));
    let owner = fs::metadata(agent.installed("hello").join("bin/hello")).expect("the file exists").uid();
    assert_eq!(owner, NOBODY);
    assert_eq!(
        fs::read_dir(agent.data().join("content")).expect("the folder is accessible").count(),
        0,
        "the file must not be kept twice"
    );
    let snapshot = agent.snapshot();
    assert_eq!(snapshot.about.signers.iter().map(|signer| signer.root).collect::<Vec<_>>(), [root]);
    assert!(snapshot.updates[0].alone && snapshot.link == Link::NotEnrolled);

    // The consent is remembered, even over a restart: the next version needs no new one.
    agent.kill();
    agent.start_again();
    let package = agent.open(&second).expect("the package is shown");
    assert!(package.signer.trusted && !package.signer.asks);
    assert_eq!(package.replaces.expect("the package was installed").version, "1.0");
    installs(&agent, &second, None);
    assert_eq!(agent.says("hello").as_deref(), Some("hello 2.0"));

    // Below the minimum sequence that it set; altered in its head and in its content; from other publishers with the
    // same package name.
    assert_eq!(refused(&agent, &first), Some(Reason::BelowFloor));
    assert_eq!(reason(agent.install(&first, Some(root))), Some(Reason::BelowFloor));
    let third = build(&network, "hello", "3.0", 2);
    let last = third.len() - 1;
    let mut altered = third.clone();
    altered[last] ^= 1;
    assert_eq!(reason(agent.install(&altered, None)), Some(Reason::BadArtifact));
    let text = String::from_utf8_lossy(&third[21..]).into_owned();
    let at = text.find("hello-3.0.tar.gz").expect("the name is in the head") + 21;
    let mut altered = third.clone();
    altered[at..at + 5].copy_from_slice(b"hallo");
    assert_eq!(reason(agent.open(&altered)), Some(Reason::NotPublished));
    assert_eq!(reason(agent.open(b"something else altogether")), Some(Reason::NotAPackage));
    let (theirs, other) = (build(&strangers, "hello", "9.0", 0), build(&strangers, "other", "1.0", 0));
    let their_root = agent.open(&theirs).expect("the package is shown").signer.root;
    assert_ne!(their_root, root);
    assert_eq!(refused(&agent, &theirs), Some(Reason::OtherSigner));
    installs(&agent, &other, Some(their_root));
    assert_eq!(reason(agent.install(&theirs, Some(their_root))), Some(Reason::OtherSigner));
    assert_eq!(
        (agent.says("hello").as_deref(), agent.says("other").as_deref()),
        (Some("hello 2.0"), Some("other 1.0"))
    );
    assert_eq!(fs::read_dir(agent.data().join("content")).expect("the folder is accessible").count(), 0);

    // Once the publisher is no longer trusted, consent is required again, and other publishers may use the package
    // name.
    assert_eq!(agent.ask(&Request::ForgetSigner { root }), Reply::Done);
    assert!(agent.open(&third).expect("the package is shown").signer.asks);
    assert_eq!(reason(agent.install(&third, None)), Some(Reason::NotConsented));
    installs(&agent, &theirs, None);
    assert_eq!(agent.says("hello").as_deref(), Some("hello 9.0"));
}

#[test]
fn a_failed_install_is_rolled_back_and_an_interrupted_one_is_finished() {
    let network = TestNetwork::start(0);
    let first = build(&network, "hello", "1.0", 0);
    let broken = build_that(&network, "hello", "2.0", 0, Behaviour::Broken);
    let mut agent = StandaloneAgent::start();
    let root = agent.open(&first).expect("the package is shown").signer.root;
    let order = agent.install(&first, Some(root)).expect("the install is accepted");
    // Kills the agent, however far the install is.
    agent.kill();
    agent.start_again();
    assert!(matches!(agent.end_of(order), UpdateState::Installed { .. }), "{}", agent.log());
    assert_eq!(agent.says("hello").as_deref(), Some("hello 1.0"));
    let order = agent.install(&broken, None).expect("the install is accepted");
    let end = agent.end_of(order);
    assert!(
        matches!(&end, UpdateState::Failed { reason: Reason::ProbeFailed, restored: true, .. }),
        "{end:?}\n{}",
        agent.log()
    );
    assert_eq!(agent.says("hello").as_deref(), Some("hello 1.0"));
}

#[test]
fn after_enrolment_only_the_servers_orders_install() {
    let (network, strangers) = (TestNetwork::start(0), TestNetwork::start(0));
    let (old, floor) = (build(&network, "hello", "1.0", 0), build(&network, "hello", "2.0", 2));
    let theirs = build(&strangers, "other", "1.0", 0);
    let mut agent = StandaloneAgent::start();
    for file in [&floor, &theirs] {
        let root = agent.open(file).expect("the package is shown").signer.root;
        installs(&agent, file, Some(root));
    }
    assert_eq!(agent.ask(&Request::Enrol { code: network.join_code(1) }), Reply::Done);
    agent.wait("the agent has joined the server", |agent| agent.snapshot().link == Link::Connected);
    agent.wait("the agent is ready", |agent| agent.log().contains("ready"));
    let about = agent.snapshot().about;
    assert!(about.enrolled.is_some() && about.signers.is_empty());

    // The server's publishers are trusted, with the minimum sequences learned before. No other publisher is, whatever
    // the user consents to.
    let (new, other) = (build(&network, "hello", "3.0", 2), build(&strangers, "other", "2.0", 0));
    assert_eq!(refused(&agent, &old), Some(Reason::BelowFloor));
    let package = agent.open(&new).expect("the package is shown");
    assert!(package.signer.trusted && !package.signer.asks);
    let package = agent.open(&other).expect("the package is shown");
    assert!(!package.signer.trusted && !package.signer.asks);
    assert_eq!(refused(&agent, &other), Some(Reason::MetadataForged));
    assert_eq!(reason(agent.install(&other, Some(package.signer.root))), Some(Reason::NotAllowed));
    let forget = agent.ask(&Request::ForgetSigner { root: package.signer.root });
    assert!(matches!(forget, Reply::Error(error) if error.reason == Reason::NotAllowed));
    // The server's order installs it. Packages from other publishers stay as they are.
    installs(&agent, &new, None);
    assert_eq!(
        (agent.says("hello").as_deref(), agent.says("other").as_deref()),
        (Some("hello 3.0"), Some("other 1.0"))
    );
    agent.kill();
    agent.start_again();
    agent.wait("the agent has joined the server", |agent| agent.snapshot().link == Link::Connected);
    assert_eq!(refused(&agent, &other), Some(Reason::MetadataForged));
}

#[test]
fn a_privileged_or_shared_agent_refuses_installs_without_a_server() {
    let network = TestNetwork::start(0);
    let file = build(&network, "hello", "1.0", 0);
    let mut agent = StandaloneAgent::start();
    assert!(agent.open(&file).is_ok());
    let everybodys = agent.data().join("everybody/agent.sock").to_str().expect("the path is valid UTF-8").to_owned();
    for arguments in [["--installer", "sudo -n banyan-install-helper"], ["--socket", &everybodys]] {
        agent.kill();
        agent.arguments = arguments.map(str::to_owned).to_vec();
        agent.start_again();
        assert_eq!(reason(agent.open(&file)), Some(Reason::NotAllowed), "{arguments:?}");
        assert_eq!(reason(agent.install(&file, Some(Digest([9; 32])))), Some(Reason::NotAllowed));
    }
}
