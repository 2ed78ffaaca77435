//! The command line as a whole: which verbs there are and what all of them share.

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    profile::ProfileArg,
    verbs,
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Distributes software from one server to any number of machines, which pass it on to each other.
#[derive(Debug, Parser)]
#[command(
    name = "banyan",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Try it:\n  banyan demo          a server and seven machines on this computer, one package, everyone gets it\n\n\
                  `banyan VERB --help` explains a verb and shows examples. `banyan --help` lists the exit codes.",
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    profile: ProfileArg,
    #[command(subcommand)]
    verb: Verb,
}

fn long_help() -> String {
    format!(
        "Try it:\n  banyan demo          a server and seven machines on this computer, one package, everyone gets it\n\n\
         For real, in this order:\n  \
         banyan server        on the server; makes admin.toml at its first start\n  \
         banyan keys          the publishers' signing keys, made and kept offline\n  \
         banyan tokens        a join code for each machine\n  \
         banyan agent         on each machine\n  \
         banyan publish       a release, signed\n  \
         banyan deploy        to machines, and watch it arrive\n\n{}",
        Exit::help()
    )
}

/// Every verb; one file each in `verbs/`.
#[derive(Debug, Subcommand)]
enum Verb {
    Demo(verbs::demo::Args),
    Publish(verbs::publish::Args),
    Deploy(verbs::deploy::Args),
    Status(verbs::status::Args),
    Halt(verbs::intervene::HaltArgs),
    Resume(verbs::intervene::ResumeArgs),
    Retry(verbs::intervene::RetryArgs),
    Releases(verbs::releases::Args),
    Machines(verbs::machines::Args),
    Tokens(verbs::tokens::Args),
    Keys(verbs::keys::Args),
    Policy(verbs::policy::Args),
    Package(verbs::package::Args),
    Doctor(verbs::doctor::Args),
    Server(verbs::services::ServerArgs),
    Agent(verbs::services::AgentArgs),
    #[command(hide = true)]
    InstallerProcess(verbs::services::InstallerArgs),
    Completions(verbs::completions::Args),
    #[command(hide = true)]
    Man(verbs::man::Args),
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let profile = &self.profile;
        let done = match self.verb {
            Verb::Demo(args) => wait(verbs::demo::run(&args)),
            Verb::Publish(args) => wait(verbs::publish::run(&args, profile)),
            Verb::Deploy(args) => wait(verbs::deploy::run(&args, profile)),
            Verb::Status(args) => wait(verbs::status::run(&args, profile)),
            Verb::Halt(args) => wait(verbs::intervene::halt(&args, profile)),
            Verb::Resume(args) => wait(verbs::intervene::resume(&args, profile)),
            Verb::Retry(args) => wait(verbs::intervene::retry(&args, profile)),
            Verb::Releases(args) => wait(verbs::releases::run(&args, profile)),
            Verb::Machines(args) => wait(verbs::machines::run(&args, profile)),
            Verb::Tokens(args) => wait(verbs::tokens::run(&args, profile)),
            Verb::Keys(args) => wait(verbs::keys::run(&args, profile)),
            Verb::Policy(args) => wait(verbs::policy::run(&args, profile)),
            Verb::Package(args) => wait(verbs::package::run(&args, profile)),
            Verb::Doctor(args) => wait(verbs::doctor::run(&args, profile)),
            Verb::Server(args) => verbs::services::server(args),
            Verb::Agent(args) => verbs::services::agent(args),
            Verb::InstallerProcess(args) => return Ok(verbs::services::installer_process(args)),
            Verb::Completions(args) => verbs::completions::run(&args),
            Verb::Man(args) => verbs::man::run(&args),
        };
        done.map(ExitCode::from)
    }
}

/// Runs a verb that waits for the network.
fn wait(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .tried(|| "start".to_owned())?;
    runtime.block_on(verb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// A command and all verbs below it, with their full names.
    fn all(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let name = format!("{name} {}", verb.get_name());
            all(verb, &name, found);
            found.push((name, verb.clone()));
        }
    }
    fn verbs() -> Vec<(String, clap::Command)> {
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
    fn the_help_of_every_verb_explains_it_and_shows_an_example() {
        for (name, mut verb) in verbs() {
            assert!(verb.get_about().is_some(), "{name} does not say what it does");
            let help = verb.render_long_help().to_string();
            let examples = help.split_once("Example").map(|(_, examples)| examples);
            let shown = examples.is_some_and(|examples| examples.contains(&name));
            assert!(shown, "the help of `{name}` shows no example of it:\n{help}");
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {} is not explained", argument.get_id());
            }
        }
    }

    #[test]
    fn the_general_help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for (exit, meaning) in Exit::TABLE {
            assert!(help.contains(&format!("{:>3}  {meaning}", exit.code())), "{exit:?} is missing:\n{help}");
        }
    }

    #[test]
    fn examples_in_the_help_can_be_typed() {
        let mut tried = 0;
        for (name, mut verb) in verbs() {
            let help = verb.render_long_help().to_string();
            let examples = help.split_once("Example").map_or("", |(_, examples)| examples);
            for line in examples.lines().map(str::trim).filter(|line| line.starts_with("banyan ")) {
                // What stands after two spaces explains; a pipe or redirection is the shell's.
                let line =
                    line.split("  ").next().unwrap_or_default().split([';', '|', '>', '#']).next().unwrap_or_default();
                let words = line.split_whitespace().map(|word| word.trim_matches('"'));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("`{line}` in the help of `{name}`: {error}");
                }
                tried += 1;
            }
        }
        assert!(tried >= verbs().len());
    }

    #[test]
    fn usage_errors_end_with_2() {
        for wrong in
            [&["banyan", "deploy", "hello"][..], &["banyan", "nonsense"], &["banyan", "deploy", "--to", "x", "hello"]]
        {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), i32::from(Exit::Usage.code()));
        }
    }
}
