//! Completes a signing request: sends it to the server if it has enough signatures, or else writes it to a file for
//! other signers.

use crate::{
    api_client::{Client, ClientError},
    output::{Exit, Explain, Failure, Json, Tried as _, count, say},
};
use banyan_proto::{
    OrderId, Reason,
    admin::{CurrentTargets, Publish, RegisterRoot, ReplaceTargets, Replaced},
};
use banyan_publisher::{
    PublisherError, Request,
    signing_request::Missing,
    verified_state::{self, Known},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The key folders to sign with, and the file for an incomplete signing request.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct Signing {
    /// Folder with keys; repeat the option to sign with several folders
    #[arg(long = "key", value_name = "DIR", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// File for the signing request, if these keys are not enough
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

impl Signing {
    /// Returns the first key folder. Its root decides what is trusted.
    pub(crate) fn first(&self) -> &Path {
        self.keys.first().map_or(Path::new("."), PathBuf::as_path)
    }
}

/// The outcome, as JSON for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "signing")]
pub(crate) enum Finished {
    /// The server accepted it.
    Done {
        /// The version of the new root.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<u64>,
        /// Target names of the releases that it withdraws.
        withdrawn: Vec<String>,
        /// Deployments that it stopped.
        stopped: Vec<OrderId>,
        /// Key files moved into `old/`, because no root names them any more.
        retired: Vec<PathBuf>,
    },
    /// More signatures are needed.
    Unsigned {
        /// The file with the signing request.
        file: PathBuf,
        /// The missing signatures.
        missing: Vec<Missing>,
    },
}

impl Finished {
    /// Returns the exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Done { .. } => Exit::Success,
            Self::Unsigned { .. } => Exit::Unsigned,
        }
    }
    /// Prints the result, and the next step on standard error.
    pub(crate) fn answer(&self, json: Json, done: &str) -> Result<Exit, Failure> {
        match self {
            Self::Done { stopped, retired, .. } => {
                json.answer(self, |_| done.to_owned())?;
                for path in retired {
                    say(&format!(
                        "moved {} into the folder old beside it, because no root names it any more",
                        path.display()
                    ));
                }
                if !stopped.is_empty() {
                    let ids: Vec<String> = stopped.iter().map(OrderId::short).collect();
                    say(&format!("stopped: {} ({})", count(stopped.len(), "deployment"), ids.join(", ")));
                }
            }
            Self::Unsigned { file, missing } => {
                json.answer(self, |_| file.display().to_string())?;
                missing.iter().for_each(|one| say(&lacks(one)));
                say(&format!(
                    "nothing has changed yet; next: run `banyan keys sign {0} --key DIR` where the other keys are, then `banyan keys send {0} --key DIR` here",
                    file.display()
                ));
            }
        }
        Ok(self.exit())
    }
}

/// Describes the missing signatures.
pub(super) fn lacks(missing: &Missing) -> String {
    let may: Vec<&str> = missing.may_sign.iter().map(|id| short(id)).collect();
    format!(
        "{}: {} of {} signatures; keys that can still sign: {}",
        missing.what,
        missing.signed.len(),
        missing.wanted,
        if may.is_empty() { "none".into() } else { may.join(", ") }
    )
}

/// Returns the first 12 digits of a key id, enough to distinguish keys.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns the current signed state of the server, verified against the first folder's root.
pub(crate) async fn known(client: &Client, signing: &Signing, tried: impl Fn() -> String) -> Result<Known, Failure> {
    let current: CurrentTargets = client.targets().await.tried(&tried)?;
    verified_state::known(signing.first(), &current).tried(tried)
}

/// Signs the request and sends it if it is complete; otherwise writes it to a file.
pub(crate) async fn finish(
    client: &Client,
    mut request: Request,
    signing: &Signing,
    tried: impl Fn() -> String,
) -> Result<Finished, Failure> {
    request.sign(&signing.keys).tried(&tried)?;
    let missing = request.missing().tried(&tried)?;
    if missing.is_empty() {
        return send(client, &request, &signing.keys, tried).await;
    }
    let file = signing.out.clone().unwrap_or_else(|| request.file_name().into());
    request.write(&file).tried(tried)?;
    Ok(Finished::Unsigned { file, missing })
}

/// Sends a complete request, and records the accepted state in the folders.
pub(super) async fn send(
    client: &Client,
    request: &Request,
    folders: &[PathBuf],
    tried: impl Fn() -> String,
) -> Result<Finished, Failure> {
    request.would_be_trusted().tried(&tried)?;
    let replaced = submit(client, request).await.tried(&tried)?;
    let retired = request.remember(folders).tried(|| "record what the server has accepted".into())?;
    let root = (request.root.is_some()).then_some(request.roots.len() as u64 + 1);
    Ok(Finished::Done { root, withdrawn: replaced.withdrawn, stopped: replaced.stopped, retired })
}

async fn submit(client: &Client, request: &Request) -> Result<Replaced, ClientError> {
    let nothing = Replaced { withdrawn: vec![], stopped: vec![] };
    match (request.root.clone(), request.targets.clone(), request.manifest.clone()) {
        (Some(root), targets, _) => client.register_root(&RegisterRoot { root, targets }).await.map(|()| nothing),
        (None, Some(targets), Some(manifest)) => client.publish(&Publish { targets, manifest }).await.map(|()| nothing),
        (None, Some(targets), None) => client.replace_targets(&ReplaceTargets { targets }).await,
        (None, None, _) => Ok(nothing),
    }
}

impl Explain for PublisherError {
    fn next(&self) -> String {
        "fix the problem above and try again; nothing has been changed".into()
    }
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::ServerUntrusted(error) | Self::Untrusted(error) => Some(error.reason()),
            _ => None,
        }
    }
}
