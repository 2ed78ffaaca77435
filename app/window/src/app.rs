//! The window as a program: takes the agent's data and the tray's requests into each frame, and carries out what the
//! person asked for in it.
//!
//! The window repaints when the agent sends something, when the person does something, and once a minute to update
//! relative times.

use crate::{
    layout, theme,
    window_state::{ChosenRelease, WindowState},
};
use banyan_proto::UnixSeconds;
use banyan_ui_common::{
    AgentClient, Clock, OpenRequest, Page, Preferences, SHOWN_MARKER,
    catalogue::{self, CatalogueReply, ReleaseRequest},
    package_file::{self, PackageFile, PackageStage},
    texts,
};
use std::{
    io::BufRead,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

/// Interval for updating relative times such as "2 min left" and "tonight".
const REFRESH: Duration = Duration::from_secs(60);

/// What the window starts with.
pub(crate) struct StartOptions {
    pub(crate) socket: PathBuf,
    pub(crate) page: Page,
    /// A package file to open.
    pub(crate) package: Option<PathBuf>,
    pub(crate) theme: egui::ThemePreference,
    /// Requests to show something arrive on standard input.
    pub(crate) reads_stdin: bool,
    /// The page says that this desktop has no tray.
    pub(crate) no_tray: bool,
    /// Show times as if it were this time.
    pub(crate) fixed_time: Option<UnixSeconds>,
}

/// What happened to a package file, from the thread that copies it to the agent.
struct PackageEvent {
    path: PathBuf,
    stage: PackageStage,
}

/// The window: its state, and the channels to the threads that wait for others.
pub(crate) struct WindowApp {
    agent: AgentClient,
    state: WindowState,
    saved_preferences: Preferences,
    open_requests: Receiver<OpenRequest>,
    socket: PathBuf,
    package_sender: Sender<PackageEvent>,
    package_events: Receiver<PackageEvent>,
    catalogue_sender: Sender<CatalogueReply>,
    catalogue_replies: Receiver<CatalogueReply>,
    fixed_time: Option<UnixSeconds>,
    /// The person has closed the window.
    is_closing: bool,
}

/// Whether the window was opened.
static WAS_OPEN: AtomicBool = AtomicBool::new(false);

/// Returns whether the window was opened.
pub(crate) fn was_open() -> bool {
    WAS_OPEN.load(Ordering::Relaxed)
}

impl WindowApp {
    pub(crate) fn new(start: StartOptions, creation: &eframe::CreationContext<'_>) -> Self {
        WAS_OPEN.store(true, Ordering::Relaxed);
        theme::install(&creation.egui_ctx);
        creation.egui_ctx.set_theme(start.theme);
        let ctx = creation.egui_ctx.clone();
        let agent = AgentClient::start(start.socket.clone(), move || ctx.request_repaint());
        let (open_sender, open_requests) = channel();
        if start.reads_stdin {
            read_open_requests(open_sender, creation.egui_ctx.clone());
        }
        let preferences = Preferences::load();
        let (package_sender, package_events) = channel();
        let (catalogue_sender, catalogue_replies) = channel();
        let mut window = Self {
            agent,
            state: WindowState { preferences, ..WindowState::new(start.page, start.no_tray) },
            saved_preferences: preferences,
            open_requests,
            socket: start.socket,
            package_sender,
            package_events,
            catalogue_sender,
            catalogue_replies,
            fixed_time: start.fixed_time,
            is_closing: false,
        };
        if let Some(path) = start.package.and_then(|path| std::path::absolute(path).ok()) {
            window.open_package(path, &creation.egui_ctx);
        }
        window
    }
    /// Asks the agent to describe a package file. Runs on a thread, since files and agents may be slow.
    fn open_package(&mut self, path: PathBuf, ctx: &egui::Context) {
        self.state.opened_package = Some(PackageFile::new(path.clone()));
        let (sender, ctx, socket) = (self.package_sender.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            let stage = package_file::inspect_package(&socket, &path);
            let _ = sender.send(PackageEvent { path, stage });
            ctx.request_repaint();
        });
    }
    /// Has the agent install the package file that is shown.
    fn install_package(&mut self, ctx: &egui::Context) {
        let Some(PackageFile { path, stage: PackageStage::Checked(package), consent }) = &self.state.opened_package
        else {
            return;
        };
        let (path, package, consent) = (path.clone(), package.clone(), *consent && package.signer.asks);
        let (sender, ctx, socket) = (self.package_sender.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            package_file::install_package(&socket, &path, package, consent, |stage| {
                let _ = sender.send(PackageEvent { path: path.clone(), stage });
                ctx.request_repaint();
            });
        });
    }
    /// Requests the catalogue and the release that the person chose. Runs on threads, since the agent has to ask its
    /// server.
    fn start_catalogue_requests(&mut self, ctx: &egui::Context) {
        if std::mem::take(&mut self.state.should_load_catalogue) && !self.state.catalogue.is_loading {
            self.state.catalogue.begin_loading();
            self.request_in_background(ctx, |socket| CatalogueReply::Catalogue(catalogue::fetch_catalogue(socket)));
        }
        if let Some(ChosenRelease { package, manifest }) = self.state.chosen_release.take() {
            self.state.catalogue.requests.insert(manifest, ReleaseRequest::Pending);
            self.request_in_background(ctx, move |socket| {
                CatalogueReply::Release(manifest, catalogue::request_release(socket, package, manifest))
            });
        }
    }
    fn request_in_background(
        &self,
        ctx: &egui::Context,
        request: impl FnOnce(&Path) -> CatalogueReply + Send + 'static,
    ) {
        let (sender, finished, socket) = (self.catalogue_sender.clone(), ctx.clone(), self.socket.clone());
        std::thread::spawn(move || {
            // The receiver exists until the window ends.
            let _ = sender.send(request(&socket));
            finished.request_repaint();
        });
        // The page shows that a request is under way.
        ctx.request_repaint();
    }
    /// Takes what the threads have reported into the state.
    fn apply_results(&mut self) {
        self.catalogue_replies.try_iter().for_each(|reply| self.state.catalogue.apply(reply));
        for PackageEvent { path, stage } in self.package_events.try_iter() {
            // Another file may have been opened in between.
            if let Some(package) = self.state.opened_package.as_mut().filter(|package| package.path == path) {
                package.stage = stage;
            }
        }
    }
    /// Saves preferences that have changed. A failure is shown, and saving is retried only after the next change.
    fn save_preferences(&mut self) {
        if self.state.preferences != self.saved_preferences {
            self.saved_preferences = self.state.preferences;
            self.state.save_error =
                self.saved_preferences.save().err().map(|error| texts::settings::save_error(&error));
        }
    }
}

/// Reads the tray's requests from standard input on a thread of its own.
fn read_open_requests(sender: Sender<OpenRequest>, ctx: egui::Context) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(request) = OpenRequest::from_line(&line) {
                // The receiver exists until the window ends.
                let _ = sender.send(request);
                ctx.request_repaint();
            }
        }
    });
}

impl eframe::App for WindowApp {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.is_closing |= ctx.input(|input| input.viewport().close_requested());
        if self.is_closing {
            // Leave new requests to the next window: this one may be drawn once more, but it is not visible any more.
            return;
        }
        let requests: Vec<_> = self.open_requests.try_iter().collect();
        for request in requests {
            match request {
                OpenRequest::Page(page) => (self.state.page, self.state.opened_package) = (page, None),
                OpenRequest::Package(path) => self.open_package(path, ctx),
            }
            // The tray counts these lines.
            banyan_ui_common::print_error(SHOWN_MARKER);
            ctx.send_viewport_cmd(egui::ViewportCommand::Minimized(false));
            ctx.send_viewport_cmd(egui::ViewportCommand::Focus);
        }
    }
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let dropped = ui.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_owned()));
        if let Some(path) = dropped {
            self.open_package(path, &ui.ctx().clone());
        }
        self.apply_results();
        let view = self.agent.view();
        let clock = Clock::of(view.snapshot.as_ref(), self.fixed_time.unwrap_or_else(UnixSeconds::now));
        for request in layout::draw(ui, &view, &mut self.state, &clock) {
            self.agent.send(&request);
        }
        if std::mem::take(&mut self.state.should_install) {
            self.install_package(&ui.ctx().clone());
        }
        self.start_catalogue_requests(&ui.ctx().clone());
        self.save_preferences();
        ui.ctx().request_repaint_after(REFRESH);
    }
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}
