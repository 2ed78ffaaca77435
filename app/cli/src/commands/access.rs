//! `banyan access`: who may do what at the server. Creates, lists and revokes the access tokens of persons.
//!
//! Join codes, with which machines enrol, are another thing: `banyan tokens`.

use crate::{
    commands::connect,
    duration,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_age, format_remaining, format_table, print_note},
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Secret, UnixSeconds,
    access::{Access, NewAccess, OwnAccess, Role},
    admin::Profile,
    arguments,
};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// Decide who may do what: create, list and revoke the access tokens of persons
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
                  # A profile for Anna, who deploys\n  \
                  banyan access add anna --role operator --out anna.toml\n  \
                  # The help desk of one site\n  \
                  banyan access add bert --role help-desk --group branch\n  \
                  banyan access list\n  \
                  banyan access revoke anna\n\n\
                  Roles: viewer, help-desk, operator, publisher, approver, auditor, metrics,\n\
                  owner; docs/access.md says what each may do. `banyan tokens` is for join\n\
                  codes, with which machines enrol.",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(AddArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
    Show(ShowArgs),
}

/// Create an access token for a person, and print it or write a profile with it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan access add anna --role operator --out anna.toml\n  \
    banyan access add anna --role viewer --token laptop --expires 30d\n  \
    # Only for the machines of two groups\n  \
    banyan access add bert --role help-desk --group branch --group till --out bert.toml\n\n\
    The token is shown once: the server keeps only its hash. Handle it like a password.\n\
    Only owners create tokens. A token is valid for 90 days unless --expires says\n\
    otherwise, and for 366 days at most.")]
struct AddArgs {
    /// Person; one can have several tokens
    #[arg(value_name = "NAME")]
    person: String,
    /// What the token permits
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Role,
    /// Name of the token [default: default]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Group to whose machines the token is limited; give it again for more [default: all machines]
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Time until it expires: 12h, 30d, 52w
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = duration::parse)]
    expires: Duration,
    /// File to write a profile with the token to, for `--profile`
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(arguments::into_path))]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// List the access tokens
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan access list\n  \
    # Also those that are revoked or expired\n  \
    banyan access list --all\n  \
    banyan access list --json\n\n\
    The tokens themselves are secret, and the server does not keep them. `setup` is\n\
    the token in the server's own admin.toml.")]
struct ListArgs {
    /// Also list tokens that are revoked or expired
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Revoke the access tokens of a person, or one of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # All tokens of a person who leaves\n  \
    banyan access revoke anna\n  \
    # A lost laptop\n  \
    banyan access revoke anna --token laptop\n\n\
    The server refuses requests with a revoked token from that moment on.")]
struct RevokeArgs {
    /// Person
    #[arg(value_name = "NAME")]
    person: String,
    /// Name of the token [default: all of the person's tokens]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what your own token permits
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan access show")]
struct ShowArgs {
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_role(text: &str) -> Result<Role, String> {
    text.parse()
}

/// The JSON result of `add`.
#[derive(Debug, Serialize)]
struct AddResult<'a> {
    access: &'a Access,
    /// Left out when it was written to a profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a PathBuf>,
}

/// The JSON result of `revoke`.
#[derive(Debug, Serialize)]
struct RevokeResult {
    revoked: Vec<Access>,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::Add(args) => add(args, given).await,
        Command::List(args) => list(args, given).await,
        Command::Revoke(args) => revoke(args, given).await,
        Command::Show(args) => show(args, given).await,
    }
}

async fn add(args: &AddArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("create an access token for {:?}", args.person);
    let (_, own) = profile::load(given).with_context(action)?;
    if let Some(path) = args.out.as_ref().filter(|path| path.exists()) {
        let cause = format!("{} exists already", path.display());
        return Err(Failure::new(action(), cause, "choose another file with --out").with_exit(Exit::Usage));
    }
    let wanted = NewAccess {
        person: args.person.clone(),
        token: args.token.clone(),
        role: args.role,
        groups: args.groups.clone(),
        expires_seconds: Some(args.expires.as_secs()),
    };
    let created = connect(given, action)?.create_access(&wanted).await.with_context(action)?;
    let name = format!("{}/{}", created.access.person, created.access.token);
    let revoke = format!(
        "revoke it with `banyan access revoke {} --token {}`, then create another one",
        created.access.person, created.access.token
    );
    let is_created = |failure: Failure| failure.after_success("the access token was created", revoke.clone());
    if let Some(path) = &args.out {
        let profile = Profile { token: created.secret.clone(), ..own };
        profile::save(path, &profile).with_context(action).map_err(is_created)?;
    }
    let secret = args.out.is_none().then_some(&created.secret);
    let result = AddResult { access: &created.access, secret, profile: args.out.as_ref() };
    args.output
        .print(&result, |result| result.secret.map(|secret| secret.expose().to_owned()).unwrap_or_default())
        .map_err(is_created)?;
    match &args.out {
        Some(path) => print_note(&format!("created {name}; its profile is {}", path.display())),
        None => print_note(&format!("created {name}; the token is not shown again")),
    }
    Ok(Exit::Success)
}

fn is_valid(access: &Access, now: UnixSeconds) -> bool {
    access.revoked.is_none() && access.expires.is_none_or(|expires| now < expires)
}

async fn list(args: &ListArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "list the access tokens".to_owned();
    let mut all = connect(given, action)?.access().await.with_context(action)?;
    let now = UnixSeconds::now();
    if !args.all {
        all.retain(|access| is_valid(access, now));
    }
    args.output.print(&all, |all| format_access(all, now))?;
    Ok(Exit::Success)
}

fn format_access(all: &[Access], now: UnixSeconds) -> String {
    let mut rows = vec![["PERSON", "TOKEN", "ROLE", "GROUPS", "EXPIRES", "LAST USED"].map(str::to_owned).to_vec()];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    for access in all {
        let groups = if access.groups.is_empty() { "all machines".into() } else { access.groups.join(", ") };
        let expires = match (access.revoked, access.expires) {
            (Some(_), _) => "revoked".into(),
            (None, None) => "never".into(),
            (None, Some(at)) if at <= now => "expired".into(),
            (None, Some(at)) => format_remaining(at.0.saturating_sub(now.0)),
        };
        rows.push(vec![
            access.person.clone(),
            access.token.clone(),
            access.role.to_string(),
            groups,
            expires,
            or_dash(access.last_used.map(|at| format_age(now.0.saturating_sub(at.0)))),
        ]);
    }
    format_table(&rows)
}

async fn revoke(args: &RevokeArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("revoke the access of {:?}", args.person);
    let client = connect(given, action)?;
    let all = client.access().await.with_context(action)?;
    let ids = find(&all, &args.person, args.token.as_deref(), UnixSeconds::now())
        .map_err(|wrong| Failure::new(action(), wrong, "list the access tokens with `banyan access list`"))?;
    let mut revoked = Vec::new();
    for id in ids {
        revoked.push(client.revoke_access(id).await.with_context(action)?);
    }
    let names: Vec<String> = revoked.iter().map(|access| format!("{}/{}", access.person, access.token)).collect();
    if args.output.json {
        args.output
            .print(&RevokeResult { revoked }, |_| String::new())
            .map_err(|failure| failure.after_success("the access is revoked", "see it with `banyan access list`"))?;
    }
    print_note(&format!("revoked {}", names.join(", ")));
    Ok(Exit::Success)
}

/// Finds the valid tokens of a person, or the one with this name.
fn find(all: &[Access], person: &str, token: Option<&str>, now: UnixSeconds) -> Result<Vec<u64>, String> {
    let is_same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let of_person = all.iter().filter(|access| is_same(&access.person, person) && is_valid(access, now));
    let found: Vec<u64> =
        of_person.filter(|access| token.is_none_or(|token| is_same(&access.token, token))).map(|one| one.id).collect();
    match (found.is_empty(), token) {
        (false, _) => Ok(found),
        (true, None) => Err(format!("{person:?} has no valid access token")),
        (true, Some(token)) => Err(format!("{person:?} has no valid access token {token:?}")),
    }
}

async fn show(args: &ShowArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "show what your token permits".to_owned();
    let own = connect(given, action)?.own_access().await.with_context(action)?;
    args.output.print(&own, |own| format_own(own, UnixSeconds::now()))?;
    Ok(Exit::Success)
}

fn format_own(own: &OwnAccess, now: UnixSeconds) -> String {
    let names: Vec<&str> = own.permissions.iter().map(|permission| permission.name()).collect();
    format!("{}\npermissions: {}\n", format_access(std::slice::from_ref(&own.access), now).trim_end(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    fn access(id: u64, person: &str, token: &str) -> Access {
        Access {
            id,
            person: person.into(),
            token: token.into(),
            role: Role::Operator,
            groups: vec![],
            created: None,
            created_by: None,
            expires: Some(UnixSeconds(1000 + 7 * 86_400)),
            last_used: Some(UnixSeconds(400)),
            revoked: None,
        }
    }

    #[test]
    fn arguments() {
        let args: AddArgs = parse("anna --role help-desk --group a --group b --expires 30d").unwrap();
        assert_eq!((args.role, args.groups.len(), args.expires.as_secs()), (Role::HelpDesk, 2, 30 * 86_400));
        for wrong in ["anna", "--role owner", "anna --role root", "anna --role viewer --expires 7"] {
            assert!(parse::<AddArgs>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tokens_are_found_by_person_and_name_while_they_are_valid() {
        let now = UnixSeconds(1000);
        let revoked = Access { revoked: Some(now), ..access(3, "anna", "old") };
        let all = [access(1, "anna", "default"), access(2, "Anna", "laptop"), revoked, access(4, "bert", "default")];
        assert_eq!(find(&all, "ANNA", None, now), Ok(vec![1, 2]));
        assert_eq!(find(&all, "anna", Some("laptop"), now), Ok(vec![2]));
        assert!(find(&all, "anna", Some("old"), now).is_err() && find(&all, "carl", None, now).is_err());
        assert!(find(&all, "anna", None, UnixSeconds(u64::MAX)).is_err(), "expired");
    }

    #[test]
    fn the_list_shows_what_a_token_is_for() {
        let scoped = Access { groups: vec!["branch".into()], ..access(2, "bert", "default") };
        let text = format_access(&[access(1, "anna", "laptop"), scoped], UnixSeconds(1000));
        assert!(text.contains("anna    laptop   operator  all machines  in 7 days  10 min ago"), "{text}");
        assert!(text.contains("bert    default  operator  branch"), "{text}");
    }
}
