//! The widgets that all pages share.

use crate::theme::{self, palette};
use banyan_ui_common::{texts, update_summary::Tone};
use egui::{Button, Color32, FontFamily, FontId, Response, RichText, Role, Sense, Ui, WidgetInfo, vec2};
use lucide_icons::Icon;

/// Draws an icon. It is decorative: the text beside it carries the meaning.
pub(crate) fn icon(ui: &mut Ui, icon: Icon, size: f32, colour: Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(size, size), Sense::hover());
    let font = FontId::new(size, FontFamily::Name(theme::ICONS.into()));
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, char::from(icon), font, colour);
}

pub(crate) fn tone_colour(ui: &Ui, tone: Tone) -> Color32 {
    let colours = palette(ui);
    match tone {
        Tone::Waiting => colours.waiting,
        Tone::Moving => colours.moving,
        Tone::Done => colours.done,
        Tone::NeedsYou => colours.needs_you,
        Tone::Failed => colours.failed,
    }
}

fn tone_icon(tone: Tone) -> Icon {
    match tone {
        Tone::Waiting => Icon::Clock,
        Tone::Moving => Icon::ArrowDownToLine,
        Tone::Done => Icon::CircleCheck,
        Tone::NeedsYou => Icon::CircleDot,
        Tone::Failed => Icon::CircleX,
    }
}

/// Draws a state: icon and text in its colour. The icon comes first in right-aligned layouts too.
pub(crate) fn state_label(ui: &mut Ui, tone: Tone, words: &str) {
    let colour = tone_colour(ui, tone);
    let text = RichText::new(words).color(colour);
    if ui.layout().prefer_right_to_left() {
        ui.spacing_mut().item_spacing.x = theme::TIGHT;
        ui.label(text);
        icon(ui, tone_icon(tone), theme::BODY, colour);
    } else {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = theme::TIGHT;
            icon(ui, tone_icon(tone), theme::BODY, colour);
            ui.label(text);
        });
    }
}

/// Draws a title with its state at the right, or below when both do not fit in one line.
pub(crate) fn title_with_state(ui: &mut Ui, words: &str, tone: Tone, said: &str) {
    let width = |text: &str, size| {
        ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(size), Color32::PLACEHOLDER).size().x
    };
    let both = width(words, theme::SECTION) + width(said, theme::BODY) + theme::BODY + theme::EDGE;
    let title = RichText::new(words).size(theme::SECTION);
    if both <= ui.available_width() {
        ui.horizontal(|ui| {
            ui.label(title);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| state_label(ui, tone, said));
        });
    } else {
        ui.label(title);
        state_label(ui, tone, said);
    }
}

/// Sets the accessible name of a control.
pub(crate) fn with_accessible_name(response: Response, name: &str) -> Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}

/// Draws names and values as dense rows.
pub(crate) fn fact_rows(ui: &mut Ui, facts: &[(&str, String)]) {
    let names = theme::SIDE.min(ui.available_width() / 3.0);
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = theme::DENSE;
        ui.spacing_mut().item_spacing.y = 0.0;
        for (name, value) in facts {
            ui.horizontal(|ui| {
                let layout = egui::Layout::left_to_right(egui::Align::Center);
                ui.allocate_ui_with_layout(vec2(names, theme::DENSE), layout, |ui| {
                    ui.set_min_width(names);
                    secondary_text(ui, name);
                });
                ui.add(egui::Label::new(value).wrap());
            });
        }
    });
}

/// Draws a focus ring around a control whose background would hide the usual one.
pub(crate) fn focus_ring(ui: &Ui, response: &Response) {
    if response.has_focus() {
        let line = egui::Stroke::new(theme::FOCUS, palette(ui).text);
        ui.painter().rect_stroke(response.rect, theme::CORNER, line, egui::StrokeKind::Outside);
    }
}

/// Draws the page's title.
pub(crate) fn page_title(ui: &mut Ui, words: &str) {
    ui.label(RichText::new(words).size(theme::TITLE));
    ui.add_space(theme::NEAR);
}

/// Draws a section's title, with space before it.
pub(crate) fn section_title(ui: &mut Ui, words: &str) {
    ui.add_space(theme::APART);
    ui.label(RichText::new(words).size(theme::SECTION));
}

/// Draws secondary text.
pub(crate) fn secondary_text(ui: &mut Ui, words: &str) {
    ui.label(RichText::new(words).color(palette(ui).quiet));
}

/// Draws the primary button of a page.
pub(crate) fn primary_button(ui: &mut Ui, words: &str) -> Response {
    let colours = palette(ui);
    let button = ui.add(Button::new(RichText::new(words).color(colours.on_accent)).fill(colours.accent));
    focus_ring(ui, &button);
    button
}

/// Draws an empty page: an icon, a title and one sentence.
pub(crate) fn empty_page(ui: &mut Ui, which: Icon, words: &str, hint: &str) {
    ui.add_space(theme::EDGE * 2.0);
    ui.vertical_centered(|ui| {
        icon(ui, which, theme::EDGE * 2.0, palette(ui).quiet);
        ui.add_space(theme::NEAR);
        ui.label(RichText::new(words).size(theme::SECTION));
        secondary_text(ui, hint);
    });
}

/// Draws a progress bar with an accessible name.
pub(crate) fn progress_bar(ui: &mut Ui, part: f32, colour: Color32, name: &str) {
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(vec2(width, theme::BAR), Sense::hover());
    let rounding = theme::BAR / 2.0;
    ui.painter().rect_filled(rect, rounding, palette(ui).line);
    if part > 0.0 {
        let filled_percent =
            egui::Rect::from_min_size(rect.min, vec2((width * part.min(1.0)).max(theme::BAR), theme::BAR));
        ui.painter().rect_filled(filled_percent, rounding, colour);
    }
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, name);
        info.value = Some(f64::from((part * 100.0).round()));
        info
    });
}

/// Draws what failed programs reported, folded, with a button that copies it. Draws nothing when there is nothing.
pub(crate) fn failure_details(ui: &mut Ui, details: &str, title: &str) {
    if details.is_empty() {
        return;
    }
    let header = egui::CollapsingHeader::new(texts::updates::DETAILS).id_salt("failure").show(ui, |ui| {
        ui.label(RichText::new(details).size(theme::NOTE).monospace());
        if ui.button(texts::updates::COPY).clicked() {
            ui.ctx().copy_text(details.to_owned());
        }
    });
    with_accessible_name(header.header_response, &texts::updates::details_label(title));
}

/// Draws a notice above a page.
pub(crate) fn banner(ui: &mut Ui, tone: Tone, words: &str) {
    let colours = palette(ui);
    egui::Frame::new()
        .fill(colours.raised)
        .stroke(egui::Stroke::new(theme::LINE, colours.line))
        .corner_radius(theme::CORNER)
        .inner_margin(theme::NEAR)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            state_label(ui, tone, words);
        });
    ui.add_space(theme::APART);
}
