//! What the computer sees of itself, with its age; each can be set aside where the policy lets people.

use crate::{theme, theme::palette, widgets};
use banyan_face::{Clock, texts};
use banyan_proto::{
    UnixSeconds,
    local::{Overruled, Request, Seen, SeenSignals},
};
use egui::{RichText, Ui};
use lucide_icons::Icon;

pub(super) fn draw(ui: &mut Ui, signals: &SeenSignals, may: bool, clock: &Clock, asked: &mut Vec<Request>) {
    let network = signals.network.value.as_ref().map(|network| Overruled::Metered(network.id.clone()));
    let quiet = signals.quiet_since;
    let mut row = |which, words: String, at: Option<UnixSeconds>, overruled, by: Option<Overruled>| {
        ui.horizontal(|ui| {
            ui.spacing_mut().interact_size.y = theme::DENSE;
            widgets::icon(ui, which, theme::BODY, palette(ui).quiet);
            ui.label(words);
            if let Some(at) = at {
                let age = texts::ago(clock.now.0.saturating_sub(at.0));
                ui.label(RichText::new(age).size(theme::NOTE).color(palette(ui).quiet));
            }
            if let Some(signal) = by {
                let mut on = overruled;
                let name = format!("{}: {}", texts::COUNTS_NOT, texts::signal(&signal));
                let box_ = ui.add_enabled(may, egui::Checkbox::new(&mut on, texts::COUNTS_NOT));
                box_.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, may, on, &name));
                if box_.clicked() {
                    asked.push(Request::Overrule { signal, on });
                }
            }
        });
    };
    fn by<T>(seen: &Seen<T>, signal: Option<Overruled>) -> Option<Overruled> {
        signal.filter(|_| seen.may_overrule)
    }
    let s = signals;
    row(
        Icon::Cpu,
        texts::load(s.load.value, quiet, clock),
        s.load.at,
        s.load.overruled,
        by(&s.load, Some(Overruled::Processor)),
    );
    row(
        Icon::User,
        texts::presence(s.presence.value),
        s.presence.at,
        s.presence.overruled,
        by(&s.presence, Some(Overruled::Presence)),
    );
    row(
        Icon::Battery,
        texts::power(s.power.value),
        s.power.at,
        s.power.overruled,
        by(&s.power, Some(Overruled::Battery)),
    );
    row(
        Icon::Wifi,
        texts::network(s.network.value.as_ref()),
        s.network.at,
        s.network.overruled,
        by(&s.network, network),
    );
    let full = by(&s.full_screen, Some(Overruled::FullScreen));
    row(Icon::Maximize, texts::full_screen(s.full_screen.value), s.full_screen.at, s.full_screen.overruled, full);
    row(Icon::HardDrive, texts::free_disk(s.free_disk.value), s.free_disk.at, false, None);
}
