//! The page "This computer": identity and server, which can be copied for support staff, and joining a server.

use crate::{theme, widgets, window_state::State};
use banyan_proto::local::{Request, Right, Snapshot};
use banyan_ui_common::{Clock, View, texts};
use egui::{RichText, TextEdit, Ui};

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
    signers(ui, view, snapshot, asked);
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

/// Draws the list of publishers that the person trusts.
fn signers(ui: &mut Ui, view: &View, snapshot: &Snapshot, asked: &mut Vec<Request>) {
    if snapshot.about.signers.is_empty() {
        return;
    }
    widgets::section(ui, texts::YOU_TRUST);
    widgets::quiet(ui, texts::YOU_TRUST_MORE);
    for signer in &snapshot.about.signers {
        ui.add_space(theme::NEAR);
        let name = texts::signer_name(&signer.name);
        ui.push_id(signer.root, |ui| {
            ui.label(name);
            ui.label(RichText::new(signer.root.grouped()).size(theme::NOTE).monospace());
            if view.may(Right::Install) {
                let button = ui.button(texts::FORGET_SIGNER);
                if widgets::named(button, &texts::forget_signer(name)).clicked() {
                    asked.push(Request::ForgetSigner { root: signer.root });
                }
            }
        });
    }
}
