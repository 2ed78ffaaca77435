//! The History page: past events, newest first.

use crate::{theme, theme::palette, widgets};
use banyan_proto::local::{Happened, Snapshot};
use banyan_ui_common::{Clock, texts, update_summary::Tone};
use egui::{Align, Layout, RichText, Ui, vec2};
use lucide_icons::Icon;

pub(super) fn draw(ui: &mut Ui, snapshot: &Snapshot, clock: &Clock) {
    if snapshot.history.is_empty() {
        return widgets::empty_page(ui, Icon::History, texts::history::NO_HISTORY, texts::history::NO_HISTORY_HINT);
    }
    for entry in &snapshot.history {
        ui.add_space(theme::NEAR);
        ui.horizontal_top(|ui| {
            ui.spacing_mut().interact_size.y = theme::APART;
            let size = vec2(theme::SIDE, theme::DENSE);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Min), |ui| {
                ui.set_min_width(theme::SIDE);
                ui.label(
                    RichText::new(texts::format::capitalise(&texts::format::past_moment(entry.at, clock)))
                        .color(palette(ui).quiet),
                );
            });
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = theme::TIGHT;
                if !entry.package.is_empty() {
                    ui.label(format!("{} {}", entry.package, entry.version));
                }
                widgets::state_label(ui, tone(&entry.what), &texts::history::event(&entry.what));
            });
        });
    }
}

fn tone(what: &Happened) -> Tone {
    match what {
        Happened::Incoming => Tone::Moving,
        Happened::Received | Happened::Installed { .. } | Happened::Enrolled => Tone::Done,
        Happened::Failed { .. } => Tone::Failed,
        Happened::Dropped { .. } => Tone::Waiting,
    }
}
