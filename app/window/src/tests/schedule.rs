//! Tests of the Schedule page.

use super::*;

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
