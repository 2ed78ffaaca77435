//! Real windows on a screen that nobody sees: a tray in a real panel, its menu pressed by label over the bus, the window
//! pressed through what assistive programs use, each page photographed into `docs/pictures`.
#![cfg(target_os = "linux")]

mod access;
mod agent;
mod menu;
mod stage;

mod full_screen;
mod own_agent;
mod pages;
mod tray;
