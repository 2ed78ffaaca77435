//! The policy that an administrator sets for machines. The server signs it like an order.

use super::{Background, Choice, GiveWay, Night, Window};
use crate::{UnixSeconds, format::Format, limits, manifest::is_package_name, signed::Document};
use serde::{Deserialize, Serialize};

/// The policy that applies to a machine. The default value applies where no administrator has set one: users choose
/// freely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Policy {
    /// The policy's number. It rises with every policy of this server; a machine never replaces a policy with a lower
    /// number.
    pub number: u64,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// The choice that applies until the user makes one. Its values also replace those of the user's choice that are
    /// out of bounds.
    pub defaults: Choice,
    /// What the user can choose.
    pub bounds: Bounds,
    /// The hours outside which nothing is transferred, whatever the user chooses.
    pub window: Window,
    /// The hours outside which nothing is installed, whatever the user chooses.
    pub install: Window,
    /// The hours that [`Window::Night`] means in this policy and in orders.
    pub night: Night,
    /// Download limit in bytes a second.
    pub download: Option<u64>,
    /// Upload limit in bytes a second.
    pub upload: Option<u64>,
    /// Upload limit for one local day, in bytes.
    pub daily_upload: Option<u64>,
    /// Whether machines forward content to other machines at all.
    pub forward: bool,
    /// The least that transfers must give way to.
    pub give_way: GiveWay,
    /// How background transfers are sent.
    pub background: Background,
    /// Free disk space in bytes below which a machine receives nothing; `None`: a tenth of its disk, at most 1 GiB.
    /// It is left out then, because older versions read only a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_disk: Option<u64>,
    /// How conditions such as battery and metered networks are treated.
    pub rules: Rules,
    /// Deadlines after which an update goes ahead regardless of windows.
    pub deadline: Deadline,
    /// Package files that users open and install manually.
    pub by_hand: ByHand,
    /// Packages that users can install from the catalogue.
    pub catalogue: Catalogue,
    /// How many older versions of an archive stay on a machine, whatever the release says; `None` leaves it to the
    /// release.
    pub keep_versions: Option<u32>,
}

impl Policy {
    /// Checks that the policy is consistent. Callers are those who set a policy; a machine follows any signed policy as
    /// far as it can.
    ///
    /// # Errors
    /// Returns a message about the first error found.
    pub fn check(&self) -> Result<(), String> {
        let charge = &self.rules.battery;
        let charges = [charge.receive, charge.install, charge.forward];
        let wrong = match () {
            () if self.defaults.pause.is_some() => "defaults.pause: only users can pause their machines",
            () if !self.defaults.overrule.metered.is_empty() => {
                "defaults.overrule.metered: only users can name networks; set rules.metered for all networks"
            }
            () if self.bounds.windows.is_empty() => {
                "bounds.windows is empty, so users could not choose a window; omit it, or list `any`, `idle`, `night` \
                 or `weekly`"
            }
            () if self.bounds.open_hours > 168 => "bounds.open-hours: a week has 168 hours",
            () if charges.into_iter().flatten().any(|percent| percent > 100) => {
                "rules.battery: a charge level is at most 100 percent"
            }
            () if self.deadline.announce.len() > 16 => "deadline.announce: list at most 16 times",
            () if self.keep_versions.is_some_and(|number| number == 0 || number > limits::KEPT_VERSIONS) => {
                return Err(format!("keep-versions: keep 1 to {} older versions", limits::KEPT_VERSIONS));
            }
            () if self.by_hand.packages.len() > 1000 => "by-hand.packages: list at most 1000 names",
            () if self.catalogue.packages.len() > limits::CATALOGUE => {
                return Err(format!("catalogue.packages: list at most {} names", limits::CATALOGUE));
            }
            () => return self.catalogue.check(),
        };
        Err(wrong.to_owned())
    }
    /// Returns the bytes that must stay free on a disk of this size.
    #[must_use]
    pub fn least_free_disk(&self, disk_size: u64) -> u64 {
        // A fixed number alone would let machines with small disks never receive anything.
        self.free_disk.unwrap_or_else(|| (disk_size / 10).min(1 << 30))
    }
}

impl Format for Policy {
    const KIND: &'static str = "policy";
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
            background: Background::default(),
            free_disk: None,
            rules: Rules::default(),
            deadline: Deadline::default(),
            by_hand: ByHand::default(),
            catalogue: Catalogue::default(),
            keep_versions: None,
        }
    }
}

/// The rules for package files that users open manually. The machine enforces who may install them. The server issues
/// no order for a package that the rules exclude.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct ByHand {
    /// Who may install them.
    pub who: Who,
    /// The names of the allowed packages. Empty: all published packages.
    pub packages: Vec<String>,
}

impl ByHand {
    /// Returns whether any user may manually install a package of this name.
    #[must_use]
    pub fn allows(&self, package: &str) -> bool {
        self.who != Who::Nobody && (self.packages.is_empty() || self.packages.iter().any(|name| name == package))
    }
}

/// The packages that users can install themselves without an administrator's deployment.
///
/// The catalogue is a field of the policy instead of a separate list. So one document says what applies to a machine,
/// and a group has its own catalogue in the same way. The server's signature tells the machine what it may request,
/// even while the server is unreachable. The machine enforces the catalogue, and the server checks it again when it
/// issues the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Catalogue {
    /// Who may install them. Everyone who can see the machine's status can see the catalogue.
    pub who: Who,
    /// The names of the packages. Empty: the catalogue offers nothing.
    pub packages: Vec<String>,
}

impl Catalogue {
    /// Returns whether the catalogue offers a package of this name to any user.
    #[must_use]
    pub fn offers(&self, package: &str) -> bool {
        self.who != Who::Nobody && self.packages.iter().any(|name| name == package)
    }
    fn check(&self) -> Result<(), String> {
        match self.packages.iter().find(|name| !is_package_name(name)) {
            Some(wrong) => Err(format!(
                "catalogue.packages: {wrong:?} is not a valid package name; use lower-case letters, digits, + . -"
            )),
            None => Ok(()),
        }
    }
}

impl Default for Catalogue {
    /// Offers nothing. Packages that an administrator adds are for everyone by default.
    fn default() -> Self {
        Self { who: Who::Everyone, packages: Vec::new() }
    }
}

/// Who may install packages that no administrator deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// No user.
    Nobody,
    /// Root and the agent's own user.
    #[default]
    Administrators,
    /// Every user with a session at the machine.
    Everyone,
}

/// The kinds of window that [`Bounds::windows`] can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Any, Self::Idle, Self::Night, Self::Weekly];
    /// Returns the kind of a window.
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

/// What the user can choose. A choice out of bounds is refused when the user makes it. If the policy changes later, its
/// defaults replace the values that are now out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Bounds {
    /// The kinds of window that the user can choose, for transfers and for installs.
    pub windows: Vec<Kind>,
    /// The least number of hours a week for which a chosen night or week must be open.
    pub open_hours: u16,
    /// The longest pause in seconds. 0: no pauses; `None`: no limit.
    pub pause: Option<u32>,
    /// The lowest download limit that the user can choose, in bytes a second.
    pub download: u64,
    /// The lowest upload limit that the user can choose, in bytes a second.
    pub upload: u64,
    /// The lowest daily upload limit that the user can choose, in bytes.
    pub daily_upload: u64,
    /// Whether the user can turn off forwarding.
    pub forward: bool,
    /// Whether the user can transfer over a metered network anyway.
    pub metered: bool,
    /// Whether the user can transfer and install on battery anyway.
    pub battery: bool,
    /// Whether the user can let updates install during a full-screen program.
    pub full_screen: bool,
    /// Whether the user can choose to ignore a busy processor or their own presence.
    pub idle: bool,
    /// Whether the user's choice "now" also overrides the administrator's windows.
    pub now: bool,
}

impl Default for Bounds {
    /// Allows everything except overriding the administrator's windows with "now".
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

/// How conditions of the machine affect transfers and installs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Rules {
    /// Whether metered networks are used like others.
    pub metered: bool,
    /// Whether transfers continue while the system saves power.
    pub power_saver: bool,
    /// Whether updates are installed during a full-screen program.
    pub full_screen: bool,
    /// What is allowed on battery.
    pub battery: Charge,
}

/// The battery charge, in percent, that each action needs without mains power. `None`: not allowed on battery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Charge {
    /// The charge needed to receive.
    pub receive: Option<u8>,
    /// The charge needed to install.
    pub install: Option<u8>,
    /// The charge needed to forward.
    pub forward: Option<u8>,
}
impl Default for Charge {
    fn default() -> Self {
        Self { receive: Some(40), install: Some(30), forward: None }
    }
}

/// When something goes ahead regardless of the schedule. A deadline overrides windows, wishes, pauses and full-screen
/// programs. It never overrides checks (disk, battery, metered network) or limits, and it does not affect forwarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Deadline {
    /// The deadline for receiving, in seconds after the order was signed. An order's own deadline applies if it is
    /// earlier.
    pub receive: Option<u32>,
    /// The deadline for installing, in seconds after the order was signed.
    pub install: Option<u32>,
    /// The times at which a deadline is announced, in seconds before it.
    pub announce: Vec<u32>,
    /// The least time, in seconds, that a machine leaves between learning of an install and its deadline.
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
    fn older_and_newer_versions_read_the_minimum_of_free_disk_space() {
        // Older versions have a number here and read no `null`. Without the key, they keep 1 GiB free.
        let unset = serde_json::to_value(Policy::default()).unwrap();
        assert_eq!(unset.get("free-disk"), None);
        assert_eq!(serde_json::from_value::<Policy>(unset).unwrap().free_disk, None);
        // They always write the number.
        let set: Policy = serde_json::from_str(r#"{"number":3,"free-disk":1073741824}"#).unwrap();
        assert_eq!((set.free_disk, set.least_free_disk(250 << 20)), (Some(1 << 30), 1 << 30));
        assert_eq!(serde_json::to_value(set).unwrap()["free-disk"], 1_u64 << 30);
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
