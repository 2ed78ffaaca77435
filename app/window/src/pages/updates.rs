//! The Updates page: each update with its state, what it is waiting for and the actions the person can take.

use crate::{theme, theme::palette, widgets, window_state::WindowState};
use banyan_proto::{
    local::{Link, Request, Right, Snapshot, Update, UpdateState},
    schedule::Wish,
};
use banyan_ui_common::{
    AgentView, Clock, texts,
    update_summary::{UpdateSummary, summarise_update},
};
use egui::{RichText, Ui};
use lucide_icons::Icon;

pub(super) fn draw(
    ui: &mut Ui,
    view: &AgentView,
    snapshot: &Snapshot,
    state: &mut WindowState,
    clock: &Clock,
    requests: &mut Vec<Request>,
) {
    let may = view.may(Right::Choose);
    if snapshot.updates.is_empty() && snapshot.link == Link::NotEnrolled {
        return draw_not_joined(ui, view, state, requests);
    }
    if snapshot.updates.is_empty() {
        return widgets::empty_page(
            ui,
            Icon::PackageCheck,
            texts::updates::NO_UPDATES,
            texts::updates::NO_UPDATES_HINT,
        );
    }
    for (n, update) in snapshot.updates.iter().enumerate() {
        if n > 0 {
            ui.add_space(theme::APART);
        }
        ui.push_id(update.order, |ui| draw_update(ui, update, &summarise_update(update, clock), may, clock, requests));
    }
}

/// Draws the page of a computer that no update can reach, because it belongs to no server.
fn draw_not_joined(ui: &mut Ui, view: &AgentView, state: &mut WindowState, requests: &mut Vec<Request>) {
    widgets::empty_page(ui, Icon::Link, texts::updates::NOT_JOINED, texts::updates::NOT_JOINED_HINT);
    ui.add_space(theme::APART);
    super::join::draw(ui, view, state, requests);
    ui.add_space(theme::APART);
    widgets::secondary_text(ui, texts::updates::DROP_PACKAGE);
}

fn draw_update(
    ui: &mut Ui,
    update: &Update,
    summary: &UpdateSummary,
    may: bool,
    clock: &Clock,
    requests: &mut Vec<Request>,
) {
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    widgets::title_with_state(ui, &summary.title, summary.tone, &summary.state);
    widgets::secondary_text(ui, &texts::updates::origin(update));
    if let Some(percent) = summary.percent.filter(|_| update.progress.held > 0) {
        let progress = texts::updates::progress(update);
        widgets::progress_bar(ui, f32::from(percent) / 100.0, widgets::tone_colour(ui, summary.tone), &summary.title);
        ui.label(progress);
    }
    let partners = texts::updates::partners(update);
    if !partners.is_empty() {
        widgets::secondary_text(ui, &partners);
    }
    if !summary.explanation.is_empty() {
        ui.label(&summary.explanation);
    }
    if !summary.code.is_empty() {
        ui.label(RichText::new(summary.code).size(theme::NOTE).color(palette(ui).quiet));
    }
    widgets::failure_details(ui, &summary.details, &summary.title);
    let deadlines = update.verdict.announce.iter().map(|announcement| texts::updates::deadline(announcement, clock));
    // A deadline that is the state is shown above.
    for deadline in deadlines.filter(|deadline| *deadline != summary.state) {
        ui.label(RichText::new(deadline).color(palette(ui).needs_you));
    }
    if may && !summary.actions.is_empty() {
        ui.add_space(theme::TIGHT);
        ui.horizontal_wrapped(|ui| {
            for (n, action) in summary.actions.iter().enumerate() {
                // The primary button installs what is ready; putting it off is never the primary action.
                let puts_off = matches!(action.request, Request::Wish { wish: Wish::After(_), .. });
                let first = n == 0 && update.state == UpdateState::Ready && !puts_off;
                let button = if first { widgets::primary_button(ui, &action.label) } else { ui.button(&action.label) };
                let button = if action.tooltip.is_empty() { button } else { button.on_hover_text(&action.tooltip) };
                if button.clicked() {
                    requests.push(action.request.clone());
                }
            }
        });
    }
    if !update.notes.is_empty() {
        egui::CollapsingHeader::new(texts::updates::RELEASE_NOTES).show(ui, |ui| ui.label(&update.notes));
    }
}
