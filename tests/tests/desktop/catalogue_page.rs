//! Tests the catalogue in a real window: it is requested when its page is opened, a release is requested with the
//! button of its name, and a refusal appears beside it.

use crate::{accessibility::Access, fake_agent::Agent};
use banyan_proto::{
    Digest,
    local::{Catalogue, Request, Right, UpdateState},
};
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{Page, sample_data, texts};

fn looks(agent: &Agent) -> usize {
    agent.requests().iter().filter(|asked| **asked == Request::Catalogue).count()
}

#[test]
fn a_release_is_requested_through_the_accessibility_bus() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_snapshot(&desktop, sample_data::quiet());
    let access = Access::on(&desktop);
    desktop.keep(&mut desktop.ours("banyan-window"));
    desktop.window(texts::PRODUCT);
    access.find(texts::updates::NO_UPDATES);
    assert_eq!(looks(&agent), 0, "the page has not been opened yet");
    access.press(texts::page_name(Page::Catalogue));
    access.press("Get Drawing 3.1");
    let get = Request::GetFromCatalogue { package: "Drawing".into(), manifest: Digest([2; 32]) };
    wait_for("the agent is asked", || agent.requests().contains(&get).then_some(()));
    access.find(texts::updates::DOWNLOADING);
    assert!(
        !access.all().into_iter().any(|thing| thing.name == "Get Drawing 3.1"),
        "the button is still shown during the download"
    );
    agent.change(|snapshot| snapshot.updates[0].state = UpdateState::Installed { at: sample_data::NOW });
    access.find(texts::catalogue::INSTALLED);
    assert_eq!(looks(&agent), 1, "the catalogue must be updated by events, without a second request");

    // A release that the administrator has withdrawn meanwhile is refused beside its button.
    agent.set_catalogue(Catalogue::default());
    access.press("Update Chart View to 2.1");
    access.find("not-offered");
    access.press(texts::catalogue::REFRESH);
    access.find(texts::catalogue::EMPTY);
    assert_eq!(looks(&agent), 2);
}

#[test]
fn a_user_who_may_not_install_can_still_see_the_catalogue() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_snapshot(&desktop, sample_data::quiet());
    agent.set_rights(&[Right::See, Right::Choose]);
    let access = Access::on(&desktop);
    let mut window = desktop.ours("banyan-window");
    desktop.keep(window.args(["--page", "catalogue"]));
    access.find("Drawing 3.1");
    access.find(texts::catalogue::NOT_ALLOWED);
    assert!(!access.all().into_iter().any(|thing| thing.name == "Get Drawing 3.1"));
}
