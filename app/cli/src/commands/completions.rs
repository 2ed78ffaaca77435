//! `banyan completions`: generates shell completions for commands and options.

use crate::{
    cli::Cli,
    output::{Exit, Failure, print_text},
};
use clap::CommandFactory as _;
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

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    print_text(&generate_completions(args.shell))?;
    Ok(Exit::Success)
}

fn generate_completions(shell: Shell) -> String {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "banyan", &mut written);
    String::from_utf8_lossy(&written).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let text = generate_completions(shell);
            for verb in ["demo", "publish", "deploy", "machines", "doctor", "completions"] {
                assert!(text.contains(verb), "{shell}: {verb} is missing");
            }
        }
    }
}
