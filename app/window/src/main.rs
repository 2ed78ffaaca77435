//! `banyan-window`: the window for people at a computer. [`window_state`] holds the data of the pages, [`pages`] draws them.
//! The person's choices are collected as requests and sent to the agent after each frame ([`app`]).

#![cfg_attr(not(unix), windows_subsystem = "windows")]

mod app;
mod display;
mod layout;
mod limits_form;
mod pages;
#[cfg(test)]
mod tests;
mod theme;
mod week_editor;
mod widgets;
mod window_state;

use app::{StartOptions, WindowApp};
use banyan_proto::UnixSeconds;
use banyan_ui_common::{Page, texts, tray_icon};
use clap::Parser;
use display::Display;
use std::{path::PathBuf, process::ExitCode};

/// Open the Banyan window: updates, schedule, sharing and settings
#[derive(Parser)]
#[command(name = "banyan-window", version)]
struct Cli {
    /// Socket of the Banyan agent
    #[arg(long, value_name = "PATH", default_value_os_t = banyan_ui_common::system_socket())]
    socket: PathBuf,
    /// Page to open
    #[arg(long, value_name = "PAGE", default_value = "updates")]
    page: Page,
    /// Package file to open
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// Colour theme
    #[arg(long, value_enum, default_value = "system")]
    look: ThemeArg,
    /// Read what to show from standard input, one request per line (used by the tray)
    #[arg(long, hide = true)]
    told_by_stdin: bool,
    /// Show a notice that this desktop has no tray
    #[arg(long, hide = true)]
    no_tray: bool,
    /// Show times as if it were this time (seconds since 1970), for screenshots
    #[arg(long, hide = true, value_name = "SECONDS")]
    at: Option<u64>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ThemeArg {
    System,
    Light,
    Dark,
}

impl From<ThemeArg> for egui::ThemePreference {
    fn from(theme: ThemeArg) -> Self {
        match theme {
            ThemeArg::System => Self::System,
            ThemeArg::Light => Self::Light,
            ThemeArg::Dark => Self::Dark,
        }
    }
}

/// Size of the window's icon in task lists (pixels).
const ICON: u32 = 64;

fn main() -> ExitCode {
    banyan_ui_common::stale_display::leave();
    let cli = Cli::parse();
    let icon = tray_icon::draw_icon(tray_icon::TrayIcon { filled_percent: Some(100), badge: None }, ICON);
    let viewport = egui::ViewportBuilder::default()
        .with_title(texts::PRODUCT)
        .with_app_id("banyan")
        .with_icon(egui::IconData { rgba: icon, width: ICON, height: ICON })
        .with_inner_size(theme::WINDOW)
        .with_min_inner_size(theme::SMALLEST);
    let options = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Glow, ..Default::default() };
    let start = StartOptions {
        socket: cli.socket,
        page: cli.page,
        package: cli.package,
        theme: cli.look.into(),
        reads_stdin: cli.told_by_stdin,
        no_tray: cli.no_tray,
        fixed_time: cli.at.map(UnixSeconds),
    };
    let display = Display::connect();
    display.end_quietly_with_it();
    let opened =
        eframe::run_native(texts::PRODUCT, options, Box::new(|creation| Ok(Box::new(WindowApp::new(start, creation)))));
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        // The session has ended, or its connection broke; nobody is there to read an error.
        Err(_) if app::was_open() && display.is_gone() => ExitCode::SUCCESS,
        Err(error) => {
            // The tray reads the first line and shows it to the person.
            banyan_ui_common::print_error(&format!("error: {}", explain(&error, &display)));
            // The library's own words help nobody but developers.
            if std::env::var_os("RUST_LOG").is_some() {
                banyan_ui_common::print_error(&format!("detail: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Says why no window could be opened, in words for people.
fn explain(error: &eframe::Error, display: &Display) -> &'static str {
    match error {
        eframe::Error::WinitEventLoop(_) | eframe::Error::Winit(_) if display.is_gone() => {
            texts::tray_menu::WINDOW_HAS_NO_SCREEN
        }
        eframe::Error::Glutin(_) | eframe::Error::NoGlutinConfigs(..) | eframe::Error::OpenGL(_) => {
            texts::tray_menu::WINDOW_NEEDS_OPENGL
        }
        _ => texts::tray_menu::WINDOW_REFUSED,
    }
}
