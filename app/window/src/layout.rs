//! The frame around the pages: navigation on the left, connection problems at the top, and the page itself.

use crate::{
    pages,
    theme::{self, palette},
    widgets,
    window_state::State,
};
use banyan_proto::local::{Link, Request};
use banyan_ui_common::{Clock, Page, View, texts, update_summary::Tone};
use egui::{Button, CentralPanel, Frame, Margin, Panel, RichText, ScrollArea, Ui, vec2};
use lucide_icons::Icon;

/// Draws one frame and returns the requests that the person made in it.
pub(crate) fn draw(ui: &mut Ui, view: &View, state: &mut State, clock: &Clock) -> Vec<Request> {
    let mut asked = Vec::new();
    if state.page != Page::Catalogue || view.snapshot.is_none() {
        state.looked = None;
    }
    let colours = palette(ui);
    let side = Frame::new().fill(colours.raised).inner_margin(Margin::same(theme::NEAR as i8));
    Panel::left("pages").frame(side).exact_size(theme::SIDE).resizable(false).show(ui, |ui| names(ui, state));
    let page = Frame::new().fill(colours.surface);
    CentralPanel::default().frame(page).show(ui, |ui| {
        ScrollArea::vertical().auto_shrink(false).id_salt(state.page.code()).show(ui, |ui| {
            Frame::new().inner_margin(Margin::same(theme::EDGE as i8)).show(ui, |ui| {
                ui.set_width(ui.available_width().min(theme::READ));
                if state.opening.is_some() {
                    return pages::package_file::draw(ui, view, state, clock);
                }
                widgets::title(ui, texts::page(state.page));
                notices(ui, view, state, clock);
                if let Some(snapshot) = &view.snapshot {
                    pages::draw(ui, view, snapshot, state, clock, &mut asked);
                }
            });
        });
    });
    asked
}

fn names(ui: &mut Ui, state: &mut State) {
    ui.add_space(theme::NEAR);
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    for page in Page::ALL {
        if page == Page::Settings {
            ui.add_space(theme::APART);
        }
        let here = state.page == page && state.opening.is_none();
        let colours = palette(ui);
        let words = RichText::new(texts::page(page)).color(colours.text);
        let size = vec2(ui.available_width(), theme::CONTROL);
        // An empty text on the right keeps the name on the left.
        let button = Button::selectable(here, words).min_size(size).right_text(()).frame_when_inactive(here);
        let open =
            |button: Button<'static>| button.fill(colours.line).stroke(egui::Stroke::new(theme::LINE, colours.line));
        let button = ui.add(if here { open(button) } else { button });
        if here {
            widgets::ring(ui, &button);
            // A mark instead of an accent background: the accent colour is for actions.
            let mark = egui::Rect::from_min_size(button.rect.min, vec2(theme::MARK, button.rect.height()));
            ui.painter().rect_filled(mark, theme::MARK / 2.0, colours.accent);
        }
        if button.clicked() {
            state.page = page;
            state.opening = None;
        }
    }
}

/// Draws the notices that apply to all pages: no tray, a refused request, no agent, no server.
fn notices(ui: &mut Ui, view: &View, state: &State, clock: &Clock) {
    if state.no_tray {
        widgets::notice(ui, Tone::Waiting, texts::NO_TRAY);
    }
    if let Some(refusal) = &view.refusal {
        widgets::notice(ui, Tone::Failed, &texts::sentence(refusal));
    }
    let Some(snapshot) = &view.snapshot else {
        widgets::empty(ui, Icon::Unplug, texts::NO_AGENT, texts::NO_AGENT_MORE);
        if let Some(trouble) = &view.trouble {
            ui.vertical_centered(|ui| {
                ui.label(RichText::new(trouble).size(theme::NOTE).color(palette(ui).quiet));
            });
        }
        return;
    };
    if matches!(snapshot.link, Link::Away { .. }) {
        widgets::notice(ui, Tone::Waiting, &texts::away(snapshot.link, clock));
    }
}
