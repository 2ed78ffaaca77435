//! `banyan-window`: the window for people at a computer. [`window_state`] holds the data of the pages, [`pages`] draws them. The
//! person's choices are collected as requests and sent to the agent after each frame.
//!
//! The window repaints when the agent sends something, when the person does something, and once a minute to update
//! relative times.

#![cfg_attr(not(unix), windows_subsystem = "windows")]

mod layout;
mod pages;
#[cfg(test)]
mod tests;
mod theme;
mod week_editor;
mod widgets;
mod window_state;

use banyan_proto::UnixSeconds;
use banyan_ui_common::{
    Clock, Line, Page, Preferences, SHOWN, Show,
    catalogue::{self, Got},
    package_file::{self, Opening, Step},
    texts, tray_icon,
};
use clap::Parser;
use std::{
    io::BufRead,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};
use window_state::State;

/// Open the Banyan window: updates, schedule, sharing and settings
#[derive(Parser)]
#[command(name = "banyan-window", version)]
struct Cli {
    /// Socket of the Banyan agent
    #[arg(long, value_name = "PATH", default_value_os_t = banyan_ui_common::system_socket())]
    socket: PathBuf,
    /// Page to open
    #[arg(long, value_name = "PAGE", default_value = "updates", value_parser = page)]
    page: Page,
    /// Package file to open
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// Colour theme
    #[arg(long, value_enum, default_value = "system")]
    look: Look,
    /// Read what to show from standard input, one request per line (used by the tray)
    #[arg(long, hide = true)]
    told_by_stdin: bool,
    /// Show a notice that this desktop has no tray
    #[arg(long, hide = true)]
    no_tray: bool,
    /// Show times as if it were this time (seconds since 1970), for screenshots
    #[arg(long, hide = true, value_name = "SECONDS")]
    at: Option<u64>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Look {
    System,
    Light,
    Dark,
}

fn page(text: &str) -> Result<Page, String> {
    let names: Vec<_> = Page::ALL.iter().map(|page| page.code()).collect();
    Page::named(text).ok_or_else(|| format!("no such page; use one of: {}", names.join(", ")))
}

/// Size of the window's icon in task lists (pixels).
const ICON: u32 = 64;
/// Interval for updating relative times such as "2 min left" and "tonight".
const REFRESH: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let icon = tray_icon::draw(tray_icon::Crown { filled: Some(100), sign: None }, ICON);
    let viewport = egui::ViewportBuilder::default()
        .with_title(texts::PRODUCT)
        .with_app_id("banyan")
        .with_icon(egui::IconData { rgba: icon, width: ICON, height: ICON })
        .with_inner_size(theme::WINDOW)
        .with_min_inner_size(theme::SMALLEST);
    let options = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Glow, ..Default::default() };
    let opened =
        eframe::run_native(texts::PRODUCT, options, Box::new(|creation| Ok(Box::new(Window::new(&cli, creation)))));
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The tray reads this line and shows it to the person.
            eprintln!("error: cannot open a window: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Window {
    line: Line,
    state: State,
    kept: Preferences,
    told: Receiver<Show>,
    socket: PathBuf,
    /// Steps of package files, from the threads that copy them to the agent.
    step: Sender<(PathBuf, Step)>,
    steps: Receiver<(PathBuf, Step)>,
    /// Answers about the catalogue, from the threads that request it.
    offer: Sender<catalogue::Told>,
    offers: Receiver<catalogue::Told>,
    at: Option<UnixSeconds>,
    /// The person has closed the window.
    closing: bool,
}

impl Window {
    fn new(cli: &Cli, creation: &eframe::CreationContext<'_>) -> Self {
        theme::install(&creation.egui_ctx);
        creation.egui_ctx.set_theme(match cli.look {
            Look::System => egui::ThemePreference::System,
            Look::Light => egui::ThemePreference::Light,
            Look::Dark => egui::ThemePreference::Dark,
        });
        let ctx = creation.egui_ctx.clone();
        let line = Line::start(cli.socket.clone(), move || ctx.request_repaint());
        let (tell, told) = channel();
        if cli.told_by_stdin {
            let ctx = creation.egui_ctx.clone();
            std::thread::spawn(move || {
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    if let Some(show) = Show::of(&line) {
                        // The receiver exists until the window ends.
                        let _ = tell.send(show);
                        ctx.request_repaint();
                    }
                }
            });
        }
        let preferences = Preferences::load();
        let state = State { preferences, ..State::new(cli.page, cli.no_tray) };
        let (socket, (step, steps), (offer, offers)) = (cli.socket.clone(), channel(), channel());
        let at = cli.at.map(UnixSeconds);
        let mut window =
            Self { line, state, kept: preferences, told, socket, step, steps, offer, offers, at, closing: false };
        if let Some(path) = cli.package.as_ref().and_then(|path| std::path::absolute(path).ok()) {
            window.open(path, &creation.egui_ctx);
        }
        window
    }
    /// Asks the agent to describe a package file. Runs on a thread, since files and agents may be slow.
    fn open(&mut self, path: PathBuf, ctx: &egui::Context) {
        self.state.opening = Some(Opening::new(path.clone()));
        let (tell, ctx, socket) = (self.step.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            let step = package_file::open(&socket, &path);
            let _ = tell.send((path, step));
            ctx.request_repaint();
        });
    }
    /// Has the agent install the package file that is shown.
    fn install(&mut self, ctx: &egui::Context) {
        let Some(Opening { path, step: Step::Shown(shown), consent }) = &self.state.opening else { return };
        let (path, shown, consent) = (path.clone(), shown.clone(), *consent && shown.signer.asks);
        let (tell, ctx, socket) = (self.step.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            package_file::install(&socket, &path, shown, consent, |step| {
                let _ = tell.send((path.clone(), step));
                ctx.request_repaint();
            });
        });
    }
    /// Requests the catalogue and the releases that the person chose. Runs on threads, since the agent has to ask its
    /// server.
    fn carry_out_wishes(&mut self, ctx: &egui::Context) {
        if std::mem::take(&mut self.state.look) && !self.state.shelf.asking {
            self.state.shelf.ask();
            self.aside(ctx, |socket| catalogue::Told::Offered(catalogue::look(socket)));
        }
        if let Some((package, manifest)) = self.state.get.take() {
            self.state.shelf.got.insert(manifest, Got::Asked);
            self.aside(ctx, move |socket| catalogue::Told::Got(manifest, catalogue::get(socket, package, manifest)));
        }
    }
    fn aside(&self, ctx: &egui::Context, ask: impl FnOnce(&Path) -> catalogue::Told + Send + 'static) {
        let (tell, told, socket) = (self.offer.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            // The receiver exists until the window ends.
            let _ = tell.send(ask(&socket));
            told.request_repaint();
        });
        // The page shows that a request is under way.
        ctx.request_repaint();
    }
    fn take_steps(&mut self) {
        self.offers.try_iter().for_each(|told| self.state.shelf.take(told));
        for (path, step) in self.steps.try_iter() {
            // Another file may have been opened in between.
            if let Some(opening) = self.state.opening.as_mut().filter(|opening| opening.path == path) {
                opening.step = step;
            }
        }
    }
    /// Saves preferences that have changed. A failure is shown, and saving is retried only after the next change.
    fn keep(&mut self) {
        if self.state.preferences != self.kept {
            self.kept = self.state.preferences;
            self.state.not_kept = self.kept.save().err().map(|error| error.to_string());
        }
    }
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.closing |= ctx.input(|input| input.viewport().close_requested());
        if self.closing {
            // Leave new requests to the next window: this one may be drawn once more, but it is not visible any more.
            return;
        }
        let told: Vec<_> = self.told.try_iter().collect();
        for show in told {
            match show {
                Show::Page(page) => (self.state.page, self.state.opening) = (page, None),
                Show::Package(path) => self.open(path, ctx),
            }
            // The tray counts these lines.
            eprintln!("{SHOWN}");
            ctx.send_viewport_cmd(egui::ViewportCommand::Minimized(false));
            ctx.send_viewport_cmd(egui::ViewportCommand::Focus);
        }
    }
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let dropped = ui.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_owned()));
        if let Some(path) = dropped {
            self.open(path, &ui.ctx().clone());
        }
        self.take_steps();
        let view = self.line.view();
        let clock = Clock::of(view.snapshot.as_ref(), self.at.unwrap_or_else(UnixSeconds::now));
        for request in layout::draw(ui, &view, &mut self.state, &clock) {
            self.line.ask(&request);
        }
        if std::mem::take(&mut self.state.install) {
            self.install(&ui.ctx().clone());
        }
        self.carry_out_wishes(&ui.ctx().clone());
        self.keep();
        ui.ctx().request_repaint_after(REFRESH);
    }
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}
