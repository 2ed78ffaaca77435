//! The commands, one file each: arguments, behaviour and output.
//!
//! What the demo needs too is in functions that return data; each `run` prints it.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod deployment_control;
mod describe_rings;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod machines;
pub(crate) mod man_pages;
pub(crate) mod package;
pub(crate) mod policy;
pub(crate) mod progress_bar;
pub(crate) mod publish;
mod published_before;
mod release_args;
mod release_summary;
pub(crate) mod releases;
mod resolve;
pub(crate) mod selection;
pub(crate) mod services;
pub(crate) mod signature_expiry;
pub(crate) mod sites;
pub(crate) mod status;
pub(crate) mod tags;
pub(crate) mod tokens;
pub(crate) mod watch_deployment;
pub(crate) mod webhooks;

use crate::{
    api_client::{ApiClient, ApiClientError},
    commands::progress_bar::{ProgressMode, progress_bar},
    output::{Failure, WithContext as _, print_note, sanitise},
    profile::{self, ProfileArg},
};
use banyan_proto::admin::{Profile, Working};
use indicatif::ProgressBar;
use std::sync::{Mutex, PoisonError};

/// Creates a client for the profile's server.
fn connect(given: &ProfileArg, what: impl Fn() -> String) -> Result<ApiClient, Failure> {
    let (_, profile) = profile::load(given).with_context(&what)?;
    client_of(&profile).with_context(&what)
}

/// Creates a client that shows the server's work while a request takes long.
fn client_of(profile: &Profile) -> Result<ApiClient, ApiClientError> {
    ApiClient::new(profile).map(|client| client.with_work_display(show_work()))
}

/// Returns what shows the server's work while a request takes long: a bar on a terminal, a line for each step elsewhere.
fn show_work() -> impl Fn(Option<&Working>) + Send + Sync {
    let shown: Mutex<Option<(String, ProgressBar)>> = Mutex::default();
    move |working| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(working) = working else {
            if let Some((_, bar)) = shown.take() {
                bar.finish_and_clear();
            }
            return;
        };
        if shown.as_ref().is_none_or(|(doing, _)| *doing != working.doing) {
            let doing = if working.doing.is_empty() { "carrying out the request" } else { &working.doing };
            print_note(&format!("the server is still at work: {}", sanitise(doing)));
            *shown = Some((working.doing.clone(), progress_bar(ProgressMode::Shown, "server")));
        }
        if let Some((_, bar)) = &*shown {
            bar.set_length(working.of);
            bar.set_position(working.done);
        }
    }
}

/// Runs work that hashes, signs or reads large files on a thread for blocking work. `action` completes "cannot …", should
/// that thread panic.
pub(crate) async fn run_blocking<T: Send + 'static>(
    action: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::bug(action, error.to_string())),
    }
}

#[cfg(test)]
mod test_machine;

#[cfg(test)]
pub(crate) mod test_args {
    //! Parses one command's arguments on their own.

    use clap::Parser;

    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Only<A: clap::Args> {
        #[command(flatten)]
        args: A,
    }

    pub(crate) fn parse<A: clap::Args>(words: &str) -> Result<A, clap::Error> {
        Only::try_parse_from(words.split_whitespace()).map(|only| only.args)
    }
}
