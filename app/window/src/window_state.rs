//! The state of the window: the open page, and edits that are not saved yet. All other data comes from the agent.

use crate::{limits_form::LimitsForm, week_editor::WeekEditor};
use banyan_proto::{
    Digest,
    schedule::{Choice, Week, Window},
};
use banyan_ui_common::{Page, Preferences, catalogue::CatalogueState, package_file::PackageFile};

/// The state of the window.
pub(crate) struct WindowState {
    pub(crate) page: Page,
    pub(crate) no_tray: bool,
    /// Hours being edited; none while they equal the saved ones.
    pub(crate) week_editor: Option<WeekEditor>,
    /// Limits being edited; none while they equal the saved ones.
    pub(crate) limits: Option<LimitsForm>,
    pub(crate) join_code: String,
    /// This person's preferences; saved when they change.
    pub(crate) preferences: Preferences,
    /// Why the preferences could not be saved.
    pub(crate) save_error: Option<String>,
    /// The package file that is open; it is shown instead of the page.
    pub(crate) opened_package: Option<PackageFile>,
    /// The person pressed Install.
    pub(crate) should_install: bool,
    /// The catalogue.
    pub(crate) catalogue: CatalogueState,
    /// The conditions of the last catalogue request; none while the page is not open.
    pub(crate) catalogue_basis: Option<CatalogueBasis>,
    /// The catalogue should be requested.
    pub(crate) should_load_catalogue: bool,
    /// The release of the catalogue that the person chose.
    pub(crate) chosen_release: Option<ChosenRelease>,
}

/// A release that the person chose from the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenRelease {
    pub(crate) package: String,
    pub(crate) manifest: Digest,
}

/// The conditions that cause a new catalogue request when they change while the page is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatalogueBasis {
    /// The number of the administrator's policy.
    pub(crate) policy: u64,
    /// The agent is connected to its server.
    pub(crate) is_connected: bool,
}

impl WindowState {
    pub(crate) fn new(page: Page, no_tray: bool) -> Self {
        Self {
            page,
            no_tray,
            week_editor: None,
            limits: None,
            join_code: String::new(),
            preferences: Preferences::default(),
            save_error: None,
            opened_package: None,
            should_install: false,
            catalogue: CatalogueState::default(),
            catalogue_basis: None,
            should_load_catalogue: false,
            chosen_release: None,
        }
    }
}

/// Returns the hours of a transfer window of any kind, for editing.
pub(crate) fn edited_hours(choice: &Choice) -> WeekEditor {
    WeekEditor::new(match choice.window {
        Window::Any | Window::Idle => Week::ALWAYS,
        Window::Night => choice.night.week(),
        Window::Weekly(week) => week,
    })
}
