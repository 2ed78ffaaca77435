//! Tests of the Catalogue page.

use super::*;

#[test]
fn the_catalogue_is_asked_for_when_it_is_opened_and_not_again_by_itself() {
    let mut harness = at(Page::Updates, sample_data::busy(), TALL, egui::Theme::Light);
    let take_request = |harness: &mut Harness<'static, TestWindow>| {
        std::mem::take(&mut harness.state_mut().state.should_load_catalogue)
    };
    assert!(!take_request(&mut harness));
    let open = |harness: &mut Harness<'static, TestWindow>, page| {
        harness.get_all_by_label(texts::page_name(page)).next().expect("the page is in the navigation").click();
        harness.run();
    };
    open(&mut harness, Page::Catalogue);
    assert!(take_request(&mut harness));
    harness.run();
    assert!(!take_request(&mut harness), "nothing has changed");
    // New requests: after a policy change, when the server is back, on Refresh, and when the page is opened again.
    let snapshot = |harness: &mut Harness<'static, TestWindow>, change: fn(&mut Snapshot)| {
        change(harness.state_mut().view.snapshot.as_mut().expect("there is a snapshot"));
        harness.run();
    };
    snapshot(&mut harness, |snapshot| snapshot.scheduling.policy.number += 1);
    assert!(take_request(&mut harness));
    snapshot(&mut harness, |snapshot| snapshot.link = banyan_proto::local::Link::Away { heard: None });
    assert!(!take_request(&mut harness), "the last answer stays on the page");
    snapshot(&mut harness, |snapshot| snapshot.link = banyan_proto::local::Link::Connected);
    assert!(take_request(&mut harness));
    harness.get_by_label(texts::catalogue::REFRESH).click();
    harness.run();
    assert!(take_request(&mut harness));
    harness.state_mut().state.catalogue.is_loading = true;
    harness.run();
    harness.get_by_label(texts::catalogue::REFRESH).click();
    harness.run();
    assert!(!take_request(&mut harness), "one request at a time");
    open(&mut harness, Page::Updates);
    open(&mut harness, Page::Catalogue);
    assert!(take_request(&mut harness));
}

#[test]
fn what_is_offered_is_shown_and_the_very_release_that_is_shown_is_asked_for() {
    use banyan_proto::Digest;
    let mut harness = at(Page::Catalogue, sample_data::busy(), TALL, egui::Theme::Light);
    for words in ["Drawing 3.1", "From Lakeside School IT · 74 MB · signed", "Version 2.0 is installed", "Downloading"]
    {
        harness.get_by_label(words);
    }
    harness.get_by_label("What's new in Drawing 3.1").click();
    harness.run();
    harness.get_by_label("Opens drawings in the new format.\nKeeps colours when you save.");
    assert!(harness.state().state.chosen_release.is_none());
    harness.get_by_label("Get Drawing 3.1").click();
    harness.run();
    assert_eq!(
        harness.state().state.chosen_release,
        Some(ChosenRelease { package: "Drawing".to_owned(), manifest: Digest([2; 32]) })
    );
    harness.get_by_label("Update Chart View to 2.1");
    for on_its_way_or_here in ["Get LibreOffice 26.2", "Get Time Sync 2.8"] {
        assert!(harness.query_by_label(on_its_way_or_here).is_none());
    }
    // A requested release has no button; a refused one shows why.
    harness
        .state_mut()
        .state
        .catalogue
        .requests
        .insert(Digest([2; 32]), banyan_ui_common::catalogue::ReleaseRequest::Pending);
    harness.run();
    assert!(harness.query_by_label("Get Drawing 3.1").is_none());
    let detail = "the publishers have withdrawn this release of Drawing".to_owned();
    let error = banyan_proto::api::ApiError { reason: banyan_proto::Reason::Withdrawn, detail };
    harness
        .state_mut()
        .state
        .catalogue
        .apply(banyan_ui_common::catalogue::CatalogueReply::Release(Digest([2; 32]), Err(error)));
    harness.run();
    harness.get_by_label("withdrawn");
    harness.get_by_label("The publishers have withdrawn this release of Drawing. Refresh to see what's available now.");
    harness.state_mut().view.rights = vec![Right::See, Right::Choose];
    harness.run();
    harness.get_by_label(texts::catalogue::NOT_ALLOWED);
    assert!(harness.query_by_label("Get Drawing 3.1").is_none());
}

#[test]
fn without_an_answer_the_catalogue_says_why() {
    let mut harness = window(Page::Catalogue, sample_data::busy());
    harness.state_mut().state.catalogue.answer = None;
    harness.run();
    harness.get_by_label(texts::catalogue::LOADING);
    let detail = "the server has to say what is offered, and cannot be asked now".to_owned();
    let error = banyan_proto::api::ApiError { reason: banyan_proto::Reason::ServerAway, detail };
    harness.state_mut().state.catalogue.answer = Some(Err(error));
    harness.run();
    harness.get_by_label(texts::catalogue::LOAD_FAILED);
    harness.get_by_label("server-away");
    harness.get_by_label(texts::catalogue::REFRESH);
}
