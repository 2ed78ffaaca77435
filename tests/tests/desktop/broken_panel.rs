//! Tests the tray beside a panel that hangs or fails: notifications are shown all the same, and the next panel gets the
//! icon.

use crate::{fake_agent::Agent, mock_notification_server::Notifications};
use banyan_fake_agent::Scene;
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use zbus::{
    blocking::{Connection, connection::Builder},
    fdo,
};

/// What the panel does when an icon asks for its place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Accepts,
    Fails,
    /// It never answers.
    Hangs,
}

/// The panel's object on the bus.
struct Watcher {
    behaviour: Behaviour,
    asked: Arc<AtomicUsize>,
}

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    async fn register_status_notifier_item(&self, _service: String) -> fdo::Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.behaviour {
            Behaviour::Accepts => Ok(()),
            Behaviour::Fails => Err(fdo::Error::Failed("the panel is broken".to_owned())),
            Behaviour::Hangs => std::future::pending().await,
        }
    }
    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }
}

/// A panel without anything to see. It leaves the bus when dropped.
struct Panel {
    asked: Arc<AtomicUsize>,
    _bus: Connection,
}

impl Panel {
    fn start(desktop: &TestDesktop, behaviour: Behaviour) -> Self {
        let asked = Arc::<AtomicUsize>::default();
        let watcher = Watcher { behaviour, asked: Arc::clone(&asked) };
        let built = Builder::address(desktop.address())
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", watcher))
            .and_then(|builder| builder.name("org.kde.StatusNotifierWatcher"))
            .and_then(Builder::build);
        Self { asked, _bus: built.expect("the bus name is free") }
    }
    fn wait_for_icon(&self) {
        wait_for("the icon asks for its place", || (self.asked.load(Ordering::Relaxed) > 0).then_some(()));
    }
}

#[test]
fn a_panel_that_hangs_or_fails_silences_no_notification_and_the_next_one_gets_the_icon() {
    for behaviour in [Behaviour::Hangs, Behaviour::Fails] {
        let mut desktop = TestDesktop::without_panel();
        let broken = Panel::start(&desktop, behaviour);
        let notifications = Notifications::on(&desktop);
        let agent = Agent::show_scene(&desktop, Scene::Idle);
        let mut tray = desktop.ours("banyan-tray");
        let id = desktop.keep(tray.arg("--panel-within").arg("3600"));
        broken.wait_for_icon();
        agent.show(Scene::Deadline);
        wait_for("the notification is shown", || notifications.only("school-browser 12.1 will install in"));
        assert!(desktop.runs(id), "{behaviour:?}");
        drop(broken);
        let good = Panel::start(&desktop, Behaviour::Accepts);
        good.wait_for_icon();
    }
}

#[test]
fn the_tray_ends_with_its_message_bus() {
    let mut desktop = TestDesktop::without_panel();
    let panel = Panel::start(&desktop, Behaviour::Accepts);
    let _agent = Agent::show_scene(&desktop, Scene::Idle);
    let mut tray = desktop.ours("banyan-tray");
    let id = desktop.keep(tray.arg("--panel-within").arg("3600"));
    panel.wait_for_icon();
    desktop.close_bus();
    desktop.end_of(id);
}
