//! `banyan deploy`: starts a deployment and, if asked, stays with it until it has ended.

use super::{
    connect,
    watch::{self, Limit, Show, Watched, watch},
};
use crate::{
    client::{Client, ClientError},
    duration,
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, json_line, print, say},
    profile::ProfileArg,
    tree::Live,
};
use banyan_proto::{
    DeploymentId, UnixSeconds,
    admin::{Deploy, Deployed, Selection},
    manifest::{is_package_name, is_version},
    order::{Spread, Window},
};
use std::{str::FromStr, time::Duration};

/// Bring a published release to machines
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan deploy hello --to all --wait                   the newest release, to every machine; watch the tree\n  \
    banyan deploy hello@1.2 --to group:lab                one version, to a group\n  \
    banyan deploy hello --to machine:desk,till-3 --wait   to two machines\n  \
    banyan deploy hello --to all --window night --deadline 7d    at night, in a week in any case\n  \
    banyan deploy hello --to all --wait --json            for scripts: ends when it has ended, the result as JSON\n\n\
    Without --wait the deployment's id is printed and the command ends; `banyan status ID --watch` shows it.\n\
    With --wait it ends with 0 only when every addressee has succeeded, and with 3 otherwise.")]
pub(crate) struct Args {
    /// The package, or PACKAGE@VERSION; without a version the release with the highest sequence
    #[arg(value_name = "PACKAGE[@VERSION]")]
    release: Wanted,
    /// Which machines: `all`, `group:NAME`, or `machine:LABEL-OR-ID[,…]`
    #[arg(long, value_name = "WHO")]
    to: To,
    /// In how many interleaved parts it travels, each on a tree of its own; with 2 nobody sends more than one copy
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    stripes: u8,
    /// When a machine may pass it on: each part once verified, the whole once verified, or once the new version runs there
    #[arg(long, value_enum, default_value_t = SpreadArg::CutThrough)]
    spread: SpreadArg,
    /// When machines may transfer it, unless their people or the policy are stricter: any, idle, night, or hours of the week
    #[arg(long, value_name = "WINDOW", default_value = "any")]
    window: Window,
    /// From then on it is transferred and installed whatever windows and people say; announced there before. In so long
    /// (12h, 7d), or a time (2026-12-01T06:00+01:00)
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    deadline: Option<UnixSeconds>,
    /// Stay until it has ended, showing the tree
    #[arg(long)]
    wait: bool,
    /// With --wait: stop waiting after this time (30m, 12h, 7d) and end with 3; the deployment goes on
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse)]
    timeout: Option<Duration>,
    #[command(flatten)]
    json: Json,
}

/// A package and perhaps a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) package: String,
    /// The version that is meant; none for the newest.
    pub(crate) version: Option<String>,
}

impl FromStr for Wanted {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (package, version) = match text.split_once('@') {
            Some((package, version)) => (package, Some(version)),
            None => (text, None),
        };
        if !is_package_name(package) {
            return Err(format!("{package:?} is no package name: lower-case letters, digits, + . - (64 at most)"));
        }
        if let Some(version) = version.filter(|version| !is_version(version)) {
            return Err(format!("{version:?} is no version: letters, digits, . + ~ : - _ (64 at most)"));
        }
        Ok(Self { package: package.into(), version: version.map(str::to_owned) })
    }
}

/// Machines as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct To(Selection);

impl FromStr for To {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} names no machines; write all, group:NAME, or machine:LABEL-OR-ID[,…]");
        if text == "all" {
            return Ok(Self(Selection::All));
        }
        match text.split_once(':') {
            Some(("group", group)) if !group.is_empty() => Ok(Self(Selection::Group(group.into()))),
            Some(("machine", machines)) => {
                let machines: Vec<String> = machines.split(',').map(|name| name.trim().to_owned()).collect();
                if machines.iter().any(String::is_empty) {
                    Err(wrong())
                } else {
                    Ok(Self(Selection::Machines(machines)))
                }
            }
            _ => Err(wrong()),
        }
    }
}

/// [`Spread`] as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SpreadArg {
    /// Each chunk as soon as it is verified: fastest
    CutThrough,
    /// When the whole file is verified
    Verified,
    /// When the new version has proved to run on that machine: most careful
    Proven,
}

impl From<SpreadArg> for Spread {
    fn from(spread: SpreadArg) -> Self {
        match spread {
            SpreadArg::CutThrough => Self::CutThrough,
            SpreadArg::Verified => Self::Verified,
            SpreadArg::Proven => Self::Proven,
        }
    }
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || match &args.release.version {
        Some(version) => format!("deploy {} {version}", args.release.package),
        None => format!("deploy {}", args.release.package),
    };
    let client = connect(profile, tried)?;
    let id = start(&client, &request(args)).await.tried(tried)?;
    if !args.wait {
        args.json.answer(&Deployed { id }, |deployed| deployed.id.to_string())?;
        say(&format!("accepted; `banyan status {} --watch` shows how it goes", id.short()));
        return Ok(Exit::Success);
    }
    let show = if args.json.json {
        Show::Nothing
    } else {
        print(&id.to_string())?;
        Show::Picture(Live::progress())
    };
    match watch(&client, id, Limit { total: args.timeout, still: None }, show)
        .await
        .tried(|| format!("watch deployment {}", id.short()))?
    {
        Watched::Ended(status) => {
            watch::shortfall(&status).iter().for_each(|line| say(line));
            if args.json.json {
                json_line(&status)?;
            }
            Ok(watch::outcome(&status))
        }
        Watched::Interrupted => {
            say(&format!(
                "the deployment goes on; `banyan status {} --watch` shows it, `banyan halt {0}` halts it",
                id.short()
            ));
            Ok(Exit::Interrupted)
        }
    }
}

/// What is asked of the server.
fn request(args: &Args) -> Deploy {
    Deploy {
        package: args.release.package.clone(),
        version: args.release.version.clone(),
        to: args.to.0.clone(),
        stripes: args.stripes,
        spread: args.spread.into(),
        window: args.window.clone(),
        deadline: args.deadline,
    }
}

/// A deadline as typed: a length of time from now, or a time.
fn deadline(text: &str) -> Result<UnixSeconds, String> {
    let now = UnixSeconds::now();
    if let Ok(length) = duration::parse(text) {
        return Ok(now.plus(length.as_secs()));
    }
    let wrong = || format!("{text:?} is no deadline; write it like 12h, 7d or 2026-12-01T06:00+01:00");
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let at = u64::try_from(at.as_second()).map(UnixSeconds).map_err(|_| wrong())?;
    if at <= now { Err(format!("{text} is over already")) } else { Ok(at) }
}

/// Asks the server to start a deployment.
pub(crate) async fn start(client: &Client, deploy: &Deploy) -> Result<DeploymentId, ClientError> {
    client.deploy(deploy).await.map(|deployed| deployed.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::test_args::parse;

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
        };
        assert_eq!(asked, expected);
        let asked = request(&parse("hello --to group:lab").unwrap());
        let defaults = (asked.version, asked.to, asked.stripes, asked.spread);
        assert_eq!(defaults, (None, Selection::Group("lab".into()), 2, Spread::CutThrough));
        assert_eq!((asked.window, asked.deadline), (Window::Any, None));
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
        deadline(text)
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
            "hello --to all --timeout 5m",
            "hello --to all --wait --timeout 5",
            "hello --to all --spread fast",
            "hello --to all --window sometimes",
            "hello --to all --deadline 2020-01-01T00:00Z",
        ] {
            assert!(parse::<Args>(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
