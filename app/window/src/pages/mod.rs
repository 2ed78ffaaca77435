//! The pages of the window. Each draws the agent's data and collects the person's requests.

mod catalogue;
mod computer;
mod conditions;
mod history;
mod join;
pub(crate) mod package_file;
mod schedule;
mod settings;
mod sharing;
mod updates;
mod week_grid;

use crate::window_state::WindowState;
use banyan_proto::local::{Request, Right, Snapshot};
use banyan_ui_common::{AgentView, Clock, Page};
use egui::Ui;

/// Draws the open page.
pub(crate) fn draw(
    ui: &mut Ui,
    view: &AgentView,
    snapshot: &Snapshot,
    state: &mut WindowState,
    clock: &Clock,
    requests: &mut Vec<Request>,
) {
    let may = view.may(Right::Choose);
    match state.page {
        Page::Updates => updates::draw(ui, view, snapshot, state, clock, requests),
        Page::Schedule => schedule::draw(ui, snapshot, may, state, clock, requests),
        Page::Sharing => sharing::draw(ui, snapshot, clock),
        Page::History => history::draw(ui, snapshot, clock),
        Page::Catalogue => catalogue::draw(ui, view, snapshot, state, clock),
        Page::Settings => settings::draw(ui, snapshot, may, state, requests),
        Page::Computer => computer::draw(ui, view, snapshot, state, clock, requests),
    }
}
