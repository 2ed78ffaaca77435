//! The folders that the agent keeps its data in.

use crate::{cli::Args, sys};
use anyhow::Context;
use banyan_local_api::secure_directory::{self, GroupAccess};
use banyan_proto::{arguments, text};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the folder {} (--data): {source}{advice}", path.display())]
struct FolderError {
    path: PathBuf,
    source: io::Error,
    advice: String,
}

impl FolderError {
    fn new(path: &Path, source: io::Error) -> Self {
        // Texts that are not the system's say what to do.
        let advice = source.raw_os_error().map(|_| format!("; {}", text::disk_advice(&source)));
        Self { path: path.to_owned(), source, advice: advice.unwrap_or_default() }
    }
}

/// The agent's folders.
pub(crate) struct Folders {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The artifacts' files.
    pub(crate) content: PathBuf,
    /// The install helper's own data folder.
    pub(crate) install_helper: PathBuf,
}

impl Folders {
    /// Creates the folders that are missing.
    pub(crate) fn create(args: &Args) -> anyhow::Result<Self> {
        // The install helper gets the path as its argument, whatever the working folder and links are called.
        arguments::check_path("--data", &std::path::absolute(&args.data).context("cannot resolve the --data folder")?)?;
        let data = secure_directory::ensure_private(&args.data, 0o711, GroupAccess::OwnPrimary)
            .map_err(|error| FolderError::new(&args.data, error))?;
        arguments::check_path("the folder that --data leads to", &data)?;
        let content = data.join("content");
        // Other users may pass through to the programs that the install helper keeps below, but may not list anything.
        let create =
            |folder: &Path, mode| sys::create_folder(folder, mode).map_err(|error| FolderError::new(folder, error));
        create(&data, 0o711)?;
        create(&content, 0o700)?;
        let install_helper = match &args.install_helper_data {
            // This folder was created for the install helper alone, together with its privileges.
            Some(folder) => std::path::absolute(folder).context("cannot resolve the --install-helper-data folder")?,
            None => {
                let folder = data.join("installer");
                create(&folder, 0o755)?;
                // The install helper is another process: the path must not depend on this process's working directory.
                folder.canonicalize().context("cannot resolve the install helper's folder")?
            }
        };
        Ok(Self { data, content, install_helper })
    }
}
