//! Who this computer is: its identity, its server, and joining one; all of it can be copied for whoever helps.

use crate::{state::State, theme, widgets};
use banyan_face::{Clock, View, texts};
use banyan_proto::local::{Request, Right, Snapshot};
use egui::{TextEdit, Ui};

pub(super) fn draw(
    ui: &mut Ui,
    view: &View,
    snapshot: &Snapshot,
    state: &mut State,
    clock: &Clock,
    asked: &mut Vec<Request>,
) {
    let facts = texts::facts(snapshot, clock);
    widgets::facts(ui, &facts);
    ui.add_space(theme::NEAR);
    if ui.button(texts::COPY).clicked() {
        let lines: Vec<_> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        ui.ctx().copy_text(lines.join("\n"));
    }
    if snapshot.about.enrolled.is_some() {
        return;
    }
    widgets::section(ui, texts::JOIN);
    if !view.may(Right::Administer) {
        return widgets::quiet(ui, texts::MAY_NOT);
    }
    widgets::quiet(ui, texts::JOIN_HINT);
    ui.horizontal(|ui| {
        let label = ui.label(texts::JOIN_CODE);
        ui.add(TextEdit::singleline(&mut state.join_code)).labelled_by(label.id);
        let code = state.join_code.trim();
        if !code.is_empty() && widgets::primary(ui, texts::JOIN_BUTTON).clicked() {
            asked.push(Request::Enrol { code: code.to_owned() });
        }
    });
}
