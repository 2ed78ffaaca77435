//! Command-line options of the agent, for the programs `banyan-agent` and `banyan agent`.

use banyan_proto::{Address, limits, text};
use banyan_wire::listen;
use std::{net::SocketAddr, path::PathBuf};

/// Default for the number of machines served at once.
const MAX_CHILDREN: usize = 8;

/// Command-line options of the agent.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder for this machine's identity, database and content
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on for other machines
    ///
    /// [::] and 0.0.0.0 stand for all addresses of this machine, IPv6 and IPv4.
    #[arg(long, value_name = "IP:PORT", default_value = "[::]:7711", value_parser = listen::parse)]
    pub listen: SocketAddr,
    /// File with the join code from `banyan tokens create`; needed once
    ///
    /// On a machine that is enrolled already, a new code of the same server tells it the server's addresses.
    #[arg(long, value_name = "FILE", conflicts_with = "join")]
    pub join_file: Option<PathBuf>,
    /// Join code itself, for testing: other users can see it. `-` reads it from standard input
    #[arg(long, value_name = "CODE")]
    pub join: Option<String>,
    /// Server address to try first, instead of those in the join code
    ///
    /// A host name or an IP address, with the port. Give it again, or separate several with commas: they are tried in
    /// turn. The machine remembers them.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = Address::parse_target)]
    pub server: Vec<Address>,
    /// Seconds without a sign of life after which a connection to the server counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(8..=86_400))]
    pub offline_after: u64,
    /// Folder to install into, as if it were the root of the system
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub install_root: PathBuf,
    /// Command that starts the install helper with rights the agent does not have, such as `sudo -n
    /// /usr/lib/banyan/banyan-install-helper`
    #[arg(long, value_name = "COMMAND", alias = "installer")]
    pub install_helper: Option<String>,
    /// Data folder of the install helper [default: DIR/installer of --data]
    ///
    /// If the agent has no privileges, only root may be able to change this folder and the folders above it.
    #[arg(long, value_name = "DIR", alias = "installer-data")]
    pub install_helper_data: Option<PathBuf>,
    /// Display name of this machine [default: host name]
    #[arg(long, value_name = "LABEL", value_parser = parse_label)]
    pub name: Option<String>,
    /// Maximum number of machines to serve at once
    #[arg(long, value_name = "N", default_value_t = MAX_CHILDREN, value_parser = parse_max_children)]
    pub max_children: usize,
    /// Additional socket for everyone with a session at this machine [default: none]
    ///
    /// Services use /run/banyan/agent.sock. Without it, only the agent's own user and root can connect.
    #[arg(long, value_name = "PATH", value_parser = parse_socket_path)]
    pub socket: Option<PathBuf>,
    /// Seconds the processor must be quiet before the machine counts as idle
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub idle_after: u64,
    /// Folder to read sessions from instead of logind's
    #[arg(long, value_name = "DIR", hide = true)]
    pub sessions: Option<PathBuf>,
    /// Exit when standard input ends
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// Parses the number of machines to serve. A machine that never shares is a matter of its policy.
fn parse_max_children(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("use 1 or more; people switch sharing off in the window, on the page Settings".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("use a number such as 8".into()),
    }
}

/// Parses the machine's display name, which the server would refuse otherwise.
fn parse_label(text: &str) -> Result<String, String> {
    let label = text.trim();
    let most = limits::LABEL_BYTES;
    match label.len() {
        0 => Err("the name is empty; leave the option out to use the host name".into()),
        bytes if bytes > most => Err(format!("the name has {bytes} bytes; use at most {most}")),
        _ if text::has_hidden(label) => Err("the name has invisible characters, such as a line break".into()),
        _ => Ok(label.to_owned()),
    }
}

/// Parses the path of the additional socket.
fn parse_socket_path(text: &str) -> Result<PathBuf, String> {
    // On Windows it is the name of a pipe.
    let path = if cfg!(unix) { std::path::absolute(text).map_err(|error| error.to_string())? } else { text.into() };
    banyan_local_api::check_socket_path(&path).map(|()| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    #[cfg(unix)]
    fn a_socket_beside_the_working_folder_and_a_machine_that_serves_nobody() {
        let parse = |option: &str, value: &str| Command::try_parse_from(["agent", "--data", "d", option, value]);
        let socket = parse("--socket", "agent.sock").unwrap().args.socket.unwrap();
        assert!(socket.is_absolute() && socket.ends_with("agent.sock"), "{socket:?}");
        assert!(parse("--max-children", "1").is_ok() && parse("--max-children", "0").is_err());
    }

    #[test]
    fn a_name_that_the_server_would_refuse_is_refused_at_once() {
        let parse = |name: &str| Command::try_parse_from(["agent", "--data", "d", "--name", name]);
        assert_eq!(parse(" Kasse 3, Süd ").unwrap().args.name.as_deref(), Some("Kasse 3, Süd"));
        for wrong in ["", " ", "a\nb", "a\u{200b}b", &"x".repeat(129)] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_options_of_the_install_helper_keep_their_old_names_too() {
        let old = ["agent", "--data", "d", "--installer", "sudo -n helper", "--installer-data", "h"];
        let new = ["agent", "--data", "d", "--install-helper", "sudo -n helper", "--install-helper-data", "h"];
        for arguments in [old, new] {
            let args = Command::parse_from(arguments).args;
            assert_eq!(args.install_helper.as_deref(), Some("sudo -n helper"));
            assert_eq!(args.install_helper_data, Some("h".into()));
        }
    }
}
