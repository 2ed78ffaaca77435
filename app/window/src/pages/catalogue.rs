//! The Catalogue page: software that people can install themselves. The catalogue is requested when the page opens, when
//! the policy changes or the connection to the server returns while it is open, and when the person presses Refresh.

use crate::{
    theme::{self, palette},
    widgets,
    window_state::{Looked, State},
};
use banyan_proto::{
    api::ApiError,
    local::{Catalogue, Item, Link, Right, Snapshot},
};
use banyan_ui_common::{
    Clock, View,
    catalogue::{Row, row},
    texts,
    update_summary::Tone,
};
use egui::{RichText, Ui};
use lucide_icons::Icon;

pub(super) fn draw(ui: &mut Ui, view: &View, snapshot: &Snapshot, state: &mut State, clock: &Clock) {
    let now = Looked { policy: snapshot.scheduling.policy.number, connected: snapshot.link == Link::Connected };
    state.look |= state.looked.is_none_or(|before| before.policy != now.policy || (now.connected && !before.connected));
    state.looked = Some(now);
    let shelf = &state.shelf;
    let (mut look, mut get) = (false, None);
    match &shelf.answer {
        None => widgets::state(ui, Tone::Moving, texts::LOOKED_FOR),
        Some(Err(error)) => {
            failed(ui, error);
            look = again(ui, shelf.asking);
        }
        Some(Ok(Catalogue { items })) if items.is_empty() => {
            look = again(ui, shelf.asking);
            widgets::empty(ui, Icon::Package, texts::CATALOGUE, texts::CATALOGUE_MORE);
        }
        Some(Ok(Catalogue { items })) => {
            let may = view.may(Right::Get);
            widgets::quiet(ui, if may { texts::CATALOGUE_WHAT } else { texts::MAY_NOT_GET });
            look = again(ui, shelf.asking);
            for item in items {
                ui.add_space(theme::APART);
                let manifest = item.release.manifest;
                let row = row(item, shelf.got.get(&manifest), snapshot, clock);
                let pressed = ui.push_id(&item.release.package, |ui| card(ui, item, &row, may)).inner;
                if pressed {
                    get = Some((item.release.package.clone(), manifest));
                }
            }
        }
    }
    state.look |= look;
    state.get = state.get.take().or(get);
}

/// Draws the Refresh button; returns whether to send a request. The button stays in place and keeps the focus meanwhile.
fn again(ui: &mut Ui, asking: bool) -> bool {
    let row = ui.horizontal_wrapped(|ui| {
        let pressed = ui.button(texts::LOOK_AGAIN).clicked();
        if asking {
            widgets::quiet(ui, texts::LOOKED_FOR);
        }
        pressed && !asking
    });
    row.inner
}

fn failed(ui: &mut Ui, error: &ApiError) {
    widgets::state(ui, Tone::Failed, texts::CATALOGUE_FAILED);
    ui.label(texts::not_got(error));
    code(ui, error.reason.code());
}

fn code(ui: &mut Ui, code: &str) {
    ui.label(RichText::new(code).size(theme::NOTE).color(palette(ui).quiet));
}

/// Draws one release; returns whether its button was pressed.
fn card(ui: &mut Ui, item: &Item, row: &Row, may: bool) -> bool {
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    match &row.state {
        Some((tone, said)) => widgets::title_and_state(ui, &row.title, *tone, said),
        // Keeps the height of a row with a state.
        None => drop(ui.horizontal(|ui| ui.label(RichText::new(&row.title).size(theme::SECTION)))),
    }
    widgets::quiet(ui, &texts::offered_origin(&item.release));
    let mut pressed = false;
    if let Some(action) = row.action.as_ref().filter(|_| may) {
        ui.add_space(theme::TIGHT);
        let button = widgets::named(ui.button(action.label), &action.name);
        pressed = button.clicked();
    }
    if !row.more.is_empty() {
        ui.label(RichText::new(&row.more).color(palette(ui).failed));
        code(ui, row.code);
    }
    if !item.release.notes.is_empty() {
        let notes = egui::CollapsingHeader::new(texts::RELEASE_NOTES).show(ui, |ui| ui.label(&item.release.notes));
        widgets::named(notes.header_response, &texts::what_is_new_in(&item.release));
    }
    pressed
}
