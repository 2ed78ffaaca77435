//! When this computer transfers: one of four ways, the hours of the week, and what the computer sees of itself.

use super::{grid, signals};
use crate::{
    state::{self, State},
    theme,
    week::Preset,
    widgets,
};
use banyan_face::{Clock, texts};
use banyan_proto::{
    local::{Request, Snapshot},
    schedule::{Kind, Window},
};
use egui::Ui;

pub(super) fn draw(
    ui: &mut Ui,
    snapshot: &Snapshot,
    may: bool,
    state: &mut State,
    clock: &Clock,
    asked: &mut Vec<Request>,
) {
    let (choice, bounds) = (snapshot.scheduling.effective(), &snapshot.scheduling.policy.bounds);
    ui.label(texts::TRANSFERS);
    ui.horizontal_wrapped(|ui| {
        let now = Kind::of(&choice.window);
        let painting = state.painted.is_some();
        for (kind, window) in [(Kind::Night, Window::Night), (Kind::Idle, Window::Idle), (Kind::Any, Window::Any)] {
            let words = match kind {
                Kind::Night => format!("{} ({})", texts::NIGHT_ONLY, choice.night),
                _ => texts::window(&window).to_owned(),
            };
            let allowed = may && bounds.windows.contains(&kind);
            let radio = egui::RadioButton::new(!painting && now == kind, words);
            if ui.add_enabled(allowed, radio).clicked() {
                state.painted = None;
                asked.push(Request::SetWindow { window, night: None });
            }
        }
        let allowed = may && bounds.windows.contains(&Kind::Weekly);
        let radio = egui::RadioButton::new(painting || now == Kind::Weekly, texts::OWN_HOURS);
        if ui.add_enabled(allowed, radio).clicked() && state.painted.is_none() {
            state.painted = Some(state::hours(choice));
        }
    });
    ui.add_space(theme::NEAR);
    ui.add_enabled_ui(may && bounds.windows.contains(&Kind::Weekly), |ui| {
        presets(ui, choice, state);
        let before = state.painted.unwrap_or_else(|| state::hours(choice));
        let mut painted = before;
        grid::draw(ui, &mut painted, clock);
        if painted != before {
            state.painted = Some(painted);
        }
        widgets::quiet(ui, texts::GRID_HINT);
    });
    save(ui, choice, state, asked);
    widgets::section(ui, texts::SIGNALS);
    signals::draw(ui, &snapshot.scheduling.signals, may, clock, asked);
}

fn presets(ui: &mut Ui, choice: &banyan_proto::schedule::Choice, state: &mut State) {
    ui.horizontal_wrapped(|ui| {
        for preset in Preset::ALL {
            let words = match preset {
                Preset::Nights => texts::PRESET_NIGHTS,
                Preset::NightsAndWeekends => texts::PRESET_WEEKENDS,
                Preset::OutsideWork => texts::PRESET_EVENINGS,
                Preset::All => texts::PRESET_ALL,
                Preset::None => texts::PRESET_NONE,
            };
            if ui.button(words).clicked() {
                let mut painted = state.painted.unwrap_or_else(|| state::hours(choice));
                painted.week = preset.week();
                state.painted = Some(painted);
            }
        }
    });
}

/// Painted hours hold when they are saved.
fn save(ui: &mut Ui, choice: &banyan_proto::schedule::Choice, state: &mut State, asked: &mut Vec<Request>) {
    let Some(painted) = state.painted else { return };
    let window = Window::Weekly(painted.week);
    if choice.window == window {
        return;
    }
    ui.horizontal(|ui| {
        if widgets::primary(ui, texts::SAVE).clicked() {
            asked.push(Request::SetWindow { window, night: None });
            state.painted = None;
        }
        if ui.button(texts::DISCARD).clicked() {
            state.painted = None;
        }
    });
}
