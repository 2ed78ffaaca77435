//! How a machine comes to belong to a server: with a join code that was given at the start, or that a user enters later.
//!
//! With a code given at the start, the agent tries until the server accepts or refuses it: machines often start before
//! their server, their network or their clock is ready. A code, or addresses, given to a machine that is enrolled already
//! tell it where its server is now; a code of another server is refused.

use crate::{
    agent::check_in::jitter,
    cli::Args,
    database::{Database, Enrolment},
    identity::server_addresses::ServerAddresses,
    local_backend::{JoinRequest, LocalBackend},
    refusal::refusal,
    server::enrolment::{self, EnrolError},
    sideload::standalone::Standalone,
    system_changes::SystemChanges,
    user::User,
};
use anyhow::{Context, anyhow, bail};
use banyan_proto::{
    Address, Digest, Reason,
    api::ApiError,
    join::{JoinCode, JoinCodeError},
};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs::File,
    io::{self, BufRead as _, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tracing::{info, warn};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// What to do while the server does not answer.
const START_SERVER: &str = "check that the server is running, and the network and the firewall between here and there";

/// A file without a join code.
struct MissingCode {
    file: PathBuf,
    why: &'static str,
}

/// What the command line says about the server.
pub(crate) struct GivenServer {
    /// The join code.
    pub(crate) code: Option<JoinCode>,
    /// The addresses of `--server`.
    addresses: Vec<Address>,
    /// Whether other users can see the code.
    is_visible: bool,
    /// The file that was to hold a code, if it is missing or empty.
    missing: Option<MissingCode>,
}

impl GivenServer {
    /// Reads the join code from where the options say it is.
    pub(crate) fn read(args: &Args) -> anyhow::Result<Self> {
        let (mut code, mut missing) = (None, None);
        match (&args.join, &args.join_file) {
            (Some(dash), _) if dash == "-" => code = Some(read_standard_input()?),
            (Some(text), _) => code = Some(text.parse()?),
            (None, Some(file)) => match read_file(file)? {
                Ok(found) => code = Some(found),
                Err(why) => missing = Some(MissingCode { file: file.clone(), why }),
            },
            (None, None) => {}
        }
        let is_visible = args.join.as_ref().is_some_and(|code| code != "-");
        Ok(Self { code, addresses: args.server.clone(), is_visible, missing })
    }
    /// Checks that what was given makes sense for a machine that is or is not enrolled. A missing or empty file is
    /// no error for one that is: installers delete or empty the file once it has been used.
    pub(crate) fn check(&self, is_enrolled: bool) -> anyhow::Result<()> {
        if is_enrolled {
            return Ok(());
        }
        if let Some(MissingCode { file, why }) = &self.missing {
            bail!("cannot read a join code from {} (--join-file): {why}", file.display());
        }
        if self.code.is_none() && !self.addresses.is_empty() {
            bail!("--server has no effect on a machine that is not enrolled; pass a join code, too (--join-file FILE)");
        }
        if self.is_visible {
            warn!(
                "other users of this computer can read the join code in its list of processes; pass it with --join-file \
                 FILE, or on standard input with --join -"
            );
        }
        Ok(())
    }
    /// Returns the addresses to try for a code: those of `--server` first.
    fn addresses_for(&self, code: &JoinCode) -> Vec<Address> {
        self.addresses.iter().chain(&code.servers).cloned().collect()
    }
    /// Refuses a code of another server than the one that the machine belongs to.
    ///
    /// # Errors
    /// With what to do instead.
    pub(crate) fn check_same_server(&self, enrolment: &Enrolment) -> anyhow::Result<()> {
        let Some(code) = &self.code else { return Ok(()) };
        let ca = CertificateDer::from_pem_slice(enrolment.ca.as_bytes()).context("the CA certificate is damaged")?;
        if Digest::of(&ca) == code.ca {
            return Ok(());
        }
        let reason = Reason::OtherServer;
        bail!(
            "this machine belongs to the server at {}, but the join code is for another server, at {} [{}]; {}",
            Address::list(&enrolment.server_addresses),
            Address::list(&code.servers),
            reason.code(),
            reason.for_admin().advice
        );
    }
    /// Makes the given addresses those that are tried first. What was given before changes nothing. Returns whether the
    /// join code is a new one.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn apply(&self, to: &ServerAddresses) -> anyhow::Result<bool> {
        let has_new_code = match &self.code {
            Some(code) => to.set(&code.servers, &code.to_string())?,
            None => false,
        };
        let mut is_news = has_new_code;
        if !self.addresses.is_empty() {
            is_news |= to.set(&self.addresses, &Address::list(&self.addresses))?;
        }
        if !is_news && (self.code.is_some() || !self.addresses.is_empty()) {
            info!(servers = to.list(), "the given join code or address changes nothing: it was given before");
        }
        Ok(has_new_code)
    }
    /// Returns why a new join code is of no use to a machine that its server has excluded.
    pub(crate) fn refuse_code(&self, to: &ServerAddresses, reason: Reason, folders: &str) -> anyhow::Error {
        if let Some(code) = &self.code
            && let Err(error) = to.forget_given(&code.to_string())
        {
            warn!(%error, "failed to forget the join code that was not used");
        }
        anyhow!(
            "the new join code was not used: {} [{}], and no code revives this identity; stop the agent, empty {folders}, and \
             start it again with the code",
            reason.for_admin().what,
            reason.code()
        )
    }
}

/// Reads the first line of standard input that is not empty.
fn read_standard_input() -> anyhow::Result<JoinCode> {
    const WHAT: &str = "cannot read the join code from standard input (--join -)";
    for line in io::stdin().lock().take(JoinCode::MAX_FILE_BYTES).split(b'\n') {
        match JoinCode::parse_file(&line.context(WHAT)?) {
            Err(JoinCodeError::Empty) => {}
            code => return code.context(WHAT),
        }
    }
    Err(JoinCodeError::Empty).context(WHAT)
}

/// Reads a file with a join code, or says why there is none in it.
fn read_file(file: &Path) -> anyhow::Result<Result<JoinCode, &'static str>> {
    let what = || format!("cannot read a join code from {} (--join-file)", file.display());
    let mut bytes = Vec::new();
    match File::open(file).and_then(|open| open.take(JoinCode::MAX_FILE_BYTES).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("there is no such file")),
        read => read.with_context(what)?,
    };
    match JoinCode::parse_file(&bytes) {
        Err(JoinCodeError::Empty) => Ok(Err("the file is empty")),
        code => code.map(Ok).with_context(what),
    }
}

/// Enrols this machine with a server.
pub(crate) struct Enroller<'a> {
    pub(crate) database: &'a Arc<Database>,
    pub(crate) key: &'a KeyPair,
    pub(crate) label: &'a str,
    pub(crate) user: &'a User,
    pub(crate) listen: SocketAddr,
}

impl Enroller<'_> {
    async fn enrol(&self, code: &JoinCode, servers: &Arc<ServerAddresses>) -> Result<Enrolment, EnrolError> {
        let Self { database, key, label, user, listen } = self;
        let enrolment = enrolment::enrol(database, key, code, label, servers, *listen).await?;
        info!(machine = %enrolment.machine, server = Address::list(&enrolment.server_addresses), "enrolled");
        user.history.record_enrolment();
        Ok(enrolment)
    }
    /// Tries the given code until the server accepts or refuses it. Also takes codes from the local API meanwhile.
    pub(crate) async fn until_joined(
        &self,
        given: &GivenServer,
        code: &JoinCode,
        requests: &mut mpsc::Receiver<JoinRequest>,
        changes: &SystemChanges,
        backend: &LocalBackend,
    ) -> anyhow::Result<Enrolment> {
        let servers = Arc::new(ServerAddresses::fixed(&given.addresses_for(code)));
        let (mut pause, mut last) = (RETRY_FIRST, None);
        loop {
            match self.enrol(code, &servers).await {
                Ok(enrolment) => return Ok(enrolment),
                Err(EnrolError::Final(error)) => {
                    let advice = error.downcast_ref::<ApiError>().map(|refusal| refusal.reason.for_admin().advice);
                    let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
                    bail!("cannot enrol with the join code: {error:#}{advice}");
                }
                Err(EnrolError::Later(error)) => {
                    let (reason, text) = (error.reason(), format!("waiting to join the server: {error}"));
                    // A text about clocks differs with every second.
                    let news = (reason, if reason == Reason::ClockWrong { String::new() } else { text.clone() });
                    if last.as_ref() != Some(&news) {
                        let next = if reason == Reason::ServerAway { START_SERVER } else { reason.for_admin().advice };
                        warn!(next, "{text}; trying again [{}]", reason.code());
                        last = Some(news);
                    }
                    backend.set_joining(refusal(reason, &text));
                }
            }
            tokio::select! {
                () = changes.pause(pause + jitter(pause)) => {}
                Some(request) = requests.recv() => if let Some(enrolment) = self.answer(request).await {
                    return Ok(enrolment);
                },
            }
            pause = (pause * 2).min(RETRY_MOST);
        }
    }
    /// Takes join codes from the local API until one succeeds. Reports each result to the caller who sent the code.
    pub(crate) async fn until_enrolled(
        &self,
        requests: &mut mpsc::Receiver<JoinRequest>,
        standalone: &Standalone,
    ) -> anyhow::Result<Enrolment> {
        while let Some(request) = requests.recv().await {
            let _pause = match standalone.pause_installs().await {
                Ok(pause) => pause,
                Err(busy) => {
                    drop(request.answer.send(Err(busy)));
                    continue;
                }
            };
            if let Some(enrolment) = self.answer(request).await {
                standalone.end();
                return Ok(enrolment);
            }
        }
        bail!("the local API stopped before a valid join code arrived")
    }
    /// Tries a code once and reports the result to the caller who sent it.
    async fn answer(&self, JoinRequest { code, answer }: JoinRequest) -> Option<Enrolment> {
        match self.enrol(&code, &Arc::new(ServerAddresses::fixed(&code.servers))).await {
            Ok(enrolment) => {
                drop(answer.send(Ok(())));
                Some(enrolment)
            }
            Err(error) => {
                let detail = format!("could not enrol this computer: {:#}", anyhow::Error::from(error));
                drop(answer.send(Err(refusal(Reason::JoinRefused, detail))));
                None
            }
        }
    }
}
