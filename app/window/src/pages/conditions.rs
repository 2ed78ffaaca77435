//! The current conditions of the computer, each with its age. People can ignore a condition where the policy allows it.

use crate::{theme, theme::palette, widgets};
use banyan_proto::{
    UnixSeconds,
    local::{Overruled, Request, Seen, SeenSignals},
};
use banyan_ui_common::{Clock, texts};
use egui::{Align, Layout, RichText, Ui, vec2};
use lucide_icons::Icon;

/// One condition.
struct ConditionRow {
    icon: Icon,
    words: String,
    at: Option<UnixSeconds>,
    overruled: bool,
    /// The condition to ignore; none when the policy does not allow that.
    by: Option<Overruled>,
}

impl ConditionRow {
    fn of<T>(icon: Icon, words: String, seen: &Seen<T>, by: Option<Overruled>) -> Self {
        Self { icon, words, at: seen.at, overruled: seen.overruled, by: by.filter(|_| seen.may_overrule) }
    }
}

fn condition_rows(s: &SeenSignals, clock: &Clock) -> [ConditionRow; 6] {
    let network = s.network.value.as_ref().map(|network| Overruled::Metered(network.id.clone()));
    [
        ConditionRow::of(
            Icon::Cpu,
            texts::conditions::load(s.load.value, s.quiet_since, clock),
            &s.load,
            Some(Overruled::Processor),
        ),
        ConditionRow::of(
            Icon::User,
            texts::conditions::presence(s.presence.value),
            &s.presence,
            Some(Overruled::Presence),
        ),
        ConditionRow::of(Icon::Battery, texts::conditions::power(s.power.value), &s.power, Some(Overruled::Battery)),
        ConditionRow::of(Icon::Wifi, texts::conditions::network(s.network.value.as_ref()), &s.network, network),
        ConditionRow::of(
            Icon::Maximize,
            texts::conditions::full_screen(s.full_screen.value),
            &s.full_screen,
            Some(Overruled::FullScreen),
        ),
        ConditionRow::of(Icon::HardDrive, texts::conditions::free_disk(s.free_disk.value), &s.free_disk, None),
    ]
}

pub(super) fn draw(ui: &mut Ui, signals: &SeenSignals, may: bool, clock: &Clock, requests: &mut Vec<Request>) {
    ui.spacing_mut().interact_size.y = theme::DENSE;
    ui.spacing_mut().item_spacing.y = 0.0;
    // The boxes are aligned in a column; the text before them shrinks when there is little room.
    let room = theme::SEEN.min(ui.available_width() - theme::SEEN_BOX);
    for row in condition_rows(signals, clock) {
        ui.horizontal(|ui| {
            let size = vec2(room, theme::DENSE);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center).with_main_wrap(true), |ui| {
                ui.set_min_width(room);
                widgets::icon(ui, row.icon, theme::BODY, palette(ui).quiet);
                ui.label(&row.words);
                if let Some(at) = row.at {
                    let age = texts::conditions::age(clock.now.0.saturating_sub(at.0));
                    ui.label(RichText::new(age).size(theme::NOTE).color(palette(ui).quiet));
                }
            });
            let Some(signal) = row.by else { return };
            let mut on = row.overruled;
            let name = format!("{}: {}", texts::conditions::IGNORE, texts::conditions::condition_name(&signal));
            let aside = ui.add_enabled(may, egui::Checkbox::new(&mut on, texts::conditions::IGNORE));
            aside.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, may, on, &name));
            if aside.clicked() {
                requests.push(Request::Overrule { signal, on });
            }
        });
    }
}
