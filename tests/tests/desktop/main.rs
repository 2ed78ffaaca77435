//! Tests real windows on a virtual screen: a tray in a real panel with its menu pressed by label over the bus,
//! notifications pressed as a desktop does, and the window pressed through the accessibility bus. Each page is captured
//! into `docs/pictures`.
#![cfg(target_os = "linux")]

mod accessibility;
mod catalogue_page;
mod fake_agent;
mod mock_notification_server;
mod tray_menu;

mod broken_panel;
mod full_screen_report;
mod keyboard_only;
mod open_package_file;
mod page_screenshots;
mod panel_and_notification;
mod personal_agent;
mod session_end;
mod tray_icon;
mod update_notifications;
