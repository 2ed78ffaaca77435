//! The page "This computer": identity and server, which can be copied for support staff, and joining a server.

use crate::{theme, widgets, window_state::WindowState};
use banyan_proto::local::{Request, Right, Snapshot};
use banyan_ui_common::{AgentView, Clock, texts};
use egui::{RichText, Ui};

pub(super) fn draw(
    ui: &mut Ui,
    view: &AgentView,
    snapshot: &Snapshot,
    state: &mut WindowState,
    clock: &Clock,
    requests: &mut Vec<Request>,
) {
    let facts = texts::computer::facts(snapshot, clock);
    widgets::fact_rows(ui, &facts);
    ui.add_space(theme::NEAR);
    if ui.button(texts::computer::COPY_DETAILS).clicked() {
        let lines: Vec<_> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        ui.ctx().copy_text(lines.join("\n"));
    }
    if snapshot.about.enrolled.is_some() {
        return;
    }
    draw_trusted_publishers(ui, view, snapshot, requests);
    widgets::section_title(ui, texts::computer::JOIN);
    super::join::draw(ui, view, state, requests);
}

/// Draws the list of publishers that the person trusts.
fn draw_trusted_publishers(ui: &mut Ui, view: &AgentView, snapshot: &Snapshot, requests: &mut Vec<Request>) {
    if snapshot.about.signers.is_empty() {
        return;
    }
    widgets::section_title(ui, texts::computer::TRUSTED_PUBLISHERS);
    widgets::secondary_text(ui, texts::computer::TRUSTED_PUBLISHERS_HINT);
    for signer in &snapshot.about.signers {
        ui.add_space(theme::NEAR);
        let name = texts::package_file::publisher_name(&signer.name);
        ui.push_id(signer.root, |ui| {
            ui.label(name);
            ui.label(RichText::new(signer.root.grouped()).size(theme::NOTE).monospace());
            if view.may(Right::Install) {
                let button = ui.button(texts::computer::STOP_TRUSTING);
                if widgets::with_accessible_name(button, &texts::computer::stop_trusting(name)).clicked() {
                    requests.push(Request::ForgetSigner { root: signer.root });
                }
            }
        });
    }
}
