//! Tests of the window without a screen. Pages are drawn, read and pressed through the accessibility tree.

use crate::{
    layout, theme,
    window_state::{ChosenRelease, WindowState},
};
use banyan_proto::{
    local::{Catalogue, Request, Right, Snapshot},
    schedule::{GiveWay, Stage, Window, Wish},
};
use banyan_ui_common::{AgentView, Page, sample_data, texts};
use egui::{Key, accesskit::Toggled, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};

struct TestWindow {
    view: AgentView,
    state: WindowState,
    requests: Vec<Request>,
}

/// Tall enough to show every page whole: the mouse cannot press what is scrolled out of view.
const TALL: egui::Vec2 = vec2(900.0, 1400.0);

fn window(page: Page, snapshot: Snapshot) -> Harness<'static, TestWindow> {
    at(page, snapshot, vec2(900.0, 600.0), egui::Theme::Light)
}

fn at(page: Page, snapshot: Snapshot, size: egui::Vec2, theme: egui::Theme) -> Harness<'static, TestWindow> {
    let rights = vec![Right::See, Right::Choose, Right::Get, Right::Administer];
    let view = AgentView { snapshot: Some(snapshot), rights, ..AgentView::default() };
    let quiet = view.snapshot.as_ref().is_some_and(|snapshot| snapshot.updates.is_empty());
    let mut state = WindowState::new(page, false);
    state.catalogue.answer = Some(Ok(if quiet { Catalogue::default() } else { sample_data::catalogue() }));
    let seen = TestWindow { view, state, requests: vec![] };
    let builder = Harness::builder().with_size(size).with_theme(theme).with_context_setup(theme::install);
    let mut harness = builder.build_ui_state(
        |ui, seen: &mut TestWindow| {
            let requests = layout::draw(ui, &seen.view, &mut seen.state, &sample_data::clock());
            seen.requests.extend(requests);
        },
        seen,
    );
    harness.run();
    harness
}

#[test]
fn updates_say_what_they_are_and_ask_for_what_is_pressed() {
    let mut harness = window(Page::Updates, sample_data::busy());
    for words in ["School Browser 12.1", "Downloading", "64% · 1.1 MB/s · 2 min left", "Scheduled for tonight at 22:00"]
    {
        harness.get_by_label(words);
    }
    harness.get_by_label("Downloading from room-204-07 · sharing with room-204-11, room-204-12");
    harness.get_by_label("Install now").click();
    harness.run();
    let order = sample_data::ready().order;
    assert_eq!(harness.state().requests, [Request::Wish { order, stage: Stage::Install, wish: Wish::Now }]);
}

#[test]
fn empty_pages_say_what_will_appear() {
    for (page, words) in [
        (Page::Updates, texts::updates::NO_UPDATES_HINT),
        (Page::History, texts::history::NO_HISTORY_HINT),
        (Page::Catalogue, texts::catalogue::EMPTY_HINT),
        (Page::Sharing, texts::sharing::NO_PREVIOUS_DAYS),
    ] {
        window(page, sample_data::quiet()).get_by_label(words);
    }
}

#[test]
fn pages_are_reached_by_their_names() {
    let mut harness = window(Page::Updates, sample_data::busy());
    for page in Page::ALL {
        harness.get_all_by_label(texts::page_name(page)).next().expect("the page is in the navigation").click();
        harness.run();
        assert_eq!(harness.state().state.page, page);
    }
}

#[test]
fn hours_are_edited_with_the_keyboard_and_saved() {
    let mut harness = at(Page::Schedule, sample_data::busy(), TALL, egui::Theme::Light);
    harness.get_by_label("Monday, 00:00 to 01:00").focus();
    harness.run();
    for key in [Key::ArrowDown, Key::ArrowRight, Key::ArrowRight, Key::Space] {
        harness.key_press(key);
        harness.run();
    }
    let cell = harness.get_by_label("Tuesday, 02:00 to 03:00");
    assert_eq!(cell.accesskit_node().toggled(), Some(Toggled::False), "the hour was open as part of the night");
    harness.get_by_label(texts::SAVE).click();
    harness.run();
    let [Request::SetWindow { window: Window::Weekly(week), night: None }] = &harness.state().requests[..] else {
        panic!("{:?}", harness.state().requests)
    };
    assert!(!week.is_open(1, 4) && !week.is_open(1, 5) && week.is_open(1, 3) && week.is_open(0, 4));
}

#[test]
fn hours_are_edited_with_the_mouse() {
    let mut harness = at(Page::Schedule, sample_data::busy(), TALL, egui::Theme::Light);
    let grid = harness.get_by_label("Monday, 00:00 to 01:00").rect();
    let hour = (grid.width() - theme::DAY_NAME) / 24.0;
    let point = |n: f32| egui::pos2(grid.min.x + theme::DAY_NAME + (n + 0.5) * hour, grid.max.y - theme::CELL / 2.0);
    harness.drag_at(point(9.0));
    harness.run();
    harness.hover_at(point(10.0));
    harness.run();
    harness.hover_at(point(11.0));
    harness.run();
    harness.drop_at(point(11.0));
    harness.run();
    let editor = harness.state().state.week_editor.expect("hours were painted");
    let open: Vec<_> = (8..13).map(|hour| editor.is_open((6, hour))).collect();
    assert_eq!(open, [false, true, true, true, false]);
}

#[test]
fn limits_are_saved_only_when_they_are_numbers() {
    let mut harness = window(Page::Settings, sample_data::busy());
    harness.get_by_label(texts::settings::DOWNLOAD_LIMIT);
    harness.state_mut().state.limits = Some(crate::limits_form::LimitsForm {
        upload: "fast".into(),
        ..crate::limits_form::LimitsForm::of(&Default::default())
    });
    harness.run();
    assert!(harness.query_by_label(texts::SAVE).is_none());
    harness.get_by_label(texts::settings::NOT_A_NUMBER);
    harness.get_by_label(texts::DISCARD).click();
    harness.run();
    assert!(harness.state().state.limits.is_none() && harness.state().requests.is_empty());
}

#[test]
fn slowing_down_for_other_apps_is_a_choice_unless_the_policy_sets_it() {
    let mut harness = at(Page::Settings, sample_data::busy(), TALL, egui::Theme::Light);
    harness.get_by_label(texts::settings::SLOW_DOWN_FOR_OTHERS).click();
    harness.run();
    assert_eq!(
        harness.state().requests,
        [Request::SetGiveWay { give_way: GiveWay::Nobody }],
        "the setting is on by default"
    );
    let mut laid = sample_data::busy();
    laid.scheduling.policy.give_way = GiveWay::Programs;
    let mut harness = at(Page::Settings, laid, TALL, egui::Theme::Light);
    harness.get_by_label(texts::settings::SET_BY_ADMINISTRATOR);
    harness.get_by_label(texts::settings::SLOW_DOWN_FOR_OTHERS).click();
    harness.run();
    assert!(harness.state().requests.is_empty());
}

#[test]
fn who_may_only_look_cannot_press() {
    let mut harness = window(Page::Updates, sample_data::busy());
    harness.state_mut().view.rights = vec![Right::See];
    harness.run();
    assert!(harness.query_by_label("Install now").is_none());
}

/// Drawing settles, so an idle window sleeps.
#[test]
fn every_page_settles_at_every_size_and_look() {
    for page in Page::ALL {
        for snapshot in [sample_data::busy(), sample_data::quiet()] {
            for size in [vec2(900.0, 600.0), vec2(450.0, 300.0)] {
                for look in [egui::Theme::Light, egui::Theme::Dark] {
                    at(page, snapshot.clone(), size, look);
                }
            }
        }
    }
}

#[test]
fn without_an_agent_the_window_says_so() {
    let mut harness = window(Page::Schedule, sample_data::busy());
    harness.state_mut().view = AgentView { connection_error: Some("it isn't running".into()), ..AgentView::default() };
    harness.run();
    harness.get_by_label(texts::status::NO_AGENT);
    harness.get_by_label("It isn't running.");
}

/// Returns the names of the controls that Tab reaches, until it returns to the first.
fn reached(harness: &mut Harness<'static, TestWindow>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut first = None;
    for _ in 0..200 {
        harness.key_press(Key::Tab);
        harness.run();
        let root = harness.root();
        let focused = root.children_recursive().find(|node| node.accesskit_node().is_focused());
        let Some(focused) = focused else { continue };
        let (id, node) = (focused.accesskit_node().id(), focused.accesskit_node());
        if first == Some(id) {
            return names;
        }
        first.get_or_insert(id);
        names.push(node.label().or_else(|| node.value()).unwrap_or_default());
    }
    panic!("Tab does not return to the first control: {names:?}");
}

/// Every control has a name and can be reached with the keyboard.
#[test]
fn every_control_has_a_name_and_is_reached_with_the_keyboard() {
    use egui::accesskit::Action;
    let mut alone = sample_data::quiet();
    (alone.about.enrolled, alone.link) = (None, banyan_proto::local::Link::NotEnrolled);
    for (page, snapshot) in
        Page::ALL.map(|page| (page, sample_data::busy())).into_iter().chain([(Page::Computer, alone)])
    {
        let mut harness = at(page, snapshot, TALL, egui::Theme::Light);
        let can = |node: &egui_kittest::Node<'_>| {
            let node = node.accesskit_node();
            let does = |action| node.data().supports_action(action);
            does(Action::Click) && does(Action::Focus) && !node.is_disabled()
        };
        let wanted: Vec<String> = harness
            .root()
            .children_recursive()
            .filter(can)
            .map(|node| node.accesskit_node().label().unwrap_or_default())
            .collect();
        assert!(wanted.iter().all(|name| !name.is_empty()), "{page:?}: a control has no name: {wanted:?}");
        let names = reached(&mut harness);
        wanted.iter().for_each(|name| assert!(names.contains(name), "{page:?}: {name:?} is not reached: {names:?}"));
    }
}

#[test]
fn the_hours_of_the_night_are_chosen() {
    let mut harness = at(Page::Schedule, sample_data::busy(), TALL, egui::Theme::Light);
    harness.get_by_label("At night (22:00–06:00)");
    harness.get_by_role_and_label(egui::accesskit::Role::ComboBox, texts::schedule::NIGHT_FROM).click();
    harness.run();
    harness.get_by_label("21:30").click();
    harness.run();
    let night = "21:30-06:00".parse().ok();
    assert_eq!(harness.state().requests, [Request::SetWindow { window: Window::Night, night }]);
}

#[test]
fn a_pause_and_its_end_are_on_the_schedule() {
    use banyan_proto::{local::PauseFor, schedule::Pause};
    let mut harness = window(Page::Schedule, sample_data::busy());
    harness.get_by_label(texts::schedule::PAUSE_UNTIL_TOMORROW).click();
    harness.run();
    assert_eq!(harness.state_mut().requests.pop(), Some(Request::Pause { until: PauseFor::UntilTomorrow }));
    let mut choice = sample_data::busy().scheduling.effective().clone();
    choice.pause = Some(Pause::an_hour(sample_data::NOW));
    harness.state_mut().view.snapshot.as_mut().expect("there is a snapshot").scheduling.choice = Some(choice);
    harness.run();
    assert!(harness.query_by_label(texts::schedule::PAUSE_UNTIL_TOMORROW).is_none());
    harness.get_by_label(texts::schedule::RESUME).click();
    harness.run();
    assert_eq!(harness.state().requests, [Request::Resume]);
}

#[test]
fn updates_are_installed_when_the_person_says() {
    let mut harness = at(Page::Schedule, sample_data::busy(), TALL, egui::Theme::Light);
    harness.get_by_label("When to install: When idle").click();
    harness.run();
    assert_eq!(harness.state().requests, [Request::SetInstallWindow { window: Window::Idle }]);
}

#[test]
fn notifications_of_new_updates_are_a_preference() {
    let mut harness = window(Page::Settings, sample_data::busy());
    assert!(!harness.state().state.preferences.notify_of_new_updates);
    harness.get_by_label(texts::settings::NOTIFY_OF_NEW_UPDATES).click();
    harness.run();
    assert!(harness.state().state.preferences.notify_of_new_updates && harness.state().requests.is_empty());
}

/// Opens a package file at this step.
fn opened(stage: banyan_ui_common::package_file::PackageStage) -> Harness<'static, TestWindow> {
    let mut harness = at(Page::Updates, sample_data::busy(), TALL, egui::Theme::Light);
    harness.state_mut().state.opened_package = Some(banyan_ui_common::package_file::PackageFile {
        stage,
        ..banyan_ui_common::package_file::PackageFile::new("/home/mia/drawing-3.1.banyan".into())
    });
    harness.run();
    harness
}

fn answer(scene: banyan_fake_agent::PackageScene) -> banyan_ui_common::package_file::PackageStage {
    use banyan_ui_common::package_file::PackageStage;
    match scene.answer(sample_data::NOW) {
        Ok(package) => PackageStage::Checked(Box::new(package)),
        Err(error) => PackageStage::Invalid(error),
    }
}

#[test]
fn only_a_package_that_may_be_installed_has_a_button_for_it() {
    use banyan_fake_agent::PackageScene;
    for scene in PackageScene::ALL {
        let harness = opened(answer(scene));
        let has = |label: &str| harness.query_by_label(label).is_some();
        let (install, older) = match scene {
            PackageScene::New | PackageScene::Newer | PackageScene::Asks => (true, false),
            PackageScene::Older => (false, true),
            _ => (false, false),
        };
        assert_eq!(
            (has(texts::package_file::INSTALL), has(texts::package_file::INSTALL_OLDER)),
            (install, older),
            "{scene:?}"
        );
        assert_eq!(has(texts::package_file::NOT_INSTALLABLE), !install && !older, "{scene:?}");
        let trusted = !matches!(scene, PackageScene::Untrusted | PackageScene::Asks | PackageScene::Altered);
        assert_eq!(has(texts::package_file::TRUSTED_PUBLISHER), trusted, "{scene:?}");
        // The name that an untrusted publisher claims is not shown as its name.
        assert_eq!(has("Lakeside School IT"), trusted, "{scene:?}");
    }
}

/// A package of an unknown publisher can be installed only after the person has seen the key and ticked the box.
#[test]
fn a_signer_is_trusted_by_a_step_of_its_own() {
    use banyan_fake_agent::PackageScene;
    let mut harness = opened(answer(PackageScene::Asks));
    let root = banyan_proto::Digest([0x5e; 32]);
    for words in [texts::package_file::UNKNOWN_PUBLISHER, root.grouped().as_str()] {
        harness.get_by_label(words);
    }
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    assert!(harness.get_by_label(texts::package_file::INSTALL).accesskit_node().is_disabled());
    assert!(!harness.state().state.should_install);
    harness.get_by_label(&texts::package_file::consent_label("Lakeside School IT")).click();
    harness.run();
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    let state = &harness.state().state;
    assert!(state.should_install && state.opened_package.as_ref().is_some_and(|opening| opening.consent));
    // The consent does not carry over to another file.
    assert!(!banyan_ui_common::package_file::PackageFile::new("other".into()).consent);
    // There is no such step when the agent does not ask for consent.
    for scene in [PackageScene::New, PackageScene::Untrusted] {
        assert!(
            opened(answer(scene)).query_by_label(&texts::package_file::consent_label("Lakeside School IT")).is_none()
        );
    }
}

#[test]
fn whom_the_person_trusts_is_listed_and_can_be_forgotten() {
    let mut alone = sample_data::quiet();
    (alone.about.enrolled, alone.link) = (None, banyan_proto::local::Link::NotEnrolled);
    let root = banyan_proto::Digest([0x5e; 32]);
    alone.about.signers.push(banyan_proto::local::TrustedSigner { root, name: "Mia's tools".into() });
    let mut harness = at(Page::Computer, alone, TALL, egui::Theme::Light);
    harness.get_by_label("Mia's tools");
    harness.get_by_label(&root.grouped());
    let button = texts::computer::stop_trusting("Mia's tools");
    assert!(harness.query_by_label(&button).is_none(), "people without the right to install have no button");
    harness.state_mut().view.rights.push(Right::Install);
    harness.run();
    harness.get_by_label(&button).click();
    harness.run();
    assert_eq!(harness.state().requests, [Request::ForgetSigner { root }]);
}

#[test]
fn what_a_package_does_is_said_before_it_is_installed() {
    let mut harness = opened(answer(banyan_fake_agent::PackageScene::Newer));
    for words in [
        "drawing 3.1",
        "74 MB",
        "Version 3.0, installed 14 October at 15:30",
        "1. Unpacks an archive into its own folder and switches to it",
        "2. Checks that the new version works: {dir}/bin/drawing --version",
    ] {
        harness.get_by_label(words);
    }
    assert!(!harness.state().state.should_install);
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    assert!(harness.state().state.should_install);
    harness.get_by_label(texts::package_file::CANCEL).click();
    harness.run();
    assert!(harness.state().state.opened_package.is_none());
}

#[test]
fn a_package_is_followed_from_copying_to_installed() {
    use banyan_proto::local::UpdateState;
    use banyan_ui_common::package_file::PackageStage;
    let package =
        Box::new(banyan_fake_agent::PackageScene::New.answer(sample_data::NOW).expect("the scene has a package"));
    opened(PackageStage::Copying { package: package.clone(), copied: 37_000_000, size: 74_000_000 })
        .get_by_label("Copied 37 MB of 74 MB");
    let mut harness = opened(PackageStage::Ordered(package, sample_data::ready().order));
    for (state, words) in [
        (UpdateState::Installing, texts::updates::INSTALLING),
        (UpdateState::Installed { at: sample_data::NOW }, "Installed today at 14:30"),
    ] {
        harness.state_mut().view.snapshot.as_mut().expect("there is a snapshot").updates[0].state = state;
        harness.run();
        harness.get_by_label(words);
    }
    assert!(harness.query_by_label(texts::package_file::CONTINUES_IN_BACKGROUND).is_none());
}

#[test]
fn the_catalogue_is_asked_for_when_it_is_opened_and_not_again_by_itself() {
    let mut harness = at(Page::Updates, sample_data::busy(), TALL, egui::Theme::Light);
    let take_request = |harness: &mut Harness<'static, TestWindow>| {
        std::mem::take(&mut harness.state_mut().state.should_load_catalogue)
    };
    assert!(!take_request(&mut harness));
    let open = |harness: &mut Harness<'static, TestWindow>, page| {
        harness.get_all_by_label(texts::page_name(page)).next().expect("the page is in the navigation").click();
        harness.run();
    };
    open(&mut harness, Page::Catalogue);
    assert!(take_request(&mut harness));
    harness.run();
    assert!(!take_request(&mut harness), "nothing has changed");
    // New requests: after a policy change, when the server is back, on Refresh, and when the page is opened again.
    let snapshot = |harness: &mut Harness<'static, TestWindow>, change: fn(&mut Snapshot)| {
        change(harness.state_mut().view.snapshot.as_mut().expect("there is a snapshot"));
        harness.run();
    };
    snapshot(&mut harness, |snapshot| snapshot.scheduling.policy.number += 1);
    assert!(take_request(&mut harness));
    snapshot(&mut harness, |snapshot| snapshot.link = banyan_proto::local::Link::Away { heard: None });
    assert!(!take_request(&mut harness), "the last answer stays on the page");
    snapshot(&mut harness, |snapshot| snapshot.link = banyan_proto::local::Link::Connected);
    assert!(take_request(&mut harness));
    harness.get_by_label(texts::catalogue::REFRESH).click();
    harness.run();
    assert!(take_request(&mut harness));
    harness.state_mut().state.catalogue.is_loading = true;
    harness.run();
    harness.get_by_label(texts::catalogue::REFRESH).click();
    harness.run();
    assert!(!take_request(&mut harness), "one request at a time");
    open(&mut harness, Page::Updates);
    open(&mut harness, Page::Catalogue);
    assert!(take_request(&mut harness));
}

#[test]
fn what_is_offered_is_shown_and_the_very_release_that_is_shown_is_asked_for() {
    use banyan_proto::Digest;
    let mut harness = at(Page::Catalogue, sample_data::busy(), TALL, egui::Theme::Light);
    for words in ["Drawing 3.1", "From Lakeside School IT · 74 MB · signed", "Version 2.0 is installed", "Downloading"]
    {
        harness.get_by_label(words);
    }
    harness.get_by_label("What's new in Drawing 3.1").click();
    harness.run();
    harness.get_by_label("Opens drawings in the new format.\nKeeps colours when you save.");
    assert!(harness.state().state.chosen_release.is_none());
    harness.get_by_label("Get Drawing 3.1").click();
    harness.run();
    assert_eq!(
        harness.state().state.chosen_release,
        Some(ChosenRelease { package: "Drawing".to_owned(), manifest: Digest([2; 32]) })
    );
    harness.get_by_label("Update Chart View to 2.1");
    for on_its_way_or_here in ["Get LibreOffice 26.2", "Get Time Sync 2.8"] {
        assert!(harness.query_by_label(on_its_way_or_here).is_none());
    }
    // A requested release has no button; a refused one shows why.
    harness
        .state_mut()
        .state
        .catalogue
        .requests
        .insert(Digest([2; 32]), banyan_ui_common::catalogue::ReleaseRequest::Pending);
    harness.run();
    assert!(harness.query_by_label("Get Drawing 3.1").is_none());
    let detail = "the publishers have withdrawn this release of Drawing".to_owned();
    let error = banyan_proto::api::ApiError { reason: banyan_proto::Reason::Withdrawn, detail };
    harness
        .state_mut()
        .state
        .catalogue
        .apply(banyan_ui_common::catalogue::CatalogueReply::Release(Digest([2; 32]), Err(error)));
    harness.run();
    harness.get_by_label("withdrawn");
    harness.get_by_label("The publishers have withdrawn this release of Drawing. Refresh to see what's available now.");
    harness.state_mut().view.rights = vec![Right::See, Right::Choose];
    harness.run();
    harness.get_by_label(texts::catalogue::NOT_ALLOWED);
    assert!(harness.query_by_label("Get Drawing 3.1").is_none());
}

#[test]
fn without_an_answer_the_catalogue_says_why() {
    let mut harness = window(Page::Catalogue, sample_data::busy());
    harness.state_mut().state.catalogue.answer = None;
    harness.run();
    harness.get_by_label(texts::catalogue::LOADING);
    let detail = "the server has to say what is offered, and cannot be asked now".to_owned();
    let error = banyan_proto::api::ApiError { reason: banyan_proto::Reason::ServerAway, detail };
    harness.state_mut().state.catalogue.answer = Some(Err(error));
    harness.run();
    harness.get_by_label(texts::catalogue::LOAD_FAILED);
    harness.get_by_label("server-away");
    harness.get_by_label(texts::catalogue::REFRESH);
}
