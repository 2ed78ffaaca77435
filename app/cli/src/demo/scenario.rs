//! The steps of the demo. They are an administrator's steps, and call the same functions.

use crate::{
    api_client::ApiClient,
    commands::{
        deploy,
        keys::{
            complete_request::SigningArgs,
            generate,
            init::{self, RootRegistration},
        },
        progress_bar::ProgressMode,
        publish::{self, ReleaseSource, SigningMode},
        run_blocking, tokens,
        watch_deployment::{self, WatchDisplay, WatchLimit, WatchResult},
    },
    demo::{
        DemoFailure,
        args::Args,
        debian_requirements::{self, PackageHere},
        input_file::{self, DemoFile},
        processes::DemoProcesses,
        sample_package,
        summary::{InstallLocation, Summary},
    },
    deployment_tree::LiveTree,
    output::{Exit, Failure, WithContext as _, print_note},
    profile,
};
use banyan_proto::{
    Address, ServerCopies,
    admin::{Deploy, DeploymentStatus, NewToken, Profile, Selection, Stage},
    manifest::Kind,
    order::{Spread, Window},
    rollout::Rollout,
};
use banyan_publisher::first_root::RootOptions;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// Timeout for the server's start, and for all agents to enrol.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a deployment may make no progress before the demo fails.
const STALL_LIMIT: Duration = Duration::from_secs(180);

/// Runs the demo from start to summary.
pub(super) async fn run_scenario(
    args: &Args,
    folder: &Path,
    processes: &mut DemoProcesses,
) -> Result<Exit, DemoFailure> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => sample_package::write_sample(folder).with_context(|| "create the sample package".into())?,
    };
    let DemoFile { path, given, kind, needs } =
        run_blocking("inspect the file", move || input_file::inspect_file(&path)).await?;
    let (client, profile) = start_server(folder, processes).await?;
    start_agents(args.agents, &needs, folder, &client, &profile, processes).await?;
    let progress = if args.output.json { ProgressMode::Hidden } else { ProgressMode::Shown };
    let signing = SigningArgs { keys: vec![folder.join("keys")], out: None };
    let source = ReleaseSource { file: &path, given, again: false };
    let (release, _) = publish::publish_release(&client, &SigningMode::Sign(&signing), source, progress).await?;
    print_note(&format!("published  {} {}, signed with the publisher's key", release.package, release.version));
    let deploy = Deploy {
        package: release.package,
        version: Some(release.version),
        to: Selection::All,
        stripes: args.stripes,
        spread: Spread::CutThrough,
        window: Window::Any,
        deadline: None,
        allow: vec![],
        include_protected: false,
        server_copies: ServerCopies::ONE,
        rollout: Rollout::default(),
    };
    let status = deploy_and_watch(&client, &deploy, args).await?;
    if watch_deployment::exit_for(&status) != Exit::Success {
        return Err(incomplete_deployment(&status));
    }
    let place = |name: &str| match kind {
        Kind::Archive => install_root(folder, name).join("opt/banyan/packages").join(&status.package).join("current"),
        Kind::Deb | Kind::Unknown => install_root(folder, name),
    };
    let places =
        status.addressees.iter().map(|machine| InstallLocation { machine: machine.id, path: place(&machine.label) });
    let summary = Summary::of(&status, &places.collect::<Vec<_>>());
    args.output.print(&summary, |summary| summary.text(args.keep))?;
    Ok(Exit::Success)
}

/// Starts the server, and creates keys and root.
async fn start_server(folder: &Path, processes: &mut DemoProcesses) -> Result<(ApiClient, Profile), DemoFailure> {
    let data = folder.join("server");
    let args = ["server", "--listen", "127.0.0.1:0", "--exit-with-stdin", "--data"].map(OsString::from);
    processes.start("server", args.into_iter().chain([data.clone().into()]))?;
    let path = data.join("admin.toml");
    // The server writes the profile when it is ready for requests, with the port that the system assigned.
    let profile = with_time_limit(START_TIMEOUT, "server", "start the server", async {
        loop {
            match profile::load(&profile::ProfileArg { profile: Some(path.clone()) }) {
                Ok((_, profile)) => return profile,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await?;
    let client = ApiClient::new(&profile).with_context(|| "reach the server".into())?;
    let keys = folder.join("keys");
    generate::generate_keys(&keys, 1, 1)?;
    let signing = SigningArgs { keys: vec![keys], out: None };
    let profile = match init::init_root(&client, &profile, &path, &signing, &RootOptions::default()).await? {
        RootRegistration::Registered(profile) => profile,
        // The threshold is one of one keys, so no signature can be missing.
        RootRegistration::Unsigned(_) => return Err(Failure::bug("create the root", "it is not signed").into()),
    };
    print_note(&format!("server     {}, with the publisher's root of trust", Address::list(&profile.servers)));
    Ok((client, profile))
}

/// Starts the agents and waits until all are online.
async fn start_agents(
    count: u16,
    needs: &[PackageHere],
    folder: &Path,
    client: &ApiClient,
    profile: &Profile,
    processes: &mut DemoProcesses,
) -> Result<(), DemoFailure> {
    let root = tokens::trusted_root(profile)?;
    let token = NewToken { uses: u32::from(count), expires_seconds: 3600, group: Some("demo".into()), replaces: None };
    let code = tokens::create_join_code(client, profile, profile.servers.clone(), root, &token)
        .await
        .with_context(|| "create a join code".into())?;
    let names: Vec<String> = (1..=count).map(|number| format!("agent-{number}")).collect();
    for name in &names {
        let install_root = install_root(folder, name);
        std::fs::create_dir_all(&install_root).with_context(|| format!("create a folder for {name}"))?;
        debian_requirements::list_as_installed(needs, &install_root)
            .with_context(|| format!("list this computer's packages for {name}"))?;
        let fixed =
            ["agent", "--listen", "127.0.0.1:0", "--exit-with-stdin", "--name", name.as_str()].map(OsString::from);
        let join = ["--join".into(), code.to_string().into()];
        let places: [OsString; 4] =
            ["--data".into(), folder.join(name).join("data").into(), "--install-root".into(), install_root.into()];
        processes.start(name, fixed.into_iter().chain(join).chain(places))?;
    }
    let mut missing = names.clone();
    let all_there = async {
        loop {
            let machines = client.machines().await.with_context(|| "check which machines are online".into())?;
            missing.retain(|name| !machines.iter().any(|machine| machine.label == *name && machine.online));
            if missing.is_empty() {
                return Ok::<(), Failure>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(START_TIMEOUT, all_there).await {
        Ok(done) => done?,
        Err(_) => {
            let wrong = format!("not online after {1} seconds: {0}", missing.join(", "), START_TIMEOUT.as_secs());
            let failure = Failure::new("start all machines", wrong, "check the end of the log above");
            return Err(DemoFailure { failure, suspect: missing.into_iter().next() });
        }
    }
    print_note(&format!("machines   {count}, each with its own certificate, key and folder"));
    Ok(())
}

/// Returns the folder where a demo machine installs software.
fn install_root(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join("root")
}

/// Starts the deployment and watches it until it ends.
async fn deploy_and_watch(client: &ApiClient, request: &Deploy, args: &Args) -> Result<DeploymentStatus, DemoFailure> {
    let action = || format!("deploy {}", request.package);
    let id = deploy::start_deployment(client, request).await.with_context(action)?;
    let show = if args.output.json { WatchDisplay::Hidden } else { WatchDisplay::Tree(LiveTree::on_stderr()) };
    let limit = WatchLimit { total: None, without_change: Some(STALL_LIMIT) };
    match watch_deployment::watch(client, id, limit, show).await.with_context(action)? {
        WatchResult::Stopped(status) => Ok(status),
        WatchResult::Interrupted(_) => Err(super::interrupted(args.keep)),
    }
}

/// Describes an incomplete deployment: which machines failed, why, and which log to show.
fn incomplete_deployment(status: &DeploymentStatus) -> DemoFailure {
    let suspect = status.addressees.iter().find(|machine| machine.stage != Stage::Installed);
    let failure = Failure::new(
        format!("deploy {} {} to every machine", status.package, status.version),
        watch_deployment::describe_unfinished(status).join("\n").replace('\n', "\n        "),
        "check the end of the log above; `banyan demo --keep` keeps all logs",
    );
    DemoFailure { failure: failure.with_exit(Exit::Incomplete), suspect: suspect.map(|machine| machine.label.clone()) }
}

/// Waits for something with a time limit. After the limit, the named process's log is shown.
async fn with_time_limit<T>(
    limit: Duration,
    suspect: &str,
    what: &str,
    done: impl Future<Output = T>,
) -> Result<T, DemoFailure> {
    tokio::time::timeout(limit, done).await.map_err(|_| DemoFailure {
        failure: Failure::new(
            what,
            format!("not ready after {} seconds", limit.as_secs()),
            "check the end of its log above",
        ),
        suspect: Some(suspect.into()),
    })
}
