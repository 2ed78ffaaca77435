//! The Settings page: limits, slowing down for other apps, resetting to the administrator's settings, and notifications.

use crate::{
    limits_form::{LimitsForm, parse_amount},
    theme::{self, palette},
    widgets,
    window_state::WindowState,
};
use banyan_proto::{
    local::{Request, Snapshot},
    schedule::GiveWay,
};
use banyan_ui_common::texts;
use egui::{RichText, TextEdit, Ui};

pub(super) fn draw(ui: &mut Ui, snapshot: &Snapshot, may: bool, state: &mut WindowState, requests: &mut Vec<Request>) {
    let scheduling = &snapshot.scheduling;
    let saved = LimitsForm::of(scheduling.effective());
    let mut limits = state.limits.clone().unwrap_or_else(|| saved.clone());
    ui.label(RichText::new(texts::settings::LIMITS).size(theme::SECTION));
    widgets::secondary_text(ui, texts::settings::BLANK_IS_NO_LIMIT);
    ui.add_enabled_ui(may, |ui| {
        draw_limit_field(ui, texts::settings::DOWNLOAD_LIMIT, &mut limits.download, "MB/s");
        draw_limit_field(ui, texts::settings::SHARING_SPEED_LIMIT, &mut limits.upload, "MB/s");
        draw_limit_field(ui, texts::settings::DAILY_SHARING_LIMIT, &mut limits.daily, "MB");
        draw_limit_field(ui, texts::settings::KEEP_FREE_DISK, &mut limits.free_disk, "GB");
        ui.add_enabled(
            scheduling.policy.bounds.forward,
            egui::Checkbox::new(&mut limits.forward, texts::settings::SHARE_UPDATES),
        );
    });
    state.limits = (limits != saved).then_some(limits);
    if let Some(limits) = &state.limits {
        let request = limits.request();
        let mut done = false;
        ui.horizontal(|ui| {
            if let Some(request) = request
                && widgets::primary_button(ui, texts::SAVE).clicked()
            {
                requests.push(request);
                done = true;
            }
            done |= ui.button(texts::DISCARD).clicked();
        });
        if done {
            state.limits = None;
        }
    }
    ui.add_space(theme::APART);
    let required = scheduling.policy.give_way;
    let mut gives_way = scheduling.effective().give_way.max(required) == GiveWay::Programs;
    let check = egui::Checkbox::new(&mut gives_way, texts::settings::SLOW_DOWN_FOR_OTHERS);
    if ui.add_enabled(may && required == GiveWay::Nobody, check).clicked() {
        requests.push(Request::SetGiveWay { give_way: if gives_way { GiveWay::Programs } else { GiveWay::Nobody } });
    }
    if required != GiveWay::Nobody {
        widgets::secondary_text(ui, texts::settings::SET_BY_ADMINISTRATOR);
    }
    ui.add_space(theme::APART);
    if scheduling.choice.is_none() {
        widgets::secondary_text(ui, texts::settings::NO_OWN_SETTINGS);
    } else if ui.add_enabled(may, egui::Button::new(texts::settings::RESET)).clicked() {
        state.limits = None;
        requests.push(Request::ForgetChoice);
    }
    widgets::section_title(ui, texts::settings::NOTIFICATIONS);
    widgets::secondary_text(ui, texts::settings::NOTIFICATIONS_HINT);
    ui.checkbox(&mut state.preferences.notify_of_new_updates, texts::settings::NOTIFY_OF_NEW_UPDATES);
    if let Some(why) = &state.save_error {
        ui.label(RichText::new(texts::settings::not_saved(why)).color(palette(ui).failed));
    }
}

fn draw_limit_field(ui: &mut Ui, name: &str, text: &mut String, unit: &str) {
    ui.horizontal(|ui| {
        let size = egui::vec2(theme::SIDE + theme::EDGE, theme::CONTROL);
        let label = ui.allocate_ui_with_layout(size, egui::Layout::left_to_right(egui::Align::Center), |ui| {
            ui.set_min_width(size.x);
            ui.label(name)
        });
        let wrong = parse_amount(text, 1000).is_none();
        let edit = TextEdit::singleline(text).desired_width(theme::EDGE * 3.0);
        ui.add(edit).labelled_by(label.inner.id);
        widgets::secondary_text(ui, unit);
        if wrong {
            ui.label(RichText::new(texts::settings::NOT_A_NUMBER).color(palette(ui).failed));
        }
    });
}
