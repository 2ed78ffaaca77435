//! `banyan tokens create`: creates a join code for new machines.
//!
//! The CA and TUF root in the code come from the administrator's profile, not from the server. A compromised server
//! therefore cannot make machines trust another publisher.

use crate::{
    api_client::{ApiClient, ApiClientError},
    commands::{connect, machines},
    duration,
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note},
    profile::{self, ProfileArg},
};
use banyan_proto::{
    Address, Digest, MachineId,
    admin::{NewToken, Profile},
    join::JoinCode,
    limits,
};
use serde::Serialize;
use std::time::Duration;

/// Create join codes for enrolling machines
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  banyan tokens create\n  \
                  # For 20 machines in the group lab\n  \
                  banyan tokens create --uses 20 --group lab",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
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
    /// Machine that the new one replaces (label, or first digits of its id)
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

/// The JSON result.
#[derive(Debug, Serialize)]
struct JoinCodeResult {
    code: String,
    uses: u32,
    expires_seconds: u64,
    group: Option<String>,
    replaces: Option<MachineId>,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    let Command::Create(args) = &args.command;
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
    let code =
        create_join_code(&client, &profile, servers.clone(), root, &token).await.with_context(action)?.to_string();
    let NewToken { uses, expires_seconds, group, replaces } = token;
    args.output
        .print(&JoinCodeResult { code, uses, expires_seconds, group, replaces }, |created| created.code.clone())?;
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
    let secret = data_encoding::HEXLOWER_PERMISSIVE.decode(created.secret.as_bytes()).ok();
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
    fn without_a_root_the_next_step_is_named() {
        let profile = Profile {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            ca: Digest([0; 32]),
            token: String::new(),
            root: None,
        };
        let failure = trusted_root(&profile).unwrap_err();
        assert!(failure.next_step.contains("banyan keys init"), "{failure}");
        assert_eq!(trusted_root(&Profile { root: Some(Digest([1; 32])), ..profile }).unwrap(), Digest([1; 32]));
    }
}
