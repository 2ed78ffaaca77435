//! Completes a signing request: sends it to the server if it has enough signatures, or else writes it to a file for
//! other signers.

use crate::{
    api_client::{ApiClient, ApiClientError},
    output::{Advice, Exit, Failure, OutputArgs, WithContext as _, format_count, print_note},
};
use banyan_proto::{
    DeploymentId, MachineId, Reason,
    admin::{CurrentTargets, Publish, RegisterRoot, ReplaceTargets, Replaced},
};
use banyan_publisher::{
    PublisherError, SigningRequest,
    signing_request::DocumentSignatures,
    verified_state::{self, VerifiedState},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The key folders to sign with, and the file for an incomplete signing request.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct SigningArgs {
    /// Folder with keys; repeat the option to sign with several folders
    #[arg(long = "key", value_name = "DIR", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// File for the signing request, if these keys are not enough
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

impl SigningArgs {
    /// Returns the first key folder. Its root decides what is trusted.
    pub(crate) fn trusted_folder(&self) -> &Path {
        self.keys.first().map_or(Path::new("."), PathBuf::as_path)
    }
}

/// The outcome, as JSON for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "signing")]
pub(crate) enum SigningOutcome {
    /// The server accepted it.
    Done {
        /// The version of the new root.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<u64>,
        /// Target names of the releases that it withdraws.
        withdrawn: Vec<String>,
        /// Deployments that it stopped.
        stopped: Vec<DeploymentId>,
        /// Key files moved into `old/`, because no root names them any more.
        retired: Vec<PathBuf>,
    },
    /// More signatures are needed.
    Unsigned {
        /// The file with the signing request.
        file: PathBuf,
        /// The missing signatures.
        missing: Vec<DocumentSignatures>,
    },
}

impl SigningOutcome {
    /// Returns the exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Done { .. } => Exit::Success,
            Self::Unsigned { .. } => Exit::Unsigned,
        }
    }
    /// Prints the result, and the next step on standard error.
    pub(crate) fn print(&self, output: OutputArgs, done: &str) -> Result<Exit, Failure> {
        match self {
            Self::Done { stopped, retired, .. } => {
                output.print(self, |_| done.to_owned()).map_err(|failure| {
                    let next = "see it with `banyan keys list` and `banyan releases`";
                    failure.after_success("the server has accepted the change", next)
                })?;
                for path in retired {
                    print_note(&format!(
                        "moved {} into the folder old beside it, because no root names it any more",
                        path.display()
                    ));
                }
                if !stopped.is_empty() {
                    let ids: Vec<String> = stopped.iter().map(DeploymentId::short).collect();
                    print_note(&format!("stopped: {} ({})", format_count(stopped.len(), "deployment"), ids.join(", ")));
                }
            }
            Self::Unsigned { file, missing } => {
                output.print(self, |_| file.display().to_string()).map_err(|failure| {
                    let next = format!("sign it with `banyan keys sign {} --key DIR`", file.display());
                    failure.after_success("the signing request is written", next)
                })?;
                missing.iter().for_each(|one| print_note(&describe_missing(one)));
                print_note(&format!(
                    "nothing has changed yet; next: run `banyan keys sign {0} --key DIR` where the other keys are, then `banyan keys send {0} --key DIR` here",
                    file.display()
                ));
            }
        }
        Ok(self.exit())
    }
}

/// Describes the missing signatures.
pub(super) fn describe_missing(missing: &DocumentSignatures) -> String {
    let may: Vec<&str> = missing.may_sign.iter().map(|id| short_key_id(id)).collect();
    format!(
        "{}: {} of {} signatures; keys that can still sign: {}",
        missing.what,
        missing.signed.len(),
        missing.wanted,
        if may.is_empty() { "none".into() } else { may.join(", ") }
    )
}

/// Returns the first 12 digits of a key id, enough to distinguish keys.
pub(super) fn short_key_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns the current signed state of the server, verified against the first folder's root.
pub(crate) async fn fetch_verified_state(
    client: &ApiClient,
    signing: &SigningArgs,
    action: impl Fn() -> String,
) -> Result<VerifiedState, Failure> {
    let mut attempt = 1;
    loop {
        let current: CurrentTargets = client.targets().await.with_context(&action)?;
        match verified_state::verify_state(signing.trusted_folder(), &current) {
            // Another command may have recorded a newer list in the folder since this one was fetched.
            Err(PublisherError::ServerListOutdated { .. }) if attempt < OUTDATED_ATTEMPTS => attempt += 1,
            outcome => return outcome.with_context(action),
        }
    }
}

/// How often a list is fetched at most that is older than the one recorded in the folder.
const OUTDATED_ATTEMPTS: u32 = 3;

/// How often a change of the list is signed and sent at most.
const OVERTAKEN_ATTEMPTS: u32 = 10;
/// The longest pause after the first attempt; later ones rise in steps of this.
const OVERTAKEN_PAUSE: Duration = Duration::from_millis(200);

/// Fetches the list, changes, signs and sends it with `change`, and does so again if somebody else has changed the list
/// in between.
pub(crate) async fn repeat_if_overtaken<T>(
    action: impl Fn() -> String,
    mut change: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut attempt = 1;
    loop {
        match change().await {
            // The server has a list of this version already, or a later one.
            Err(failure) if failure.reason == Some(Reason::MetadataRolledBack) && failure.exit == Exit::Refused => {
                if attempt == OVERTAKEN_ATTEMPTS {
                    let wrong = "somebody else published meanwhile, each time before this was sent";
                    let failure = Failure::new(action(), wrong, "run it again").with_exit(Exit::Refused);
                    return Err(Failure { reason: Some(Reason::MetadataRolledBack), ..failure });
                }
                // Random, so that several commands do not meet again.
                let random = u32::from(MachineId::random().0[0]) + 1;
                tokio::time::sleep(OVERTAKEN_PAUSE * attempt * random / 256).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Signs the request and sends it if it is complete; otherwise writes it to a file.
pub(crate) async fn sign_and_submit(
    client: &ApiClient,
    mut request: SigningRequest,
    signing: &SigningArgs,
    action: impl Fn() -> String,
) -> Result<SigningOutcome, Failure> {
    request.sign(&signing.keys).with_context(&action)?;
    let missing = request.missing_signatures().with_context(&action)?;
    if missing.is_empty() {
        return submit_complete(client, &request, &signing.keys, action).await;
    }
    let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
    request.write(&file).with_context(action)?;
    Ok(SigningOutcome::Unsigned { file, missing })
}

/// Sends a complete request, and records the accepted state in the folders.
pub(super) async fn submit_complete(
    client: &ApiClient,
    request: &SigningRequest,
    folders: &[PathBuf],
    action: impl Fn() -> String,
) -> Result<SigningOutcome, Failure> {
    request.verify_as_machine().with_context(&action)?;
    let replaced = submit(client, request).await.with_context(&action)?;
    let retired = request.record_accepted(folders).with_context(|| "record what the server has accepted".into())?;
    let root = (request.root.is_some()).then_some(request.roots.len() as u64 + 1);
    Ok(SigningOutcome::Done { root, withdrawn: replaced.withdrawn, stopped: replaced.stopped, retired })
}

async fn submit(client: &ApiClient, request: &SigningRequest) -> Result<Replaced, ApiClientError> {
    let nothing = Replaced { withdrawn: vec![], stopped: vec![] };
    match (request.root.clone(), request.targets.clone(), request.manifest.clone()) {
        (Some(root), targets, _) => client.register_root(&RegisterRoot { root, targets }).await.map(|()| nothing),
        (None, Some(targets), Some(manifest)) => client.publish(&Publish { targets, manifest }).await.map(|()| nothing),
        (None, Some(targets), None) => client.replace_targets(&ReplaceTargets { targets }).await,
        (None, None, _) => Ok(nothing),
    }
}

impl Advice for PublisherError {
    fn next_step(&self) -> String {
        match self {
            Self::UnusableArchive { .. } | Self::ProbeProgram { .. } => {
                "correct the package as described and try again; nothing has been signed"
            }
            Self::CannotDerive { .. }
            | Self::UnclearPlatform { .. }
            | Self::PlatformContradiction { .. }
            | Self::PlatformName { .. }
            | Self::UnknownPlatform { .. } => "try again with the option named above; nothing has been signed",
            _ => "fix the problem above and try again; nothing has been changed",
        }
        .into()
    }
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::ServerUntrusted(error) | Self::Untrusted(error) => Some(error.reason()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overtaken() -> Failure {
        let failure = Failure::new("publish a", "the list is old", "sign again").with_exit(Exit::Refused);
        Failure { reason: Some(Reason::MetadataRolledBack), ..failure }
    }

    #[tokio::test]
    async fn a_change_that_is_overtaken_is_made_again_but_not_for_ever() {
        let mut calls = 0;
        let third = repeat_if_overtaken(
            || "publish a".into(),
            async || {
                calls += 1;
                if calls < 3 { Err(overtaken()) } else { Ok(calls) }
            },
        );
        assert_eq!(third.await, Ok(3));
        let mut calls = 0;
        let never = repeat_if_overtaken(
            || "publish a".into(),
            async || {
                calls += 1;
                Err::<(), _>(overtaken())
            },
        );
        let failure = never.await.unwrap_err();
        assert_eq!(calls, OVERTAKEN_ATTEMPTS);
        assert!(failure.cause.starts_with("somebody else published meanwhile"), "{failure}");
        assert_eq!(failure.next_step, "run it again");
    }

    #[tokio::test]
    async fn what_was_refused_for_another_reason_is_not_repeated() {
        let mut calls = 0;
        let outcome = repeat_if_overtaken(
            || "publish a".into(),
            async || {
                calls += 1;
                // The publisher's own check: the server shows an old list.
                Err::<(), _>(Failure { exit: Exit::Failed, ..overtaken() })
            },
        );
        assert!(outcome.await.is_err());
        assert_eq!(calls, 1);
    }
}
