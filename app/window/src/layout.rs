//! The frame around the pages: navigation on the left, connection problems at the top, and the page itself.

use crate::{
    pages,
    theme::{self, palette},
    widgets,
    window_state::WindowState,
};
use banyan_proto::local::{Link, Request};
use banyan_ui_common::{AgentView, Clock, Page, texts, update_summary::Tone};
use egui::{Button, CentralPanel, Frame, Margin, Panel, RichText, ScrollArea, Ui, vec2};
use lucide_icons::Icon;

/// Draws one frame and returns the requests that the person made in it.
pub(crate) fn draw(ui: &mut Ui, view: &AgentView, state: &mut WindowState, clock: &Clock) -> Vec<Request> {
    let mut requests = Vec::new();
    if state.page != Page::Catalogue || view.snapshot.is_none() {
        state.catalogue_basis = None;
    }
    let colours = palette(ui);
    let side = Frame::new().fill(colours.raised).inner_margin(Margin::same(theme::NEAR as i8));
    Panel::left("pages").frame(side).exact_size(theme::SIDE).resizable(false).show(ui, |ui| draw_navigation(ui, state));
    let page = Frame::new().fill(colours.surface);
    CentralPanel::default().frame(page).show(ui, |ui| {
        ScrollArea::vertical().auto_shrink(false).id_salt(state.page.code()).show(ui, |ui| {
            Frame::new().inner_margin(Margin::same(theme::EDGE as i8)).show(ui, |ui| {
                ui.set_width(ui.available_width().min(theme::READ));
                if state.opened_package.is_some() {
                    return pages::package_file::draw(ui, view, state, clock);
                }
                widgets::page_title(ui, texts::page_name(state.page));
                draw_banners(ui, view, state, clock);
                if let Some(snapshot) = &view.snapshot {
                    pages::draw(ui, view, snapshot, state, clock, &mut requests);
                }
            });
        });
    });
    requests
}

fn draw_navigation(ui: &mut Ui, state: &mut WindowState) {
    ui.add_space(theme::NEAR);
    ui.spacing_mut().item_spacing.y = theme::TIGHT;
    for page in Page::ALL {
        if page == Page::Settings {
            ui.add_space(theme::APART);
        }
        let here = state.page == page && state.opened_package.is_none();
        let colours = palette(ui);
        let words = RichText::new(texts::page_name(page)).color(colours.text);
        let size = vec2(ui.available_width(), theme::CONTROL);
        // An empty text on the right keeps the name on the left.
        let button = Button::selectable(here, words).min_size(size).right_text(()).frame_when_inactive(here);
        let open =
            |button: Button<'static>| button.fill(colours.line).stroke(egui::Stroke::new(theme::LINE, colours.line));
        let button = ui.add(if here { open(button) } else { button });
        if here {
            widgets::focus_ring(ui, &button);
            // A mark instead of an accent background: the accent colour is for actions.
            let mark = egui::Rect::from_min_size(button.rect.min, vec2(theme::MARK, button.rect.height()));
            ui.painter().rect_filled(mark, theme::MARK / 2.0, colours.accent);
        }
        if button.clicked() {
            state.page = page;
            state.opened_package = None;
        }
    }
}

/// Draws the notices that apply to all pages: no tray, a refused request, no agent, no server.
fn draw_banners(ui: &mut Ui, view: &AgentView, state: &WindowState, clock: &Clock) {
    if state.no_tray {
        widgets::banner(ui, Tone::Waiting, texts::tray_menu::NO_TRAY);
    }
    if let Some(refusal) = &view.refusal {
        widgets::banner(ui, Tone::Failed, &texts::format::capitalise(refusal));
    }
    let Some(snapshot) = &view.snapshot else {
        widgets::empty_page(ui, Icon::Unplug, texts::status::NO_AGENT, texts::status::NO_AGENT_HINT);
        if let Some(trouble) = &view.connection_error {
            ui.vertical_centered(|ui| {
                ui.label(
                    RichText::new(texts::format::capitalise(trouble) + ".").size(theme::NOTE).color(palette(ui).quiet),
                );
            });
        }
        return;
    };
    if matches!(snapshot.link, Link::Away { .. }) {
        widgets::banner(ui, Tone::Waiting, &texts::status::server_connection(snapshot.link, clock));
    }
}
