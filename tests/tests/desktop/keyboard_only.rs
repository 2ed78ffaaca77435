//! Tests the window without a mouse and without sight.

use crate::{accessibility::Access, fake_agent::Agent};
use banyan_proto::{
    local::Request,
    schedule::{Stage as Of, Wish},
};
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{Page, sample_data, texts};

#[test]
fn the_window_is_operated_without_sight() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_snapshot(&desktop, sample_data::busy());
    let access = Access::on(&desktop);
    desktop.keep(&mut desktop.ours("banyan-window"));
    let shown = desktop.window(texts::PRODUCT);
    access.press(texts::updates::INSTALL_NOW);
    let update = sample_data::ready().order;
    let wish = Request::Wish { order: update, stage: Of::Install, wish: Wish::Now };
    wait_for("the agent is asked", || (agent.requests() == [wish.clone()]).then_some(()));

    // Each page is reached by its name, and every element on it that can be pressed has a name.
    for page in Page::ALL {
        access.press(texts::page_name(page));
        access.find(crate::page_screenshots::sign(page));
        let nameless: Vec<_> =
            access.all().into_iter().filter(|thing| thing.can_be_pressed() && thing.name.is_empty()).collect();
        assert!(nameless.is_empty(), "{page:?}: {nameless:?}");
    }

    // With the keyboard alone: Tab until the button has the focus, then Space.
    desktop.run("xdotool", &["windowfocus", "--sync", &shown]);
    let page = texts::page_name(Page::Sharing);
    wait_for("the button has the focus", || {
        desktop.run("xdotool", &["key", "Tab"]);
        access.all().into_iter().find(|thing| thing.has_focus && thing.name == page)
    });
    desktop.run("xdotool", &["key", "space"]);
    access.find(texts::sharing::WHY_SHARE);
}
