//! `banyan sites`: lists the sites, sets or removes the budget of one, and names ranges of addresses.

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, format_table, print_note},
    profile::ProfileArg,
};
use banyan_proto::{
    AddressRange, Site,
    assignments::{NameSite, NamedSite},
    format_size,
    schedule::Window,
    site_budget::{BudgetHours, SetSiteBudget, SiteBudget, SiteRates, SiteStatus},
};

/// What stands for no limit.
const UNLIMITED: &str = "unlimited";

/// List the sites, set or remove the budget of one, or name sites
///
/// A site is a subnet, /24 for IPv4 or /64 for IPv6. Its budget holds for all of its machines together.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
                  # Sites, machines, and who may use the uplink now\n  \
                  banyan sites\n  \
                  # At most 600 kB a second over the uplink of a branch office\n  \
                  banyan sites set 10.1.2.0/24 600kB\n  \
                  # Little in working hours, and less out of the site than into it\n  \
                  banyan sites set 10.1.2.0/24 Mon-Fri8-18=300kB/100kB 5MB/1MB\n  \
                  # No budget any more\n  \
                  banyan sites reset 10.1.2.0/24\n  \
                  # Name ranges of addresses, for filters such as `site = branch`\n  \
                  banyan sites name branch 10.1.2.0/23 10.9.0.10-10.9.0.99\n  \
                  banyan sites named"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Set(SetArgs),
    Reset(ResetArgs),
    Name(NameArgs),
    Unname(UnnameArgs),
    Named(NamedArgs),
}

/// Set the budget of a site
///
/// Connected machines follow it at once, the others when they next check in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan sites set 10.1.2.0/24 600kB\n  \
    banyan sites set 10.1.2.0/24 Mon-Fri8-18=300kB/100kB 5MB/1MB\n\n\
    The first budget whose hours include the present applies; without one, there is\n\
    no limit. Hours are as in policies, by the server's local time.")]
struct SetArgs {
    /// Subnet, or an address in it
    #[arg(value_name = "SITE")]
    site: Site,
    /// Bytes a second into the site and out of it; one number for both, `unlimited` for no limit
    #[arg(value_name = "[HOURS=]IN[/OUT]", required = true, value_parser = parse_line)]
    budget: Vec<BudgetHours>,
}

/// Remove the budget of a site
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan sites reset 10.1.2.0/24")]
struct ResetArgs {
    /// Subnet, or an address in it
    #[arg(value_name = "SITE")]
    site: Site,
}

/// Name ranges of addresses, for filters
///
/// The ranges replace those that the name had. A machine is in the site if the address that decides its subnet is in one
/// of the ranges; it may be in several sites.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan sites name branch 10.1.2.0/23 10.9.0.10-10.9.0.99\n  \
    banyan machines --where 'site = branch'")]
struct NameArgs {
    /// Name of the site
    name: String,
    /// Subnets, addresses, or first and last addresses with a hyphen between them
    #[arg(value_name = "RANGE", required = true)]
    ranges: Vec<AddressRange>,
}

/// Remove the name of a site
///
/// Filters with this name are errors from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan sites unname branch")]
struct UnnameArgs {
    /// Name of the site
    name: String,
}

/// List the named sites
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan sites named --json")]
struct NamedArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        None => {
            let action = || "list the sites".to_owned();
            let sites = connect(profile, action)?.sites().await.with_context(action)?;
            args.output.print(&sites, |sites| format_sites(sites))?;
        }
        Some(Command::Set(args)) => {
            let budget = SiteBudget(args.budget.clone());
            budget.check().map_err(|wrong| {
                let action = format!("set the budget of {}", args.site);
                Failure::new(action, wrong, "correct the budget; see `banyan sites set --help`").with_exit(Exit::Usage)
            })?;
            send_budget(args.site, Some(budget), profile).await?;
        }
        Some(Command::Reset(args)) => send_budget(args.site, None, profile).await?,
        Some(Command::Name(args)) => {
            let action = || format!("name the site {:?}", args.name);
            let site = NameSite { name: args.name.clone(), ranges: args.ranges.clone() };
            let client = connect(profile, action)?;
            client.name_site(&site).await.with_context(action)?;
            let sites = client.named_sites().await.with_context(action)?;
            let machines = sites.iter().find(|site| site.name == args.name).map_or(0, |site| site.machines);
            print_note(&format!("the site {} has {}", args.name, format_count(machines, "machine")));
        }
        Some(Command::Unname(args)) => {
            let action = || format!("remove the name of the site {:?}", args.name);
            let site = NameSite { name: args.name.clone(), ranges: vec![] };
            connect(profile, action)?.name_site(&site).await.with_context(action)?;
            print_note(&format!("no site has the name {} any more", args.name));
        }
        Some(Command::Named(args)) => {
            let action = || "list the named sites".to_owned();
            let sites = connect(profile, action)?.named_sites().await.with_context(action)?;
            args.output.print(&sites, |sites| format_named(sites))?;
        }
    }
    Ok(Exit::Success)
}

async fn send_budget(site: Site, budget: Option<SiteBudget>, profile: &ProfileArg) -> Result<(), Failure> {
    let verb = if budget.is_some() { "set" } else { "reset" };
    let action = || format!("{verb} the budget of {site}");
    let client = connect(profile, action)?;
    client.set_site_budget(&SetSiteBudget { site, budget }).await.with_context(action)?;
    print_note(&format!(
        "the budget of {site} was {verb}; connected machines follow it at once, the others when they next check in"
    ));
    let sites = client.sites().await.with_context(action)?;
    if sites.iter().all(|one| one.site != site || one.machines == 0) {
        print_note(&format!("warning: no machine is in the site {site}; `banyan sites` lists those with machines"));
    }
    Ok(())
}

/// Parses `[HOURS=]IN[/OUT]`.
fn parse_line(text: &str) -> Result<BudgetHours, String> {
    let (hours, rates) = match text.rsplit_once('=') {
        Some((hours, rates)) => (hours.parse::<Window>().map_err(|error| error.to_string())?, rates),
        None => (Window::Any, text),
    };
    let (download, upload) = rates.split_once('/').unwrap_or((rates, rates));
    Ok(BudgetHours { hours, rates: SiteRates { download: parse_rate(download)?, upload: parse_rate(upload)? } })
}

/// Parses bytes a second, with a decimal unit or without one.
fn parse_rate(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text == UNLIMITED {
        return Ok(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim() {
        "" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        unit => return Err(format!("{unit:?} is not a unit; use kB, MB or GB, which are bytes a second")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a rate such as 600kB or {UNLIMITED}"))?;
    number.checked_mul(unit).map(Some).ok_or_else(|| format!("{text:?} is too much"))
}

fn format_sites(sites: &[SiteStatus]) -> String {
    let mut rows = vec![["SITE", "MACHINES", "BUDGET NOW", "USED BY"].map(str::to_owned).to_vec()];
    rows.extend(sites.iter().map(|site| {
        let budget = if site.budget.is_some() { format_rates(site.rates) } else { "none".to_owned() };
        let shares = site.shares.iter().filter(|share| share.rates != SiteRates::default());
        let shares: Vec<String> =
            shares.map(|share| format!("{} ({})", share.label, format_share(share.rates))).collect();
        vec![site.site.to_string(), site.machines.to_string(), budget, shares.join(", ")]
    }));
    format_table(&rows)
}

fn format_named(sites: &[NamedSite]) -> String {
    if sites.is_empty() {
        return "no named sites; `banyan sites name` names ranges of addresses".into();
    }
    let mut rows = vec![["NAME", "MACHINES", "ADDRESSES"].map(str::to_owned).to_vec()];
    rows.extend(sites.iter().map(|site| {
        let ranges: Vec<String> = site.ranges.iter().map(ToString::to_string).collect();
        vec![site.name.clone(), site.machines.to_string(), ranges.join(" ")]
    }));
    format_table(&rows)
}

fn format_rates(rates: SiteRates) -> String {
    let rate = |rate: Option<u64>| rate.map_or_else(|| UNLIMITED.to_owned(), |rate| format!("{}/s", format_size(rate)));
    format!("in {}, out {}", rate(rates.download), rate(rates.upload))
}

/// Formats the directions in which a machine has a share.
fn format_share(rates: SiteRates) -> String {
    let rate = |direction: &str, rate: Option<u64>| Some(format!("{direction} {}/s", format_size(rate?)));
    let shares = [rate("in", rates.download), rate("out", rates.upload)];
    shares.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_parsed_with_its_hours_and_units() {
        let rates = |download, upload| SiteRates { download, upload };
        for (text, hours, expected) in [
            ("600kB", "any", rates(Some(600_000), Some(600_000))),
            ("5 MB/750000", "any", rates(Some(5_000_000), Some(750_000))),
            ("unlimited/1MB", "any", rates(None, Some(1_000_000))),
            ("Mon-Fri 08:00-18:00=300kB/100kB", "Mon-Fri 08:00-18:00", rates(Some(300_000), Some(100_000))),
        ] {
            let line = parse_line(text).unwrap();
            assert_eq!((line.hours.to_string().as_str(), line.rates), (hours, expected), "{text}");
        }
        for (wrong, said) in [("5Mbit", "Mbit"), ("much", "much"), ("Moon 8-9=1MB", "Moon"), ("", "not a rate")] {
            assert!(parse_line(wrong).unwrap_err().contains(said), "{wrong}");
        }
    }

    #[test]
    fn the_list_says_who_uses_the_uplink() {
        let share = |label: &str, rates| banyan_proto::site_budget::SiteShare {
            machine: banyan_proto::MachineId([1; 16]),
            label: label.to_owned(),
            rates,
        };
        let rates = SiteRates { download: Some(600_000), upload: None };
        let site = SiteStatus {
            version: None,
            site: "10.1.2.0/24".parse().unwrap(),
            machines: 8,
            budget: Some(SiteBudget(vec![])),
            rates,
            shares: vec![share("till-3", rates), share("till-4", SiteRates::default())],
        };
        let shown = format_sites(&[site]);
        assert!(shown.contains("in 600 kB/s, out unlimited  till-3 (in 600 kB/s)"), "{shown}");
        assert!(!shown.contains("till-4"), "{shown}");
    }
}
