//! The fake agent as a program, for trying out the tray and the window.

use anyhow::Context;
use banyan_fake_agent::{FakeAgent, Scene};
use banyan_local_api::LocalAddress;
use clap::Parser;
use std::{path::PathBuf, time::Duration};

/// Serve simulated agent data for testing and designing the tray and the window
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// Data folder of the simulated agent; its socket is created there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Scene to show: idle, receiving, forwarding, waiting, busy, ready, needs-you, installing, failed, paused,
    /// metered, battery, deadline, not-connected, not-enrolled
    #[arg(long, value_name = "SCENE", default_value = "receiving")]
    scene: Scene,
    /// Cycle through all scenes, showing each for this many seconds
    #[arg(long, value_name = "SECONDS")]
    tour: Option<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.data)
        .with_context(|| format!("creating the folder {} (--data)", args.data.display()))?;
    let address = LocalAddress::Own(args.data.clone());
    let fake =
        FakeAgent::start(&address, args.scene).with_context(|| format!("listening in {}", args.data.display()))?;
    let mut next = Scene::ALL.into_iter().cycle().skip_while(|scene| *scene != args.scene).skip(1);
    let (mut shown, mut second) = (0, tokio::time::interval(Duration::from_secs(1)));
    loop {
        second.tick().await;
        fake.tick();
        shown += 1;
        if args.tour.is_some_and(|each| shown > each)
            && let Some(scene) = next.next()
        {
            shown = 0;
            eprintln!("{scene}");
            fake.show(scene);
        }
    }
}
