//! The command line: every command, and the options that all commands share.

use crate::{
    commands, demo,
    output::{Exit, Failure, WithContext as _},
    profile::ProfileArg,
};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// Distribute software from one server to any number of machines, peer to peer
#[derive(Debug, Parser)]
#[command(
    name = "banyan",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Try it:\n  # One package, a server and seven machines on this computer\n  banyan demo\n\n\
                  `banyan COMMAND --help` explains a command and shows examples. `banyan --help`\n\
                  lists the exit codes.",
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    profile: ProfileArg,
    #[command(subcommand)]
    command: Command,
}

fn long_help() -> String {
    format!(
        "Try it:\n  # One package, a server and seven machines on this computer\n  banyan demo\n\n\
         For a real network, in this order:\n  \
         banyan server        Start the server; its first start writes admin.toml\n  \
         banyan keys          Create the publisher's signing keys; keep them offline\n  \
         banyan tokens        Create a join code for each machine\n  \
         banyan agent         Start an agent on each machine\n  \
         banyan publish       Sign and upload a release\n  \
         banyan deploy        Deploy it and watch it arrive\n\n{}",
        Exit::help()
    )
}

/// Every command. Each has its own file in `commands/`.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::args::Args),
    Publish(commands::publish::Args),
    Deploy(commands::deploy::Args),
    Status(commands::status::Args),
    Halt(commands::deployment_control::HaltArgs),
    Resume(commands::deployment_control::ResumeArgs),
    Cancel(commands::deployment_control::CancelArgs),
    Promote(commands::deployment_control::PromoteArgs),
    Retry(commands::deployment_control::RetryArgs),
    Releases(commands::releases::Args),
    Machines(commands::machines::Args),
    Groups(commands::groups::Args),
    Tags(commands::tags::Args),
    Tokens(commands::tokens::Args),
    Access(commands::access::Args),
    Audit(commands::audit::Args),
    Events(commands::events::Args),
    Webhooks(commands::webhooks::Args),
    Keys(commands::keys::Args),
    Policy(commands::policy::Args),
    Sites(commands::sites::Args),
    Package(commands::package::Args),
    Doctor(commands::doctor::Args),
    Server(commands::services::ServerArgs),
    Agent(commands::services::AgentArgs),
    #[command(hide = true)]
    InstallHelperProcess(commands::services::InstallHelperArgs),
    Completions(commands::completions::Args),
    #[command(hide = true)]
    Man(commands::man_pages::Args),
}

impl Cli {
    /// Runs the chosen command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let profile = &self.profile;
        let done = match self.command {
            Command::Demo(args) => wait(demo::run(&args)),
            Command::Publish(args) => wait(commands::publish::run(&args, profile)),
            Command::Deploy(args) => wait(commands::deploy::run(&args, profile)),
            Command::Status(args) => wait(commands::status::run(&args, profile)),
            Command::Halt(args) => wait(commands::deployment_control::halt(&args, profile)),
            Command::Resume(args) => wait(commands::deployment_control::resume(&args, profile)),
            Command::Cancel(args) => wait(commands::deployment_control::cancel(&args, profile)),
            Command::Promote(args) => wait(commands::deployment_control::promote(&args, profile)),
            Command::Retry(args) => wait(commands::deployment_control::retry(&args, profile)),
            Command::Releases(args) => wait(commands::releases::run(&args, profile)),
            Command::Machines(args) => wait(commands::machines::run(&args, profile)),
            Command::Groups(args) => wait(commands::groups::run(&args, profile)),
            Command::Tags(args) => wait(commands::tags::run(&args, profile)),
            Command::Tokens(args) => wait(commands::tokens::run(&args, profile)),
            Command::Access(args) => wait(commands::access::run(&args, profile)),
            Command::Audit(args) => wait(commands::audit::run(&args, profile)),
            Command::Events(args) => wait(commands::events::run(&args, profile)),
            Command::Webhooks(args) => wait(commands::webhooks::run(&args, profile)),
            Command::Keys(args) => wait(commands::keys::run(&args, profile)),
            Command::Policy(args) => wait(commands::policy::run(&args, profile)),
            Command::Sites(args) => wait(commands::sites::run(&args, profile)),
            Command::Package(args) => wait(commands::package::run(&args, profile)),
            Command::Doctor(args) => wait(commands::doctor::run(&args, profile)),
            Command::Server(args) => commands::services::server(args),
            Command::Agent(args) => commands::services::agent(args),
            Command::InstallHelperProcess(args) => return Ok(commands::services::install_helper_process(args)),
            Command::Completions(args) => commands::completions::run(&args, &mut Self::command()),
            Command::Man(args) => commands::man_pages::run(&args, Self::command()),
        };
        done.map(ExitCode::from)
    }
}

/// Runs an async command to completion.
fn wait(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .with_context(|| "start".to_owned())?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects a command and all its subcommands, with their full names.
    fn all(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("{name} {}", command.get_name());
            all(command, &name, found);
            found.push((name, command.clone()));
        }
    }
    fn commands_with_names() -> Vec<(String, clap::Command)> {
        let mut command = Cli::command();
        command.build();
        let mut found = Vec::new();
        all(&command, "banyan", &mut found);
        found
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_explains_it_and_shows_an_example() {
        for (name, mut command) in commands_with_names() {
            assert!(command.get_about().is_some(), "`{name}` has no description");
            let help = command.render_long_help().to_string();
            let examples = help.split_once("Example").map(|(_, examples)| examples);
            let shown = examples.is_some_and(|examples| examples.contains(&name));
            assert!(shown, "the help of `{name}` shows no example:\n{help}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "`{name}`: {} has no help text", argument.get_id());
            }
        }
    }

    #[test]
    fn the_general_help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for (exit, meaning) in Exit::TABLE {
            assert!(
                help.contains(&format!("{:>3}  {meaning}", exit.code())),
                "the help does not list {exit:?}:\n{help}"
            );
        }
    }

    /// Splits a line into words as a shell does, up to a pipe, a redirection or a comment.
    fn shell_words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (c, quote) {
                (_, Some(open)) if c == open => quote = None,
                (_, Some(_)) => word.push(c),
                ('"' | '\'', None) => quote = Some(c),
                (';' | '|' | '>' | '#', None) => break,
                (' ', None) => words.push(std::mem::take(&mut word)),
                _ => word.push(c),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn examples_in_the_help_can_be_typed() {
        let mut action = 0;
        for (name, mut command) in commands_with_names() {
            let help = command.render_long_help().to_string();
            let examples = help.split_once("Example").map_or("", |(_, examples)| examples);
            for line in examples.lines().map(str::trim).filter(|line| line.starts_with("banyan ")) {
                // Cut off shell syntax (pipes, redirections) and any explanation after two spaces.
                let line = line.split("  ").next().unwrap_or_default();
                if let Err(error) = Cli::try_parse_from(shell_words(line)) {
                    panic!("`{line}` in the help of `{name}`: {error}");
                }
                action += 1;
            }
        }
        assert!(action >= commands_with_names().len());
    }

    #[test]
    fn usage_errors_end_with_2() {
        for wrong in
            [&["banyan", "deploy", "hello"][..], &["banyan", "nonsense"], &["banyan", "deploy", "--to", "x", "hello"]]
        {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), i32::from(Exit::Usage.code()));
        }
    }

    /// Returns the texts between backticks.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    /// Checks that a command of a hint, or an option on its own, exists.
    fn check_hint(hint: &str) -> Result<(), String> {
        let words: Vec<&str> = hint.split_whitespace().collect();
        let mut command = Cli::command();
        command.build();
        let has = |command: &clap::Command, option: &str| {
            command.get_arguments().any(|argument| argument.get_long() == Some(option))
        };
        let Some((&"banyan", words)) = words.split_first() else {
            let Some(option) = hint.strip_prefix("--") else { return Ok(()) };
            let exists = commands_with_names().iter().any(|(_, command)| has(command, option));
            let known_elsewhere = ["help", "version"].contains(&option);
            return if exists || known_elsewhere { Ok(()) } else { Err(format!("no command has --{option}")) };
        };
        let mut at = &command;
        for word in words {
            if let Some(option) = word.strip_prefix("--") {
                if !has(at, option) {
                    return Err(format!("`{}` has no --{option}", at.get_name()));
                }
            } else if let Some(next) = at.find_subcommand(word) {
                at = next;
            } else if at.has_subcommands() && !word.contains('|') {
                return Err(format!("`{}` has no command {word}", at.get_name()));
            }
        }
        Ok(())
    }

    #[test]
    fn a_hint_with_a_command_or_option_that_does_not_exist_is_noticed() {
        for wrong in ["banyan frobnicate", "banyan keys frobnicate", "banyan deploy --frobnicate", "--frobnicate"] {
            assert!(check_hint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_reason_names_only_commands_and_options_that_exist() {
        for &reason in banyan_proto::Reason::ALL {
            let texts = reason.for_admin();
            for hint in quoted(texts.what).chain(quoted(texts.advice)).flat_map(|text| text.split(" or ")) {
                let hint =
                    hint.split_once(' ').filter(|(first, _)| first.starts_with("--")).map_or(hint, |(first, _)| first);
                assert_eq!(check_hint(hint), Ok(()), "{reason:?}: {hint:?}");
            }
        }
    }

    #[test]
    fn hints_in_the_sources_name_only_commands_that_exist() {
        fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    files(&path, found);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    found.push(path);
                }
            }
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut sources = Vec::new();
        ["app", "server/src", "agent-core"].iter().for_each(|folder| files(&root.join(folder), &mut sources));
        let mut checked = 0;
        for path in sources {
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("`banyan ") {
                let Some(hint) = text[at + 1..].split('`').next().filter(|hint| !hint.contains('\n')) else { continue };
                // Placeholders stand for arguments.
                let words: Vec<&str> = hint.split_whitespace().filter(|word| !word.contains(['{', '}'])).collect();
                let upper = |word: &&str| word.chars().any(|c| c.is_ascii_uppercase());
                let hint = words.into_iter().filter(|word| !upper(word)).collect::<Vec<_>>().join(" ");
                assert_eq!(check_hint(&hint), Ok(()), "{}: {hint:?}", path.display());
                checked += 1;
            }
        }
        assert!(checked > 50, "{checked} hints found");
    }
}
