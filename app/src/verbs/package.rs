//! `banyan package inspect`: what would be published from a file, without keys and without a server.

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::Json,
    publisher::{Published, describe::describe},
    verbs::publish::{About, description},
};
use std::path::PathBuf;

/// Look into packages and release descriptions
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  banyan package inspect tool-1.4.tar.gz", arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Inspect(InspectArgs),
}

/// Show what would be published from a file: name, version, how it would be installed and proved
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan package inspect hello_2.10-3_amd64.deb\n  \
    banyan package inspect release.toml\n  \
    banyan package inspect tool-1.4.tar.gz --json       the manifest, with the hash of every chunk\n\n\
    Nothing is changed and nobody is asked. The sequence is the one a first release would get.")]
pub(crate) struct InspectArgs {
    /// The file, or a release.toml
    #[arg(value_name = "FILE|release.toml")]
    file: PathBuf,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let Verb::Inspect(args) = &args.verb;
    let draft = describe(&args.file, &args.about.given(), &Published::default(), &mut |_, _| {})
        .tried(|| format!("inspect {}", args.file.display()))?;
    args.json.answer(&draft.manifest, |manifest| description(manifest, draft.derived))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let inspect = InspectArgs { file: "nowhere/x.tar.gz".into(), about: About::default(), json: Json::default() };
        let failure = run(&Args { verb: Verb::Inspect(inspect) }).unwrap_err();
        assert!(failure.to_string().contains("nowhere"), "{failure}");
    }
}
