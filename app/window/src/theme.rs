//! All colours, sizes and distances of the window. No other file of the window contains such numbers.
//!
//! The layout uses a 4-pixel grid and separates groups by space. States are never shown by colour alone: each has an icon
//! and a word ([`crate::widgets`]). Contrast is at least 4.5 : 1, which a test checks.

use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Style, TextStyle, Vec2,
    Visuals, style::WidgetVisuals,
};
use std::{collections::BTreeMap, sync::Arc};

/// Distance between related elements.
pub(crate) const NEAR: f32 = 8.0;
/// Distance inside one control.
pub(crate) const TIGHT: f32 = 4.0;
/// Distance between groups.
pub(crate) const APART: f32 = 16.0;
/// Margin of a page.
pub(crate) const EDGE: f32 = 24.0;
/// Font sizes: notes, body, section title, page title.
pub(crate) const NOTE: f32 = 12.0;
pub(crate) const BODY: f32 = 14.0;
pub(crate) const SECTION: f32 = 16.0;
pub(crate) const TITLE: f32 = 22.0;
/// Height of a control, and of a row in dense tables.
pub(crate) const CONTROL: f32 = 32.0;
pub(crate) const DENSE: f32 = 26.0;
/// Corner radius.
pub(crate) const CORNER: u8 = 6;
/// Width of the navigation.
pub(crate) const SIDE: f32 = 168.0;
/// Maximum width of a page's content: longer lines are hard to read.
pub(crate) const READ: f32 = 760.0;
/// Height of a progress bar.
pub(crate) const BAR: f32 = 8.0;
/// Width of the mark beside the open page's name.
pub(crate) const MARK: f32 = 4.0;
/// Width of a condition, and of the box beside it with its label.
pub(crate) const SEEN: f32 = 400.0;
pub(crate) const SEEN_BOX: f32 = 160.0;
/// Width of a field for a time of day.
pub(crate) const TIME: f32 = 80.0;
/// Height of a drop-down list.
pub(crate) const LIST: f32 = 240.0;
/// Thickness of lines, and of the focus ring.
pub(crate) const LINE: f32 = 1.0;
pub(crate) const FOCUS: f32 = 2.0;
/// The week grid: width of the day names, height of a cell, gap between cells.
pub(crate) const DAY_NAME: f32 = 44.0;
pub(crate) const CELL: f32 = 24.0;
pub(crate) const CELL_GAP: f32 = 2.0;
/// Initial size of the window, and its minimum size.
pub(crate) const WINDOW: [f32; 2] = [960.0, 680.0];
pub(crate) const SMALLEST: [f32; 2] = [480.0, 360.0];

/// The font family of the icons.
pub(crate) const ICONS: &str = "lucide";

/// The colours of one theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    pub(crate) surface: Color32,
    pub(crate) raised: Color32,
    pub(crate) text: Color32,
    pub(crate) quiet: Color32,
    pub(crate) line: Color32,
    /// The colour of actions.
    pub(crate) accent: Color32,
    /// Text on the accent colour.
    pub(crate) on_accent: Color32,
    pub(crate) waiting: Color32,
    pub(crate) moving: Color32,
    pub(crate) done: Color32,
    pub(crate) needs_you: Color32,
    pub(crate) failed: Color32,
}

pub(crate) const LIGHT: Palette = Palette {
    surface: Color32::from_rgb(0xFB, 0xFB, 0xFA),
    raised: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    text: Color32::from_rgb(0x1B, 0x1D, 0x1F),
    quiet: Color32::from_rgb(0x5C, 0x63, 0x68),
    line: Color32::from_rgb(0xE3, 0xE5, 0xE6),
    accent: Color32::from_rgb(0x1F, 0x7A, 0x5C),
    on_accent: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    waiting: Color32::from_rgb(0x67, 0x6C, 0x72),
    moving: Color32::from_rgb(0x25, 0x63, 0xCF),
    done: Color32::from_rgb(0x1F, 0x7A, 0x5C),
    needs_you: Color32::from_rgb(0x8F, 0x54, 0x00),
    failed: Color32::from_rgb(0xB9, 0x2F, 0x24),
};

pub(crate) const DARK: Palette = Palette {
    surface: Color32::from_rgb(0x16, 0x18, 0x1B),
    raised: Color32::from_rgb(0x1E, 0x21, 0x25),
    text: Color32::from_rgb(0xE8, 0xEA, 0xED),
    quiet: Color32::from_rgb(0x9A, 0xA1, 0xA8),
    line: Color32::from_rgb(0x2C, 0x31, 0x36),
    accent: Color32::from_rgb(0x4F, 0xC6, 0x9A),
    on_accent: Color32::from_rgb(0x16, 0x18, 0x1B),
    waiting: Color32::from_rgb(0x90, 0x96, 0x9D),
    moving: Color32::from_rgb(0x6A, 0xA0, 0xFF),
    done: Color32::from_rgb(0x4F, 0xC6, 0x9A),
    needs_you: Color32::from_rgb(0xF0, 0xB0, 0x4A),
    failed: Color32::from_rgb(0xFF, 0x7A, 0x70),
};

/// Returns the colours of the current theme.
pub(crate) fn palette(ui: &egui::Ui) -> &'static Palette {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// Installs fonts and both themes; called once at the start.
pub(crate) fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::default();
    fonts.font_data.insert(ICONS.into(), Arc::new(FontData::from_static(lucide_icons::LUCIDE_FONT_BYTES)));
    fonts.families.insert(FontFamily::Name(ICONS.into()), vec![ICONS.into()]);
    ctx.set_fonts(fonts);
    // For systems that report no theme.
    ctx.options_mut(|options| options.fallback_theme = egui::Theme::Light);
    ctx.set_style_of(egui::Theme::Light, style(&LIGHT, Visuals::light()));
    ctx.set_style_of(egui::Theme::Dark, style(&DARK, Visuals::dark()));
}

fn style(colours: &Palette, visuals: Visuals) -> Style {
    let font = |size| FontId::new(size, FontFamily::Proportional);
    let mut style = Style {
        text_styles: BTreeMap::from([
            (TextStyle::Small, font(NOTE)),
            (TextStyle::Body, font(BODY)),
            (TextStyle::Button, font(BODY)),
            (TextStyle::Heading, font(TITLE)),
            (TextStyle::Monospace, FontId::new(BODY, FontFamily::Monospace)),
        ]),
        visuals: style_visuals(colours, visuals),
        ..Style::default()
    };
    style.spacing.item_spacing = Vec2::splat(NEAR);
    style.spacing.button_padding = Vec2::new(NEAR + TIGHT, TIGHT);
    style.spacing.interact_size = Vec2::new(CONTROL, CONTROL);
    style.spacing.window_margin = Margin::same(APART as i8);
    style.spacing.icon_width = APART;
    style.spacing.icon_spacing = NEAR;
    // An idle scroll bar is faint; otherwise it looks like the window's edge.
    style.spacing.scroll.dormant_handle_opacity = 0.3;
    style.scroll_animation = egui::style::ScrollAnimation::none();
    // Animations distract and use power, and this window needs none.
    style.animation_time = 0.0;
    style
}

fn style_visuals(colours: &Palette, mut visuals: Visuals) -> Visuals {
    let corner_radius = CornerRadius::same(CORNER);
    let widget = |fill, border| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(LINE, border),
        corner_radius,
        fg_stroke: Stroke::new(LINE, colours.text),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = widget(colours.surface, colours.line);
    visuals.widgets.inactive = widget(colours.raised, colours.quiet);
    visuals.widgets.hovered = widget(colours.line, colours.text);
    // A control with keyboard focus uses this style too.
    visuals.widgets.active = widget(colours.line, colours.accent);
    visuals.widgets.active.bg_stroke.width = FOCUS;
    visuals.widgets.open = widget(colours.line, colours.quiet);
    visuals.selection.bg_fill = colours.accent;
    visuals.selection.stroke = Stroke::new(FOCUS, colours.on_accent);
    visuals.panel_fill = colours.surface;
    visuals.window_fill = colours.raised;
    visuals.extreme_bg_color = colours.raised;
    visuals.faint_bg_color = colours.raised;
    visuals.weak_text_color = Some(colours.quiet);
    visuals.hyperlink_color = colours.accent;
    visuals.warn_fg_color = colours.needs_you;
    visuals.error_fg_color = colours.failed;
    visuals.window_corner_radius = corner_radius;
    visuals.menu_corner_radius = corner_radius;
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_ui_common::tray_icon::contrast;

    fn rgb(colour: Color32) -> [u8; 3] {
        [colour.r(), colour.g(), colour.b()]
    }

    #[test]
    fn whatever_is_read_is_readable() {
        for colours in [LIGHT, DARK] {
            let states = [colours.waiting, colours.moving, colours.done, colours.needs_you, colours.failed];
            for ground in [colours.surface, colours.raised] {
                for ink in [colours.text, colours.quiet, colours.accent].into_iter().chain(states) {
                    let contrast = contrast(rgb(ink), rgb(ground));
                    assert!(contrast >= 4.5, "{ink:?} on {ground:?}: {contrast:.2}");
                }
            }
            assert!(contrast(rgb(colours.on_accent), rgb(colours.accent)) >= 4.5);
            assert!(contrast(rgb(colours.text), rgb(colours.line)) >= 4.5, "a hovered button");
        }
    }
}
