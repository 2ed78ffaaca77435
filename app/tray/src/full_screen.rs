//! Detects full-screen programs under X11 (EWMH: `_NET_ACTIVE_WINDOW`, `_NET_WM_STATE`) and reports them to the agent,
//! which cannot see the screen: it installs nothing while a film or a presentation is running.
//!
//! A thread sleeps until the active window or its state changes. Wayland does not show one program what others do. Under
//! Wayland only X11 programs are detected, so there "no full-screen program" means "unknown".

use crate::session_end;
use banyan_proto::local::Request;
use banyan_ui_common::AgentClient;
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

/// The most states read per window.
const STATES: u32 = 64;

/// Reports to the agent on a thread of its own. Reports nothing when there is no X server.
pub(crate) fn watch(line: AgentClient) {
    thread::spawn(move || {
        let only_some_are_seen = session_end::is_wayland();
        let tell = |seen: Option<bool>| {
            let full_screen = seen.filter(|full| *full || !only_some_are_seen);
            line.set_report(Request::Report { full_screen });
        };
        let Ok((x, screen)) = x11rb::connect(None) else { return };
        let ended = FullScreenWatcher::new(&x, screen).and_then(|mut screen| screen.watch(&tell));
        // The watch ends when the X server is gone; the state is then unknown.
        drop(ended);
        tell(None);
    });
}

struct FullScreenWatcher<'a> {
    x: &'a RustConnection,
    root: Window,
    active: Atom,
    states: Atom,
    full: Atom,
    /// The window whose changes are selected.
    watched: Option<Window>,
}

impl<'a> FullScreenWatcher<'a> {
    fn new(x: &'a RustConnection, screen: usize) -> Result<Self, ReplyOrIdError> {
        let root = x.setup().roots[screen].root;
        let atom = |name: &str| Ok::<_, ReplyOrIdError>(x.intern_atom(false, name.as_bytes())?.reply()?.atom);
        let (active, states) = (atom("_NET_ACTIVE_WINDOW")?, atom("_NET_WM_STATE")?);
        let full = atom("_NET_WM_STATE_FULLSCREEN")?;
        select_events(x, root, true)?;
        Ok(Self { x, root, active, states, full, watched: None })
    }
    fn watch(&mut self, tell: &dyn Fn(Option<bool>)) -> Result<(), ReplyOrIdError> {
        let mut reported = None;
        loop {
            let seen = self.is_active_window_full_screen()?;
            if reported != Some(seen) {
                reported = Some(seen);
                tell(seen);
            }
            while !self.is_relevant(&self.x.wait_for_event()?) {}
            // Several changes at once need only one look.
            while self.x.poll_for_event()?.is_some() {}
        }
    }
    fn is_relevant(&self, event: &Event) -> bool {
        match event {
            Event::PropertyNotify(change) => [self.active, self.states].contains(&change.atom),
            // Not every window manager updates the active window when the last window closes.
            Event::DestroyNotify(gone) => Some(gone.window) == self.watched,
            Event::UnmapNotify(gone) => Some(gone.window) == self.watched,
            _ => false,
        }
    }
    /// Returns whether the active window is in full screen; none when the window manager does not name an active window.
    fn is_active_window_full_screen(&mut self) -> Result<Option<bool>, ReplyOrIdError> {
        let active = self.x.get_property(false, self.root, self.active, AtomEnum::WINDOW, 0, 1)?.reply()?;
        let Some(active) = active.value32().and_then(|mut ids| ids.next()) else { return Ok(None) };
        if self.watched != Some(active) {
            if let Some(before) = self.watched.take() {
                select_events(self.x, before, false)?;
            }
            if active != 0 {
                // Select changes before reading the state, so that none is missed in between.
                select_events(self.x, active, true)?;
                self.watched = Some(active);
            }
        }
        if active == 0 {
            return Ok(Some(false));
        }
        let states = self.x.get_property(false, active, self.states, AtomEnum::ATOM, 0, STATES)?.reply();
        // A window that has closed is not in full screen; the next event names the new active window.
        let full = |states: x11rb::protocol::xproto::GetPropertyReply| {
            states.value32().is_some_and(|mut states| states.any(|state| state == self.full))
        };
        Ok(Some(states.is_ok_and(full)))
    }
}

/// Selects or deselects events for a window's property changes and its end. A window that has closed is not an error.
fn select_events(x: &RustConnection, window: Window, hear: bool) -> Result<(), ReplyOrIdError> {
    let mask = if hear { EventMask::PROPERTY_CHANGE | EventMask::STRUCTURE_NOTIFY } else { EventMask::NO_EVENT };
    x.change_window_attributes(window, &ChangeWindowAttributesAux::new().event_mask(mask))?.ignore_error();
    Ok(())
}
