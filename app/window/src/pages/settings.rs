//! The Settings page: limits, slowing down for other apps, resetting to the administrator's settings, and notifications.

use crate::{
    theme::{self, palette},
    widgets,
    window_state::{Limits, State, bytes},
};
use banyan_proto::{
    local::{Request, Snapshot},
    schedule::GiveWay,
};
use banyan_ui_common::texts;
use egui::{RichText, TextEdit, Ui};

pub(super) fn draw(ui: &mut Ui, snapshot: &Snapshot, may: bool, state: &mut State, asked: &mut Vec<Request>) {
    let scheduling = &snapshot.scheduling;
    let held = Limits::of(scheduling.effective());
    let mut limits = state.limits.clone().unwrap_or_else(|| held.clone());
    ui.label(RichText::new(texts::LIMITS).size(theme::SECTION));
    widgets::quiet(ui, texts::ZERO_IS_NONE);
    ui.add_enabled_ui(may, |ui| {
        field(ui, texts::DOWNLOAD, &mut limits.download, "MB/s");
        field(ui, texts::UPLOAD, &mut limits.upload, "MB/s");
        field(ui, texts::DAILY, &mut limits.daily, "MB");
        field(ui, texts::FREE_DISK, &mut limits.free_disk, "GB");
        ui.add_enabled(scheduling.policy.bounds.forward, egui::Checkbox::new(&mut limits.forward, texts::PASS_ON));
    });
    state.limits = (limits != held).then_some(limits);
    if let Some(limits) = &state.limits {
        let request = limits.request();
        let mut done = false;
        ui.horizontal(|ui| {
            if let Some(request) = request
                && widgets::primary(ui, texts::SAVE).clicked()
            {
                asked.push(request);
                done = true;
            }
            done |= ui.button(texts::DISCARD).clicked();
        });
        if done {
            state.limits = None;
        }
    }
    ui.add_space(theme::APART);
    let laid = scheduling.policy.give_way;
    let mut gives_way = scheduling.effective().give_way.max(laid) == GiveWay::Programs;
    let check = egui::Checkbox::new(&mut gives_way, texts::MAKE_ROOM);
    if ui.add_enabled(may && laid == GiveWay::Nobody, check).clicked() {
        asked.push(Request::SetGiveWay { give_way: if gives_way { GiveWay::Programs } else { GiveWay::Nobody } });
    }
    if laid != GiveWay::Nobody {
        widgets::quiet(ui, texts::MAKE_ROOM_LAID);
    }
    ui.add_space(theme::APART);
    if scheduling.choice.is_none() {
        widgets::quiet(ui, texts::NO_CHOICE);
    } else if ui.add_enabled(may, egui::Button::new(texts::FORGET)).clicked() {
        state.limits = None;
        asked.push(Request::ForgetChoice);
    }
    widgets::section(ui, texts::NOTICES);
    widgets::quiet(ui, texts::NOTICES_MORE);
    ui.checkbox(&mut state.preferences.tell_incoming, texts::TELL_INCOMING);
    if let Some(why) = &state.not_kept {
        ui.label(RichText::new(texts::not_kept(why)).color(palette(ui).failed));
    }
}

fn field(ui: &mut Ui, name: &str, text: &mut String, unit: &str) {
    ui.horizontal(|ui| {
        let size = egui::vec2(theme::SIDE + theme::EDGE, theme::CONTROL);
        let label = ui.allocate_ui_with_layout(size, egui::Layout::left_to_right(egui::Align::Center), |ui| {
            ui.set_min_width(size.x);
            ui.label(name)
        });
        let wrong = bytes(text, 1000).is_none();
        let edit = TextEdit::singleline(text).desired_width(theme::EDGE * 3.0);
        ui.add(edit).labelled_by(label.inner.id);
        widgets::quiet(ui, unit);
        if wrong {
            ui.label(RichText::new(texts::NOT_A_NUMBER).color(palette(ui).failed));
        }
    });
}
