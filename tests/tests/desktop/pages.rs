//! Each page, photographed; and pressed as somebody does who cannot see it.

use crate::{
    access::Access,
    agent::Agent,
    stage::{Stage, wait_for},
};
use banyan_face::{Page, sample, texts};
use banyan_proto::{
    local::Request,
    schedule::{Stage as Of, Wish},
};
use std::process::Command;

/// The window at a page and at the sample's moment.
fn window(stage: &Stage, page: Page, look: &str) -> Command {
    let mut command = stage.ours("banyan-window");
    command.args(["--page", page.code(), "--look", look, "--at", &sample::NOW.0.to_string()]);
    command
}

/// Something that stands on the page and nowhere else.
fn sign(page: Page) -> &'static str {
    match page {
        Page::Updates => "School Browser 12.1",
        Page::Schedule => texts::SIGNALS,
        Page::Sharing => texts::WHY_SHARE,
        Page::History => "Received and checked",
        Page::Catalogue => texts::CATALOGUE,
        Page::Settings => texts::DOWNLOAD,
        Page::Computer => texts::COPY,
    }
}

#[test]
fn each_page_is_photographed() {
    let mut stage = Stage::bare();
    let _agent = Agent::listen(&stage.path("agent.sock"), sample::busy());
    let access = Access::on(&stage);
    for (look, scale, pages) in [
        ("light", "1", &Page::ALL[..]),
        ("dark", "1", &[Page::Updates, Page::Schedule][..]),
        ("light", "2", &[Page::Updates, Page::Schedule][..]),
    ] {
        for page in pages {
            let id = stage.keep(window(&stage, *page, look).env("WINIT_X11_SCALE_FACTOR", scale));
            let shown = stage.window("Banyan");
            access.find(sign(*page));
            let large = if scale == "1" { "" } else { "-at-200-percent" };
            let picture = stage.photograph(&shown, &format!("{}-{look}{large}", page.code()));
            assert!(stage.colours(&picture) > 50, "{} was not drawn", picture.display());
            stage.close(id);
            wait_for("it has gone", || stage.no_window("Banyan").then_some(()));
        }
    }
}

#[test]
fn it_is_pressed_without_seeing_it() {
    let mut stage = Stage::bare();
    let agent = Agent::listen(&stage.path("agent.sock"), sample::busy());
    let access = Access::on(&stage);
    stage.keep(&mut window(&stage, Page::Updates, "light"));
    access.press(texts::INSTALL_NOW);
    let wish = Request::Wish { order: sample::ready().order, stage: Of::Install, wish: Wish::Now };
    wait_for("the agent is asked", || (agent.asked() == [wish.clone()]).then_some(()));
    access.press(texts::page(Page::Sharing));
    access.find(texts::WHY_SHARE);
}
