//! The Sharing page: how much this computer shared and downloaded, today and on previous days.

use crate::{theme, theme::palette, widgets};
use banyan_proto::local::Snapshot;
use banyan_ui_common::{Clock, texts};
use egui::{Align, Layout, RichText, Ui};

pub(super) fn draw(ui: &mut Ui, snapshot: &Snapshot, clock: &Clock) {
    let sharing = &snapshot.sharing;
    widgets::secondary_text(ui, texts::sharing::WHY_SHARE);
    ui.add_space(theme::APART);
    ui.label(RichText::new(texts::sharing::shared_today(sharing.today.given)).size(theme::SECTION));
    if let Some(quota) = sharing.quota {
        let part = sharing.today.given as f32 / quota.max(1) as f32;
        widgets::progress_bar(ui, part, palette(ui).accent, texts::sharing::SHARED);
        widgets::secondary_text(ui, &texts::sharing::quota_left(sharing.today.given, quota));
    }
    widgets::secondary_text(ui, &texts::sharing::downloaded_today(sharing.today.received));
    if sharing.upload > 0 || sharing.download > 0 {
        widgets::secondary_text(ui, &texts::sharing::current_speeds(sharing.download, sharing.upload));
    }
    widgets::section_title(ui, texts::sharing::PREVIOUS_DAYS);
    if sharing.days.is_empty() {
        return widgets::secondary_text(ui, texts::sharing::NO_PREVIOUS_DAYS);
    }
    let column = theme::SIDE.min((ui.available_width() - theme::EDGE) / 3.0);
    let row = |ui: &mut Ui, cells: [&str; 3], quiet: bool| {
        ui.horizontal(|ui| {
            for (n, cell) in cells.into_iter().enumerate() {
                let text = if quiet { RichText::new(cell).color(palette(ui).quiet) } else { RichText::new(cell) };
                let layout =
                    if n == 0 { Layout::left_to_right(Align::Center) } else { Layout::right_to_left(Align::Center) };
                let width = if n == 0 { column * 1.6 } else { column * 0.7 };
                ui.allocate_ui_with_layout(egui::vec2(width, theme::DENSE), layout, |ui| {
                    ui.set_min_width(width);
                    ui.label(text);
                });
            }
        });
    };
    ui.spacing_mut().item_spacing.y = 0.0;
    row(ui, [texts::sharing::DAY, texts::sharing::SHARED, texts::sharing::DOWNLOADED], true);
    for day in &sharing.days {
        row(
            ui,
            [
                &texts::sharing::day_title(&day.day, clock),
                &texts::sharing::amount(day.given),
                &texts::sharing::amount(day.received),
            ],
            false,
        );
    }
}
