//! The tray icon on Linux: a StatusNotifierItem on the session bus. It draws what [`crate::tray_model`] describes.

use crate::tray_model::{MenuEntry, TrayAction, TrayModel};
use banyan_ui_common::{texts, tray_icon};
use ksni::{
    Category, Icon, MenuItem, OfflineReason, Status, ToolTip,
    blocking::{Handle, TrayMethods},
    menu::{RadioGroup, RadioItem, StandardItem, SubMenu},
};
use std::sync::mpsc::Sender;

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
}

/// The icon on the bus.
pub(crate) struct StatusNotifierTray {
    model: TrayModel,
    events: Sender<IconEvent>,
}

impl StatusNotifierTray {
    fn send(&self, event: IconEvent) {
        // The receiver exists until the program ends.
        drop(self.events.send(event));
    }
}

/// Puts the icon on the bus.
///
/// # Errors
/// Fails when there is no session bus. Without a panel it reports [`IconEvent::PanelGone`] and waits for one.
pub(crate) fn show_icon(
    model: TrayModel,
    events: Sender<IconEvent>,
) -> Result<Handle<StatusNotifierTray>, ksni::Error> {
    StatusNotifierTray { model, events }.assume_sni_available(true).spawn()
}

/// Replaces icon and menu.
pub(crate) fn update_icon(handle: &Handle<StatusNotifierTray>, model: TrayModel) {
    handle.update(|shown| shown.model = model);
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
