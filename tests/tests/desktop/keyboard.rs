//! The window, used without a mouse and without seeing it.

use crate::{access::Access, agent::Agent};
use banyan_face::{Page, sample, texts};
use banyan_proto::{
    local::Request,
    schedule::{Stage as Of, Wish},
};
use banyan_tests::stage::{Stage, wait_for};

#[test]
fn it_is_pressed_without_seeing_it() {
    let mut stage = Stage::bare();
    let agent = Agent::shows(&stage, sample::busy());
    let access = Access::on(&stage);
    stage.keep(&mut stage.ours("banyan-window"));
    let shown = stage.window(texts::PRODUCT);
    access.press(texts::INSTALL_NOW);
    let update = sample::ready().order;
    let wish = Request::Wish { order: update, stage: Of::Install, wish: Wish::Now };
    wait_for("the agent is asked", || (agent.asked() == [wish.clone()]).then_some(()));

    // Each page, by its name; and everything on it that can be pressed has a name.
    for page in Page::ALL {
        access.press(texts::page(page));
        access.find(crate::pages::sign(page));
        let nameless: Vec<_> =
            access.all().into_iter().filter(|thing| thing.can_be_pressed() && thing.name.is_empty()).collect();
        assert!(nameless.is_empty(), "{page:?}: {nameless:?}");
    }

    // With the keys alone: Tab until it is there, then Space.
    stage.run("xdotool", &["windowfocus", "--sync", &shown]);
    let page = texts::page(Page::Sharing);
    wait_for("the keyboard is there", || {
        stage.run("xdotool", &["key", "Tab"]);
        access.all().into_iter().find(|thing| thing.has_focus && thing.name == page)
    });
    stage.run("xdotool", &["key", "space"]);
    access.find(texts::WHY_SHARE);
}
