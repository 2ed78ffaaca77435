//! Measures the cost of tray and window and prints a table for `docs/numbers.md`. It uses a real panel on a virtual
//! screen, and a simulated agent. Build in release, then run `target/release/footprint-desktop`.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("error: tray and window are measured on Linux only");
}

#[cfg(target_os = "linux")]
mod linux {
    use banyan_tests::{
        process_cost::{Memory, WakeUps, mib, ticks},
        programs,
        test_desktop::{TestDesktop, wait_for},
    };
    use banyan_ui_common::texts;
    use std::{fs, time::Duration};

    /// How long an idle program is measured.
    const IDLE: Duration = Duration::from_secs(60);
    /// Time for start-up activity to end.
    const SETTLE: Duration = Duration::from_secs(5);
    /// How often the window is opened and closed.
    const TIMES: usize = 5;

    pub(super) fn main() {
        println!("| what | figure |\n| --- | ---: |");
        for program in ["banyan-tray", "banyan-window"] {
            let bytes = fs::metadata(programs::folder().join(program)).expect("the program is built").len();
            println!("| size of `{program}` (MiB) | {:.1} |", mib(bytes));
        }
        let mut desktop = TestDesktop::with_panel();
        let mut agent = desktop.command(programs::folder().join("banyan-fake-agent"));
        desktop.keep(agent.arg("--data").arg(desktop.folder()).args(["--scene", "ready"]));
        wait_for("the agent", || desktop.path("agent.sock").exists().then_some(()));
        let mut command = desktop.ours("banyan-tray");
        let tray = desktop.keep(&mut command);
        std::thread::sleep(SETTLE);
        idle("tray", tray);
        for time in 0..TIMES {
            let opened = desktop.ours("banyan-tray").args(["--open", "updates"]).status();
            assert!(opened.expect("the program can be started").success(), "a second tray exits successfully");
            let window = desktop.window(texts::PRODUCT);
            let process =
                desktop.run("xdotool", &["getwindowpid", &window]).parse().expect("the window has a process id");
            std::thread::sleep(SETTLE);
            if time == 0 {
                idle("window", process);
            }
            desktop.run("xdotool", &["windowfocus", "--sync", &window, "key", "alt+F4"]);
            wait_for("the window has closed", || desktop.no_window(texts::PRODUCT).then_some(()));
        }
        std::thread::sleep(SETTLE);
        println!(
            "| tray, after the window was opened and closed {TIMES} times: memory (MiB), of which private | {} |",
            Memory::private(tray)
        );
    }

    fn idle(name: &str, process: u32) {
        let (woke, spent) = (WakeUps::of(process), ticks(process));
        std::thread::sleep(IDLE);
        let seconds = IDLE.as_secs_f64();
        println!("| {name}, idle: resident memory (MiB), of which private | {} |", Memory::private(process));
        println!(
            "| {name}, idle: wake-ups per minute | {:.0} |",
            WakeUps::of(process).since(&woke) as f64 * 60.0 / seconds
        );
        println!(
            "| {name}, idle: processor time per minute (ms, in steps of 10) | {:.0} |",
            (ticks(process) - spent) as f64 * 10.0 * 60.0 / seconds
        );
    }
}
