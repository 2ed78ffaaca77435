//! Captures each page: light and dark, with a large scale for poor eyesight, and in a small window. Pictures that the
//! documentation shows go into `docs/pictures`, the others beside the built programs for inspection.

use crate::{accessibility::Access, fake_agent::Agent};
use banyan_proto::local::Snapshot;
use banyan_tests::{
    programs,
    test_desktop::{TestDesktop, wait_for},
};
use banyan_ui_common::{Page, sample_data, texts};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

/// Returns a text that appears only on this page.
pub(crate) fn sign(page: Page) -> &'static str {
    match page {
        Page::Updates => "School Browser 12.1",
        Page::Schedule => texts::conditions::CURRENT_CONDITIONS,
        Page::Sharing => texts::sharing::WHY_SHARE,
        Page::History => "Downloaded and checked",
        Page::Catalogue => "Drawing 3.1",
        Page::Settings => texts::settings::DOWNLOAD_LIMIT,
        Page::Computer => texts::computer::COPY_DETAILS,
    }
}

/// Whether the documentation shows this picture.
fn is_shown(page: Page, look: &str, scale: &str, size: &str) -> bool {
    scale == "1"
        && size.is_empty()
        && matches!(
            (page, look),
            (Page::Updates, _)
                | (Page::Schedule | Page::Sharing | Page::History | Page::Catalogue | Page::Computer, "light")
        )
}

/// Returns the path for a picture.
pub(crate) fn path(shown: bool, name: &str) -> PathBuf {
    let folder = if shown {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures")
    } else {
        programs::folder().join("pictures")
    };
    folder.join(format!("{name}.png"))
}

/// Opens one window and captures its pages one after the other.
fn take_screenshot(snapshot: Snapshot, look: &str, scale: &str, size: &str, pages: &[Page]) {
    let mut desktop = TestDesktop::without_panel();
    let _agent = Agent::show_snapshot(&desktop, snapshot);
    let access = Access::on(&desktop);
    let mut command = desktop.ours("banyan-window");
    command.args(["--look", look, "--told-by-stdin", "--at", &sample_data::NOW.0.to_string()]);
    command.env("WINIT_X11_SCALE_FACTOR", scale).stdin(Stdio::piped());
    let process = desktop.keep(&mut command);
    let mut pages_to = desktop.stdin(process);
    let window = desktop.window(texts::PRODUCT);
    if let Some((width, height)) = size.split_once('x') {
        desktop.run("xdotool", &["windowsize", "--sync", &window, width, height]);
    }
    for page in pages {
        writeln!(pages_to, "{}", page.code()).expect("the window reads its input");
        access.find(sign(*page));
        let extra: String = [("1", scale), ("", size)]
            .iter()
            .filter(|(usual, is)| usual != is)
            .fold(String::new(), |text, (_, is)| text + "-" + is);
        let path = path(is_shown(*page, look, scale, size), &format!("{}-{look}{extra}", page.code()));
        picture(&desktop, &window, &path);
    }
}

/// Captures a window once it has finished drawing: elements appear on the screen shortly after they appear in the tree.
pub(crate) fn picture(desktop: &TestDesktop, window: &str, path: &Path) {
    let read = || std::fs::read(path).expect("the file exists");
    wait_for("the window has finished drawing", || {
        desktop.take_screenshot(window, path);
        let before = read();
        desktop.take_screenshot(window, path);
        (read() == before).then_some(())
    });
    assert!(desktop.colours(path) > 50, "{} was not drawn", path.display());
}

#[test]
fn pages_in_light_colours() {
    take_screenshot(sample_data::busy(), "light", "1", "", &Page::ALL);
}

#[test]
fn pages_in_dark_colours() {
    take_screenshot(sample_data::busy(), "dark", "1", "", &Page::ALL);
}

#[test]
fn pages_at_125_percent() {
    take_screenshot(sample_data::busy(), "light", "1.25", "", &[Page::Updates, Page::Schedule]);
}

#[test]
fn pages_at_150_percent_in_a_small_window() {
    take_screenshot(sample_data::busy(), "light", "1.5", "900x600", &Page::ALL);
}

#[test]
fn pages_at_200_percent() {
    take_screenshot(sample_data::busy(), "dark", "2", "", &Page::ALL);
}

#[test]
fn pages_in_a_small_window() {
    take_screenshot(sample_data::busy(), "light", "1", "900x600", &Page::ALL);
}
