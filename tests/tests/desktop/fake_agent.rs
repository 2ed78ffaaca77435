//! The simulated agent on a desktop.

use banyan_fake_agent::{FakeAgent, Scene};
use banyan_proto::local::Snapshot;
use banyan_tests::test_desktop::TestDesktop;
use std::{ops::Deref, sync::Arc};
use tokio::runtime::Runtime;

/// The simulated agent; it answers at the desktop's socket until the value is dropped.
pub(crate) struct Agent {
    fake: Arc<FakeAgent>,
    _runtime: Runtime,
}

impl Agent {
    /// Starts an agent that shows a scene.
    pub(crate) fn show_scene(desktop: &TestDesktop, scene: Scene) -> Self {
        let runtime = Runtime::new().expect("the runtime can be created");
        let inside = runtime.enter();
        let fake = FakeAgent::start(&banyan_local_api::LocalAddress::Own(desktop.folder().to_owned()), scene);
        drop(inside);
        Self { fake: fake.expect("the socket is free"), _runtime: runtime }
    }
    /// Starts an agent that shows a given snapshot.
    pub(crate) fn show_snapshot(desktop: &TestDesktop, snapshot: Snapshot) -> Self {
        let agent = Self::show_scene(desktop, Scene::Idle);
        agent.change(|shown| *shown = snapshot);
        agent.set_catalogue(banyan_ui_common::sample_data::catalogue());
        agent
    }
    /// Returns the agent's current snapshot.
    pub(crate) fn now(&self) -> Snapshot {
        banyan_local_api::Backend::snapshot(&*self.fake)
    }
}

impl Deref for Agent {
    type Target = FakeAgent;
    fn deref(&self) -> &FakeAgent {
        &self.fake
    }
}
