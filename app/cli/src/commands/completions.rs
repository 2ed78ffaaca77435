//! `banyan completions`: generates shell completions for commands and options.

use crate::output::{Exit, Failure, print_text};
use clap_complete::Shell;

/// Write completions for a shell to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan completions bash > ~/.local/share/bash-completion/completions/banyan\n  \
    banyan completions zsh > ~/.zfunc/_banyan\n  \
    banyan completions fish > ~/.config/fish/completions/banyan.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the completions for `command`, the whole command line.
pub(crate) fn run(args: &Args, command: &mut clap::Command) -> Result<Exit, Failure> {
    print_text(&generate_completions(args.shell, command))?;
    Ok(Exit::Success)
}

fn generate_completions(shell: Shell, command: &mut clap::Command) -> String {
    let mut written = Vec::new();
    clap_complete::generate(shell, command, "banyan", &mut written);
    String::from_utf8_lossy(&written).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let text = generate_completions(shell, &mut Cli::command());
            for name in ["demo", "publish", "deploy", "machines", "doctor", "completions"] {
                assert!(text.contains(name), "{shell}: {name} is missing");
            }
        }
    }
}
