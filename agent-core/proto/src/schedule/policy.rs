//! What administrators lay down for their machines. Signed by the server like an order.

use super::{Choice, GiveWay, Night, Window};
use crate::{UnixSeconds, limits, manifest::is_package_name, signed::Document};
use serde::{Deserialize, Serialize};

/// What administrators lay down. The default is what holds without an administrator: people choose freely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Policy {
    /// Rises with every policy of this server; an older one does not replace a newer one.
    pub number: u64,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// Holds until the person chooses, and where the person's choice is out of bounds.
    pub defaults: Choice,
    /// What the person may choose.
    pub bounds: Bounds,
    /// Nothing is transferred outside, whatever the person chooses.
    pub window: Window,
    /// Nothing is installed outside, whatever the person chooses.
    pub install: Window,
    /// The hours meant by [`Window::Night`] in this policy and in orders.
    pub night: Night,
    /// Receive at most so fast (bytes a second).
    pub download: Option<u64>,
    /// Pass on at most so fast (bytes a second).
    pub upload: Option<u64>,
    /// Pass on at most so much in one local day (bytes).
    pub daily_upload: Option<u64>,
    /// Machines pass on at all.
    pub forward: bool,
    /// Transfers give way to these at the least.
    pub give_way: GiveWay,
    /// Below so much free disk nothing is received (bytes).
    pub free_disk: u64,
    /// What signals mean.
    pub rules: Rules,
    /// When something goes ahead in any case.
    pub deadline: Deadline,
    /// Packages that people open by hand.
    pub by_hand: ByHand,
    /// Packages that people may get for themselves.
    pub catalogue: Catalogue,
}

impl Policy {
    /// Whether it makes sense. For whoever sets one; a machine does what it is told as far as it can.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let charge = &self.rules.battery;
        let charges = [charge.receive, charge.install, charge.forward];
        let wrong = match () {
            () if self.defaults.pause.is_some() => "defaults.pause: only the person at the machine can pause",
            () if !self.defaults.overrule.metered.is_empty() => {
                "defaults.overrule.metered: networks are named by the person at the machine; rules.metered holds for all"
            }
            () if self.bounds.windows.is_empty() => {
                "bounds.windows is empty, so that nothing could be chosen; leave it out, or name `any`, `idle`, `night` or \
                 `weekly`"
            }
            () if self.bounds.open_hours > 168 => "bounds.open-hours: a week has 168 hours",
            () if charges.into_iter().flatten().any(|percent| percent > 100) => {
                "rules.battery: a battery holds at most 100 percent"
            }
            () if self.deadline.announce.len() > 16 => "deadline.announce: at most 16 times",
            () if self.by_hand.packages.len() > 1000 => "by-hand.packages: at most 1000 names",
            () if self.catalogue.packages.len() > limits::CATALOGUE => {
                return Err(format!("catalogue.packages: at most {} names", limits::CATALOGUE));
            }
            () => return self.catalogue.check(),
        };
        Err(wrong.to_owned())
    }
}

impl Document for Policy {
    const CONTEXT: &'static str = "banyan v1 policy";
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            number: 0,
            issued: UnixSeconds::default(),
            defaults: Choice::default(),
            bounds: Bounds::default(),
            window: Window::Any,
            install: Window::Any,
            night: Night::default(),
            download: None,
            upload: None,
            daily_upload: None,
            forward: true,
            give_way: GiveWay::Nobody,
            free_disk: 1 << 30,
            rules: Rules::default(),
            deadline: Deadline::default(),
            by_hand: ByHand::default(),
            catalogue: Catalogue::default(),
        }
    }
}

/// Packages that people open by hand. Held by the machine, where it says who, and by the server, which orders none that is
/// not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ByHand {
    /// Who may install them.
    pub who: Who,
    /// Only packages of these names; none named: all that were published.
    pub packages: Vec<String>,
}

impl ByHand {
    /// Whether anybody may install a package of this name by hand.
    #[must_use]
    pub fn allows(&self, package: &str) -> bool {
        self.who != Who::Nobody && (self.packages.is_empty() || self.packages.iter().any(|name| name == package))
    }
}

/// Packages that people may get for themselves, without anybody ordering them. It stands in the policy, and is not a list of its
/// own beside it, so that one text says what holds for a machine, a group has its own in the same way, and the machine knows by
/// the server's signature what it may ask for, also while the server is away. Held by the machine, and again by the server
/// at the moment in which it orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Catalogue {
    /// Who may get them. What is offered is seen by everybody who may see how the machine is.
    pub who: Who,
    /// Their names; none named: nothing is offered.
    pub packages: Vec<String>,
}

impl Catalogue {
    /// Whether a package of this name is offered to anybody.
    #[must_use]
    pub fn offers(&self, package: &str) -> bool {
        self.who != Who::Nobody && self.packages.iter().any(|name| name == package)
    }
    fn check(&self) -> Result<(), String> {
        match self.packages.iter().find(|name| !is_package_name(name)) {
            Some(wrong) => Err(format!(
                "catalogue.packages: {wrong:?} cannot be the name of a package (lower-case letters, digits, + . -)"
            )),
            None => Ok(()),
        }
    }
}

impl Default for Catalogue {
    /// Nothing is offered; what somebody offers is for everybody.
    fn default() -> Self {
        Self { who: Who::Everyone, packages: Vec::new() }
    }
}

/// Who may install what nobody ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Nobody.
    Nobody,
    /// Root and the agent's own user.
    #[default]
    Administrators,
    /// Everybody with a session at the machine.
    Everyone,
}

/// The kinds of window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// [`Window::Any`].
    Any,
    /// [`Window::Idle`].
    Idle,
    /// [`Window::Night`].
    Night,
    /// [`Window::Weekly`].
    Weekly,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Any, Self::Idle, Self::Night, Self::Weekly];
    /// A window's kind.
    #[must_use]
    pub fn of(window: &Window) -> Self {
        match window {
            Window::Any => Self::Any,
            Window::Idle => Self::Idle,
            Window::Night => Self::Night,
            Window::Weekly(_) => Self::Weekly,
        }
    }
}

/// What the person may choose. A choice outside is refused when it is made; where the policy came later, its defaults
/// take the place of what is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Bounds {
    /// Kinds of window, for transfers and for installs.
    pub windows: Vec<Kind>,
    /// A chosen night or week is open for at least so many hours in a week.
    pub open_hours: u16,
    /// The longest pause (seconds); 0: none at all; no number: without end.
    pub pause: Option<u32>,
    /// A chosen download limit is at least so much (bytes a second).
    pub download: u64,
    /// A chosen upload limit is at least so much (bytes a second).
    pub upload: u64,
    /// A chosen daily quota is at least so much (bytes).
    pub daily_upload: u64,
    /// The person may choose not to pass on.
    pub forward: bool,
    /// The person may use a metered network all the same.
    pub metered: bool,
    /// The person may transfer and install on battery all the same.
    pub battery: bool,
    /// The person may have updates installed below a full-screen program.
    pub full_screen: bool,
    /// The person may say that a busy processor, or they themselves, do not count.
    pub idle: bool,
    /// When the person says "now", the administrator's windows do not count either.
    pub now: bool,
}

impl Default for Bounds {
    /// Everything is allowed, save "now" against the administrator's windows.
    fn default() -> Self {
        Self {
            windows: Kind::ALL.to_vec(),
            open_hours: 0,
            pause: None,
            download: 0,
            upload: 0,
            daily_upload: 0,
            forward: true,
            metered: true,
            battery: true,
            full_screen: true,
            idle: true,
            now: false,
        }
    }
}

/// What signals mean.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Rules {
    /// Metered networks are used like others.
    pub metered: bool,
    /// Transfers go on while the system saves power.
    pub power_saver: bool,
    /// Updates are installed below a full-screen program.
    pub full_screen: bool,
    /// What is done on battery.
    pub battery: Charge,
}

/// How full the battery must be (percent) to do something without mains; no number: not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Charge {
    /// To receive.
    pub receive: Option<u8>,
    /// To install.
    pub install: Option<u8>,
    /// To pass on.
    pub forward: Option<u8>,
}
impl Default for Charge {
    fn default() -> Self {
        Self { receive: Some(40), install: Some(30), forward: None }
    }
}

/// When something goes ahead in any case. It overrides windows, wishes, pauses and full-screen programs; never checks (disk,
/// battery, metered network), limits, or what is passed on to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Deadline {
    /// Receiving, so many seconds after the order was signed. An order's own deadline counts when it is earlier.
    pub receive: Option<u32>,
    /// Installing, likewise.
    pub install: Option<u32>,
    /// It is announced so many seconds before.
    pub announce: Vec<u32>,
    /// A machine that hears of an install late has at least so many seconds until its deadline.
    pub grace: u32,
}
impl Default for Deadline {
    fn default() -> Self {
        Self { receive: None, install: None, announce: vec![24 * 3600, 4 * 3600, 15 * 60], grace: 15 * 60 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_from_before_the_catalogue_offers_nothing_and_is_read() {
        let mut old = serde_json::to_value(Policy { upload: Some(5), number: 3, ..Policy::default() }).unwrap();
        assert!(old.as_object_mut().unwrap().remove("catalogue").is_some());
        let read: Policy = serde_json::from_value(old).unwrap();
        assert_eq!(read, Policy { upload: Some(5), number: 3, ..Policy::default() });
        assert!(!read.catalogue.offers("drawing"));
    }

    #[test]
    fn the_catalogue_offers_what_it_names_and_only_what_can_be_a_name() {
        let catalogue =
            |who, names: &[&str]| Catalogue { who, packages: names.iter().map(|name| (*name).to_owned()).collect() };
        let offered = catalogue(Who::Everyone, &["drawing"]);
        assert!(offered.offers("drawing") && !offered.offers("draw") && !offered.offers(""));
        assert!(!catalogue(Who::Nobody, &["drawing"]).offers("drawing"));
        let check = |names: &[&str]| Policy { catalogue: catalogue(Who::Everyone, names), ..Policy::default() }.check();
        assert_eq!(check(&["drawing", "maths-tools"]), Ok(()));
        assert!(check(&["drawing", "*"]).unwrap_err().contains("\"*\""));
        assert!(check(&vec!["drawing"; limits::CATALOGUE + 1]).unwrap_err().contains("200"));
    }
}
