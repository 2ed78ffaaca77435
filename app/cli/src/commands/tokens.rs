//! `banyan tokens`: creates join codes for new machines, lists the open ones, and revokes one.
//!
//! The CA and TUF root in the code come from the administrator's profile, not from the server. A compromised server
//! therefore cannot make machines trust another publisher.
//!
//! Only the join code has the secret. The server keeps its hash, whose first digits name the code in lists.

use crate::{
    api_client::{ApiClient, ApiClientError},
    commands::{connect, machines},
    duration,
    output::{
        Exit, Failure, OutputArgs, WithContext as _, format_age, format_remaining, format_table, print_json, print_note,
    },
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Address, Digest, MachineId, UnixSeconds,
    admin::{NewToken, OpenToken, Profile},
    join::JoinCode,
    limits,
};
use serde::Serialize;
use std::time::Duration;

/// Create, list and revoke join codes for enrolling machines
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  banyan tokens create\n  \
                  # For 20 machines in the group lab\n  \
                  banyan tokens create --uses 20 --group lab\n  \
                  # Which codes can still be used, and by how many machines\n  \
                  banyan tokens list\n  \
                  # A code that fell into the wrong hands\n  \
                  banyan tokens revoke 1f3a90c2",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// List the join codes that machines can still enrol with
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan tokens list\n  \
    # For scripts\n  \
    banyan tokens list --json\n\n\
    The list names each code by an id. The codes themselves are secret, and the\n\
    server does not keep them. Used-up, expired and revoked codes are not listed.")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Revoke a join code: no further machine can enrol with it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    banyan tokens revoke 1f3a90c2\n\n\
    Machines that have enrolled with the code stay enrolled: list them with `banyan\n\
    machines`, and revoke those that do not belong to you.")]
pub(crate) struct RevokeArgs {
    /// Join code: its id in `banyan tokens list`, or the first digits of it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Create a join code and print it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # One machine, valid for a week\n  \
    banyan tokens create\n  \
    # A room full of machines\n  \
    banyan tokens create --uses 20 --expires 12h --group lab\n  \
    # A computer that was reinstalled\n  \
    banyan tokens create --replaces till-3\n\n\
    On the machine: banyan-agent --data DIR --join-file FILE, with the code in FILE\n\
    (for testing: banyan agent …). A join code contains a secret: handle it like a\n\
    password.")]
pub(crate) struct CreateArgs {
    /// Number of machines that may enrol with it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// Time until it expires: 90s, 30m, 12h, 7d, 2w
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration::parse)]
    expires: Duration,
    /// Group that the machines join [default: none]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Machine that the new one replaces (name, or first digits of its id)
    ///
    /// The machine is retired when the code is used.
    #[arg(long, value_name = "MACHINE", conflicts_with = "uses")]
    replaces: Option<String>,
    /// Server address as the machines see it [default: as in the profile]
    ///
    /// A host name or an IP address, with the port. Give it again, or separate
    /// several with commas: they are tried in turn.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = Address::parse_target)]
    server: Vec<Address>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result of `revoke`.
#[derive(Debug, Serialize)]
struct RevokeResult {
    revoked: Digest,
}

/// The JSON result of `create`.
#[derive(Debug, Serialize)]
struct JoinCodeResult {
    code: String,
    /// What names the code in lists.
    id: Digest,
    uses: u32,
    expires_seconds: u64,
    group: Option<String>,
    replaces: Option<MachineId>,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::Create(args) => create(args, given).await,
        Command::List(args) => list(args, given).await,
        Command::Revoke(args) => revoke(args, given).await,
    }
}

async fn list(args: &ListArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "list the join codes".to_owned();
    let open = connect(given, action)?.open_tokens().await.with_context(action)?;
    args.output.print(&open, |open| format_open_tokens(open, UnixSeconds::now()))?;
    Ok(Exit::Success)
}

fn format_open_tokens(open: &[OpenToken], now: UnixSeconds) -> String {
    if open.is_empty() {
        return "no open join codes; create one with `banyan tokens create`".into();
    }
    let mut rows = vec![["ID", "CREATED", "EXPIRES", "USES LEFT", "GROUP", "REPLACES"].map(str::to_owned).to_vec()];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    for token in open {
        rows.push(vec![
            token.id.short(),
            or_dash(token.created.map(|at| format_age(now.0.saturating_sub(at.0)))),
            format_remaining(token.expires.0.saturating_sub(now.0)),
            token.uses_left.to_string(),
            or_dash(token.group.clone()),
            or_dash(token.replaces.map(|machine| machine.short())),
        ]);
    }
    format_table(&rows)
}

async fn revoke(args: &RevokeArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("revoke the join code {:?}", args.id);
    let client = connect(given, action)?;
    let open = client.open_tokens().await.with_context(action)?;
    let id = find_token(&open, &args.id)
        .map_err(|wrong| Failure::new(action(), wrong, "list the open join codes with `banyan tokens list`"))?;
    client.revoke_token(id).await.with_context(action)?;
    if args.output.json {
        let next = "see the open join codes with `banyan tokens list`";
        print_json(&RevokeResult { revoked: id })
            .map_err(|failure| failure.after_success("the join code is revoked", next))?;
    }
    print_note(&format!("revoked {}; machines that have enrolled with this join code stay enrolled", id.short()));
    Ok(Exit::Success)
}

/// Finds the one open join code whose id starts with these digits.
fn find_token(open: &[OpenToken], start: &str) -> Result<Digest, String> {
    if start.is_empty() {
        return Err("the id is empty".into());
    }
    let start = start.to_ascii_lowercase();
    let mut found = open.iter().map(|token| token.id).filter(|id| id.to_string().starts_with(&start));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(format!("no open join code has an id that starts with {start}")),
        (Some(_), Some(_)) => Err(format!("the ids of several join codes start with {start}; pass more digits")),
    }
}

async fn create(args: &CreateArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "create a join code".to_owned();
    let (_, profile) = profile::load(given).with_context(action)?;
    let client = connect(given, action)?;
    let root = trusted_root(&profile)?;
    let servers = if args.server.is_empty() { &profile.servers } else { &args.server };
    if let Some(server) = Address::sockets(servers).find(|server| server.ip().is_unspecified()) {
        return Err(Failure::new(
            action(),
            format!("machines cannot connect to {server}"),
            "pass --server with the server's address as the machines see it",
        )
        .with_exit(Exit::Usage));
    }
    if servers.len() > limits::ADDRESSES_PER_MACHINE {
        let (given, most) = (servers.len(), limits::ADDRESSES_PER_MACHINE);
        let next = "pass --server with fewer addresses";
        let wrong = format!("a join code holds at most {most} server addresses, and there are {given}");
        return Err(Failure::new(action(), wrong, next).with_exit(Exit::Usage));
    }
    let replaces = match &args.replaces {
        Some(name) => Some(machines::find_machine(&client, name, action).await?),
        None => None,
    };
    let token =
        NewToken { uses: args.uses, expires_seconds: args.expires.as_secs(), group: args.group.clone(), replaces };
    let created = create_join_code(&client, &profile, servers.clone(), root, &token).await.with_context(action)?;
    let (id, code) = (Digest::of(&created.secret), created.to_string());
    let NewToken { uses, expires_seconds, group, replaces } = token;
    args.output
        .print(&JoinCodeResult { code, id, uses, expires_seconds, group, replaces }, |created| created.code.clone())
        .map_err(|failure| {
            let next = format!("revoke it with `banyan tokens revoke {}`, then create another one", id.short());
            failure.after_success("the join code was created", next)
        })?;
    if servers.iter().all(|server| server.as_socket().is_some_and(|socket| socket.ip().is_loopback())) {
        print_note(
            "this code works on this computer only, because its server address is a loopback address (see --server)",
        );
    }
    Ok(Exit::Success)
}

/// Returns the root that machines will trust. Enrolling requires one.
pub(crate) fn trusted_root(profile: &Profile) -> Result<Digest, Failure> {
    profile.root.ok_or_else(|| {
        Failure::new(
            "create a join code",
            "the profile names no TUF root, so machines would not know which publisher to trust",
            "create keys and the root first: run `banyan keys generate --out DIR`, then `banyan keys init --key DIR`",
        )
        .with_exit(Exit::NoProfile)
    })
}

/// Creates a join code on the server.
pub(crate) async fn create_join_code(
    client: &ApiClient,
    profile: &Profile,
    servers: Vec<Address>,
    root: Digest,
    token: &NewToken,
) -> Result<JoinCode, ApiClientError> {
    let created = client.create_token(token).await?;
    let secret = data_encoding::HEXLOWER_PERMISSIVE.decode(created.secret.expose().as_bytes()).ok();
    let secret = secret.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let secret = secret
        .ok_or_else(|| ApiClientError::MalformedResponse("a join secret must have 32 hexadecimal digits".into()))?;
    Ok(JoinCode { servers, ca: profile.ca, root, secret })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn arguments() {
        let args: CreateArgs = parse("--uses 20 --expires 12h --group lab --server 10.0.0.1:7700").unwrap();
        assert_eq!((args.uses, args.expires.as_secs()), (20, 43_200));
        let args: CreateArgs = parse("").unwrap();
        assert_eq!((args.uses, args.expires.as_secs(), args.group), (1, 604_800, None));
        let args: CreateArgs = parse("--replaces till-3").unwrap();
        assert_eq!((args.uses, args.replaces.as_deref()), (1, Some("till-3")));
        for wrong in ["--uses 0", "--uses 2 --replaces till-3", "--expires 7", "--server here", "--server 10.0.0.1"] {
            assert!(parse::<CreateArgs>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn open_codes_are_listed_by_id_and_named_by_its_first_digits() {
        let token = |id: [u8; 2]| {
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&id);
            OpenToken {
                id: Digest(bytes),
                created: Some(UnixSeconds(400)),
                expires: UnixSeconds(1000 + 7 * 86_400),
                uses_left: 20,
                group: Some("lab".into()),
                replaces: None,
            }
        };
        let open = [token([0x12, 0x34]), OpenToken { created: None, group: None, ..token([0x12, 0xab]) }];
        let text = format_open_tokens(&open, UnixSeconds(1000));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("12340707  10 min ago  in 7 days")), "{text}");
        assert!(words[1].contains(&"20") && words[1].contains(&"lab") && words[2].contains(&"-"), "{text}");
        assert!(format_open_tokens(&[], UnixSeconds(0)).contains("tokens create"));
        assert_eq!(find_token(&open, "12AB"), Ok(open[1].id));
        assert!(find_token(&open, "12").unwrap_err().contains("several"));
        assert!(find_token(&open, "ff").is_err() && find_token(&open, "").is_err());
    }

    #[test]
    fn without_a_root_the_next_step_is_named() {
        let profile = Profile {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            ca: Digest([0; 32]),
            token: "".into(),
            root: None,
        };
        let failure = trusted_root(&profile).unwrap_err();
        assert!(failure.next_step.contains("banyan keys init"), "{failure}");
        assert_eq!(trusted_root(&Profile { root: Some(Digest([1; 32])), ..profile }).unwrap(), Digest([1; 32]));
    }
}
