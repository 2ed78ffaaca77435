//! Draws the grid of weekly hours and passes mouse and keyboard input to [`Painted`].

use crate::{
    theme::{self, palette},
    week_editor::{Cell, DAYS, HOURS, Painted},
};
use banyan_ui_common::{Clock, texts};
use egui::{Align2, FontId, Key, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

/// The position and size of the cells.
struct Place {
    corner: egui::Pos2,
    step: egui::Vec2,
}

impl Place {
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

pub(super) fn draw(ui: &mut Ui, painted: &mut Painted, clock: &Clock) {
    let width = ui.available_width();
    let size = vec2(width, theme::NOTE + theme::TIGHT + theme::CELL * DAYS as f32);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    let place = Place {
        corner: pos2(rect.min.x + theme::DAY_NAME, rect.min.y + theme::NOTE + theme::TIGHT),
        step: vec2((width - theme::DAY_NAME) / HOURS as f32, theme::CELL),
    };
    if ui.is_enabled() {
        mouse(ui, &response, &place, painted);
        keys(ui, &response, painted);
    }
    paint(ui, &response, &place, *painted, clock.day_and_hour());
    let words = name(painted.cursor);
    let open = painted.is_open(painted.cursor);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, ui.is_enabled(), open, &words));
    if let Some(point) = response.hover_pos() {
        let cell = place.at(point);
        response.on_hover_text_at_pointer(name(cell));
    }
}

fn mouse(ui: &Ui, response: &Response, place: &Place, painted: &mut Painted) {
    let down = ui.input(|input| input.pointer.primary_pressed());
    if let Some(point) = response.interact_pointer_pos() {
        let cell = place.at(point);
        if down && response.is_pointer_button_down_on() {
            painted.press(cell);
            response.request_focus();
        } else if response.dragged() {
            painted.drag(cell);
        }
    } else if response.clicked() {
        // The space key, or a press by assistive technology.
        painted.toggle();
    }
    if ui.input(|input| !input.pointer.primary_down()) {
        painted.release();
    }
}

fn keys(ui: &Ui, response: &Response, painted: &mut Painted) {
    if !response.has_focus() {
        return;
    }
    let own = egui::EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, own));
    ui.input(|input| {
        for (key, days, hours) in
            [(Key::ArrowUp, -1, 0), (Key::ArrowDown, 1, 0), (Key::ArrowLeft, 0, -1), (Key::ArrowRight, 0, 1)]
        {
            (0..input.num_presses(key)).for_each(|_| painted.go(days, hours));
        }
    });
}

fn paint(ui: &Ui, response: &Response, place: &Place, painted: Painted, now: Cell) {
    let (colours, painter) = (palette(ui), ui.painter());
    let font = FontId::proportional(theme::NOTE);
    let top = place.corner.y - theme::TIGHT;
    for hour in (0..HOURS).step_by(3) {
        let at = pos2(place.cell((0, hour)).min.x, top);
        painter.text(at, Align2::LEFT_BOTTOM, format!("{hour:02}"), font.clone(), colours.quiet);
    }
    for day in 0..DAYS {
        let middle = place.cell((day, 0)).center().y;
        let at = pos2(response.rect.min.x, middle);
        let colour = if day == now.0 { colours.text } else { colours.quiet };
        painter.text(at, Align2::LEFT_CENTER, texts::day(day, 3), font.clone(), colour);
        for hour in 0..HOURS {
            let cell = place.cell((day, hour));
            let fill = if painted.is_open((day, hour)) { colours.accent } else { colours.line };
            painter.rect_filled(cell, theme::CELL_GAP, fill);
        }
    }
    let outline = |cell, colour| {
        painter.rect_stroke(place.cell(cell), theme::CELL_GAP, Stroke::new(theme::FOCUS, colour), StrokeKind::Outside);
    };
    outline(now, colours.text);
    if response.has_focus() {
        outline(painted.cursor, colours.moving);
    }
}

/// Returns the name of a cell: `Monday, 14:00 to 15:00`.
fn name((day, hour): Cell) -> String {
    format!("{}, {hour:02}:00 to {:02}:00", texts::day(day, usize::MAX), hour + 1)
}
