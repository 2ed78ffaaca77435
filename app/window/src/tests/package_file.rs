//! Tests of a package file that the person opened.

use super::*;

/// Opens a package file at this step.
fn opened(stage: banyan_ui_common::package_file::PackageStage) -> Harness<'static, TestWindow> {
    let mut harness = at(Page::Updates, sample_data::busy(), TALL, egui::Theme::Light);
    harness.state_mut().state.opened_package = Some(banyan_ui_common::package_file::PackageFile {
        stage,
        ..banyan_ui_common::package_file::PackageFile::new("/home/mia/drawing-3.1.banyan".into())
    });
    harness.run();
    harness
}

fn answer(scene: banyan_fake_agent::PackageScene) -> banyan_ui_common::package_file::PackageStage {
    use banyan_ui_common::package_file::PackageStage;
    match scene.answer(sample_data::NOW) {
        Ok(package) => PackageStage::Checked(Box::new(package)),
        Err(error) => PackageStage::Invalid(error),
    }
}

#[test]
fn only_a_package_that_may_be_installed_has_a_button_for_it() {
    use banyan_fake_agent::PackageScene;
    for scene in PackageScene::ALL {
        let harness = opened(answer(scene));
        let has = |label: &str| harness.query_by_label(label).is_some();
        let (install, older) = match scene {
            PackageScene::New | PackageScene::Newer | PackageScene::Asks => (true, false),
            PackageScene::Older => (false, true),
            _ => (false, false),
        };
        assert_eq!(
            (has(texts::package_file::INSTALL), has(texts::package_file::INSTALL_OLDER)),
            (install, older),
            "{scene:?}"
        );
        assert_eq!(has(texts::package_file::NOT_INSTALLABLE), !install && !older, "{scene:?}");
        let trusted = !matches!(scene, PackageScene::Untrusted | PackageScene::Asks | PackageScene::Altered);
        assert_eq!(has(texts::package_file::TRUSTED_PUBLISHER), trusted, "{scene:?}");
        // The name that an untrusted publisher claims is not shown as its name.
        assert_eq!(has("Lakeside School IT"), trusted, "{scene:?}");
    }
}

/// A package of an unknown publisher can be installed only after the person has seen the key and ticked the box.
#[test]
fn a_signer_is_trusted_by_a_step_of_its_own() {
    use banyan_fake_agent::PackageScene;
    let mut harness = opened(answer(PackageScene::Asks));
    let root = banyan_proto::Digest([0x5e; 32]);
    for words in [texts::package_file::UNKNOWN_PUBLISHER, root.grouped().as_str()] {
        harness.get_by_label(words);
    }
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    assert!(harness.get_by_label(texts::package_file::INSTALL).accesskit_node().is_disabled());
    assert!(!harness.state().state.should_install);
    harness.get_by_label(&texts::package_file::consent_label("Lakeside School IT")).click();
    harness.run();
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    let state = &harness.state().state;
    assert!(state.should_install && state.opened_package.as_ref().is_some_and(|opening| opening.consent));
    // The consent does not carry over to another file.
    assert!(!banyan_ui_common::package_file::PackageFile::new("other".into()).consent);
    // There is no such step when the agent does not ask for consent.
    for scene in [PackageScene::New, PackageScene::Untrusted] {
        assert!(
            opened(answer(scene)).query_by_label(&texts::package_file::consent_label("Lakeside School IT")).is_none()
        );
    }
}

#[test]
fn what_a_package_does_is_said_before_it_is_installed() {
    let mut harness = opened(answer(banyan_fake_agent::PackageScene::Newer));
    for words in [
        "drawing 3.1",
        "74 MB",
        "Version 3.0, installed 14 October at 15:30",
        "1. Unpacks an archive into its own folder and switches to it",
        "2. Checks that the new version works: {dir}/bin/drawing --version",
    ] {
        harness.get_by_label(words);
    }
    assert!(!harness.state().state.should_install);
    harness.get_by_label(texts::package_file::INSTALL).click();
    harness.run();
    assert!(harness.state().state.should_install);
    harness.get_by_label(texts::package_file::CANCEL).click();
    harness.run();
    assert!(harness.state().state.opened_package.is_none());
}

#[test]
fn a_package_is_followed_from_copying_to_installed() {
    use banyan_proto::local::UpdateState;
    use banyan_ui_common::package_file::PackageStage;
    let package =
        Box::new(banyan_fake_agent::PackageScene::New.answer(sample_data::NOW).expect("the scene has a package"));
    opened(PackageStage::Copying { package: package.clone(), copied: 37_000_000, size: 74_000_000 })
        .get_by_label("Copied 37 MB of 74 MB");
    let mut harness = opened(PackageStage::Ordered(package, sample_data::ready().order));
    for (state, words) in [
        (UpdateState::Installing, texts::updates::INSTALLING),
        (UpdateState::Installed { at: sample_data::NOW }, "Installed today at 14:30"),
    ] {
        harness.state_mut().view.snapshot.as_mut().expect("there is a snapshot").updates[0].state = state;
        harness.run();
        harness.get_by_label(words);
    }
    assert!(harness.query_by_label(texts::package_file::CONTINUES_IN_BACKGROUND).is_none());
}
