//! Tries filters on machines with every state that a filter can ask about.

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

/// The machines that the filters are tried on, with all they own.
struct Odd {
    name: &'static str,
    groups: Vec<String>,
    tags: Vec<String>,
    addresses: Vec<IpAddr>,
    platform: Option<&'static str>,
    seen: Option<u64>,
    online: bool,
    receives: Option<Rate>,
    firefox: Option<&'static str>,
}

impl Odd {
    fn new(seed: usize) -> Self {
        let pick = |of: usize, among: usize| (seed / among) % of;
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self {
            name: ["lab-01", "LAB-02", "büro 7", "漢字", "' or 1=1 --", "a\"b\\c", "*", "007"][pick(8, 1)],
            groups: [list(&[]), list(&["Lab"]), list(&["lab", "kiosk"])][pick(3, 8)].clone(),
            tags: [list(&[]), list(&["protected"]), list(&["x", "y"])][pick(3, 24)].clone(),
            addresses: [vec![], vec!["10.1.2.3"], vec!["::ffff:10.1.3.4"], vec!["fd00::5", "10.1.2.9"]][pick(4, 72)]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
            platform: [None, Some("linux-x86_64"), Some("windows-aarch64")][pick(3, 2)],
            seen: [None, Some(0), Some(86_400), Some(8 * 86_400)][pick(4, 5)],
            online: seed.is_multiple_of(2),
            receives: [
                None,
                Some((2_000_000, None)),
                Some((2_000_000, Some(4_000_000))),
                Some((10_000_000, Some(10_000_000))),
            ][pick(4, 7)]
            .map(|(at_least, at_most)| Rate { at_least, at_most }),
            firefox: [None, Some("139.0"), Some("140.0.1")][pick(3, 11)],
        }
    }
    /// Returns a named site for the one subnet that has a name.
    fn sites(&self) -> Vec<String> {
        let names = |ip: &IpAddr| match ip.to_canonical().to_string().as_str() {
            "10.1.2.3" => vec!["10.1.2.0/24".to_owned(), "Head Office".to_owned()],
            _ => vec!["10.1.3.0/24".to_owned()],
        };
        self.addresses.first().map(names).unwrap_or_default()
    }
    fn test(&self, filter: &Filter) -> Truth {
        let firefox = self.firefox;
        filter.test(&Machine {
            name: self.name,
            label: "reported",
            sites: &self.sites(),
            id: "00ff",
            groups: &self.groups,
            tags: &self.tags,
            addresses: &self.addresses,
            platform: self.platform,
            agent: Some("0.1.0"),
            seen: self.seen,
            enrolled: Some(3600),
            online: self.online,
            excluded: false,
            receives: self.receives,
            sends: None,
            clock: None,
            reach: None,
            version: &|package| firefox.filter(|_| package == "firefox"),
        })
    }
}

fn odd_machines() -> Vec<Odd> {
    (0..1000).map(Odd::new).collect()
}

/// Returns whether a filter gives the same answers as a function, for every odd machine.
fn assert_same(filter: &str, expected: impl Fn(&Odd) -> Option<bool>) {
    let parsed: Filter = filter.parse().unwrap_or_else(|error: FilterError| panic!("{}", error.explain(filter)));
    for machine in odd_machines() {
        let expected = match expected(&machine) {
            None => Truth::Unknown,
            Some(true) => Truth::Yes,
            Some(false) => Truth::No,
        };
        assert_eq!(machine.test(&parsed), expected, "{filter} for {}", machine.name);
    }
    let again: Filter = parsed.to_string().parse().unwrap();
    assert_eq!(again, parsed, "{parsed}");
}

#[test]
fn each_field_answers_for_what_is_known() {
    let has = |list: &[String], name: &str| Some(list.iter().any(|one| one.to_lowercase() == name));
    assert_same("all", |_| Some(true));
    assert_same("name = lab-02", |machine| Some(machine.name == "LAB-02"));
    assert_same("name = lab-*", |machine| Some(machine.name.to_lowercase().starts_with("lab-")));
    assert_same("name:*a*b*", |machine| {
        let name = machine.name.to_lowercase();
        Some(name.find('a').is_some_and(|at| name[at + 1..].contains('b')))
    });
    assert_same(r#"name = "*""#, |machine| Some(machine.name == "*"));
    assert_same(r#"name = "a\"b\\c""#, |machine| Some(machine.name == "a\"b\\c"));
    assert_same(r#"name = "' or 1=1 --""#, |machine| Some(machine.name == "' or 1=1 --"));
    assert_same("name in (007, 漢字)", |machine| Some(["007", "漢字"].contains(&machine.name)));
    assert_same("id = 00*", |_| Some(true));
    assert_same("group = LAB", |machine| has(&machine.groups, "lab"));
    assert_same("group != lab", |machine| has(&machine.groups, "lab").map(|is| !is));
    assert_same("tag:protected", |machine| has(&machine.tags, "protected"));
    assert_same("group in (kiosk, other)", |machine| has(&machine.groups, "kiosk"));
    assert_same("os = linux", |machine| machine.platform.map(|platform| platform == "linux-x86_64"));
    assert_same("arch = aarch64", |machine| machine.platform.map(|platform| platform == "windows-aarch64"));
    assert_same("not os = linux", |machine| machine.platform.map(|platform| platform != "linux-x86_64"));
    assert_same("seen < 7d", |machine| machine.seen.map(|seen| seen < 7 * 86_400));
    assert_same("seen >= 1d", |machine| machine.seen.map(|seen| seen >= 86_400));
    assert_same("online = yes", |machine| Some(machine.online));
    assert_same("online != no", |machine| Some(machine.online));
    let compare = |rate: Option<Rate>, low: fn(u64) -> bool| {
        let rate = rate?;
        let bounds = (low(rate.at_least), rate.at_most.map(low));
        // What a rate is between two bounds, it is for both.
        (bounds.1 == Some(bounds.0) || !bounds.0).then_some(bounds.0)
    };
    assert_same("receives < 5Mbit/s", |machine| compare(machine.receives, |rate| rate < 5_000_000));
    assert_same("receives <= 2Mbit/s", |machine| compare(machine.receives, |rate| rate <= 2_000_000));
    assert_same("receives > 4Mbit/s", |machine| compare(machine.receives, |rate| rate <= 4_000_000).map(|is| !is));
    assert_same("receives >= 10Mbit/s", |machine| compare(machine.receives, |rate| rate < 10_000_000).map(|is| !is));
    assert_same("sends > 1bit/s", |_| None);
    assert_same("agent >= 0.1", |_| Some(true));
    assert_same("version(firefox) < 140", |machine| machine.firefox.map(|version| version == "139.0"));
    assert_same("version(firefox) = 140.0.1.0", |machine| machine.firefox.map(|version| version == "140.0.1"));
    assert_same("version(other) != 1", |_| None);
    assert_same("known(version(firefox))", |machine| Some(machine.firefox.is_some()));
    assert_same("not known(address)", |machine| Some(machine.addresses.is_empty()));
    let is_in = |machine: &Odd, prefix: &str| {
        let mut addresses = machine.addresses.iter().map(|ip| ip.to_canonical().to_string());
        (!machine.addresses.is_empty()).then(|| addresses.any(|ip| ip.starts_with(prefix)))
    };
    assert_same("address = 10.1.2.0/24", |machine| is_in(machine, "10.1.2."));
    assert_same("address:10.1.0.0/16", |machine| is_in(machine, "10.1."));
    assert_same("address = fd00::/64", |machine| is_in(machine, "fd00:"));
    assert_same("address in (fd00::5, 10.1.3.4)", |machine| {
        let others = [is_in(machine, "fd00:"), is_in(machine, "10.1.3.")];
        others.into_iter().flatten().reduce(|a, b| a || b)
    });
    let at_site = |machine: &Odd, of: fn(&str) -> bool| {
        let sites = machine.sites();
        (!sites.is_empty()).then(|| sites.iter().any(|site| of(site)))
    };
    assert_same("label = reported", |_| Some(true));
    assert_same("site = 10.1.2.0/24", |machine| at_site(machine, |site| site == "10.1.2.0/24"));
    assert_same(r#"site != "head office""#, |machine| at_site(machine, |site| site == "Head Office").map(|is| !is));
    assert_same("address = 0.0.0.0/0", |machine| is_in(machine, "10."));
}

#[test]
fn what_is_unknown_never_widens_a_selection() {
    assert_same("os = linux and sends > 1bit/s", |machine| {
        machine.platform.filter(|platform| *platform != "linux-x86_64").map(|_| false)
    });
    assert_same("os = linux or sends > 1bit/s", |machine| {
        machine.platform.filter(|platform| *platform == "linux-x86_64").map(|_| true)
    });
    assert_same("not (sends > 1bit/s)", |_| None);
    assert_same("not (sends > 1bit/s or online = yes)", |machine| machine.online.then_some(false));
}

#[test]
fn a_filter_says_what_it_asks_for() {
    let filter: Filter =
        "version(firefox) > 1 or not (known(version(\"a b\")) and version(firefox) < 3)".parse().unwrap();
    assert_eq!(filter.packages().into_iter().collect::<Vec<_>>(), ["a b", "firefox"]);
    for (text, is_named) in [
        ("tag:Protected", true),
        ("os = linux and not tag in (x, protected)", true),
        ("tag = protect*", false),
        ("group = protected", false),
        ("all", false),
    ] {
        assert_eq!(text.parse::<Filter>().unwrap().names_tag("protected"), is_named, "{text}");
    }
}

#[test]
fn a_text_that_the_caller_does_not_know_is_an_error_at_its_place() {
    let check = |field: &str, text: &str| match field {
        "group" if !text.eq_ignore_ascii_case("lab") => Err(format!("`{text}` is no group")),
        _ => Ok(()),
    };
    assert!(Filter::parse("group in (LAB, \"Lab\") or group = la* or tag = labb", &check).is_ok());
    let error = Filter::parse("os = linux and not group in (lab, labb)", &check).unwrap_err();
    assert_eq!((error.at(), error.what()), (34, "`labb` is no group"));
}

#[test]
fn errors_name_the_place_and_what_to_write() {
    for (filter, at, what) in [
        ("", 0, "empty; write `all`"),
        ("  ", 0, "empty"),
        ("osx = linux", 0, "the fields are name, label, id"),
        ("os = linux and ", 15, "expected a field"),
        ("os = linux tag:lab", 11, "`and` or `or` is missing"),
        ("os linux", 3, "expected =, != or in behind `os`"),
        ("os < linux", 3, "`os` is compared with =, != or in"),
        ("seen = 7d", 5, "`seen` is compared with <"),
        ("seen < 7", 7, "a time such as 30s"),
        ("seen < 99999999999999999999d", 7, "a time such as"),
        ("receives < 5", 11, "a rate such as"),
        ("online = maybe", 9, "yes or no"),
        ("address = 10.1.2.0/33", 10, "an address or a subnet"),
        ("address = school", 10, "an address or a subnet"),
        ("name = \"lab", 7, "do not end"),
        ("name = \"a\\n\"", 9, "backslash"),
        ("name = \"\"", 7, "known(FIELD)"),
        ("(os = linux", 11, "expected `)`"),
        ("os = linux)", 10, "closes nothing"),
        ("all and os = linux", 4, "stands alone"),
        ("not all", 4, "`all` is no field"),
        ("version < 3", 8, "version(firefox)"),
        ("name in lab", 8, "expected `(`"),
        ("name in ()", 9, "expected a word"),
        ("! os = linux", 0, "`not`"),
        ("büro = 1", 0, "no field"),
    ] {
        let error = filter.parse::<Filter>().expect_err(filter);
        assert!(error.at() == at && error.what().contains(what), "{filter:?}: {error}");
    }
    let error = "name = ü and oss = x".parse::<Filter>().unwrap_err();
    let shown = error.explain("name = ü and oss = x");
    assert!(shown.starts_with("name = ü and oss = x\n             ^ `oss` is no field"), "{shown}");
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = format!("{}os = linux{}", "(".repeat(MOST_DEPTH), ")".repeat(MOST_DEPTH));
    assert!(deep.parse::<Filter>().unwrap_err().what().contains("deeper"));
    assert!("not ".repeat(900).parse::<Filter>().unwrap_err().what().contains("deeper"));
    let many = ["a"; MOST_COMPARISONS + 1].map(|_| "id=a").join(" or ");
    assert!(many.parse::<Filter>().unwrap_err().what().contains("comparisons"));
    assert!(" ".repeat(MOST_BYTES + 1).parse::<Filter>().unwrap_err().what().contains("bytes"));
}

fn comparison() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "name = lab-*",
        "group = lab",
        "tag != x",
        "os = linux",
        "seen < 7d",
        "online = yes",
        "receives >= 10Mbit/s",
        "version(firefox) > 139",
        "known(receives)",
        "address = 10.1.2.0/24",
    ])
    .prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    comparison().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and {b}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) or ({b})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_filter_reads_back_as_itself_and_means_what_its_parts_mean(a in expression(), b in expression()) {
        let parse = |text: &str| text.parse::<Filter>().unwrap();
        let (left, right) = (parse(&a), parse(&b));
        prop_assert_eq!(parse(&left.to_string()), left.clone());
        let (both, either) = (parse(&format!("({a}) and ({b})")), parse(&format!("({a}) or ({b})")));
        let negated = parse(&format!("not ({a})"));
        for machine in odd_machines().iter().step_by(7) {
            let (left, right) = (machine.test(&left), machine.test(&right));
            prop_assert_eq!(machine.test(&both), left.min(right));
            prop_assert_eq!(machine.test(&either), left.max(right));
            let opposite = [Truth::Yes, Truth::Unknown, Truth::No][left as usize];
            prop_assert_eq!(machine.test(&negated), opposite);
        }
    }
    #[test]
    fn any_text_is_read_or_refused_with_a_place_in_it(text in "\\PC{0,60}") {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(text.is_char_boundary(error.at()), "{}", error);
            prop_assert!(error.explain(&text).contains(error.what()));
        }
    }
}
