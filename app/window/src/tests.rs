//! The window without a screen: every page is drawn, named and pressed through the tree that assistive programs read.

use crate::{frame, state::State, theme};
use banyan_face::{Page, View, sample, texts};
use banyan_proto::{
    local::{Request, Right, Snapshot},
    schedule::{Stage, Window, Wish},
};
use egui::{Key, accesskit::Toggled, vec2};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};

struct Seen {
    view: View,
    state: State,
    asked: Vec<Request>,
}

fn window(page: Page, snapshot: Snapshot) -> Harness<'static, Seen> {
    at(page, snapshot, vec2(900.0, 600.0), egui::Theme::Light)
}

fn at(page: Page, snapshot: Snapshot, size: egui::Vec2, look: egui::Theme) -> Harness<'static, Seen> {
    let rights = vec![Right::See, Right::Choose, Right::Administer];
    let view = View { snapshot: Some(snapshot), rights, ..View::default() };
    let seen = Seen { view, state: State::new(page, false), asked: vec![] };
    let builder = Harness::builder().with_size(size).with_theme(look).with_context_setup(theme::install);
    let mut harness = builder.build_ui_state(
        |ui, seen: &mut Seen| {
            let asked = frame::draw(ui, &seen.view, &mut seen.state, &sample::clock());
            seen.asked.extend(asked);
        },
        seen,
    );
    harness.run();
    harness
}

#[test]
fn updates_say_what_they_are_and_ask_for_what_is_pressed() {
    let mut harness = window(Page::Updates, sample::busy());
    for words in ["School Browser 12.1", "Receiving", "64 % · 1.1 MB/s · 2 min left", "Waits for tonight, 22:00"] {
        harness.get_by_label(words);
    }
    harness.get_by_label("From room-204-07 · passing on to room-204-11, room-204-12");
    harness.get_by_label("Install now").click();
    harness.run();
    let order = sample::ready().order;
    assert_eq!(harness.state().asked, [Request::Wish { order, stage: Stage::Install, wish: Wish::Now }]);
}

#[test]
fn empty_pages_say_what_will_appear() {
    for (page, words) in [
        (Page::Updates, texts::NO_UPDATES_MORE),
        (Page::History, texts::NO_HISTORY_MORE),
        (Page::Catalogue, texts::CATALOGUE_MORE),
        (Page::Sharing, texts::NO_LEDGER),
    ] {
        window(page, sample::quiet()).get_by_label(words);
    }
}

#[test]
fn pages_are_reached_by_their_names() {
    let mut harness = window(Page::Updates, sample::busy());
    for page in Page::ALL {
        harness.get_all_by_label(texts::page(page)).next().expect("its name").click();
        harness.run();
        assert_eq!(harness.state().state.page, page);
    }
}

#[test]
fn hours_are_painted_with_the_keyboard_and_saved() {
    let mut harness = window(Page::Schedule, sample::busy());
    harness.get_by_label("Monday, 00:00 to 01:00").focus();
    harness.run();
    for key in [Key::ArrowDown, Key::ArrowRight, Key::ArrowRight, Key::Space] {
        harness.key_press(key);
        harness.run();
    }
    let cell = harness.get_by_label("Tuesday, 02:00 to 03:00");
    assert_eq!(cell.accesskit_node().toggled(), Some(Toggled::False), "it was open, as part of the night");
    harness.get_by_label(texts::SAVE).click();
    harness.run();
    let [Request::SetWindow { window: Window::Weekly(week), night: None }] = &harness.state().asked[..] else {
        panic!("{:?}", harness.state().asked)
    };
    assert!(!week.is_open(1, 4) && !week.is_open(1, 5) && week.is_open(1, 3) && week.is_open(0, 4));
}

#[test]
fn hours_are_painted_with_the_mouse() {
    let mut harness = window(Page::Schedule, sample::busy());
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
    let painted = harness.state().state.painted.expect("something was painted");
    let open: Vec<_> = (8..13).map(|hour| painted.is_open((6, hour))).collect();
    assert_eq!(open, [false, true, true, true, false]);
}

#[test]
fn limits_are_saved_only_when_they_are_numbers() {
    let mut harness = window(Page::Settings, sample::busy());
    harness.get_by_label(texts::DOWNLOAD);
    harness.state_mut().state.limits =
        Some(crate::state::Limits { upload: "fast".into(), ..crate::state::Limits::of(&Default::default()) });
    harness.run();
    assert!(harness.query_by_label(texts::SAVE).is_none());
    harness.get_by_label(texts::NOT_A_NUMBER);
    harness.get_by_label(texts::DISCARD).click();
    harness.run();
    assert!(harness.state().state.limits.is_none() && harness.state().asked.is_empty());
}

#[test]
fn who_may_only_look_cannot_press() {
    let mut harness = window(Page::Updates, sample::busy());
    harness.state_mut().view.rights = vec![Right::See];
    harness.run();
    assert!(harness.query_by_label("Install now").is_none());
}

/// Nothing is asked for again and again: the drawing settles, so the window sleeps.
#[test]
fn every_page_settles_at_every_size_and_look() {
    for page in Page::ALL {
        for snapshot in [sample::busy(), sample::quiet()] {
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
    let mut harness = window(Page::Schedule, sample::busy());
    harness.state_mut().view = View { trouble: Some("no such file".into()), ..View::default() };
    harness.run();
    harness.get_by_label(texts::NO_AGENT);
    harness.get_by_label("no such file");
}
