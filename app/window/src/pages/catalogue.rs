//! The Catalogue page: software that people can install themselves. The catalogue is requested when the page opens, when
//! the policy changes or the connection to the server returns while it is open, and when the person presses Refresh.

use crate::{
    theme::{self, palette},
    widgets,
    window_state::{CatalogueBasis, ChosenRelease, WindowState},
};
use banyan_proto::{
    api::ApiError,
    local::{Catalogue, Item, Link, Right, Snapshot},
};
use banyan_ui_common::{
    AgentView, Clock,
    catalogue::{CatalogueRow, catalogue_row},
    texts,
    update_summary::Tone,
};
use egui::{RichText, Ui};
use lucide_icons::Icon;

pub(super) fn draw(ui: &mut Ui, view: &AgentView, snapshot: &Snapshot, state: &mut WindowState, clock: &Clock) {
    if snapshot.link == Link::NotEnrolled {
        state.catalogue_basis = None;
        let (title, hint) = (texts::catalogue::NOT_JOINED, texts::catalogue::NOT_JOINED_HINT);
        return widgets::empty_page(ui, Icon::Package, title, hint);
    }
    let now =
        CatalogueBasis { policy: snapshot.scheduling.policy.number, is_connected: snapshot.link == Link::Connected };
    state.should_load_catalogue |= state
        .catalogue_basis
        .is_none_or(|before| before.policy != now.policy || (now.is_connected && !before.is_connected));
    state.catalogue_basis = Some(now);
    let catalogue = &state.catalogue;
    let (mut should_load, mut chosen) = (false, None);
    match &catalogue.answer {
        None => widgets::state_label(ui, Tone::Moving, texts::catalogue::LOADING),
        Some(Err(error)) => {
            draw_failure(ui, error);
            should_load = draw_refresh(ui, catalogue.is_loading);
        }
        Some(Ok(Catalogue { items })) if items.is_empty() => {
            should_load = draw_refresh(ui, catalogue.is_loading);
            widgets::empty_page(ui, Icon::Package, texts::catalogue::EMPTY, texts::catalogue::EMPTY_HINT);
        }
        Some(Ok(Catalogue { items })) => {
            let may = view.may(Right::Get);
            widgets::secondary_text(
                ui,
                if may { texts::catalogue::INTRODUCTION } else { texts::catalogue::NOT_ALLOWED },
            );
            should_load = draw_refresh(ui, catalogue.is_loading);
            for item in items {
                ui.add_space(theme::APART);
                let manifest = item.release.manifest;
                let row = catalogue_row(item, catalogue.requests.get(&manifest), snapshot, clock);
                let pressed = ui.push_id(&item.release.package, |ui| draw_release(ui, item, &row, may)).inner;
                if pressed {
                    chosen = Some(ChosenRelease { package: item.release.package.clone(), manifest });
                }
            }
        }
    }
    state.should_load_catalogue |= should_load;
    state.chosen_release = state.chosen_release.take().or(chosen);
}

/// Draws the Refresh button; returns whether to send a request. The button stays in place and keeps the focus meanwhile.
fn draw_refresh(ui: &mut Ui, is_loading: bool) -> bool {
    let row = ui.horizontal_wrapped(|ui| {
        let pressed = ui.button(texts::catalogue::REFRESH).clicked();
        if is_loading {
            widgets::secondary_text(ui, texts::catalogue::LOADING);
        }
        pressed && !is_loading
    });
    row.inner
}

fn draw_failure(ui: &mut Ui, error: &ApiError) {
    widgets::state_label(ui, Tone::Failed, texts::catalogue::LOAD_FAILED);
    ui.label(texts::catalogue::request_failed(error));
    draw_reason_code(ui, error.reason.code());
}

fn draw_reason_code(ui: &mut Ui, code: &str) {
    ui.label(RichText::new(code).size(theme::NOTE).color(palette(ui).quiet));
}

/// Draws one release; returns whether its button was pressed.
fn draw_release(ui: &mut Ui, item: &Item, row: &CatalogueRow, may: bool) -> bool {
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    match &row.state {
        Some((tone, said)) => widgets::title_with_state(ui, &row.title, *tone, said),
        // Keeps the height of a row with a state.
        None => drop(ui.horizontal(|ui| ui.label(RichText::new(&row.title).size(theme::SECTION)))),
    }
    widgets::secondary_text(ui, &texts::catalogue::origin(&item.release));
    let mut pressed = false;
    if let Some(action) = row.action.as_ref().filter(|_| may) {
        ui.add_space(theme::TIGHT);
        let button = widgets::with_accessible_name(ui.button(action.label), &action.name);
        pressed = button.clicked();
    }
    if !row.explanation.is_empty() {
        ui.label(RichText::new(&row.explanation).color(palette(ui).failed));
        draw_reason_code(ui, row.code);
    }
    if !item.release.notes.is_empty() {
        let notes =
            egui::CollapsingHeader::new(texts::updates::RELEASE_NOTES).show(ui, |ui| ui.label(&item.release.notes));
        widgets::with_accessible_name(notes.header_response, &texts::catalogue::release_notes_label(&item.release));
    }
    pressed
}
