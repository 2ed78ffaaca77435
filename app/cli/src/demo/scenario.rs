//! The steps of the demo. They are an administrator's steps, and call the same functions.

use crate::demo::{
    Broken,
    input_file::{self, Shown},
    processes::Fleet,
    sample_package,
    summary::{Place, Summary},
};
use crate::{
    api_client::Client,
    commands::{
        deploy,
        keys::{self, complete_request::Signing},
        publish::{self, Progress, Signed},
        tokens,
        watch_deployment::{self, Limit, Show, Watched},
    },
    demo::args::Args,
    deployment_tree::Live,
    output::{Exit, Failure, Tried as _, say},
    profile,
};
use banyan_proto::{
    admin::{Deploy, DeploymentStatus, NewToken, Profile, Selection, Stage},
    manifest::Kind,
    order::{Spread, Window},
};
use banyan_publisher::first_root::Wanted;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Timeout for the server's start, and for all agents to enrol.
const START: Duration = Duration::from_secs(60);
/// How long a deployment may make no progress before the demo fails.
const STILL: Duration = Duration::from_secs(180);

/// Runs the demo from start to summary.
pub(super) async fn tell(args: &Args, folder: &Path, fleet: &mut Fleet) -> Result<Exit, Broken> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => sample_package::write(folder).tried(|| "create the sample package".into())?,
    };
    let Shown { path, given, kind } = look_at(path).await?;
    let (client, profile) = server(folder, fleet).await?;
    agents(args.agents, folder, &client, &profile, fleet).await?;
    let progress = if args.json.json { Progress::Hidden } else { Progress::Shown };
    let signing = Signing { keys: vec![folder.join("keys")], out: None };
    let (release, _) = publish::publish(&client, &Signed::Now(&signing), &path, given, progress).await?;
    say(&format!("published  {} {}, signed with the publisher's key", release.package, release.version));
    let deploy = Deploy {
        package: release.package,
        version: Some(release.version),
        to: Selection::All,
        stripes: args.stripes,
        spread: Spread::CutThrough,
        window: Window::Any,
        deadline: None,
    };
    let status = deployed(&client, &deploy, args).await?;
    if watch_deployment::outcome(&status) != Exit::Success {
        return Err(incomplete(&status));
    }
    let place = |name: &str| match kind {
        Kind::Archive => install_root(folder, name).join("opt/banyan/packages").join(&status.package).join("current"),
        Kind::Deb => install_root(folder, name),
    };
    let places = status.addressees.iter().map(|machine| Place { machine: machine.id, path: place(&machine.label) });
    let summary = Summary::of(&status, &places.collect::<Vec<_>>());
    args.json.answer(&summary, |summary| summary.text(args.keep))?;
    Ok(Exit::Success)
}

/// Calls [`input_file::look_at`] on a thread for blocking work.
async fn look_at(path: PathBuf) -> Result<Shown, Failure> {
    match tokio::task::spawn_blocking(move || input_file::look_at(&path)).await {
        Ok(shown) => shown,
        Err(error) => Err(Failure::new(
            "inspect the file",
            error.to_string(),
            "report this bug in Banyan with the output of `banyan --version`",
        )),
    }
}

/// Starts the server, and creates keys and root.
async fn server(folder: &Path, fleet: &mut Fleet) -> Result<(Client, Profile), Broken> {
    let data = folder.join("server");
    let args = ["server", "--listen", "127.0.0.1:0", "--exit-with-stdin", "--data"].map(OsString::from);
    fleet.start("server", args.into_iter().chain([data.clone().into()]))?;
    let path = data.join("admin.toml");
    // The server writes the profile when it is ready for requests, with the port that the system assigned.
    let profile = within(START, "server", "start the server", async {
        loop {
            match profile::load(&profile::ProfileArg { profile: Some(path.clone()) }) {
                Ok((_, profile)) => return profile,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await?;
    let client = Client::new(&profile).tried(|| "reach the server".into())?;
    let keys = folder.join("keys");
    keys::generate(&keys, 1, 1)?;
    let signing = Signing { keys: vec![keys], out: None };
    let profile = match keys::init(&client, &profile, &path, &signing, &Wanted::default()).await? {
        Ok(profile) => profile,
        // The threshold is one of one keys, so no signature can be missing.
        Err(_) => {
            return Err(Failure::new(
                "create the root",
                "it is not signed",
                "report this bug in Banyan with the output of `banyan --version`",
            )
            .into());
        }
    };
    say(&format!("server     {}, with the publisher's root of trust", profile.server));
    Ok((client, profile))
}

/// Starts the agents and waits until all are online.
async fn agents(
    count: u16,
    folder: &Path,
    client: &Client,
    profile: &Profile,
    fleet: &mut Fleet,
) -> Result<(), Broken> {
    let root = tokens::root(profile)?;
    let token = NewToken { uses: u32::from(count), expires_seconds: 3600, group: Some("demo".into()), replaces: None };
    let code =
        tokens::create(client, profile, profile.server, root, &token).await.tried(|| "create a join code".into())?;
    let names: Vec<String> = (1..=count).map(|number| format!("agent-{number}")).collect();
    for name in &names {
        let install_root = install_root(folder, name);
        std::fs::create_dir_all(&install_root).tried(|| format!("create a folder for {name}"))?;
        let fixed =
            ["agent", "--listen", "127.0.0.1:0", "--exit-with-stdin", "--name", name.as_str()].map(OsString::from);
        let join = ["--join".into(), code.to_string().into()];
        let places: [OsString; 4] =
            ["--data".into(), folder.join(name).join("data").into(), "--install-root".into(), install_root.into()];
        fleet.start(name, fixed.into_iter().chain(join).chain(places))?;
    }
    let mut missing = names.clone();
    let all_there = async {
        loop {
            let machines = client.machines().await.tried(|| "check which machines are online".into())?;
            missing.retain(|name| !machines.iter().any(|machine| machine.label == *name && machine.online));
            if missing.is_empty() {
                return Ok::<(), Failure>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(START, all_there).await {
        Ok(done) => done?,
        Err(_) => {
            let wrong = format!("not online after {1} seconds: {0}", missing.join(", "), START.as_secs());
            let failure = Failure::new("start all machines", wrong, "check the end of the log above");
            return Err(Broken { failure, guilty: missing.into_iter().next() });
        }
    }
    say(&format!("machines   {count}, each with its own certificate, key and folder"));
    Ok(())
}

/// Returns the folder where a demo machine installs software.
fn install_root(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("root")
}

/// Starts the deployment and watches it until it ends.
async fn deployed(client: &Client, request: &Deploy, args: &Args) -> Result<DeploymentStatus, Broken> {
    let tried = || format!("deploy {}", request.package);
    let id = deploy::start(client, request).await.tried(tried)?;
    let show = if args.json.json { Show::Nothing } else { Show::Picture(Live::progress()) };
    let limit = Limit { total: None, still: Some(STILL) };
    match watch_deployment::watch(client, id, limit, show).await.tried(tried)? {
        Watched::Ended(status) => Ok(status),
        Watched::Interrupted => Err(super::interrupted(args.keep)),
    }
}

/// Describes an incomplete deployment: which machines failed, why, and which log to show.
fn incomplete(status: &DeploymentStatus) -> Broken {
    let guilty = status.addressees.iter().find(|machine| machine.stage != Stage::Installed);
    let failure = Failure::new(
        format!("deploy {} {} to every machine", status.package, status.version),
        watch_deployment::shortfall(status).join("\n").replace('\n', "\n        "),
        "check the end of the log above; `banyan demo --keep` keeps all logs",
    );
    Broken { failure: failure.ending(Exit::Incomplete), guilty: guilty.map(|machine| machine.label.clone()) }
}

/// Waits for something with a time limit. After the limit, the named process's log is shown.
async fn within<T>(limit: Duration, guilty: &str, what: &str, done: impl Future<Output = T>) -> Result<T, Broken> {
    tokio::time::timeout(limit, done).await.map_err(|_| Broken {
        failure: Failure::new(
            what,
            format!("not ready after {} seconds", limit.as_secs()),
            "check the end of its log above",
        ),
        guilty: Some(guilty.into()),
    })
}
