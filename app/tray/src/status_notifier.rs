//! The tray icon on Linux: a StatusNotifierItem on the session bus. It draws what [`crate::tray_model`] describes.

use crate::tray_model::{Action, Item, Tray as Model};
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
pub(crate) enum Said {
    /// A menu entry or the icon was pressed.
    Pressed(Action),
    /// No panel shows the icon any more.
    NoPanel,
    /// A panel shows the icon again.
    Panel,
}

/// The icon on the bus.
pub(crate) struct Shown {
    model: Model,
    said: Sender<Said>,
}

impl Shown {
    fn say(&self, said: Said) {
        // The receiver exists until the program ends.
        drop(self.said.send(said));
    }
}

/// Puts the icon on the bus.
///
/// # Errors
/// Fails when there is no session bus. Without a panel it reports [`Said::NoPanel`] and waits for one.
pub(crate) fn show(model: Model, said: Sender<Said>) -> Result<Handle<Shown>, ksni::Error> {
    Shown { model, said }.assume_sni_available(true).spawn()
}

/// Replaces icon and menu.
pub(crate) fn update(handle: &Handle<Shown>, model: Model) {
    handle.update(|shown| shown.model = model);
}

impl ksni::Tray for Shown {
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
        if self.model.attention { Status::NeedsAttention } else { Status::Active }
    }
    fn icon_pixmap(&self) -> Vec<Icon> {
        SIZES.map(|size| picture(self.model.icon, size)).into()
    }
    fn attention_icon_pixmap(&self) -> Vec<Icon> {
        self.icon_pixmap()
    }
    fn tool_tip(&self) -> ToolTip {
        ToolTip { title: texts::PRODUCT.to_owned(), description: self.model.status.clone(), ..ToolTip::default() }
    }
    fn activate(&mut self, _x: i32, _y: i32) {
        self.say(Said::Pressed(Action::Open(banyan_ui_common::Page::Updates)));
    }
    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.model.menu.iter().map(entry).collect()
    }
    fn watcher_online(&self) {
        self.say(Said::Panel);
    }
    fn watcher_offline(&self, _reason: OfflineReason) -> bool {
        self.say(Said::NoPanel);
        true
    }
}

fn entry(item: &Item) -> MenuItem<Shown> {
    match item {
        Item::Text(text) => StandardItem { label: label(text), enabled: false, ..StandardItem::default() }.into(),
        Item::Line => MenuItem::Separator,
        Item::Do { label: text, action } => {
            let action = action.clone();
            let activate = Box::new(move |shown: &mut Shown| shown.say(Said::Pressed(action.clone())));
            StandardItem { label: label(text), activate, ..StandardItem::default() }.into()
        }
        Item::Sub { label: text, items } => {
            SubMenu { label: label(text), submenu: items.iter().map(entry).collect(), ..SubMenu::default() }.into()
        }
        Item::Choice { selected, options } => {
            let radio = |(text, _): &(String, Action)| RadioItem { label: label(text), ..RadioItem::default() };
            let actions: Vec<_> = options.iter().map(|(_, action)| action.clone()).collect();
            let select = Box::new(move |shown: &mut Shown, index: usize| {
                if let Some(action) = actions.get(index) {
                    shown.say(Said::Pressed(action.clone()));
                }
            });
            RadioGroup { selected: *selected, select, options: options.iter().map(radio).collect() }.into()
        }
    }
}

/// Escapes underscores, which mark access keys in the menus of this protocol.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

/// Draws the icon in the byte order of the protocol: alpha first.
fn picture(icon: tray_icon::Crown, size: u32) -> Icon {
    let data =
        tray_icon::draw(icon, size).chunks(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    let side = size.cast_signed();
    Icon { width: side, height: side, data }
}
