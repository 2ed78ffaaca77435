//! The Schedule page: when this computer downloads, shares and installs, pauses, night and weekly hours, and the current
//! conditions.

use crate::pages::{conditions, week_grid};
use crate::{
    theme,
    week_editor::Preset,
    widgets,
    window_state::{self, State},
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
    state: &mut State,
    clock: &Clock,
    asked: &mut Vec<Request>,
) {
    let scheduling = &snapshot.scheduling;
    let (choice, weekly) = (scheduling.effective(), scheduling.policy.bounds.windows.contains(&Kind::Weekly));
    let gate = &scheduling.verdict.receive;
    let tone = if gate.is_open() { Tone::Done } else { Tone::Waiting };
    widgets::state(ui, tone, &texts::may_transfer(gate, clock));
    pause(ui, scheduling, may, asked);
    widgets::section(ui, texts::TRANSFERS);
    transfers(ui, scheduling, may, state, asked);
    if Kind::of(&choice.window) == Kind::Night {
        night(ui, choice, may && state.painted.is_none(), asked);
    }
    ui.add_space(theme::NEAR);
    ui.add_enabled_ui(may && weekly, |ui| {
        presets(ui, choice, state);
        let before = state.painted.unwrap_or_else(|| window_state::hours(choice));
        let mut painted = before;
        // A fixed id: widgets above may appear or vanish while the mouse button is down.
        ui.push_id("week", |ui| week_grid::draw(ui, &mut painted, clock));
        if painted != before {
            state.painted = Some(painted);
        }
        widgets::quiet(ui, texts::GRID_HINT);
    });
    save(ui, choice, state, asked);
    widgets::section(ui, texts::INSTALLS);
    installs(ui, scheduling, may, asked);
    widgets::section(ui, texts::SIGNALS);
    conditions::draw(ui, &scheduling.signals, may, clock, asked);
}

fn pause(ui: &mut Ui, scheduling: &Scheduling, may: bool, asked: &mut Vec<Request>) {
    let offers = schedule_choices::pauses(scheduling);
    if !may || offers.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if scheduling.effective().pause.is_none() {
            ui.label(texts::PAUSE);
        }
        for offer in offers {
            if ui.button(offer.label).clicked() {
                asked.push(offer.request);
            }
        }
    });
}

/// Returns the kinds of transfer window without hours of their own, and whether the policy allows each.
fn plain(scheduling: &Scheduling) -> impl Iterator<Item = (Kind, Window, bool)> {
    [(Kind::Night, Window::Night), (Kind::Idle, Window::Idle), (Kind::Any, Window::Any)]
        .map(|(kind, window)| (kind, window, scheduling.policy.bounds.windows.contains(&kind)))
        .into_iter()
}

fn words(kind: Kind, window: &Window, choice: &Choice) -> String {
    match kind {
        Kind::Night => format!("{} ({})", texts::NIGHT_ONLY, texts::night(choice.night)),
        _ => texts::window(window).to_owned(),
    }
}

fn transfers(ui: &mut Ui, scheduling: &Scheduling, may: bool, state: &mut State, asked: &mut Vec<Request>) {
    let choice = scheduling.effective();
    let (now, painting) = (Kind::of(&choice.window), state.painted.is_some());
    ui.horizontal_wrapped(|ui| {
        for (kind, window, allowed) in plain(scheduling) {
            let radio = RadioButton::new(!painting && now == kind, words(kind, &window, choice));
            if ui.add_enabled(may && allowed, radio).clicked() {
                state.painted = None;
                asked.push(Request::SetWindow { window, night: None });
            }
        }
        let allowed = may && scheduling.policy.bounds.windows.contains(&Kind::Weekly);
        let radio = RadioButton::new(painting || now == Kind::Weekly, texts::OWN_HOURS);
        if ui.add_enabled(allowed, radio).clicked() && state.painted.is_none() {
            state.painted = Some(window_state::hours(choice));
        }
    });
}

/// Draws the choice for installs. Weekly install hours are shown when they are set, but cannot be edited here.
fn installs(ui: &mut Ui, scheduling: &Scheduling, may: bool, asked: &mut Vec<Request>) {
    let choice = scheduling.effective();
    ui.horizontal_wrapped(|ui| {
        for (kind, window, allowed) in plain(scheduling) {
            let radio = RadioButton::new(Kind::of(&choice.install) == kind, words(kind, &window, choice));
            let name = format!("{}: {}", texts::INSTALLS, texts::window(&window));
            let radio = widgets::named(ui.add_enabled(may && allowed, radio), &name);
            if radio.clicked() {
                asked.push(Request::SetInstallWindow { window });
            }
        }
        if let Window::Weekly(week) = &choice.install {
            ui.label(week.to_string());
        }
    });
}

/// Draws the start and end of the night.
fn night(ui: &mut Ui, choice: &Choice, may: bool, asked: &mut Vec<Request>) {
    let (from, to) = schedule_choices::night_hours(choice.night);
    ui.add_enabled_ui(may, |ui| {
        ui.horizontal_wrapped(|ui| {
            let chosen = time(ui, texts::NIGHT_FROM, &from, false).and_then(|from| schedule_choices::night(&from, &to));
            let chosen =
                time(ui, texts::NIGHT_TO, &to, true).and_then(|to| schedule_choices::night(&from, &to)).or(chosen);
            if let Some(night) = chosen {
                asked.push(Request::SetWindow { window: Window::Night, night: Some(night) });
            }
        });
    });
}

/// Draws a drop-down list of times; returns the time that the person chose.
fn time(ui: &mut Ui, name: &str, now: &str, end: bool) -> Option<String> {
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

fn presets(ui: &mut Ui, choice: &Choice, state: &mut State) {
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
                let mut painted = state.painted.unwrap_or_else(|| window_state::hours(choice));
                painted.week = preset.week();
                state.painted = Some(painted);
            }
        }
    });
}

/// Draws Save and Discard while edited hours differ from the saved ones.
fn save(ui: &mut Ui, choice: &Choice, state: &mut State, asked: &mut Vec<Request>) {
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
