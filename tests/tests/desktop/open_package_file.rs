//! Tests opening a package file, with the tray's command and in the window, until it is installed.

use crate::{accessibility::Access, fake_agent::Agent, page_screenshots, tray_menu::Menu};
use banyan_fake_agent::{PackageScene, Scene, package_file};
use banyan_proto::{
    Digest, UnixSeconds,
    local::{Request, UpdateState},
};
use banyan_tests::test_desktop::{TestDesktop, wait_for};
use banyan_ui_common::{sample_data, texts};
use std::{fs, path::PathBuf};

/// Larger than the buffers of the sockets in between.
const SIZE: usize = 3 << 20;

fn file(desktop: &TestDesktop) -> PathBuf {
    let path = desktop.path("drawing-3.1.banyan");
    fs::write(&path, package_file(SIZE)).expect("the file can be written");
    path
}

#[test]
fn a_package_is_shown_installed_and_its_result_is_notified() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_scene(&desktop, Scene::Idle);
    agent.set_clock(sample_data::NOW);
    agent.change(|snapshot| snapshot.about.zone = sample_data::quiet().about.zone);
    agent.set_package(PackageScene::Newer);
    let access = Access::on(&desktop);
    let mut window = desktop.ours("banyan-window");
    window.arg("--package").arg(file(&desktop));
    desktop.keep(window.args(["--look", "light", "--at", &sample_data::NOW.0.to_string()]));
    let shown = desktop.window(texts::PRODUCT);
    access.find("drawing 3.1");
    page_screenshots::picture(&desktop, &shown, &page_screenshots::path(true, "package-light"));
    access.press(texts::package_file::INSTALL);
    let asked = wait_for("the package reaches the agent", || {
        agent.requests().into_iter().find(|asked| matches!(asked, Request::InstallPackage { .. }))
    });
    assert!(matches!(asked, Request::InstallPackage { size, .. } if size == SIZE as u64), "{asked:?}");
    access.find(texts::updates::INSTALLING);
    agent.change(|snapshot| {
        snapshot.updates[0].state = UpdateState::Installed { at: UnixSeconds(sample_data::NOW.0 - 60) }
    });
    access.find("Installed today at 14:29");
    access.press(texts::package_file::CLOSE);
    access.find(texts::page_name(banyan_ui_common::Page::Updates));
}

#[test]
fn an_untrusted_package_is_refused_with_a_reason() {
    let mut desktop = TestDesktop::with_panel();
    let agent = Agent::show_scene(&desktop, Scene::Idle);
    agent.set_package(PackageScene::Untrusted);
    let access = Access::on(&desktop);
    let path = file(&desktop);
    let mut tray = desktop.ours("banyan-tray");
    let process = desktop.keep(tray.current_dir(desktop.folder()).args(["open", "drawing-3.1.banyan"]));
    access.find(texts::package_file::UNTRUSTED_PUBLISHER);
    access.find(texts::package_file::NOT_INSTALLABLE);
    assert!(!access.all().into_iter().any(|thing| thing.name == texts::package_file::INSTALL));
    // A file that is not a package, passed by a second start to the first.
    Menu::of(&desktop, process);
    fs::write(&path, "a text").expect("the file can be written");
    let second = desktop.ours("banyan-tray").arg("open").arg(&path).status().expect("the program can be started");
    assert!(second.success(), "a second tray exits successfully");
    access.find("not-a-package");
}

/// Without a server, the key is shown, and Install stays disabled until the user trusts it.
#[test]
fn nothing_is_installed_before_the_user_trusts_the_publisher() {
    let mut desktop = TestDesktop::without_panel();
    let agent = Agent::show_scene(&desktop, Scene::NotEnrolled);
    agent.set_clock(sample_data::NOW);
    agent.change(|snapshot| snapshot.about.zone = sample_data::quiet().about.zone);
    agent.set_package(PackageScene::Asks);
    let access = Access::on(&desktop);
    let mut window = desktop.ours("banyan-window");
    window.arg("--package").arg(file(&desktop));
    desktop.keep(window.args(["--look", "light", "--at", &sample_data::NOW.0.to_string()]));
    let shown = desktop.window(texts::PRODUCT);
    let root = Digest([0x5e; 32]);
    access.find(&root.grouped());
    let consent = texts::package_file::consent_label("Lakeside School IT");
    let install = || access.find(texts::package_file::INSTALL);
    assert!(access.find(&consent).is_enabled && !install().is_enabled);
    let _ = access.try_press(texts::package_file::INSTALL);
    page_screenshots::picture(&desktop, &shown, &page_screenshots::path(true, "package-trust-light"));
    let asked = || agent.requests().into_iter().find(|asked| matches!(asked, Request::InstallPackage { .. }));
    assert_eq!(asked(), None);
    access.press(&consent);
    wait_for("the install button is enabled", || install().is_enabled.then_some(()));
    assert_eq!(asked(), None, "trusting alone must not install anything");
    access.press(texts::package_file::INSTALL);
    let asked = wait_for("the package reaches the agent", asked);
    assert!(matches!(asked, Request::InstallPackage { trust: Some(trust), .. } if trust == root), "{asked:?}");
    access.find(texts::updates::INSTALLING);
    agent.change(|snapshot| {
        snapshot.updates[0].state = UpdateState::Installed { at: UnixSeconds(sample_data::NOW.0 - 60) }
    });
    access.find("Installed today at 14:29");
}
