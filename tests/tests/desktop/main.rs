//! Tests real windows on a virtual screen: a tray in a real panel with its menu pressed by label over the bus,
//! notifications pressed as a desktop does, and the window pressed through the accessibility bus. Each page is captured
//! into `docs/pictures`.
#![cfg(target_os = "linux")]

mod access;
mod agent;
mod catalogue;
mod menu;
mod notifications;

mod full_screen;
mod keyboard;
mod notices;
mod own_agent;
mod package;
mod pages;
mod panel;
mod tray;
