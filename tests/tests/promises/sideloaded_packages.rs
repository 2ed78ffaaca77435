//! Verifies manual installs: a package file opened at a machine is installed like any other update, without downloading
//! its content again. A file that trusted publishers did not sign, or that is not allowed there, is refused with a
//! reason and leaves nothing behind.

use banyan_proto::{
    Reason,
    admin::DeploymentState,
    local::{Package, Reply, Right, UpdateState},
};
use banyan_tests::{
    World,
    session_user::{Mia, as_user},
    sideload,
    test_package::Behaviour,
};
use std::{fs, os::unix::net::UnixStream};

fn socket(world: &World, which: usize) -> UnixStream {
    UnixStream::connect(world.agents[which].data.join("agent.sock")).expect("the agent listens")
}
fn open(world: &World, file: &[u8]) -> Result<Package, Reason> {
    match sideload::open(&socket(world, 0), file) {
        Reply::Package(package) => Ok(*package),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
/// Opens the file and installs the release that is shown. A file that cannot be opened is requested with a wrong
/// digest.
fn install(world: &World, file: &[u8]) -> Result<banyan_proto::OrderId, Reason> {
    let shown = open(world, file).map_or(banyan_proto::Digest([7; 32]), |package| package.manifest);
    match sideload::install(&socket(world, 0), shown, file) {
        Reply::Ordered { order } => Ok(order),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn refused(world: &World, file: &[u8]) -> Option<Reason> {
    open(world, file).map_or_else(Some, |package| package.refused.map(|refused| refused.reason))
}
fn build(world: &World, name: &str, version: &str, bytes: usize) -> (String, Vec<u8>) {
    let release = world.write_package(name, version, bytes, Behaviour::Works);
    let path = world.path(&format!("{name}-{version}.banyan"));
    world.banyan(&["package", "build", &release, "--key", &world.path("keys"), "--to", &path]);
    let file = fs::read(&path).expect("a package file");
    (path, file)
}
/// Returns the file names in the content folder.
fn content(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.agents[0].data.join("content")).expect("the folder is accessible");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("the name is valid UTF-8")).collect()
}

#[test]
fn it_is_installed_like_every_other_and_its_bytes_are_not_fetched_again() {
    let world = World::start(2);
    let (path, file) = build(&world, "hello", "1.0", 3_000_000);
    // The publishers' signature is not enough: the server must know the release, too.
    let package = open(&world, &file).expect("the file is a package");
    assert!(package.signer.trusted && package.refused.is_none(), "{package:?}");
    assert_eq!((package.package.as_str(), package.version.as_str()), ("hello", "1.0"));
    assert_eq!((install(&world, &file), content(&world)), (Err(Reason::NotPublished), vec![]));
    world.banyan(&["publish", &path]);
    // A release other than the one that was shown.
    let other = sideload::install(&socket(&world, 0), banyan_proto::Digest([7; 32]), &file);
    assert!(matches!(other, Reply::Error(error) if error.reason == Reason::BadRequest));

    let order = install(&world, &file).expect("the server orders it");
    world.wait_until("the release is installed", |world| {
        let update = world.snapshot(0).updates.into_iter().find(|update| update.order == order);
        update.is_some_and(|update| matches!(update.state, UpdateState::Installed { .. }))
    });
    assert_eq!(world.says(0, "hello").as_deref(), Some("hello 1.0"));
    let status = world.wait_for_status(&order.to_string(), "the server has the report", |status| {
        status.state == DeploymentState::Finished
    });
    assert_eq!(
        (status.addressees.len(), status.server_sent),
        (1, 0),
        "the order must be for this machine alone, and the server must send nothing"
    );
    assert_eq!(world.snapshot(0).sharing.today.received, 0);
    assert!(world.snapshot(1).updates.is_empty(), "another machine received it");
    // The next version names the one that it replaces.
    let (_, newer) = build(&world, "hello", "1.1", 100_000);
    let replaces = open(&world, &newer).expect("a package").replaces.expect("the package was installed");
    assert_eq!((replaces.version.as_str(), replaces.sequence), ("1.0", 1));
}

#[test]
fn what_is_not_the_publishers_or_not_theirs_any_more_is_refused_and_leaves_nothing() {
    let mut world = World::start(1);
    let (path, file) = build(&world, "hello", "1.0", 300_000);
    world.banyan(&["publish", &path]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = file.clone();
        change(&mut changed);
        changed
    };
    // Altered content, a truncated file, and extra bytes at the end.
    let last = file.len() - 1;
    let content_altered = with(&|bytes| bytes[last] ^= 1);
    assert_eq!(refused(&world, &content_altered), None, "the head is intact");
    assert_eq!(install(&world, &content_altered), Err(Reason::BadArtifact));
    let (shorter, longer) = (with(&|bytes| bytes.truncate(bytes.len() - 1)), with(&|bytes| bytes.push(0)));
    for wrong in [shorter, longer] {
        assert_eq!(
            (refused(&world, &wrong), install(&world, &wrong)),
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
            matches!(open(&world, &wrong), Err(Reason::MetadataForged | Reason::NotPublished)),
            "{:?}",
            open(&world, &wrong)
        );
        assert!(install(&world, &wrong).is_err());
    }
    assert_eq!(refused(&world, b"something else altogether"), Some(Reason::NotAPackage));
    // A package of other publishers.
    let strangers = World::start(0);
    let (_, theirs) = build(&strangers, "hello", "1.0", 100_000);
    let shown = open(&world, &theirs).expect("the package is shown");
    assert!(!shown.signer.trusted);
    assert_eq!(
        (refused(&world, &theirs), install(&world, &theirs)),
        (Some(Reason::MetadataForged), Err(Reason::MetadataForged))
    );
    assert_eq!(content(&world), Vec::<String>::new());
    // A later release sets a minimum sequence. Then this release is below it, and is withdrawn.
    let release = world.write_package("hello", "2.0", 100_000, Behaviour::Works);
    let described = fs::read_to_string(&release).expect("the description is accessible");
    fs::write(&release, format!("min_sequence = 2\n{described}")).expect("the description can be written");
    world.banyan(&["publish", &release, "--key", &world.path("keys")]);
    let deployment = world.deploy("hello", "all", 1);
    world.wait_for_status(&deployment, "2.0 is installed", |status| status.state == DeploymentState::Finished);
    assert_eq!((refused(&world, &file), install(&world, &file)), (Some(Reason::BelowFloor), Err(Reason::BelowFloor)));
    let (path, third) = build(&world, "third", "1.0", 100_000);
    world.banyan(&["publish", &path]);
    assert_eq!(refused(&world, &third), None);
    world.banyan(&["releases", "withdraw", "third@1.0", "--key", &world.path("keys")]);
    world.wait_until("the machine knows about the withdrawal", |world| {
        refused(world, &third) == Some(Reason::Withdrawn)
    });
    assert_eq!(install(&world, &third), Err(Reason::Withdrawn));
    assert_eq!((content(&world).len(), world.says(0, "hello").as_deref()), (1, Some("hello 2.0")));
    // Files left by an interrupted run are deleted at the next start.
    world.kill_agent(0);
    fs::write(world.agents[0].data.join("content/incoming-1"), "half of it").expect("the folder exists");
    world.start_agent(0);
    world.wait_until("the leftover file is gone", |world| content(world).len() == 1);
}

#[test]
fn who_may_is_the_administrators_to_say() {
    let mut world = World::start(1);
    let mia = Mia::sits_at(&mut world, 0);
    let (path, file) = build(&world, "hello", "1.0", 300_000);
    world.banyan(&["publish", &path]);
    let as_mia = || as_user(mia.user, || UnixStream::connect(&mia.socket)).expect("any user can connect");
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
    world.set_policy("[by-hand]\nwho = \"everyone\"\npackages = [\"other\"]\n", None);
    world.wait_until("the machine has the new policy", |world| world.snapshot(0).scheduling.policy.number == 1);
    assert_eq!(open(&world, &file).map(|package| reason(&package)), Ok(Some(Reason::NotAllowed)));
    assert!(not_allowed(&install()));
    world.set_policy("[by-hand]\nwho = \"everyone\"\n", None);
    world.wait_until("the machine has the new policy", |world| world.snapshot(0).scheduling.policy.number == 2);
    assert!(mia.rights().contains(&Right::Install) && !mia.rights().contains(&Right::Administer));
    assert_eq!(reason(&shown(&file)), None);
    let reply = install();
    assert!(matches!(reply, Reply::Ordered { .. }), "{reply:?}");
    world.wait_until("the new version runs", |world| world.says(0, "hello").as_deref() == Some("hello 1.0"));
}
