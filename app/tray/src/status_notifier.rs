//! The tray icon on Linux: a StatusNotifierItem on the session bus. It draws what [`crate::tray_model`] describes.
//!
//! A panel can hang or fail when the icon asks for its place. So the icon has threads of its own, and nothing else of the
//! tray waits for a panel. An icon that got no place asks again when another panel appears, and after a while.

use crate::tray_model::{MenuEntry, TrayAction, TrayModel};
use banyan_ui_common::{texts, tray_icon};
use ksni::{
    Category, Icon, MenuItem, OfflineReason, Status, ToolTip,
    blocking::{Handle, TrayMethods},
    menu::{RadioGroup, RadioItem, StandardItem, SubMenu},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};
use zbus::blocking::{Connection, fdo::DBusProxy};

/// The name of panels on the bus.
const PANEL: &str = "org.kde.StatusNotifierWatcher";
/// The pause before an icon that a panel refused asks again.
const RETRY: Duration = Duration::from_secs(30);

/// Sizes that panels ask for (pixels).
const SIZES: [u32; 4] = [16, 22, 32, 48];

/// An event of the icon.
#[derive(Debug)]
pub(crate) enum IconEvent {
    /// A menu entry or the icon was pressed.
    Pressed(TrayAction),
    /// No panel shows the icon any more.
    PanelGone,
    /// A panel shows the icon again.
    PanelBack,
    /// The session's message bus is gone, and nothing can be shown any more.
    BusGone,
}

/// The icon, as the rest of the tray uses it.
pub(crate) struct TrayIcon {
    commands: Sender<Command>,
    has_place: Arc<AtomicBool>,
}

/// What the icon's thread is told.
enum Command {
    /// Draw this from now on.
    Draw(TrayModel),
    /// The attempt with this number has ended.
    Placed(u64, Result<Handle<StatusNotifierTray>, ksni::Error>),
    /// A panel has appeared on the bus.
    PanelAppeared,
}

impl TrayIcon {
    /// Puts the icon on the bus, in the background. Without a panel it waits for one.
    ///
    /// # Errors
    /// Fails when there is no session bus.
    pub(crate) fn show(model: TrayModel, events: Sender<IconEvent>) -> zbus::Result<Self> {
        let bus = Connection::session()?;
        let (commands, received) = channel();
        let has_place = Arc::new(AtomicBool::new(false));
        let (appeared, gone) = (commands.clone(), events.clone());
        thread::spawn(move || {
            // The watch ends with the bus.
            drop(watch_panels(&bus, &appeared));
            drop(gone.send(IconEvent::BusGone));
        });
        let placement =
            Placement { model, events, commands: commands.clone(), has_place: Arc::clone(&has_place), attempt: 0 };
        thread::spawn(move || placement.run(&received));
        Ok(Self { commands, has_place })
    }
    /// Replaces icon and menu.
    pub(crate) fn draw(&self, model: TrayModel) {
        drop(self.commands.send(Command::Draw(model)));
    }
    /// Returns whether the bus has the icon, so that a panel can show it.
    pub(crate) fn has_place(&self) -> bool {
        self.has_place.load(Ordering::Relaxed)
    }
}

/// Reports each panel that appears. Returns when the bus is gone.
fn watch_panels(bus: &Connection, commands: &Sender<Command>) -> zbus::Result<()> {
    for change in DBusProxy::new(bus)?.receive_name_owner_changed_with_args(&[(0, PANEL)])? {
        if change.args()?.new_owner().is_some() {
            drop(commands.send(Command::PanelAppeared));
        }
    }
    Ok(())
}

/// The icon's way to its place.
struct Placement {
    model: TrayModel,
    events: Sender<IconEvent>,
    commands: Sender<Command>,
    has_place: Arc<AtomicBool>,
    /// The number of the last attempt.
    attempt: u64,
}

impl Placement {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut icon: Option<Handle<StatusNotifierTray>> = None;
        let mut has_failed = false;
        self.start_attempt();
        loop {
            // An icon that has its place waits without waking up.
            let next = match has_failed {
                true => commands.recv_timeout(RETRY),
                false => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Command::Draw(model)) => {
                    self.model = model.clone();
                    if let Some(icon) = &icon {
                        icon.update(|shown| shown.model = model);
                    }
                }
                Ok(Command::Placed(attempt, placed)) if attempt == self.attempt => {
                    has_failed = placed.is_err();
                    icon = placed.ok();
                    self.has_place.store(icon.is_some(), Ordering::Relaxed);
                    match &icon {
                        Some(icon) => drop(icon.update(|shown| shown.model = self.model.clone())),
                        None => drop(self.events.send(IconEvent::PanelGone)),
                    }
                }
                // A later attempt has begun: this icon would be a second one.
                Ok(Command::Placed(_, placed)) => drop(placed.map(|icon| icon.shutdown())),
                Ok(Command::PanelAppeared) if icon.is_none() => self.start_attempt(),
                Err(RecvTimeoutError::Timeout) => {
                    has_failed = false;
                    self.start_attempt();
                }
                // An icon that has its place finds later panels itself.
                Ok(Command::PanelAppeared) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
    /// Asks for a place on a thread of its own, which waits as long as the panel lets it.
    fn start_attempt(&mut self) {
        self.attempt += 1;
        let (attempt, commands) = (self.attempt, self.commands.clone());
        let tray = StatusNotifierTray { model: self.model.clone(), events: self.events.clone() };
        thread::spawn(move || drop(commands.send(Command::Placed(attempt, tray.assume_sni_available(true).spawn()))));
    }
}

/// The icon on the bus.
struct StatusNotifierTray {
    model: TrayModel,
    events: Sender<IconEvent>,
}

impl StatusNotifierTray {
    fn send(&self, event: IconEvent) {
        // The receiver exists until the program ends.
        drop(self.events.send(event));
    }
}

impl ksni::Tray for StatusNotifierTray {
    fn id(&self) -> String {
        "banyan".to_owned()
    }
    fn category(&self) -> Category {
        Category::SystemServices
    }
    fn title(&self) -> String {
        texts::PRODUCT.to_owned()
    }
    fn status(&self) -> Status {
        if self.model.needs_attention { Status::NeedsAttention } else { Status::Active }
    }
    fn icon_pixmap(&self) -> Vec<Icon> {
        SIZES.map(|size| draw_pixmap(self.model.icon, size)).into()
    }
    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        self.icon_pixmap()
    }
    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: texts::PRODUCT.to_owned(), description: self.model.status.clone(), ..ToolTip::default() }
    }
    fn activate(&mut self, _x: i32, _y: i32) {
        self.send(IconEvent::Pressed(TrayAction::OpenPage(banyan_ui_common::Page::Updates)));
    }
    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.model.menu.iter().map(menu_item).collect()
    }
    fn watcher_online(&self) {
        self.send(IconEvent::PanelBack);
    }
    fn watcher_offline(&self, _reason: OfflineReason) -> bool {
        self.send(IconEvent::PanelGone);
        true
    }
}

fn menu_item(item: &MenuEntry) -> MenuItem<StatusNotifierTray> {
    match item {
        MenuEntry::Text(text) => {
            StandardItem { label: escape_label(text), enabled: false, ..StandardItem::default() }.into()
        }
        MenuEntry::AgentClient => MenuItem::Separator,
        MenuEntry::Button { label: text, action } => {
            let action = action.clone();
            let activate =
                Box::new(move |shown: &mut StatusNotifierTray| shown.send(IconEvent::Pressed(action.clone())));
            StandardItem { label: escape_label(text), activate, ..StandardItem::default() }.into()
        }
        MenuEntry::Submenu { label: text, items } => {
            SubMenu { label: escape_label(text), submenu: items.iter().map(menu_item).collect(), ..SubMenu::default() }
                .into()
        }
        MenuEntry::RadioGroup { selected, options } => {
            let radio =
                |(text, _): &(String, TrayAction)| RadioItem { label: escape_label(text), ..RadioItem::default() };
            let actions: Vec<_> = options.iter().map(|(_, action)| action.clone()).collect();
            let select = Box::new(move |shown: &mut StatusNotifierTray, index: usize| {
                if let Some(action) = actions.get(index) {
                    shown.send(IconEvent::Pressed(action.clone()));
                }
            });
            RadioGroup { selected: *selected, select, options: options.iter().map(radio).collect() }.into()
        }
    }
}

/// Escapes underscores, which mark access keys in the menus of this protocol.
fn escape_label(text: &str) -> String {
    text.replace('_', "__")
}

/// Draws the icon in the byte order of the protocol: alpha first.
fn draw_pixmap(icon: tray_icon::TrayIcon, size: u32) -> Icon {
    let data =
        tray_icon::draw_icon(icon, size).chunks(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    let side = size.cast_signed();
    Icon { width: side, height: side, data }
}
