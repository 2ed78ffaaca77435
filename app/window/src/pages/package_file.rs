//! A package file that the person opened: publisher, trust, what installing it does and what it replaces; then the progress
//! of the installation and its result. It is shown instead of a page.
//!
//! When the person has to decide whether to trust the publisher, Install stays disabled until they have ticked a box below
//! the publisher's key. The box is never ticked in advance.

use crate::{
    theme::{self, palette},
    widgets,
    window_state::WindowState,
};
use banyan_proto::{
    OrderId,
    api::ApiError,
    local::{Package, UpdateState},
};
use banyan_ui_common::{
    AgentView, Clock,
    package_file::{PackageFile, PackageStage},
    texts,
    update_summary::{Tone, summarise_update},
};
use egui::{RichText, Ui};

pub(crate) fn draw(ui: &mut Ui, view: &AgentView, state: &mut WindowState, clock: &Clock) {
    let Some(PackageFile { path, stage, consent }) = &mut state.opened_package else { return };
    let (mut close, mut install) = (false, false);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    match stage {
        PackageStage::Checking => {
            widgets::page_title(ui, &file);
            widgets::state_label(ui, Tone::Moving, texts::package_file::CHECKING);
        }
        PackageStage::Invalid(error) => {
            widgets::page_title(ui, &file);
            draw_refusal(ui, texts::package_file::NOT_INSTALLABLE, error);
            close = draw_close_button(ui, texts::package_file::CLOSE);
        }
        PackageStage::Checked(package) => {
            draw_package(ui, package, clock);
            if let Some(error) = &package.refused {
                draw_refusal(ui, texts::package_file::NOT_INSTALLABLE, error);
                close = draw_close_button(ui, texts::package_file::CLOSE);
            } else {
                let asks_for_trust = package.signer.asks;
                if asks_for_trust {
                    draw_trust_question(ui, package, consent);
                }
                ui.add_space(theme::NEAR);
                ui.horizontal_wrapped(|ui| {
                    let words = if texts::package_file::is_older(package) {
                        texts::package_file::INSTALL_OLDER
                    } else {
                        texts::package_file::INSTALL
                    };
                    install = if !asks_for_trust || *consent {
                        widgets::primary_button(ui, words).clicked()
                    } else {
                        // Disabled and not the primary button: the person should check the key above it first.
                        ui.add_enabled(false, egui::Button::new(words)).clicked()
                    };
                    close = ui.button(texts::package_file::CANCEL).clicked();
                });
            }
        }
        PackageStage::Copying { package, copied, size } => {
            draw_package(ui, package, clock);
            ui.add_space(theme::NEAR);
            let part = *copied as f32 / (*size).max(1) as f32;
            widgets::progress_bar(ui, part, palette(ui).moving, &texts::package_file::title(package));
            ui.label(texts::package_file::copy_progress(*copied, *size));
        }
        PackageStage::InstallRefused(package, error) => {
            draw_package(ui, package, clock);
            draw_refusal(ui, texts::package_file::INSTALL_FAILED, error);
            close = draw_close_button(ui, texts::package_file::CLOSE);
        }
        PackageStage::Ordered(package, order) => {
            widgets::page_title(ui, &texts::package_file::title(package));
            draw_installation(ui, view, *order, clock);
            close = draw_close_button(ui, texts::package_file::CLOSE);
        }
    }
    state.should_install |= install;
    if close {
        state.opened_package = None;
    }
}

/// Draws the facts about a package before it is installed.
fn draw_package(ui: &mut Ui, package: &Package, clock: &Clock) {
    widgets::page_title(ui, &texts::package_file::title(package));
    let (tone, words) = match &package.signer {
        signer if signer.trusted => (Tone::Done, texts::package_file::TRUSTED_PUBLISHER),
        signer if signer.asks => (Tone::NeedsYou, texts::package_file::UNKNOWN_PUBLISHER),
        _ => (Tone::Failed, texts::package_file::UNTRUSTED_PUBLISHER),
    };
    widgets::state_label(ui, tone, words);
    ui.add_space(theme::NEAR);
    widgets::fact_rows(ui, &texts::package_file::facts(package, clock));
    if let Some(file) = &package.file {
        widgets::section_title(ui, texts::package_file::INSTALL_STEPS);
        for (n, does) in file.does().into_iter().enumerate() {
            ui.label(format!("{}. {does}", n + 1));
        }
    }
    if !package.notes.is_empty() {
        widgets::section_title(ui, texts::updates::RELEASE_NOTES);
        ui.label(&package.notes);
    }
}

/// Asks whether the person trusts the publisher.
fn draw_trust_question(ui: &mut Ui, package: &Package, consent: &mut bool) {
    widgets::section_title(ui, texts::package_file::TRUST_QUESTION);
    ui.label(texts::package_file::TRUST_EXPLANATION);
    ui.add_space(theme::NEAR);
    ui.label(RichText::new(package.signer.root.grouped()).monospace());
    widgets::secondary_text(ui, texts::package_file::COMPARE_KEY);
    ui.add_space(theme::NEAR);
    ui.checkbox(consent, texts::package_file::consent_label(&package.publisher));
}

fn draw_refusal(ui: &mut Ui, title: &str, error: &ApiError) {
    ui.add_space(theme::APART);
    widgets::state_label(ui, Tone::Failed, title);
    ui.label(texts::package_file::refusal(error));
    ui.label(RichText::new(error.reason.code()).size(theme::NOTE).color(palette(ui).quiet));
}

fn draw_close_button(ui: &mut Ui, words: &str) -> bool {
    ui.add_space(theme::NEAR);
    ui.button(words).clicked()
}

/// Draws the state of the update that the package became, until it ends.
fn draw_installation(ui: &mut Ui, view: &AgentView, order: OrderId, clock: &Clock) {
    let updates = view.snapshot.iter().flat_map(|snapshot| &snapshot.updates);
    let Some(update) = updates.into_iter().find(|update| update.order == order) else {
        return widgets::secondary_text(ui, texts::package_file::CONTINUES_IN_BACKGROUND);
    };
    let summary = summarise_update(update, clock);
    widgets::state_label(ui, summary.tone, &summary.state);
    if !summary.explanation.is_empty() {
        ui.label(&summary.explanation);
        widgets::failure_details(ui, &summary.details, &summary.title);
    }
    if !matches!(update.state, UpdateState::Installed { .. } | UpdateState::Failed { .. }) {
        widgets::secondary_text(ui, texts::package_file::CONTINUES_IN_BACKGROUND);
    }
}
