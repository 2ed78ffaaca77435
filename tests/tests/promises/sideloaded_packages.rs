//! Verifies manual installs: a package file opened at a machine is installed like any other update, without downloading
//! its content again. A file that trusted publishers did not sign, or that is not allowed there, is refused with a
//! reason and leaves nothing behind.

use banyan_proto::{
    Reason,
    admin::DeploymentState,
    local::{Package, Reply, Right, UpdateState},
};
use banyan_tests::{
    TestNetwork,
    session_user::{SessionUser, as_user},
    sideload,
    test_package::Behaviour,
};
use std::{fs, os::unix::net::UnixStream};

fn socket(network: &TestNetwork, which: usize) -> UnixStream {
    UnixStream::connect(network.agents[which].data.join("agent.sock")).expect("the agent listens")
}
fn open(network: &TestNetwork, file: &[u8]) -> Result<Package, Reason> {
    match sideload::open(&socket(network, 0), file) {
        Reply::Package(package) => Ok(*package),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
/// Opens the file and installs the release that is shown. A file that cannot be opened is requested with a wrong
/// digest.
fn install(network: &TestNetwork, file: &[u8]) -> Result<banyan_proto::OrderId, Reason> {
    let shown = open(network, file).map_or(banyan_proto::Digest([7; 32]), |package| package.manifest);
    match sideload::install(&socket(network, 0), shown, file) {
        Reply::Ordered { order } => Ok(order),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn refused(network: &TestNetwork, file: &[u8]) -> Option<Reason> {
    open(network, file).map_or_else(Some, |package| package.refused.map(|refused| refused.reason))
}
fn build(network: &TestNetwork, name: &str, version: &str, bytes: usize) -> (String, Vec<u8>) {
    let release = network.write_package(name, version, bytes, Behaviour::Works);
    let path = network.path(&format!("{name}-{version}.banyan"));
    network.banyan(&["package", "build", &release, "--key", &network.path("keys"), "--to", &path]);
    let file = fs::read(&path).expect("a package file");
    (path, file)
}
/// Returns the file names in the content folder.
fn content(network: &TestNetwork) -> Vec<String> {
    let entries = fs::read_dir(network.agents[0].data.join("content")).expect("the folder is accessible");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("the name is valid UTF-8")).collect()
}

#[test]
fn a_package_file_is_installed_like_any_update_without_downloading_it_again() {
    let network = TestNetwork::start(2);
    let (path, file) = build(&network, "hello", "1.0", 3_000_000);
    // The publishers' signature is not enough: the server must know the release, too.
    let package = open(&network, &file).expect("the file is a package");
    assert!(package.signer.trusted && package.refused.is_none(), "{package:?}");
    assert_eq!((package.package.as_str(), package.version.as_str()), ("hello", "1.0"));
    assert_eq!((install(&network, &file), content(&network)), (Err(Reason::NotPublished), vec![]));
    network.banyan(&["publish", &path]);
    // A release other than the one that was shown.
    let other = sideload::install(&socket(&network, 0), banyan_proto::Digest([7; 32]), &file);
    assert!(matches!(other, Reply::Error(error) if error.reason == Reason::BadRequest));

    let order = install(&network, &file).expect("the server orders it");
    network.wait_until("the release is installed", |network| {
        let update = network.snapshot(0).updates.into_iter().find(|update| update.order == order);
        update.is_some_and(|update| matches!(update.state, UpdateState::Installed { .. }))
    });
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.0"));
    let status = network.wait_for_status(&order.to_string(), "the server has the report", |status| {
        status.state == DeploymentState::Finished
    });
    assert_eq!(
        (status.addressees.len(), status.server_sent),
        (1, 0),
        "the order must be for this machine alone, and the server must send nothing"
    );
    assert_eq!(network.snapshot(0).sharing.today.received, 0);
    assert!(network.snapshot(1).updates.is_empty(), "another machine received it");
    // The next version names the one that it replaces.
    let (_, newer) = build(&network, "hello", "1.1", 100_000);
    let replaces = open(&network, &newer).expect("a package").replaces.expect("the package was installed");
    assert_eq!((replaces.version.as_str(), replaces.sequence), ("1.0", 1));
}

#[test]
fn a_file_that_publishers_did_not_sign_or_have_withdrawn_is_refused_and_leaves_nothing() {
    let mut network = TestNetwork::start(1);
    let (path, file) = build(&network, "hello", "1.0", 300_000);
    network.banyan(&["publish", &path]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = file.clone();
        change(&mut changed);
        changed
    };
    // Altered content, a truncated file, and extra bytes at the end.
    let last = file.len() - 1;
    let content_altered = with(&|bytes| bytes[last] ^= 1);
    assert_eq!(refused(&network, &content_altered), None, "the head is intact");
    assert_eq!(install(&network, &content_altered), Err(Reason::BadArtifact));
    let (shorter, longer) = (with(&|bytes| bytes.truncate(bytes.len() - 1)), with(&|bytes| bytes.push(0)));
    for wrong in [shorter, longer] {
        assert_eq!(
            (refused(&network, &wrong), install(&network, &wrong)),
            (Some(Reason::NotAPackage), Err(Reason::NotAPackage))
        );
    }
    // Altered signed data, and a missing signature.
    let text = String::from_utf8_lossy(&file[21..]).into_owned();
    let put = |from: &str, to: &str| {
        let at = text.find(from).expect("the text is in the head") + 21;
        with(&|bytes| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()))
    };
    let unsigned = {
        // The targets list has its signatures last and names its keys before them.
        let targets = text.find("\"targets\":\"").expect("the list");
        let signature = targets + text[targets..].find("\\\"sig\\\":\\\"").expect("a signature") + 10 + 21;
        with(&|bytes| bytes[signature..signature + 8].copy_from_slice(b"00000000"))
    };
    let altered = put("hello-1.0.tar.gz", "hello-9.9.tar.gz");
    for wrong in [unsigned, altered] {
        assert!(
            matches!(open(&network, &wrong), Err(Reason::MetadataForged | Reason::NotPublished)),
            "{:?}",
            open(&network, &wrong)
        );
        assert!(install(&network, &wrong).is_err());
    }
    assert_eq!(refused(&network, b"something else altogether"), Some(Reason::NotAPackage));
    // A package of other publishers.
    let strangers = TestNetwork::start(0);
    let (_, theirs) = build(&strangers, "hello", "1.0", 100_000);
    let shown = open(&network, &theirs).expect("the package is shown");
    assert!(!shown.signer.trusted);
    assert_eq!(
        (refused(&network, &theirs), install(&network, &theirs)),
        (Some(Reason::MetadataForged), Err(Reason::MetadataForged))
    );
    assert_eq!(content(&network), Vec::<String>::new());
    // A later release sets a minimum sequence. Then this release is below it, and is withdrawn.
    let release = network.write_package("hello", "2.0", 100_000, Behaviour::Works);
    let described = fs::read_to_string(&release).expect("the description is accessible");
    fs::write(&release, format!("min_sequence = 2\n{described}")).expect("the description can be written");
    network.banyan(&["publish", &release, "--key", &network.path("keys")]);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_for_status(&deployment, "2.0 is installed", |status| status.state == DeploymentState::Finished);
    assert_eq!(
        (refused(&network, &file), install(&network, &file)),
        (Some(Reason::BelowFloor), Err(Reason::BelowFloor))
    );
    let (path, third) = build(&network, "third", "1.0", 100_000);
    network.banyan(&["publish", &path]);
    assert_eq!(refused(&network, &third), None);
    network.banyan(&["releases", "withdraw", "third@1.0", "--key", &network.path("keys")]);
    network.wait_until("the machine knows about the withdrawal", |network| {
        refused(network, &third) == Some(Reason::Withdrawn)
    });
    assert_eq!(install(&network, &third), Err(Reason::Withdrawn));
    assert_eq!((content(&network).len(), network.says(0, "hello").as_deref()), (1, Some("hello 2.0")));
    // Files left by an interrupted run are deleted at the next start.
    network.kill_agent(0);
    fs::write(network.agents[0].data.join("content/incoming-1"), "half of it").expect("the folder exists");
    network.start_agent(0);
    network.wait_until("the leftover file is gone", |network| content(network).len() == 1);
}

#[test]
fn the_administrator_decides_who_may_install_package_files() {
    let mut network = TestNetwork::start(1);
    let user = SessionUser::log_in_at(&mut network, 0);
    let (path, file) = build(&network, "hello", "1.0", 300_000);
    network.banyan(&["publish", &path]);
    let as_mia = || as_user(user.user, || UnixStream::connect(&user.socket)).expect("any user can connect");
    let shown = |file: &[u8]| match sideload::open(&as_mia(), file) {
        Reply::Package(package) => *package,
        other => panic!("{other:?}"),
    };
    let reason = |package: &Package| package.refused.as_ref().map(|refused| refused.reason);
    let package = shown(&file);
    assert!(package.signer.trusted);
    assert_eq!(reason(&package), Some(Reason::NotAllowed), "she may inspect it, but not install it");
    let install = || sideload::install(&as_mia(), package.manifest, &file);
    let not_allowed = |reply: &Reply| matches!(reply, Reply::Error(error) if error.reason == Reason::NotAllowed);
    assert!(not_allowed(&install()));
    // Packages of other names are excluded for all users, including root.
    network.set_policy("[by-hand]\nwho = \"everyone\"\npackages = [\"other\"]\n", None);
    network.wait_until("the machine has the new policy", |network| network.snapshot(0).scheduling.policy.number == 1);
    assert_eq!(open(&network, &file).map(|package| reason(&package)), Ok(Some(Reason::NotAllowed)));
    assert!(not_allowed(&install()));
    network.set_policy("[by-hand]\nwho = \"everyone\"\n", None);
    network.wait_until("the machine has the new policy", |network| network.snapshot(0).scheduling.policy.number == 2);
    assert!(user.rights().contains(&Right::Install) && !user.rights().contains(&Right::Administer));
    assert_eq!(reason(&shown(&file)), None);
    let reply = install();
    assert!(matches!(reply, Reply::Ordered { .. }), "{reply:?}");
    network.wait_until("the new version runs", |network| network.says(0, "hello").as_deref() == Some("hello 1.0"));
}
