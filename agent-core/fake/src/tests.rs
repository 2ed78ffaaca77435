//! Tests that every scene shows the state it is named after, and that the fake agent answers as the real agent does.

use crate::{FakeAgent, PackageScene, Scene, package_file};
use banyan_local_api::{Client, LocalAddress};
use banyan_proto::{
    Reason, UnixSeconds,
    api::ApiError,
    local::{Event, Headline, LOCAL_VERSION, PauseFor, Reply, Request, Right, Snapshot},
    schedule::{Stage, Why, Wish},
};
use jiff::tz::TimeZone;

const NOW: UnixSeconds = UnixSeconds(1_795_000_000);

#[test]
fn every_scene_shows_the_state_it_is_named_after() {
    for scene in Scene::ALL {
        let snapshot = scene.snapshot(NOW, &TimeZone::UTC);
        assert_eq!(snapshot, scene.snapshot(NOW, &TimeZone::UTC), "{scene} gives the same snapshot every time");
        let (headline, waiting) = (
            snapshot.headline(),
            |why: fn(&Why) -> bool| matches!(snapshot.headline(), Headline::Waiting { because, .. } if why(&because)),
        );
        let right = match scene {
            Scene::Idle => headline == Headline::Idle,
            Scene::Receiving => matches!(headline, Headline::Receiving(_)),
            Scene::Forwarding => matches!(headline, Headline::Forwarding(_)),
            Scene::Waiting => matches!(headline, Headline::Waiting { until: Some(_), .. }),
            Scene::Busy => waiting(|why| matches!(why, Why::NotIdle { .. })),
            Scene::Ready => waiting(|why| matches!(why, Why::Window { .. })),
            Scene::NeedsYou => matches!(headline, Headline::NeedsYou(_)),
            Scene::Installing => matches!(headline, Headline::Installing(_)),
            Scene::Failed => matches!(headline, Headline::Problem(_)),
            Scene::Paused => matches!(headline, Headline::Paused { until: Some(_) }),
            Scene::Metered => waiting(|why| matches!(why, Why::Metered { .. })),
            Scene::Battery => waiting(|why| matches!(why, Why::Battery { .. })),
            Scene::Deadline => snapshot.updates[0].verdict.announce.iter().any(|a| a.stage == Stage::Install),
            Scene::NotConnected => headline == Headline::NotConnected,
            Scene::NotEnrolled => headline == Headline::NotEnrolled,
        };
        assert!(right, "{scene}: {headline:?}\n{:#?}", snapshot.updates);
        assert_eq!(scene.name().parse::<Scene>(), Ok(scene));
    }
}

async fn first(client: &mut Client) -> Snapshot {
    assert_eq!(client.request(&Request::Subscribe).await.unwrap(), Reply::Done);
    match client.event().await.unwrap() {
        Event::Snapshot(snapshot) => *snapshot,
        other => panic!("{other:?}"),
    }
}

async fn until(client: &mut Client, snapshot: &mut Snapshot, holds: impl Fn(&Snapshot) -> bool) {
    while !holds(snapshot) {
        snapshot.apply(client.event().await.unwrap());
    }
}

#[tokio::test]
async fn a_subscriber_receives_changes_and_its_commands_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let fake = FakeAgent::start(&address, Scene::Receiving).unwrap();
    let mut client = Client::connect(&address).await.unwrap();
    assert!(client.rights.contains(&Right::Administer));
    let mut snapshot = first(&mut client).await;
    assert!(matches!(snapshot.headline(), Headline::Receiving(_)));
    fake.tick();
    let held = snapshot.updates[0].progress.held;
    until(&mut client, &mut snapshot, |snapshot| snapshot.updates[0].progress.held > held).await;
    let pause = Request::Pause { until: PauseFor::UntilResumed };
    assert_eq!(client.request(&pause).await.unwrap(), Reply::Done);
    until(&mut client, &mut snapshot, |snapshot| snapshot.headline() == Headline::Paused { until: None }).await;
    assert_eq!(client.request(&Request::Resume).await.unwrap(), Reply::Done);
    until(&mut client, &mut snapshot, |snapshot| snapshot.scheduling.verdict.receive.is_open()).await;
    assert_eq!(fake.requests(), [pause, Request::Resume]);
    fake.show(Scene::Ready);
    until(&mut client, &mut snapshot, |now| {
        *now == Scene::Ready.snapshot(UnixSeconds::now(), &TimeZone::system())
            || now.updates.iter().all(|update| update.progress.percent() == 100)
    })
    .await;
    let order = snapshot.updates[0].order;
    let install = Request::Wish { order, stage: Stage::Install, wish: Wish::Now };
    assert_eq!(client.request(&install).await.unwrap(), Reply::Done);
    until(&mut client, &mut snapshot, |snapshot| snapshot.headline() == Headline::Installing(order)).await;
}

#[tokio::test]
async fn rights_are_checked_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let fake = FakeAgent::start(&address, Scene::NotEnrolled).unwrap();
    let mut client = Client::connect(&address).await.unwrap();
    fake.set_rights(&[Right::See]);
    for request in [Request::Resume, Request::Enrol { code: "good".into() }] {
        let reply = client.request(&request).await.unwrap();
        assert!(matches!(reply, Reply::Error(error) if error.reason == Reason::NotAllowed));
    }
    assert_eq!(fake.requests(), []);
    fake.set_rights(&[]);
    let reply = client.request(&Request::Subscribe).await.unwrap();
    assert!(matches!(reply, Reply::Error(error) if error.reason == Reason::NotAllowed));
    assert!(client.request(&Request::Status).await.is_err(), "the connection is closed");
    assert!(Client::connect(&address).await.is_err(), "refused before the greeting");
}

#[tokio::test]
async fn the_number_of_connections_per_user_is_limited() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let _fake = FakeAgent::start(&address, Scene::Idle).unwrap();
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(Client::connect(&address).await.unwrap());
    }
    assert!(Client::connect(&address).await.is_err());
    drop(clients.pop());
    while Client::connect(&address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_package_is_shown_and_installed_or_refused_as_in_its_scene() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let fake = FakeAgent::start(&address, Scene::Idle).unwrap();
    let path = folder.path().join("drawing-3.1.banyan");
    // The file is larger than the socket buffers, so that an early answer arrives while bytes are still being sent.
    std::fs::write(&path, package_file(3 << 20)).unwrap();
    let mut file = tokio::fs::File::open(&path).await.unwrap();
    for scene in PackageScene::ALL {
        fake.set_package(scene);
        let mut client = Client::connect(&address).await.unwrap();
        let reply = client.open_package(&mut file).await.unwrap();
        let may = match (scene, &reply) {
            (PackageScene::Altered, Reply::Error(error)) if error.reason == Reason::MetadataForged => false,
            (_, Reply::Package(package)) => package.refused.is_none(),
            other => panic!("{other:?}"),
        };
        let good = matches!(scene, PackageScene::New | PackageScene::Newer | PackageScene::Older | PackageScene::Asks);
        assert_eq!(may, good, "{scene:?}");
        let Reply::Package(package) = reply else { continue };
        let (mut sent, trust) = (0, package.signer.asks.then_some(package.signer.root));
        if trust.is_some() {
            let mut client = Client::connect(&address).await.unwrap();
            let early = client.install_package(package.manifest, None, &mut file, &mut |_| {}).await.unwrap();
            assert!(matches!(early, Reply::Error(ApiError { reason: Reason::NotConsented, .. })), "{early:?}");
        }
        let installed = client.install_package(package.manifest, trust, &mut file, &mut |bytes| sent = bytes).await;
        let installed = installed.unwrap();
        match installed {
            Reply::Ordered { order } if good => {
                assert_eq!(sent, 3 << 20);
                assert!(
                    banyan_local_api::Backend::snapshot(fake.as_ref())
                        .updates
                        .iter()
                        .any(|update| update.order == order)
                );
                // The connection stays usable.
                assert!(matches!(client.open_package(&mut file).await.unwrap(), Reply::Package(_)));
            }
            Reply::Error(_) if !good => {}
            other => panic!("{scene:?}: {other:?}"),
        }
    }
    fake.set_rights(&[Right::See, Right::Choose]);
    fake.set_package(PackageScene::New);
    let mut client = Client::connect(&address).await.unwrap();
    let Reply::Package(package) = client.open_package(&mut file).await.unwrap() else { panic!("expected a package") };
    assert_eq!(package.refused.as_ref().map(|refused| refused.reason), Some(Reason::NotAllowed));
    let refused = client.install_package(package.manifest, None, &mut file, &mut |_| {}).await.unwrap();
    assert!(matches!(refused, Reply::Error(ApiError { reason: Reason::NotAllowed, .. })), "{refused:?}");
    std::fs::write(&path, "a text").unwrap();
    let mut client = Client::connect(&address).await.unwrap();
    let mut file = tokio::fs::File::open(&path).await.unwrap();
    let refused = client.open_package(&mut file).await.unwrap();
    assert!(matches!(refused, Reply::Error(ApiError { reason: Reason::NotAPackage, .. })), "{refused:?}");
}

#[tokio::test]
async fn the_catalogue_is_shown_and_installed_from_as_in_the_scene() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let fake = FakeAgent::start(&address, Scene::Idle).unwrap();
    let mut client = Client::connect(&address).await.unwrap();
    let Reply::Catalogue(catalogue) = client.request(&Request::Catalogue).await.unwrap() else {
        panic!("expected a catalogue")
    };
    let wanted = catalogue.items.iter().find(|item| item.installed.is_none()).unwrap().release.clone();
    let get = |manifest| Request::GetFromCatalogue { package: wanted.package.clone(), manifest };
    let error = |reply| match reply {
        Reply::Error(error) => error.reason,
        other => panic!("{other:?}"),
    };
    let never = client.request(&get(banyan_proto::Digest([0; 32]))).await.unwrap();
    assert_eq!(error(never), Reason::NotOffered);
    let Reply::Ordered { order } = client.request(&get(wanted.manifest)).await.unwrap() else {
        panic!("expected an order")
    };
    let snapshot = first(&mut client).await;
    assert!(snapshot.updates.iter().any(|update| (update.order, &update.version) == (order, &wanted.version)));
    for (scene, reason) in [(Scene::NotConnected, Reason::ServerAway), (Scene::NotEnrolled, Reason::NotAllowed)] {
        fake.show(scene);
        assert_eq!(error(client.request(&Request::Catalogue).await.unwrap()), reason, "{scene}");
        assert_eq!(error(client.request(&get(wanted.manifest)).await.unwrap()), reason, "{scene}");
    }
    fake.show(Scene::Idle);
    fake.set_rights(&[Right::See, Right::Choose]);
    assert!(
        matches!(client.request(&Request::Catalogue).await.unwrap(), Reply::Catalogue(_)),
        "the right to see is enough to read the catalogue"
    );
    assert_eq!(error(client.request(&get(wanted.manifest)).await.unwrap()), Reason::NotAllowed);
}

#[cfg(unix)]
#[tokio::test]
async fn a_request_that_requires_something_unknown_is_refused_by_name() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let _fake = FakeAgent::start(&LocalAddress::Own(folder.path().to_owned()), Scene::Idle).unwrap();
    let socket = folder.path().join("agent.sock");
    let answers = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let hello = format!("{{\"request\":\"hello\",\"version\":{LOCAL_VERSION}}}");
        let pause = r#"{"must_understand":["until-payday"],"request":"resume"}"#;
        writeln!(stream, "{hello}\n{pause}").unwrap();
        BufReader::new(stream).lines().take(2).map(|line| line.unwrap()).collect::<Vec<String>>()
    });
    let answers = answers.await.unwrap();
    assert!(answers[1].contains("not-understood") && answers[1].contains("until-payday"), "{answers:?}");
}

#[tokio::test]
async fn a_wish_to_install_now_also_receives_now_and_sharing_takes_no_wish() {
    let folder = tempfile::tempdir().unwrap();
    let address = LocalAddress::Own(folder.path().to_owned());
    let _fake = FakeAgent::start(&address, Scene::Waiting).unwrap();
    let mut client = Client::connect(&address).await.unwrap();
    let mut snapshot = first(&mut client).await;
    let order = snapshot.updates[0].order;
    let wish = |stage| Request::Wish { order, stage, wish: Wish::Now };
    let refused = client.request(&wish(Stage::Forward)).await.unwrap();
    assert!(matches!(refused, Reply::Error(ApiError { reason: Reason::BadRequest, .. })), "{refused:?}");
    assert_eq!(client.request(&wish(Stage::Install)).await.unwrap(), Reply::Done);
    until(&mut client, &mut snapshot, |snapshot| snapshot.updates[0].wishes.install == Wish::Now).await;
    assert_eq!(snapshot.updates[0].wishes.receive, Wish::Now);
    assert!(snapshot.updates[0].verdict.receive.is_open(), "it is received outside its hours");
}
