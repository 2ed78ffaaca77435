//! How everything that publishers sign ends: complete, it goes to the server; else it becomes a file for the others to sign.

use crate::{
    client::{Client, ClientError},
    exit::Exit,
    failure::{Explain, Failure, Tried as _},
    output::{Json, count, say},
    publisher::{
        PublisherError, Request,
        request::Missing,
        trusted::{self, Known},
    },
};
use banyan_proto::{
    DeploymentId, Reason,
    admin::{CurrentTargets, Publish, RegisterRoot, ReplaceTargets, Replaced},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where the keys are, and where to write what they are not enough for.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct Signing {
    /// A folder with keys; give it several times to sign with several
    #[arg(long = "key", value_name = "DIR", required = true)]
    pub(crate) keys: Vec<PathBuf>,
    /// Where to write the file for the others to sign, if these keys are not enough
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

impl Signing {
    /// The folder whose root is believed.
    pub(crate) fn first(&self) -> &Path {
        self.keys.first().map_or(Path::new("."), PathBuf::as_path)
    }
}

/// How it ended, for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "signing")]
pub(crate) enum Finished {
    /// The server has it.
    Done {
        /// Version of the new root.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<u64>,
        /// Target names of releases that are withdrawn by it.
        withdrawn: Vec<String>,
        /// Deployments that were stopped by it.
        stopped: Vec<DeploymentId>,
        /// Key files that were put away into `old/`, since no root names them any more.
        retired: Vec<PathBuf>,
    },
    /// Others must sign first.
    Unsigned {
        /// The file to be passed on.
        file: PathBuf,
        /// What is missing.
        missing: Vec<Missing>,
    },
}

impl Finished {
    /// What the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Done { .. } => Exit::Success,
            Self::Unsigned { .. } => Exit::Unsigned,
        }
    }
    /// Answers, and says on standard error what comes next.
    pub(crate) fn answer(&self, json: Json, done: &str) -> Result<Exit, Failure> {
        match self {
            Self::Done { stopped, retired, .. } => {
                json.answer(self, |_| done.to_owned())?;
                for path in retired {
                    say(&format!(
                        "{} was moved into the folder old beside it; no root names it any more",
                        path.display()
                    ));
                }
                if !stopped.is_empty() {
                    let ids: Vec<String> = stopped.iter().map(DeploymentId::short).collect();
                    say(&format!("stopped: {} ({})", count(stopped.len(), "deployment"), ids.join(", ")));
                }
            }
            Self::Unsigned { file, missing } => {
                json.answer(self, |_| file.display().to_string())?;
                missing.iter().for_each(|one| say(&lacks(one)));
                say(&format!(
                    "nothing is in force yet; next, wherever the other keys are: banyan keys sign {0} --key DIR, then here: banyan keys send {0} --key DIR",
                    file.display()
                ));
            }
        }
        Ok(self.exit())
    }
}

/// What is missing, in words.
pub(super) fn lacks(missing: &Missing) -> String {
    let may: Vec<&str> = missing.may_sign.iter().map(|id| short(id)).collect();
    format!(
        "{}: {} of {} signatures; these can still sign: {}",
        missing.what,
        missing.signed.len(),
        missing.wanted,
        if may.is_empty() { "none".into() } else { may.join(", ") }
    )
}

/// Enough of a key's id to tell it from others.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// What is in force, checked against the first folder's root.
pub(crate) async fn known(client: &Client, signing: &Signing, tried: impl Fn() -> String) -> Result<Known, Failure> {
    let current: CurrentTargets = client.targets().await.tried(&tried)?;
    trusted::known(signing.first(), &current).tried(tried)
}

/// Signs, and sends it if that is enough; else writes it to a file.
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

/// Sends what is complete, and remembers it in the folders.
pub(super) async fn send(
    client: &Client,
    request: &Request,
    folders: &[PathBuf],
    tried: impl Fn() -> String,
) -> Result<Finished, Failure> {
    request.would_be_trusted().tried(&tried)?;
    let replaced = submit(client, request).await.tried(&tried)?;
    let retired = request.remember(folders).tried(|| "remember what the server has accepted".into())?;
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
        "put right what is named above and try again; nothing is in force that was not before".into()
    }
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::ServerUntrusted(error) | Self::Untrusted(error) => Some(error.reason()),
            _ => None,
        }
    }
}
