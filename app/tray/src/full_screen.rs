//! Whether a program fills the screen, as the window manager tells under X11 (EWMH: `_NET_ACTIVE_WINDOW`, `_NET_WM_STATE`),
//! for the agent: it installs nothing below a film or a talk, and cannot see the screen itself.
//!
//! A thread that sleeps until the window in front or its state changes. Wayland tells nobody what other programs do: under
//! it only programs that still use X11 are seen, so that "no" is not known there.

use banyan_face::Line;
use banyan_proto::local::Request;
use std::thread;
use x11rb::{
    connection::Connection,
    errors::ReplyOrIdError,
    protocol::{
        Event,
        xproto::{Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt, EventMask, Window},
    },
    rust_connection::RustConnection,
};

/// States of a window that are read at most.
const STATES: u32 = 64;

/// Tells the agent from now on. Without a screen that can be asked nothing is told.
pub(crate) fn watch(line: Line) {
    thread::spawn(move || {
        let only_some_are_seen = std::env::var_os("WAYLAND_DISPLAY").is_some();
        let tell = |seen: Option<bool>| {
            let full_screen = seen.filter(|full| *full || !only_some_are_seen);
            line.keep_telling(Request::Report { full_screen });
        };
        let Ok((x, screen)) = x11rb::connect(None) else { return };
        let ended = Screen::new(&x, screen).and_then(|mut screen| screen.watch(&tell));
        // It ends with the screen: then nothing is known.
        drop(ended);
        tell(None);
    });
}

struct Screen<'a> {
    x: &'a RustConnection,
    root: Window,
    active: Atom,
    states: Atom,
    full: Atom,
    /// Whose changes are told.
    watched: Option<Window>,
}

impl<'a> Screen<'a> {
    fn new(x: &'a RustConnection, screen: usize) -> Result<Self, ReplyOrIdError> {
        let root = x.setup().roots[screen].root;
        let atom = |name: &str| Ok::<_, ReplyOrIdError>(x.intern_atom(false, name.as_bytes())?.reply()?.atom);
        let (active, states) = (atom("_NET_ACTIVE_WINDOW")?, atom("_NET_WM_STATE")?);
        let full = atom("_NET_WM_STATE_FULLSCREEN")?;
        hear_changes(x, root, true)?;
        Ok(Self { x, root, active, states, full, watched: None })
    }
    fn watch(&mut self, tell: &dyn Fn(Option<bool>)) -> Result<(), ReplyOrIdError> {
        let mut told = None;
        loop {
            let seen = self.look()?;
            if told != Some(seen) {
                told = Some(seen);
                tell(seen);
            }
            while !self.matters(&self.x.wait_for_event()?) {}
            // Several changes at once are one look.
            while self.x.poll_for_event()?.is_some() {}
        }
    }
    fn matters(&self, event: &Event) -> bool {
        match event {
            Event::PropertyNotify(change) => [self.active, self.states].contains(&change.atom),
            // Not every window manager says that nothing is in front any more, once the last window is gone.
            Event::DestroyNotify(gone) => Some(gone.window) == self.watched,
            Event::UnmapNotify(gone) => Some(gone.window) == self.watched,
            _ => false,
        }
    }
    /// Whether the window in front fills the screen; none when the window manager does not say which one that is.
    fn look(&mut self) -> Result<Option<bool>, ReplyOrIdError> {
        let active = self.x.get_property(false, self.root, self.active, AtomEnum::WINDOW, 0, 1)?.reply()?;
        let Some(active) = active.value32().and_then(|mut ids| ids.next()) else { return Ok(None) };
        if self.watched != Some(active) {
            if let Some(before) = self.watched.take() {
                hear_changes(self.x, before, false)?;
            }
            if active != 0 {
                // Before its state is read, so that no change falls between.
                hear_changes(self.x, active, true)?;
                self.watched = Some(active);
            }
        }
        if active == 0 {
            return Ok(Some(false));
        }
        let states = self.x.get_property(false, active, self.states, AtomEnum::ATOM, 0, STATES)?.reply();
        // A window that is gone fills nothing; which one is in front now is told next.
        let full = |states: x11rb::protocol::xproto::GetPropertyReply| {
            states.value32().is_some_and(|mut states| states.any(|state| state == self.full))
        };
        Ok(Some(states.is_ok_and(full)))
    }
}

/// Changes of a window's properties, and its end, are told from now on, or no longer. One that is gone meanwhile is no failure.
fn hear_changes(x: &RustConnection, window: Window, hear: bool) -> Result<(), ReplyOrIdError> {
    let mask = if hear { EventMask::PROPERTY_CHANGE | EventMask::STRUCTURE_NOTIFY } else { EventMask::NO_EVENT };
    x.change_window_attributes(window, &ChangeWindowAttributesAux::new().event_mask(mask))?.ignore_error();
    Ok(())
}
