//! A package file that the person opened: publisher, trust, what installing it does and what it replaces; then the progress
//! of the installation and its result. It is shown instead of a page.
//!
//! When the person has to decide whether to trust the publisher, Install stays disabled until they have ticked a box below
//! the publisher's key. The box is never ticked in advance.

use crate::{
    theme::{self, palette},
    widgets,
    window_state::State,
};
use banyan_proto::{
    OrderId,
    api::ApiError,
    local::{Package, UpdateState},
};
use banyan_ui_common::{
    Clock, View,
    package_file::{Opening, Step},
    texts,
    update_summary::{Tone, glance},
};
use egui::{RichText, Ui};

pub(crate) fn draw(ui: &mut Ui, view: &View, state: &mut State, clock: &Clock) {
    let Some(Opening { path, step, consent }) = &mut state.opening else { return };
    let (mut close, mut install) = (false, false);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    match step {
        Step::Asked => {
            widgets::title(ui, &file);
            widgets::state(ui, Tone::Moving, texts::LOOKED_AT);
        }
        Step::Refused(error) => {
            widgets::title(ui, &file);
            refused(ui, texts::REFUSED, error);
            close = leave(ui, texts::CLOSE);
        }
        Step::Shown(package) => {
            shown(ui, package, clock);
            if let Some(error) = &package.refused {
                refused(ui, texts::REFUSED, error);
                close = leave(ui, texts::CLOSE);
            } else {
                let asks = package.signer.asks;
                if asks {
                    ask(ui, package, consent);
                }
                ui.add_space(theme::NEAR);
                ui.horizontal_wrapped(|ui| {
                    let words = if texts::is_older(package) { texts::INSTALL_OLDER } else { texts::INSTALL };
                    install = if !asks || *consent {
                        widgets::primary(ui, words).clicked()
                    } else {
                        // Disabled and not the primary button: the person should check the key above it first.
                        ui.add_enabled(false, egui::Button::new(words)).clicked()
                    };
                    close = ui.button(texts::CANCEL).clicked();
                });
            }
        }
        Step::Sent(package, sent, of) => {
            shown(ui, package, clock);
            ui.add_space(theme::NEAR);
            let part = *sent as f32 / (*of).max(1) as f32;
            widgets::bar(ui, part, palette(ui).moving, &texts::package(package));
            ui.label(texts::handed_over(*sent, *of));
        }
        Step::NotTaken(package, error) => {
            shown(ui, package, clock);
            refused(ui, texts::NOT_TAKEN, error);
            close = leave(ui, texts::CLOSE);
        }
        Step::Ordered(package, order) => {
            widgets::title(ui, &texts::package(package));
            ordered(ui, view, *order, clock);
            close = leave(ui, texts::CLOSE);
        }
    }
    state.install |= install;
    if close {
        state.opening = None;
    }
}

/// Draws the facts about a package before it is installed.
fn shown(ui: &mut Ui, package: &Package, clock: &Clock) {
    widgets::title(ui, &texts::package(package));
    let (tone, words) = match &package.signer {
        signer if signer.trusted => (Tone::Done, texts::TRUSTED),
        signer if signer.asks => (Tone::NeedsYou, texts::NOT_YET_TRUSTED),
        _ => (Tone::Failed, texts::NOT_TRUSTED),
    };
    widgets::state(ui, tone, words);
    ui.add_space(theme::NEAR);
    widgets::facts(ui, &texts::package_facts(package, clock));
    if let Some(file) = &package.file {
        widgets::section(ui, texts::DOES);
        for (n, does) in file.does().into_iter().enumerate() {
            ui.label(format!("{}. {does}", n + 1));
        }
    }
    if !package.notes.is_empty() {
        widgets::section(ui, texts::RELEASE_NOTES);
        ui.label(&package.notes);
    }
}

/// Asks whether the person trusts the publisher.
fn ask(ui: &mut Ui, package: &Package, consent: &mut bool) {
    widgets::section(ui, texts::DO_YOU_TRUST);
    ui.label(texts::WHAT_TRUST_MEANS);
    ui.add_space(theme::NEAR);
    ui.label(RichText::new(package.signer.root.grouped()).monospace());
    widgets::quiet(ui, texts::COMPARE_KEY);
    ui.add_space(theme::NEAR);
    ui.checkbox(consent, texts::i_trust(&package.publisher));
}

fn refused(ui: &mut Ui, title: &str, error: &ApiError) {
    ui.add_space(theme::APART);
    widgets::state(ui, Tone::Failed, title);
    ui.label(texts::refused(error));
    ui.label(RichText::new(error.reason.code()).size(theme::NOTE).color(palette(ui).quiet));
}

fn leave(ui: &mut Ui, words: &str) -> bool {
    ui.add_space(theme::NEAR);
    ui.button(words).clicked()
}

/// Draws the state of the update that the package became, until it ends.
fn ordered(ui: &mut Ui, view: &View, order: OrderId, clock: &Clock) {
    let updates = view.snapshot.iter().flat_map(|snapshot| &snapshot.updates);
    let Some(update) = updates.into_iter().find(|update| update.order == order) else {
        return widgets::quiet(ui, texts::TAKEN);
    };
    let glance = glance(update, clock);
    widgets::state(ui, glance.tone, &glance.state);
    if !glance.more.is_empty() {
        ui.label(&glance.more);
    }
    if !matches!(update.state, UpdateState::Installed { .. } | UpdateState::Failed { .. }) {
        widgets::quiet(ui, texts::TAKEN);
    }
}
