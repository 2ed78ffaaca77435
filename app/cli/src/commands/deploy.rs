//! `banyan deploy`: starts a deployment and, with `--wait`, follows it until it has ended.

use crate::{
    api_client::{ApiClient, ApiClientError},
    commands::{
        connect,
        describe_rings::describe_rings,
        selection::parse_selection,
        watch_deployment::{self, WatchDisplay, WatchLimit, WatchResult, watch},
    },
    deployment_tree::LiveTree,
    duration,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, print_json, print_note, print_text},
    profile::ProfileArg,
};
use banyan_proto::{
    DeploymentId, ServerCopies, UnixSeconds,
    admin::{Deploy, SelectedMachines, Selection},
    assignments::PROTECTED_TAG,
    manifest::{is_package_name, is_version},
    order::{Allowance, Spread, Window},
    rollout::{FailureLimit, Gates, RingSize, Rollout},
};
use std::{str::FromStr, time::Duration};

/// Deploy a published release to machines
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # The newest release to every machine; watch the tree\n  \
    banyan deploy hello --to all --wait\n  \
    # One version, to a group\n  \
    banyan deploy hello@1.2 --to group:lab\n  \
    # Some machines of the lab\n  \
    banyan deploy hello --to 'group:lab and os = linux and not tag:exam'\n  \
    # Two machines\n  \
    banyan deploy hello --to machine:desk,till-3 --wait\n  \
    # Behind slow uplinks: the server sends what the machines cannot\n  \
    banyan deploy hello --to all --server-copies auto\n  \
    # At night, and in a week at the latest\n  \
    banyan deploy hello --to all --window night --deadline 7d\n  \
    # One machine first, then a quarter, then all, as long as it works\n  \
    banyan deploy hello --to all --rings 1,25%,all --soak 1h\n  \
    # For scripts: wait until it has ended, then print the result as JSON\n  \
    banyan deploy hello --to all --wait --json\n\n\
    Without --wait, the command prints the deployment's id and ends; follow it with\n\
    `banyan status ID --watch`. With --wait, the exit code is 0 only if every target\n\
    machine succeeded, and 3 otherwise.")]
pub(crate) struct Args {
    /// Package to deploy, optionally with a version [default: the highest sequence]
    #[arg(value_name = "PACKAGE[@VERSION]")]
    release: ReleaseSelector,
    /// Target machines: `all`, `group:NAME`, `machine:NAME-OR-ID[,…]` or a filter
    ///
    /// A comma in a name is typed as `\,`. A filter is such as `os = linux and tag:lab`; machines of which not enough is
    /// known are left out, and counted. Machines that are selected later, because they enrol or change, join the deployment
    /// while it is open, unless it has `--fixed` or names machines.
    #[arg(long, value_name = "WHO", value_parser = parse_selection)]
    to: Selection,
    /// Include machines with the tag `protected`
    ///
    /// Without it, they take part only if `--to` names machines, or a filter names this tag.
    #[arg(long)]
    include_protected: bool,
    /// Number of stripes; each travels its own tree
    ///
    /// With 2 stripes, no machine uploads more than one copy. `--spread verified` and `--spread after-install` need 1.
    /// [default: 2 where possible]
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    stripes: Option<u8>,
    /// When a machine may share the release, and how many install it before it has proved itself
    ///
    /// With `proven` and `after-install`, at most two machines install at first, and then as many at a time as have
    /// passed the check before. One failed installation or check stops all further installations.
    #[arg(long, value_enum, default_value_t = SpreadArg::CutThrough)]
    spread: SpreadArg,
    /// Copies that the server may send: a number such as 1, 1.5 or 4, or `auto`
    ///
    /// With more than one, the server also sends to machines whose sources have too little upload. `auto` sends as much as
    /// the server's link leaves, while that helps. Machines that are as fast as the server still get one copy in all.
    /// Does not work with `--spread verified` and `--spread after-install`.
    #[arg(long, value_name = "N|auto", default_value = "1")]
    server_copies: ServerCopies,
    /// Hours for transfers: any, idle, night, or hours of the week
    ///
    /// Stricter user choices and policies still apply.
    #[arg(long, value_name = "WINDOW", default_value = "any")]
    window: Window,
    /// Deadline, after which schedules and user choices no longer apply [default: none]
    ///
    /// The release is then transferred and installed in any window; people are warned first. A duration (12h, 7d) or a
    /// time (2026-12-01T06:00+01:00).
    #[arg(long, value_name = "TIME", value_parser = parse_deadline)]
    deadline: Option<UnixSeconds>,
    #[command(flatten)]
    rollout: RolloutArgs,
    #[command(flatten)]
    allow: AllowArgs,
    /// Wait until the deployment finishes, showing the tree
    #[arg(long)]
    wait: bool,
    /// Longest time to wait with --wait: 30m, 12h, 7d [default: no limit]
    ///
    /// The command then ends with exit code 3, and the deployment continues.
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

/// How the deployment reaches the machines.
#[derive(Debug, clap::Args)]
struct RolloutArgs {
    /// Choose the machines once: later ones do not join the deployment
    #[arg(long)]
    fixed: bool,
    /// Rings: how many machines install first, and then in each step; the last is all
    ///
    /// Such as `1,25%,all`. Each size includes the rings before. All machines receive the content at once; a ring may
    /// install when the one before has passed its gate. [default: all at once]
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    rings: Vec<RingSize>,
    /// Gate: how many machines of a ring must have reported [default: all that are reachable]
    #[arg(long, value_name = "NUMBER", requires = "rings", value_parser = clap::value_parser!(u32).range(1..))]
    min_reports: Option<u32>,
    /// Gate: the share of reports that must be successes [default: 95%]
    #[arg(long, value_name = "PERCENT", requires = "rings", value_parser = parse_percent)]
    success: Option<u8>,
    /// Gate: how long a ring runs after the last needed report [default: 10m]
    #[arg(long, value_name = "TIME", requires = "rings", value_parser = parse_soak)]
    soak: Option<u64>,
    /// Halt the deployment when more machines of a ring fail: a number or a share
    ///
    /// Counts failures of the release, not those of a machine. Also works without rings. [default with rings: 0 in the
    /// first ring, 5% in the later ones]
    #[arg(long, value_name = "LIMIT")]
    max_failures: Option<FailureLimit>,
}

impl RolloutArgs {
    fn rollout(&self) -> Rollout {
        Rollout {
            fixed: self.fixed,
            rings: self.rings.clone(),
            gates: Gates {
                min_reports: self.min_reports,
                success_percent: self.success,
                soak_seconds: self.soak,
                max_failures: self.max_failures,
            },
        }
    }
}

/// Parses a share such as `95%`.
fn parse_percent(text: &str) -> Result<u8, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| format!("{text:?} is not a valid share; write it like 95%"))
}

/// Parses a soak time into seconds; 0 means none.
fn parse_soak(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { duration::parse(text).map(|length| length.as_secs()) }
}

/// What machines may do in this deployment that they refuse otherwise.
#[derive(Debug, clap::Args)]
struct AllowArgs {
    /// Install even where the present state could not be restored
    ///
    /// Without it, a machine refuses (cannot-restore) when the new version replaces software of which no deb was kept.
    /// With it, a new version that does not work stays, or is removed.
    #[arg(long)]
    allow_no_restore: bool,
    /// Replace packages on hold; the hold stays
    #[arg(long)]
    allow_held: bool,
    /// Replace newer versions that were not installed by Banyan
    #[arg(long)]
    allow_downgrade: bool,
}

impl AllowArgs {
    fn allowances(&self) -> Vec<Allowance> {
        let all = [
            (self.allow_no_restore, Allowance::NoRestore),
            (self.allow_held, Allowance::Held),
            (self.allow_downgrade, Allowance::Downgrade),
        ];
        all.into_iter().filter_map(|(is_given, allowance)| is_given.then_some(allowance)).collect()
    }
}

/// A package, optionally with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReleaseSelector {
    /// The package name.
    pub(crate) package: String,
    /// The requested version; `None` for the newest.
    pub(crate) version: Option<String>,
}

impl FromStr for ReleaseSelector {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (package, version) = match text.split_once('@') {
            Some((package, version)) => (package, Some(version)),
            None => (text, None),
        };
        if !is_package_name(package) {
            return Err(format!(
                "{package:?} is not a valid package name: use lower-case letters, digits, + . - (at most 64 characters)"
            ));
        }
        if let Some(version) = version.filter(|version| !is_version(version)) {
            return Err(format!(
                "{version:?} is not a valid version: use letters, digits, . + ~ : - _ (at most 64 characters)"
            ));
        }
        Ok(Self { package: package.into(), version: version.map(str::to_owned) })
    }
}

/// [`Spread`] as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SpreadArg {
    /// Each chunk as soon as it is verified (fastest)
    CutThrough,
    /// Once the whole file is verified (slower; one stripe)
    Verified,
    /// Each chunk as soon as it is verified; few machines install until the release has proved itself (careful and fast)
    Proven,
    /// Once the release is installed on that machine (slowest; one stripe)
    AfterInstall,
}

impl From<SpreadArg> for Spread {
    fn from(spread: SpreadArg) -> Self {
        match spread {
            SpreadArg::CutThrough => Self::CutThrough,
            SpreadArg::Verified => Self::Verified,
            SpreadArg::Proven => Self::Proven,
            SpreadArg::AfterInstall => Self::AfterInstall,
        }
    }
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || match &args.release.version {
        Some(version) => format!("deploy {} {version}", args.release.package),
        None => format!("deploy {}", args.release.package),
    };
    let request = request(args);
    request.rollout.check().map_err(|wrong| {
        Failure::new(action(), wrong.to_string(), "correct the options; `banyan deploy --help` explains them")
    })?;
    let client = connect(profile, action)?;
    let deployed = client.deploy(&request).await.with_context(action)?;
    let id = deployed.id;
    describe_left_out(deployed.selected.unwrap_or_default()).iter().for_each(|line| print_note(line));
    if !deployed.rings.is_empty() {
        let sizes: Vec<String> = deployed.rings.iter().map(ToString::to_string).collect();
        print_note(&format!("machines in each ring: {}", sizes.join(", ")));
    }
    let begun = |failure: Failure| failure.after_success("the deployment has begun", how_to_watch(id));
    if !args.wait {
        args.output.print(&deployed, |deployed| deployed.id.to_string()).map_err(begun)?;
        print_note(&format!("deployment started; follow it with `banyan status {} --watch`", id.short()));
        return Ok(Exit::Success);
    }
    let show = if args.output.json {
        WatchDisplay::Hidden
    } else {
        print_text(&id.to_string()).map_err(begun)?;
        WatchDisplay::Tree(LiveTree::on_stderr())
    };
    match watch(&client, id, WatchLimit { total: args.timeout, without_change: None }, show)
        .await
        .with_context(|| format!("watch deployment {}", id.short()))?
    {
        WatchResult::Stopped(status) => {
            describe_rings(&status, UnixSeconds::now()).iter().for_each(|line| print_note(line));
            watch_deployment::describe_unfinished(&status).iter().for_each(|line| print_note(line));
            watch_deployment::describe_remarks(&status).iter().for_each(|line| print_note(line));
            if args.output.json {
                let ended =
                    |failure: Failure| failure.after_success("the deployment has been watched", how_to_watch(id));
                print_json(&status).map_err(ended)?;
            }
            Ok(watch_deployment::exit_for(&status))
        }
        WatchResult::Interrupted(last) => {
            last.iter().flat_map(watch_deployment::describe_problems).for_each(|line| print_note(&line));
            print_note(&format!(
                "the deployment continues; follow it with `banyan status {} --watch`, halt it with `banyan halt {0}`",
                id.short()
            ));
            Ok(Exit::Interrupted)
        }
    }
}

/// Says which machines a selection left out.
fn describe_left_out(selected: SelectedMachines) -> Vec<String> {
    let SelectedMachines { machines: _, unknown, protected } = selected;
    let count = |number| format_count(usize::try_from(number).unwrap_or(usize::MAX), "machine");
    let unknown = (unknown > 0)
        .then(|| format!("{} left out, because what the filter asks for is not known of them", count(unknown)));
    let protected = (protected > 0).then(|| {
        format!("{} left out, because of the tag {PROTECTED_TAG}; --include-protected includes them", count(protected))
    });
    unknown.into_iter().chain(protected).collect()
}

/// Says how to see a deployment that has begun.
pub(super) fn how_to_watch(id: DeploymentId) -> String {
    format!("follow it with `banyan status {} --watch`; do not start it again", id.short())
}

/// Builds the request to the server.
fn request(args: &Args) -> Deploy {
    let spread = Spread::from(args.spread);
    Deploy {
        package: args.release.package.clone(),
        version: args.release.version.clone(),
        to: args.to.clone(),
        // Stripes that a person asked for are sent as they are; the server says why they do not fit.
        stripes: args.stripes.unwrap_or(if spread.withholds() { 1 } else { 2 }),
        spread,
        window: args.window.clone(),
        deadline: args.deadline,
        allow: args.allow.allowances(),
        include_protected: args.include_protected,
        server_copies: args.server_copies,
        rollout: args.rollout.rollout(),
    }
}

/// Parses a deadline: a duration from now, or a time.
fn parse_deadline(text: &str) -> Result<UnixSeconds, String> {
    let now = UnixSeconds::now();
    if let Ok(length) = duration::parse(text) {
        return Ok(now.plus(length.as_secs()));
    }
    let wrong = || format!("{text:?} is not a valid deadline; write it like 12h, 7d or 2026-12-01T06:00+01:00");
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let at = u64::try_from(at.as_second()).map(UnixSeconds).map_err(|_| wrong())?;
    if at <= now { Err(format!("{text} is in the past")) } else { Ok(at) }
}

/// Asks the server to start a deployment. Returns its id.
pub(crate) async fn start_deployment(client: &ApiClient, deploy: &Deploy) -> Result<DeploymentId, ApiClientError> {
    client.deploy(deploy).await.map(|deployed| deployed.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn what_is_typed_is_what_is_asked_for() {
        let asked = request(&parse("hello@1.2 --to machine:a,b --stripes 1 --spread proven").unwrap());
        let expected = Deploy {
            package: "hello".into(),
            version: Some("1.2".into()),
            to: Selection::Machines(vec!["a".into(), "b".into()]),
            stripes: 1,
            spread: Spread::Proven,
            window: Window::Any,
            deadline: None,
            allow: vec![],
            include_protected: false,
            server_copies: ServerCopies::ONE,
            rollout: Rollout::default(),
        };
        assert_eq!(asked, expected);
        let asked = request(&parse("hello --to all --allow-no-restore --allow-downgrade --allow-held").unwrap());
        assert_eq!(asked.allow, [Allowance::NoRestore, Allowance::Held, Allowance::Downgrade]);
        for copies in ["1", "1.5", "auto"] {
            let asked = request(&parse(&format!("hello --to all --server-copies {copies}")).unwrap());
            assert_eq!(asked.server_copies.to_string(), copies);
        }
        let asked = request(&parse(r"hello --to machine:till\,3,b").unwrap());
        assert_eq!(asked.to, Selection::Machines(vec!["till,3".into(), "b".into()]));
        let asked = request(&parse("hello --to group:lab").unwrap());
        let defaults = (asked.version, asked.to, asked.stripes, asked.spread);
        assert_eq!(defaults, (None, Selection::Group("lab".into()), 2, Spread::CutThrough));
        assert_eq!((asked.window, asked.deadline), (Window::Any, None));
    }

    #[test]
    fn rings_and_gates_are_asked_for_as_typed() {
        let typed = "hello --to all --rings 1,25%,all --success 90% --soak 0 --min-reports 1 --max-failures 5% --fixed";
        let expected = Rollout {
            fixed: true,
            rings: vec![RingSize::Machines(1), RingSize::Share(25), RingSize::All],
            gates: Gates {
                min_reports: Some(1),
                success_percent: Some(90),
                soak_seconds: Some(0),
                max_failures: Some(FailureLimit::Share(5)),
            },
        };
        assert_eq!(request(&parse(typed).unwrap()).rollout, expected);
        assert!(request(&parse("hello --to all --rings 1,all --soak 2h").unwrap()).rollout.check().is_ok());
        assert!(request(&parse("hello --to all --rings 1,5").unwrap()).rollout.check().is_err(), "all is missing");
    }

    #[test]
    fn a_spread_that_withholds_content_takes_one_stripe_unless_two_are_asked_for() {
        for (typed, spread, stripes) in [
            ("cut-through", Spread::CutThrough, 2),
            ("proven", Spread::Proven, 2),
            ("verified", Spread::Verified, 1),
            ("after-install", Spread::AfterInstall, 1),
        ] {
            let asked = request(&parse(&format!("hello --to all --spread {typed}")).unwrap());
            assert_eq!((asked.spread, asked.stripes), (spread, stripes), "{typed}");
            let asked = request(&parse(&format!("hello --to all --spread {typed} --stripes 2")).unwrap());
            assert_eq!(asked.stripes, 2, "the server refuses it, with a reason");
        }
    }

    #[test]
    fn a_deadline_is_a_length_of_time_or_a_time_to_come() {
        let asked = request(&parse("hello --to all --window night --deadline 7d").unwrap());
        let (week, deadline) = (UnixSeconds::now().plus(7 * 86_400), asked.deadline.unwrap());
        assert!(asked.window == Window::Night && (week.0 - 60..=week.0).contains(&deadline.0));
        assert_eq!(deadline_of("2099-12-01T06:00+01:00"), Ok(UnixSeconds(4_099_784_400)));
        assert_eq!(deadline_of("2099-12-01T05:00:00Z"), Ok(UnixSeconds(4_099_784_400)));
        for wrong in ["2020-01-01T00:00Z", "tomorrow", "7", "2099-12-01"] {
            assert!(deadline_of(wrong).is_err(), "{wrong}");
        }
    }
    fn deadline_of(text: &str) -> Result<UnixSeconds, String> {
        parse_deadline(text)
    }

    #[test]
    fn wrong_words_are_refused_before_the_server_is_asked() {
        for wrong in [
            "hello",
            "--to all",
            "Hello --to all",
            "hello@ --to all",
            "hello --to everyone",
            "hello --to group:",
            "hello --to machine:a,,b",
            "hello --to all --stripes 3",
            "hello --to all --stripes 0",
            "hello --to all --server-copies 0.5",
            "hello --to all --server-copies many",
            "hello --to all --timeout 5m",
            "hello --to all --wait --timeout 5",
            "hello --to all --spread fast",
            "hello --to all --window sometimes",
            "hello --to all --deadline 2020-01-01T00:00Z",
            "hello --to all --rings 0,all",
            "hello --to all --rings 1;all",
            "hello --to all --soak 1h",
            "hello --to all --rings 1,all --success 0%",
            "hello --to all --rings 1,all --min-reports 0",
            "hello --to all --max-failures few",
        ] {
            assert!(parse::<Args>(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
