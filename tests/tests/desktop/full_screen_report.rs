//! Verifies that the tray detects full-screen programs and reports their start and end to the agent.

use crate::fake_agent::Agent;
use banyan_fake_agent::Scene;
use banyan_tests::test_desktop::{COOKIE_NAME, TestDesktop, wait_for};
use std::os::unix::net::UnixStream;
use x11rb::{
    COPY_DEPTH_FROM_PARENT,
    connection::Connection,
    protocol::xproto::{
        Atom, AtomEnum, ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, WindowClass,
    },
    rust_connection::{DefaultStream, RustConnection},
    wrapper::ConnectionExt as _,
};

/// Connects this test to the screen, as the programs on it do.
fn connect(desktop: &TestDesktop) -> RustConnection {
    let socket = format!("/tmp/.X11-unix/X{}", desktop.display().trim_start_matches(':'));
    let stream = UnixStream::connect(socket).expect("the screen answers");
    let (stream, _) = DefaultStream::from_unix_stream(stream).expect("the screen answers");
    let (name, cookie) = (COOKIE_NAME.as_bytes().to_vec(), desktop.cookie().to_vec());
    RustConnection::connect_to_stream_with_auth_info(stream, 0, name, cookie).expect("the screen answers")
}

#[test]
fn a_full_screen_program_is_reported_while_it_lasts() {
    let mut desktop = TestDesktop::with_panel();
    let agent = Agent::show_scene(&desktop, Scene::Idle);
    let mut tray = desktop.ours("banyan-tray");
    desktop.keep(&mut tray);
    // If no window is in front, a window manager may report that or report nothing at all.
    let reported = |wanted: bool| {
        let last = || agent.screen_reports().last().copied();
        let as_wanted = || last().is_some_and(|seen| (seen == Some(true)) == wanted).then_some(());
        wait_for(&format!("{wanted} is reported"), as_wanted);
    };
    reported(false);

    // A film begins …
    let x = connect(&desktop);
    let root = x.setup().roots[0].root;
    let atom = |name: &str| -> Atom { x.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom };
    // A window that existed before its window manager is never brought to the front.
    let manager = atom("_NET_SUPPORTING_WM_CHECK");
    wait_for("a window manager", || {
        let found = x.get_property(false, root, manager, AtomEnum::WINDOW, 0, 1).unwrap().reply().unwrap();
        (found.value_len > 0).then_some(())
    });
    let (states, full) = (atom("_NET_WM_STATE"), atom("_NET_WM_STATE_FULLSCREEN"));
    let film = x.generate_id().unwrap();
    let (place, size) = ((100, 100), (300, 200));
    let kind = WindowClass::INPUT_OUTPUT;
    let looks = CreateWindowAux::new();
    x.create_window(COPY_DEPTH_FROM_PARENT, film, root, place.0, place.1, size.0, size.1, 0, kind, 0, &looks).unwrap();
    x.change_property32(PropMode::REPLACE, film, states, AtomEnum::ATOM, &[full]).unwrap();
    x.map_window(film).unwrap();
    x.flush().unwrap();
    reported(true);
    // … continues in a small window (EWMH: 0 removes a state) …
    let small = ClientMessageEvent::new(32, film, states, [0, full, 0, 1, 0]);
    let to = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
    x.send_event(false, root, to, small).unwrap();
    x.flush().unwrap();
    reported(false);
    // … fills the screen again, and is closed.
    x.send_event(false, root, to, ClientMessageEvent::new(32, film, states, [1, full, 0, 1, 0])).unwrap();
    x.flush().unwrap();
    reported(true);
    x.destroy_window(film).unwrap();
    x.flush().unwrap();
    reported(false);
}
