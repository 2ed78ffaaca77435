//! The Updates page: each update with its state, what it is waiting for and the actions the person can take.

use crate::{theme, theme::palette, widgets};
use banyan_proto::{
    local::{Request, Snapshot, Update, UpdateState},
    schedule::Wish,
};
use banyan_ui_common::{
    Clock, texts,
    update_summary::{Glance, glance},
};
use egui::{RichText, Ui};
use lucide_icons::Icon;

pub(super) fn draw(ui: &mut Ui, snapshot: &Snapshot, may: bool, clock: &Clock, asked: &mut Vec<Request>) {
    if snapshot.updates.is_empty() {
        return widgets::empty(ui, Icon::PackageCheck, texts::NO_UPDATES, texts::NO_UPDATES_MORE);
    }
    for (n, update) in snapshot.updates.iter().enumerate() {
        if n > 0 {
            ui.add_space(theme::APART);
        }
        ui.push_id(update.order, |ui| card(ui, update, &glance(update, clock), may, clock, asked));
    }
}

fn card(ui: &mut Ui, update: &Update, glance: &Glance, may: bool, clock: &Clock, asked: &mut Vec<Request>) {
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    widgets::title_and_state(ui, &glance.title, glance.tone, &glance.state);
    widgets::quiet(ui, &texts::origin(update));
    if let Some(percent) = glance.percent.filter(|_| update.progress.held > 0) {
        let progress = texts::progress(update);
        widgets::bar(ui, f32::from(percent) / 100.0, widgets::colour(ui, glance.tone), &glance.title);
        ui.label(progress);
    }
    let partners = texts::partners(update);
    if !partners.is_empty() {
        widgets::quiet(ui, &partners);
    }
    if !glance.more.is_empty() {
        ui.label(&glance.more);
    }
    if !glance.code.is_empty() {
        ui.label(RichText::new(glance.code).size(theme::NOTE).color(palette(ui).quiet));
    }
    let deadlines = update.verdict.announce.iter().map(|announcement| texts::announced(announcement, clock));
    // A deadline that is the state is shown above.
    for deadline in deadlines.filter(|deadline| *deadline != glance.state) {
        ui.label(RichText::new(deadline).color(palette(ui).needs_you));
    }
    if may && !glance.offers.is_empty() {
        ui.add_space(theme::TIGHT);
        ui.horizontal_wrapped(|ui| {
            for (n, offer) in glance.offers.iter().enumerate() {
                // The primary button installs what is ready; putting it off is never the primary action.
                let puts_off = matches!(offer.request, Request::Wish { wish: Wish::After(_), .. });
                let first = n == 0 && update.state == UpdateState::Ready && !puts_off;
                let button = if first { widgets::primary(ui, &offer.label) } else { ui.button(&offer.label) };
                let button = if offer.exact.is_empty() { button } else { button.on_hover_text(&offer.exact) };
                if button.clicked() {
                    asked.push(offer.request.clone());
                }
            }
        });
    }
    if !update.notes.is_empty() {
        egui::CollapsingHeader::new(texts::RELEASE_NOTES).show(ui, |ui| ui.label(&update.notes));
    }
}
