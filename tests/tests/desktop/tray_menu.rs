//! The tray's menu as a panel sees it: entries with labels, pressed over the bus.

use crate::fake_agent::Agent;
use banyan_proto::{OrderId, local::Update};
use banyan_tests::test_desktop::{TestDesktop, proxy, wait_for};
use banyan_ui_common::sample_data;
use std::collections::HashMap;
use zbus::{
    blocking::{Connection, Proxy, fdo::DBusProxy},
    zvariant::{OwnedValue, Value},
};

/// Id, properties, child entries.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// One menu entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    id: i32,
    pub(crate) label: String,
    /// Whether it can be pressed: not a separator, a plain text or a submenu.
    pub(crate) does: bool,
    /// Whether it is the selected one of several options.
    pub(crate) holds: bool,
}

/// The menu of a tray process.
pub(crate) struct Menu {
    bus: Connection,
    name: String,
}

impl Menu {
    /// Waits until the panel shows the icon of this process.
    pub(crate) fn of(desktop: &TestDesktop, process: u32) -> Self {
        let bus = desktop.bus();
        let name = format!("org.kde.StatusNotifierItem-{process}-1");
        let watcher = "org.kde.StatusNotifierWatcher";
        wait_for("the panel shows the icon", || {
            let items: OwnedValue = proxy(&bus, watcher, "/StatusNotifierWatcher", watcher)
                .and_then(|watcher| watcher.get_property("RegisteredStatusNotifierItems"))
                .ok()?;
            let items: Vec<String> = items.try_into().ok()?;
            let owner = DBusProxy::new(&bus).ok()?.get_name_owner(name.as_str().try_into().ok()?).ok()?;
            items.iter().any(|item| item.starts_with(&name) || item.starts_with(owner.as_str())).then_some(())
        });
        Self { bus, name }
    }
    fn proxy(&self) -> Proxy<'static> {
        proxy(&self.bus, &self.name, "/MenuBar", "com.canonical.dbusmenu").expect("the menu answers")
    }
    /// Returns the icon's tooltip text.
    pub(crate) fn status(&self) -> String {
        let item = proxy(&self.bus, &self.name, "/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let tip: OwnedValue = item.and_then(|item| item.get_property("ToolTip")).expect("the icon has a tooltip");
        let Value::Structure(tip) = &*tip else { panic!("{tip:?}") };
        tip.fields().last().and_then(text).expect("the tooltip has text")
    }
    /// Returns all entries, those of submenus after their parent.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let (_, (_, _, children)): (u32, Layout) =
            self.proxy().call("GetLayout", &(0, -1, Vec::<String>::new())).expect("the menu has a layout");
        let mut entries = Vec::new();
        children.iter().for_each(|child| collect(child, &mut entries));
        entries
    }
    /// Waits until the menu shows everything that the agent shows now.
    ///
    /// The agent sends its changes as several events, in order. So an update that is added now arrives after all of them,
    /// and the menu is complete once that update has come and gone.
    pub(crate) fn catch_up(&self, agent: &Agent) {
        const MARKER: &str = "test-marker";
        let is_shown = || self.entries().iter().any(|entry| entry.label.starts_with(MARKER));
        agent.change(|snapshot| {
            // The newest updates are the first ones; the menu leaves out older ones.
            let order = OrderId([0xee; 16]);
            let marker = Update { order, number: u64::MAX, package: MARKER.into(), ..sample_data::receiving() };
            snapshot.updates.push(marker);
            snapshot.sort();
        });
        wait_for("the menu shows the newest update", || is_shown().then_some(()));
        agent.change(|snapshot| snapshot.updates.retain(|update| update.package != MARKER));
        wait_for("the menu no longer shows that update", || (!is_shown()).then_some(()));
    }
    /// Presses the first entry with this label, as soon as there is one.
    pub(crate) fn press(&self, label: &str) {
        wait_for(&format!("an entry {label:?} is pressed"), || {
            let id = self.entries().into_iter().find(|entry| entry.label == label)?.id;
            let body = (id, "clicked", Value::from(0_i32), 0_u32);
            match self.proxy().call_method("Event", &body) {
                // The menu has changed since it was read, and its entries have other ids.
                Err(zbus::Error::MethodError(name, ..))
                    if name.as_str() == "org.freedesktop.DBus.Error.InvalidArgs" =>
                {
                    None
                }
                // A process that is asked to quit may have ended before it answers.
                Ok(_) | Err(_) => Some(()),
            }
        });
    }
}

fn inner<'a>(value: &'a Value<'a>) -> &'a Value<'a> {
    if let Value::Value(inner) = value { inner } else { value }
}

fn text(value: &Value<'_>) -> Option<String> {
    if let Value::Str(text) = inner(value) { Some(text.to_string()) } else { None }
}

fn collect(entry: &Value<'_>, entries: &mut Vec<Entry>) {
    let Value::Structure(entry) = inner(entry) else { panic!("not an entry: {entry:?}") };
    let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = entry.fields() else {
        panic!("not an entry: {entry:?}")
    };
    let property = |name: &str| {
        let found = properties.iter().find(|(key, _)| text(key).as_deref() == Some(name));
        found.map(|(_, value)| inner(value))
    };
    let label = property("label").and_then(text).unwrap_or_default();
    let enabled = property("enabled").is_none_or(|value| *value == Value::Bool(true));
    let does = enabled && !label.is_empty() && property("children-display").is_none();
    let holds = property("toggle-state") == Some(&Value::I32(1));
    entries.push(Entry { id: *id, label, does, holds });
    children.iter().for_each(|child| collect(child, entries));
}
