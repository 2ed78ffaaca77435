//! What a scenario is, and how it is written on the command line: a name from the table below, or elements joined by
//! `+`, such as `slow:2x5+server:200`. Rates are in Mbit/s.

use crate::lab::network::rates::{LinkRates, Rate};

/// The named scenarios: name, elements, description.
const NAMED: [(&str, &str, &str); 21] = [
    ("equal", "", "all links equal"),
    ("half-slow", "slow:1x10", "one machine at 10 Mbit/s"),
    ("one-slow", "slow:1x2", "one machine at 2 Mbit/s"),
    ("two-slow", "slow:2x5", "two machines at 5 Mbit/s"),
    ("four-slow", "slow:4x2", "four machines at 2 Mbit/s"),
    ("eight-slow", "slow:8x5", "eight machines at 5 Mbit/s"),
    ("slowing", "slow-down:1@50%", "a forwarding machine drops to 1 Mbit/s at half time"),
    ("slowing-at-half", "slow-down:1@half", "a forwarding machine drops to 1 Mbit/s when it holds half"),
    ("asymmetric", "lines:20/5", "all 20 down and 5 up, server 20"),
    ("fast-server", "server:200", "server 200"),
    ("no-forwarding", "no-forwarding:25%", "a quarter may not forward"),
    ("two-sites", "sites:20/200", "two sites behind 20 each, LAN 200"),
    ("random", "random", "rates log-normal over two decades"),
    ("killed", "kill@50%", "a forwarding machine killed at half time"),
    ("killed-at-half", "kill@half", "a forwarding machine killed when it holds half"),
    ("leaving", "leave:4", "four machines leave one after another"),
    ("restarted", "restart@50%", "everything killed at half time and started again"),
    ("half-no-dial", "no-dial:50%", "half cannot be dialled"),
    ("one-dial", "no-dial:all-1", "all but one cannot be dialled"),
    ("no-dial", "no-dial:100%", "none can be dialled"),
    ("lossy", "loss:4x2%", "2 % of packets lost on four machines"),
];

/// A network and what happens in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// As written on the command line.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) elements: Vec<Element>,
}

/// One deviation from the network with equal links.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Element {
    /// `lines:DOWN/UP`: the links of all machines.
    Lines(LinkRates),
    /// `server:RATE`: the server's link.
    Server(LinkRates),
    /// `slow:COUNTxRATE`: the links of random machines.
    Slow(Count, LinkRates),
    /// `slow-down:RATE@WHEN`: the link of a forwarding machine during the transfer.
    SlowDown(LinkRates, When),
    /// `no-forwarding:COUNT`: machines whose owners do not let them forward.
    NoForwarding(Count),
    /// `no-dial:COUNT`: machines that others cannot connect to.
    NoDial(Count),
    /// `loss:COUNTxSHARE%`: machines whose links lose packets.
    Loss(Count, f64),
    /// `sites:UPLINK/LAN`: two sites of half the machines each.
    Sites { uplink: Rate, lan: Rate },
    /// `budget:RATE`: the budget of each site over its uplink, and a flow of a host without Banyan at the first site.
    Budget(Rate),
    /// `random`: every machine's own rates.
    RandomRates,
    /// `kill@WHEN`: a forwarding machine is killed and stays away.
    Kill(When),
    /// `leave:COUNT`: machines are killed one after another, at equal intervals up to the nominal time.
    Leave(Count),
    /// `restart@WHEN`: server and machines are killed and started again.
    Restart(When),
}

/// How many machines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Count {
    Number(usize),
    /// A share of all, 0 to 1.
    Share(f64),
    AllBut(usize),
}

impl Count {
    pub(crate) fn of(self, machines: usize) -> usize {
        match self {
            Self::Number(number) => number.min(machines),
            Self::Share(share) => (share * machines as f64).round() as usize,
            Self::AllBut(number) => machines.saturating_sub(number),
        }
    }
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix("all-").and_then(|number| number.parse().ok()) {
            return Ok(Self::AllBut(number));
        }
        if let Some(percent) = text.strip_suffix('%') {
            return share(percent).map(Self::Share);
        }
        text.parse().map(Self::Number).map_err(|_| format!("{text:?} is not a number of machines"))
    }
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// After this share of the nominal time, which is the file's size over the nominal rate.
    Share(f64),
    /// When the machine holds half of the file.
    HoldsHalf,
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        match (text, text.strip_suffix('%')) {
            ("half", _) => Ok(Self::HoldsHalf),
            (_, Some(percent)) => share(percent).map(Self::Share),
            _ => Err(format!("{text:?} is not a time; write a share of the nominal time such as 50%, or half")),
        }
    }
}

fn share(percent: &str) -> Result<f64, String> {
    match percent.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number / 100.0),
        _ => Err(format!("{percent:?} is not a percentage")),
    }
}

impl Scenario {
    /// Parses names and elements joined by `+`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut elements, mut words) = (Vec::new(), Vec::new());
        for part in text.split('+') {
            match NAMED.iter().find(|(name, ..)| *name == part) {
                Some((_, meaning, description)) => {
                    let parts = meaning.split('+').filter(|part| !part.is_empty());
                    elements.extend(parts.map(Element::parse).collect::<Result<Vec<_>, _>>()?);
                    words.push(*description);
                }
                None => {
                    elements.push(Element::parse(part)?);
                    words.push(part);
                }
            }
        }
        Ok(Self { name: text.to_owned(), description: words.join("; "), elements })
    }
    /// Returns the name as part of a file's name.
    pub(crate) fn file_name(&self) -> String {
        self.name.replace(['/', ':'], "_")
    }
    /// Returns the help text with all names and elements.
    pub(crate) fn help() -> String {
        let names = NAMED.iter().map(|(name, meaning, words)| {
            let meaning = if meaning.is_empty() { "" } else { &format!(" ({meaning})") };
            format!("  {name}: {words}{meaning}")
        });
        format!(
            "Scenarios to measure instead, separated by commas: names, or elements joined by `+`\n\n\
             Machines are picked at random, with the seed. Names:\n{}\n\
             COUNT is a number, a percentage or all-N; rates are in Mbit/s, RATE or DOWN/UP; WHEN is a share of the \
             nominal time, or half: when the machine holds half.",
            names.collect::<Vec<_>>().join("\n")
        )
    }
}

impl Element {
    fn parse(text: &str) -> Result<Self, String> {
        let (text, when) = match text.split_once('@') {
            Some((before, when)) => (before, Some(When::parse(when)?)),
            None => (text, None),
        };
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        let of_count = || value.split_once('x').ok_or(format!("{text:?} lacks COUNTx"));
        let found = match (kind, when) {
            ("lines", None) => Self::Lines(LinkRates::parse(value)?),
            ("server", None) => Self::Server(LinkRates::parse(value)?),
            ("slow", None) => {
                let (count, link) = of_count()?;
                Self::Slow(Count::parse(count)?, LinkRates::parse(link)?)
            }
            ("slow-down", Some(when)) => Self::SlowDown(LinkRates::parse(value)?, when),
            ("no-forwarding", None) => Self::NoForwarding(Count::parse(value)?),
            ("no-dial", None) => Self::NoDial(Count::parse(value)?),
            ("loss", None) => {
                let (count, lost) = of_count()?;
                Self::Loss(Count::parse(count)?, share(lost.trim_end_matches('%'))?)
            }
            ("sites", None) => {
                let (uplink, lan) = value.split_once('/').ok_or("sites need UPLINK/LAN")?;
                Self::Sites { uplink: Rate::parse(uplink)?, lan: Rate::parse(lan)? }
            }
            ("budget", None) => Self::Budget(Rate::parse(value)?),
            ("random", None) => Self::RandomRates,
            ("kill", Some(when)) => Self::Kill(when),
            ("leave", None) => Self::Leave(Count::parse(value)?),
            ("restart", Some(when @ When::Share(_))) => Self::Restart(when),
            _ => return Err(format!("{text:?} is neither a scenario nor an element of one; see --help")),
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_meaning_and_names_join_with_elements() {
        for (name, ..) in NAMED {
            let scenario = Scenario::parse(name).unwrap();
            assert!(scenario.elements.len() == 1 || name == "equal", "{name}");
        }
        let slow = Element::Slow(Count::Number(4), LinkRates::parse("2").unwrap());
        let server = Element::Server(LinkRates::parse("200").unwrap());
        assert_eq!(Scenario::parse("four-slow+server:200").unwrap().elements, [slow, server]);
        for wrong in ["", "fast", "slow:4", "kill", "equal@50%", "loss:4x200%", "slow-down:1@later"] {
            assert!(Scenario::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_are_numbers_shares_or_all_but_some() {
        let of_16 = |text| Count::parse(text).unwrap().of(16);
        assert_eq!([of_16("4"), of_16("25%"), of_16("all-1"), of_16("99")], [4, 4, 15, 16]);
    }
}
