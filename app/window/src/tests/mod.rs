//! Tests of the window without a screen. Pages are drawn, read and pressed through the accessibility tree.

mod catalogue;
mod package_file;
mod schedule;

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

/// What failed programs print can be long: it is folded, and can be copied.
#[test]
fn what_failed_is_told_in_words_and_its_output_is_folded() {
    let mut snapshot = sample_data::busy();
    let output = "the probe exited with code 3\n$ check\nno licence\n".to_owned() + &"more\n".repeat(20);
    for update in &mut snapshot.updates {
        if let banyan_proto::local::UpdateState::Failed { detail, .. } = &mut update.state {
            detail.clone_from(&output);
        }
    }
    let mut harness = at(Page::Updates, snapshot, TALL, egui::Theme::Light);
    harness.get_by_label(
        "The new version failed its check. This computer is as it was before. Your administrator can see this.",
    );
    assert!(harness.query_by_label(texts::updates::COPY).is_none());
    harness.get_by_label("Details: Printer Driver 7.3").click();
    harness.run();
    harness.get_by_label(&output);
    harness.get_by_label(texts::updates::COPY);
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

/// A computer that belongs to no server is not up to date, and its catalogue has not failed.
#[test]
fn a_computer_that_has_joined_nothing_offers_to_join() {
    let mut alone = sample_data::quiet();
    (alone.about.enrolled, alone.link) = (None, banyan_proto::local::Link::NotEnrolled);
    let mut harness = window(Page::Updates, alone.clone());
    assert!(harness.query_by_label(texts::updates::NO_UPDATES).is_none());
    harness.get_by_label(texts::updates::NOT_JOINED);
    assert!(harness.get_by_label(texts::computer::JOIN_BUTTON).accesskit_node().is_disabled());
    harness.state_mut().state.join_code = " code ".into();
    harness.run();
    harness.get_by_label(texts::computer::JOIN_BUTTON).click();
    harness.run();
    assert_eq!(harness.state().requests, [Request::Enrol { code: "code".into() }]);
    harness.state_mut().view.rights = vec![Right::See];
    harness.run();
    harness.get_by_label(texts::computer::NOT_ALLOWED);
    assert!(harness.query_by_label(texts::computer::JOIN_BUTTON).is_none());
    let harness = window(Page::Catalogue, alone);
    harness.get_by_label(texts::catalogue::NOT_JOINED);
    assert!(!harness.state().state.should_load_catalogue, "no server can be asked");
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
    for (page, snapshot) in Page::ALL
        .map(|page| (page, sample_data::busy()))
        .into_iter()
        .chain([(Page::Computer, alone.clone()), (Page::Updates, alone)])
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
fn notifications_of_new_updates_are_a_preference() {
    let mut harness = window(Page::Settings, sample_data::busy());
    assert!(!harness.state().state.preferences.notify_of_new_updates);
    harness.get_by_label(texts::settings::NOTIFY_OF_NEW_UPDATES).click();
    harness.run();
    assert!(harness.state().state.preferences.notify_of_new_updates && harness.state().requests.is_empty());
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
