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
struct Line {
    icon: Icon,
    words: String,
    at: Option<UnixSeconds>,
    overruled: bool,
    /// The condition to ignore; none when the policy does not allow that.
    by: Option<Overruled>,
}

impl Line {
    fn of<T>(icon: Icon, words: String, seen: &Seen<T>, by: Option<Overruled>) -> Self {
        Self { icon, words, at: seen.at, overruled: seen.overruled, by: by.filter(|_| seen.may_overrule) }
    }
}

fn lines(s: &SeenSignals, clock: &Clock) -> [Line; 6] {
    let network = s.network.value.as_ref().map(|network| Overruled::Metered(network.id.clone()));
    [
        Line::of(Icon::Cpu, texts::load(s.load.value, s.quiet_since, clock), &s.load, Some(Overruled::Processor)),
        Line::of(Icon::User, texts::presence(s.presence.value), &s.presence, Some(Overruled::Presence)),
        Line::of(Icon::Battery, texts::power(s.power.value), &s.power, Some(Overruled::Battery)),
        Line::of(Icon::Wifi, texts::network(s.network.value.as_ref()), &s.network, network),
        Line::of(Icon::Maximize, texts::full_screen(s.full_screen.value), &s.full_screen, Some(Overruled::FullScreen)),
        Line::of(Icon::HardDrive, texts::free_disk(s.free_disk.value), &s.free_disk, None),
    ]
}

pub(super) fn draw(ui: &mut Ui, signals: &SeenSignals, may: bool, clock: &Clock, asked: &mut Vec<Request>) {
    ui.spacing_mut().interact_size.y = theme::DENSE;
    ui.spacing_mut().item_spacing.y = 0.0;
    // The boxes are aligned in a column; the text before them shrinks when there is little room.
    let room = theme::SEEN.min(ui.available_width() - theme::SEEN_BOX);
    for line in lines(signals, clock) {
        ui.horizontal(|ui| {
            let size = vec2(room, theme::DENSE);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center).with_main_wrap(true), |ui| {
                ui.set_min_width(room);
                widgets::icon(ui, line.icon, theme::BODY, palette(ui).quiet);
                ui.label(&line.words);
                if let Some(at) = line.at {
                    let age = texts::ago(clock.now.0.saturating_sub(at.0));
                    ui.label(RichText::new(age).size(theme::NOTE).color(palette(ui).quiet));
                }
            });
            let Some(signal) = line.by else { return };
            let mut on = line.overruled;
            let name = format!("{}: {}", texts::COUNTS_NOT, texts::signal(&signal));
            let aside = ui.add_enabled(may, egui::Checkbox::new(&mut on, texts::COUNTS_NOT));
            aside.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, may, on, &name));
            if aside.clicked() {
                asked.push(Request::Overrule { signal, on });
            }
        });
    }
}
