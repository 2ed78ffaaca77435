//! Draws the grid of weekly hours and passes mouse and keyboard input to [`WeekEditor`].

use crate::{
    theme::{self, palette},
    week_editor::{Cell, DAYS, HOURS, WeekEditor},
};
use banyan_ui_common::{Clock, texts};
use egui::{Align2, FontId, Key, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

/// The position and size of the cells.
struct GridGeometry {
    corner: egui::Pos2,
    step: egui::Vec2,
}

impl GridGeometry {
    fn cell(&self, (day, hour): Cell) -> Rect {
        let min = self.corner + vec2(hour as f32 * self.step.x, day as f32 * self.step.y);
        Rect::from_min_size(min, self.step - vec2(theme::CELL_GAP, theme::CELL_GAP))
    }
    /// Returns the cell nearest to a point; the mouse may leave the grid while it paints.
    fn at(&self, point: egui::Pos2) -> Cell {
        let part = (point - self.corner) / self.step;
        let index = |part: f32, of: usize| (part.max(0.0) as usize).min(of - 1);
        (index(part.y, DAYS), index(part.x, HOURS))
    }
}

pub(super) fn draw(ui: &mut Ui, editor: &mut WeekEditor, clock: &Clock) {
    let width = ui.available_width();
    let size = vec2(width, theme::NOTE + theme::TIGHT + theme::CELL * DAYS as f32);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let geometry = GridGeometry {
        corner: pos2(rect.min.x + theme::DAY_NAME, rect.min.y + theme::NOTE + theme::TIGHT),
        step: vec2((width - theme::DAY_NAME) / HOURS as f32, theme::CELL),
    };
    if ui.is_enabled() {
        handle_mouse(ui, &response, &geometry, editor);
        handle_keys(ui, &response, editor);
    }
    paint_grid(ui, &response, &geometry, *editor, clock.day_and_hour());
    let words = cell_name(editor.cursor);
    let open = editor.is_open(editor.cursor);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), open, &words));
    if let Some(point) = response.hover_pos() {
        let cell = geometry.at(point);
        response.on_hover_text_at_pointer(cell_name(cell));
    }
}

fn handle_mouse(ui: &Ui, response: &Response, geometry: &GridGeometry, editor: &mut WeekEditor) {
    let down = ui.input(|input| input.pointer.primary_pressed());
    if let Some(point) = response.interact_pointer_pos() {
        let cell = geometry.at(point);
        if down && response.is_pointer_button_down_on() {
            editor.press(cell);
            response.request_focus();
        } else if response.dragged() {
            editor.drag(cell);
        }
    } else if response.clicked() {
        // The space key, or a press by assistive technology.
        editor.toggle();
    }
    if ui.input(|input| !input.pointer.primary_down()) {
        editor.release();
    }
}

fn handle_keys(ui: &Ui, response: &Response, editor: &mut WeekEditor) {
    if !response.has_focus() {
        return;
    }
    let own = egui::EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, own));
    ui.input(|input| {
        for (key, days, hours) in
            [(Key::ArrowUp, -1, 0), (Key::ArrowDown, 1, 0), (Key::ArrowLeft, 0, -1), (Key::ArrowRight, 0, 1)]
        {
            (0..input.num_presses(key)).for_each(|_| editor.move_cursor(days, hours));
        }
    });
}

fn paint_grid(ui: &Ui, response: &Response, geometry: &GridGeometry, editor: WeekEditor, now: Cell) {
    let (colours, painter) = (palette(ui), ui.painter());
    let font = FontId::proportional(theme::NOTE);
    let top = geometry.corner.y - theme::TIGHT;
    for hour in (0..HOURS).step_by(3) {
        let at = pos2(geometry.cell((0, hour)).min.x, top);
        painter.text(at, Align2::LEFT_BOTTOM, format!("{hour:02}"), font.clone(), colours.quiet);
    }
    for day in 0..DAYS {
        let middle = geometry.cell((day, 0)).center().y;
        let at = pos2(response.rect.min.x, middle);
        let colour = if day == now.0 { colours.text } else { colours.quiet };
        painter.text(at, Align2::LEFT_CENTER, texts::schedule::day_name(day, 3), font.clone(), colour);
        for hour in 0..HOURS {
            let cell = geometry.cell((day, hour));
            let fill = if editor.is_open((day, hour)) { colours.accent } else { colours.line };
            painter.rect_filled(cell, theme::CELL_GAP, fill);
        }
    }
    let outline = |cell, colour| {
        painter.rect_stroke(
            geometry.cell(cell),
            theme::CELL_GAP,
            Stroke::new(theme::FOCUS, colour),
            StrokeKind::Outside,
        );
    };
    outline(now, colours.text);
    if response.has_focus() {
        outline(editor.cursor, colours.moving);
    }
}

/// Returns the name of a cell: `Monday, 14:00 to 15:00`.
fn cell_name((day, hour): Cell) -> String {
    format!("{}, {hour:02}:00 to {:02}:00", texts::schedule::day_name(day, usize::MAX), hour + 1)
}
