//! Joining a server with a join code: on the page "This computer", and instead of an empty Updates page.

use crate::{widgets, window_state::WindowState};
use banyan_proto::local::{Request, Right};
use banyan_ui_common::{AgentView, texts};
use egui::{Button, Key, TextEdit, Ui};

/// Draws the field for the join code, or says who can enter one.
pub(super) fn draw(ui: &mut Ui, view: &AgentView, state: &mut WindowState, requests: &mut Vec<Request>) {
    if !view.may(Right::Administer) {
        return widgets::secondary_text(ui, texts::computer::NOT_ALLOWED);
    }
    widgets::secondary_text(ui, texts::computer::JOIN_HINT);
    ui.horizontal_wrapped(|ui| {
        let label = ui.label(texts::computer::JOIN_CODE);
        let field = ui.add(TextEdit::singleline(&mut state.join_code)).labelled_by(label.id);
        let code = state.join_code.trim();
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        let pressed = if code.is_empty() {
            ui.add_enabled(false, Button::new(texts::computer::JOIN_BUTTON)).clicked()
        } else {
            widgets::primary_button(ui, texts::computer::JOIN_BUTTON).clicked()
        };
        if (pressed || entered) && !code.is_empty() {
            requests.push(Request::Enrol { code: code.to_owned() });
        }
    });
}
