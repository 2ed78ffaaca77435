//! Builds deployments for tests from pairs of a machine and its planned source.

use banyan_proto::{
    DeploymentId, Digest, MachineId, ServerCopies, UnixSeconds,
    admin::{AddresseeStatus, DeploymentState, DeploymentStatus, Stage, Totals},
};

/// The planned source of a machine's first stripe.
#[derive(Clone, Copy)]
pub(crate) enum PlannedSource<'a> {
    /// The server.
    Server,
    /// Another target machine, by label.
    Of(&'a str),
    /// A machine that is not on the list.
    Stranger,
    /// No source is planned.
    Nobody,
}

/// Returns the id of the machine with this label.
pub(crate) fn id(label: &str) -> MachineId {
    MachineId(Digest::of(label.as_bytes()).0[..16].try_into().unwrap())
}

/// Returns a deployment of `hello 1.0` (100 chunks, 1000 bytes) that has not started.
pub(crate) fn status(plan: &[(&str, PlannedSource<'_>)]) -> DeploymentStatus {
    let addressee = |&(label, plan): &(&str, PlannedSource<'_>)| AddresseeStatus {
        id: id(label),
        label: label.into(),
        stage: Stage::Expected,
        chunks: (0, 100),
        reason: None,
        detail: None,
        planned: match plan {
            PlannedSource::Server => vec![id("server")],
            PlannedSource::Of(label) => vec![id(label)],
            PlannedSource::Stranger => vec![id("stranger")],
            PlannedSource::Nobody => vec![],
        },
        sources: vec![],
        verified_after: None,
        installed_after: None,
        ring: 1,
        online: true,
        order: None,
        attempts: vec![],
    };
    DeploymentStatus {
        id: DeploymentId([0xab; 16]),
        package: "hello".into(),
        version: "1.0".into(),
        state: DeploymentState::Running,
        accepted: UnixSeconds(1_700_000_000),
        size: 1000,
        stripes: 1,
        server: id("server"),
        counts: vec![],
        replaced: 0,
        server_sent: 0,
        server_copies: ServerCopies::ONE,
        totals: Totals::default(),
        rings: vec![],
        halt: None,
        takes_newcomers: false,
        orders: vec![],
        addressees: plan.iter().map(addressee).collect(),
    }
}
