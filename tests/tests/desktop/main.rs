//! Real windows on a screen that nobody sees: a tray in a real panel, its menu pressed by label over the bus, notices pressed
//! as a desktop does, the window pressed through what assistive programs use, each page photographed into `docs/pictures`.
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
