//! The icon on Linux: a StatusNotifierItem on the session's bus. Carries out what [`crate::model`] says, and nothing else.

use crate::model::{Action, Item, Tray as Model};
use banyan_face::{crown, texts};
use ksni::{
    Category, Icon, MenuItem, OfflineReason, Status, ToolTip,
    blocking::{Handle, TrayMethods},
    menu::{RadioGroup, RadioItem, StandardItem, SubMenu},
};
use std::sync::mpsc::Sender;

/// Sizes that panels ask for (pixels).
const SIZES: [u32; 4] = [16, 22, 32, 48];

/// What the icon reports.
#[derive(Debug)]
pub(crate) enum Said {
    /// An entry was pressed, or the icon.
    Pressed(Action),
    /// No panel shows it any longer.
    NoPanel,
    /// A panel shows it again.
    Panel,
}

/// The item on the bus.
pub(crate) struct Shown {
    model: Model,
    said: Sender<Said>,
}

impl Shown {
    fn say(&self, said: Said) {
        // The receiver is gone only when the program ends.
        drop(self.said.send(said));
    }
}

/// Puts the icon on the bus.
///
/// # Errors
/// Without a session bus. Without a panel it waits for one, and says [`Said::NoPanel`].
pub(crate) fn show(model: Model, said: Sender<Said>) -> Result<Handle<Shown>, ksni::Error> {
    Shown { model, said }.assume_sni_available(true).spawn()
}

/// Shows something else.
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
        self.say(Said::Pressed(Action::Open(banyan_face::Page::Updates)));
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

/// In menus of this protocol an underscore marks a key; two are one.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

/// As the protocol wants it: alpha first.
fn picture(icon: crown::Crown, size: u32) -> Icon {
    let data = crown::draw(icon, size).chunks(4).flat_map(|pixel| [pixel[3], pixel[0], pixel[1], pixel[2]]).collect();
    let side = size.cast_signed();
    Icon { width: side, height: side, data }
}
