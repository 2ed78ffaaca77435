//! The Schedule page: when this computer downloads, shares and installs, pauses, night and weekly hours, and the current
//! conditions.

use crate::{
    pages::{conditions, week_grid},
    theme,
    week_editor::Preset,
    widgets,
    window_state::{self, WindowState},
};
use banyan_proto::{
    local::{Request, Scheduling, Snapshot},
    schedule::{Choice, Kind, Window},
};
use banyan_ui_common::{Clock, schedule_choices, texts, update_summary::Tone};
use egui::{ComboBox, RadioButton, RichText, Ui};

pub(super) fn draw(
    ui: &mut Ui,
    snapshot: &Snapshot,
    may: bool,
    state: &mut WindowState,
    clock: &Clock,
    requests: &mut Vec<Request>,
) {
    let scheduling = &snapshot.scheduling;
    let (choice, weekly) = (scheduling.effective(), scheduling.policy.bounds.windows.contains(&Kind::Weekly));
    let gate = &scheduling.verdict.receive;
    let tone = if gate.is_open() { Tone::Done } else { Tone::Waiting };
    widgets::state_label(ui, tone, &texts::schedule::transfer_status(gate, clock));
    draw_pause(ui, scheduling, may, requests);
    widgets::section_title(ui, texts::schedule::TRANSFER_WINDOW);
    draw_transfer_window(ui, scheduling, may, state, requests);
    if Kind::of(&choice.window) == Kind::Night {
        draw_night_hours(ui, choice, may && state.week_editor.is_none(), requests);
    }
    ui.add_space(theme::NEAR);
    ui.add_enabled_ui(may && weekly, |ui| {
        draw_presets(ui, choice, state);
        let before = state.week_editor.unwrap_or_else(|| window_state::edited_hours(choice));
        let mut editor = before;
        // A fixed id: widgets above may appear or vanish while the mouse button is down.
        ui.push_id("week", |ui| week_grid::draw(ui, &mut editor, clock));
        if editor != before {
            state.week_editor = Some(editor);
        }
        widgets::secondary_text(ui, texts::schedule::GRID_HINT);
    });
    draw_save_buttons(ui, choice, state, requests);
    widgets::section_title(ui, texts::schedule::INSTALL_WINDOW);
    draw_install_window(ui, scheduling, may, requests);
    widgets::section_title(ui, texts::conditions::CURRENT_CONDITIONS);
    conditions::draw(ui, &scheduling.signals, may, clock, requests);
}

fn draw_pause(ui: &mut Ui, scheduling: &Scheduling, may: bool, requests: &mut Vec<Request>) {
    let actions = schedule_choices::pause_actions(scheduling);
    if !may || actions.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if scheduling.effective().pause.is_none() {
            ui.label(texts::schedule::PAUSE);
        }
        for action in actions {
            if ui.button(action.label).clicked() {
                requests.push(action.request);
            }
        }
    });
}

/// Returns the kinds of transfer window without hours of their own, and whether the policy allows each.
fn fixed_windows(scheduling: &Scheduling) -> impl Iterator<Item = (Kind, Window, bool)> {
    [(Kind::Night, Window::Night), (Kind::Idle, Window::Idle), (Kind::Any, Window::Any)]
        .map(|(kind, window)| (kind, window, scheduling.policy.bounds.windows.contains(&kind)))
        .into_iter()
}

fn window_label(kind: Kind, window: &Window, choice: &Choice) -> String {
    match kind {
        Kind::Night => format!("{} ({})", texts::schedule::AT_NIGHT, texts::schedule::night_hours(choice.night)),
        Kind::Any | Kind::Idle | Kind::Weekly => texts::schedule::window_name(window).to_owned(),
    }
}

fn draw_transfer_window(
    ui: &mut Ui,
    scheduling: &Scheduling,
    may: bool,
    state: &mut WindowState,
    requests: &mut Vec<Request>,
) {
    let choice = scheduling.effective();
    let (now, painting) = (Kind::of(&choice.window), state.week_editor.is_some());
    ui.horizontal_wrapped(|ui| {
        for (kind, window, allowed) in fixed_windows(scheduling) {
            let radio = RadioButton::new(!painting && now == kind, window_label(kind, &window, choice));
            if ui.add_enabled(may && allowed, radio).clicked() {
                state.week_editor = None;
                requests.push(Request::SetWindow { window, night: None });
            }
        }
        let allowed = may && scheduling.policy.bounds.windows.contains(&Kind::Weekly);
        let radio = RadioButton::new(painting || now == Kind::Weekly, texts::schedule::MY_SCHEDULE);
        if ui.add_enabled(allowed, radio).clicked() && state.week_editor.is_none() {
            state.week_editor = Some(window_state::edited_hours(choice));
        }
    });
}

/// Draws the choice for installs. Weekly install hours are shown when they are set, but cannot be edited here.
fn draw_install_window(ui: &mut Ui, scheduling: &Scheduling, may: bool, requests: &mut Vec<Request>) {
    let choice = scheduling.effective();
    ui.horizontal_wrapped(|ui| {
        for (kind, window, allowed) in fixed_windows(scheduling) {
            let radio = RadioButton::new(Kind::of(&choice.install) == kind, window_label(kind, &window, choice));
            let name = format!("{}: {}", texts::schedule::INSTALL_WINDOW, texts::schedule::window_name(&window));
            let radio = widgets::with_accessible_name(ui.add_enabled(may && allowed, radio), &name);
            if radio.clicked() {
                requests.push(Request::SetInstallWindow { window });
            }
        }
        if let Window::Weekly(week) = &choice.install {
            ui.label(week.to_string());
        }
    });
}

/// Draws the start and end of the night.
fn draw_night_hours(ui: &mut Ui, choice: &Choice, may: bool, requests: &mut Vec<Request>) {
    let (from, to) = schedule_choices::night_hours(choice.night);
    ui.add_enabled_ui(may, |ui| {
        ui.horizontal_wrapped(|ui| {
            let chosen = draw_time_list(ui, texts::schedule::NIGHT_FROM, &from, false)
                .and_then(|from| schedule_choices::night(&from, &to));
            let chosen = draw_time_list(ui, texts::schedule::NIGHT_TO, &to, true)
                .and_then(|to| schedule_choices::night(&from, &to))
                .or(chosen);
            if let Some(night) = chosen {
                requests.push(Request::SetWindow { window: Window::Night, night: Some(night) });
            }
        });
    });
}

/// Draws a drop-down list of times; returns the time that the person chose.
fn draw_time_list(ui: &mut Ui, name: &str, now: &str, end: bool) -> Option<String> {
    let label = ui.label(name);
    let (mut chosen, mut open) = (None, false);
    let remembered = ui.scope_id().with(name);
    let was_open = ui.data(|data| data.get_temp(remembered)).unwrap_or(false);
    let list = ComboBox::from_id_salt(name).selected_text(now).width(theme::TIME).height(theme::LIST);
    let shown = list.show_ui(ui, |ui| {
        open = true;
        for time in schedule_choices::half_hours(end) {
            let here = ui.selectable_label(time == now, RichText::new(&time));
            if time == now && !was_open {
                // The list opens at the current time.
                here.scroll_to_me(Some(egui::Align::Center));
            }
            if here.clicked() && time != now {
                chosen = Some(time);
            }
        }
    });
    ui.data_mut(|data| data.insert_temp(remembered, open));
    shown.response.labelled_by(label.id);
    chosen
}

fn draw_presets(ui: &mut Ui, choice: &Choice, state: &mut WindowState) {
    ui.horizontal_wrapped(|ui| {
        for preset in Preset::ALL {
            let words = match preset {
                Preset::Nights => texts::schedule::PRESET_NIGHTS,
                Preset::NightsAndWeekends => texts::schedule::PRESET_WEEKENDS,
                Preset::OutsideWork => texts::schedule::PRESET_OUTSIDE_WORK,
                Preset::All => texts::schedule::PRESET_ALL,
                Preset::None => texts::schedule::PRESET_NONE,
            };
            if ui.button(words).clicked() {
                let mut editor = state.week_editor.unwrap_or_else(|| window_state::edited_hours(choice));
                editor.week = preset.week();
                state.week_editor = Some(editor);
            }
        }
    });
}

/// Draws Save and Discard while edited hours differ from the saved ones.
fn draw_save_buttons(ui: &mut Ui, choice: &Choice, state: &mut WindowState, requests: &mut Vec<Request>) {
    let Some(editor) = state.week_editor else { return };
    let window = Window::Weekly(editor.week);
    if choice.window == window {
        return;
    }
    ui.horizontal(|ui| {
        if widgets::primary_button(ui, texts::SAVE).clicked() {
            requests.push(Request::SetWindow { window, night: None });
            state.week_editor = None;
        }
        if ui.button(texts::DISCARD).clicked() {
            state.week_editor = None;
        }
    });
}
