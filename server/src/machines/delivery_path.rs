//! Verifies the path along which an offer came to a machine, from the codes that each hop adds (rules A1–A3).

use crate::deployments::{active_orders::ActiveOrder, tree::StripeTree};
use banyan_proto::{MachineId, RollingCode, api::Way, limits};

/// Why a delivery path proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("the stripe does not exist")]
    NoSuchStripe,
    #[error("the path does not begin at the server")]
    NotFromServer,
    #[error("the path is longer than the maximum depth of a tree")]
    TooLong,
    #[error("the machine is not on the list")]
    NotOnList,
    #[error("{above} is not an ancestor of {below}")]
    NotAncestor { above: MachineId, below: MachineId },
    #[error("the code does not match this path, machine and connection")]
    WrongCode,
}

/// What a path is checked against.
pub(crate) struct ProofContext<'a> {
    pub(crate) master: &'a [u8; 32],
    /// The exporter of the TLS session that carried the proof.
    pub(crate) exporter: &'a [u8; 32],
    pub(crate) machine: MachineId,
}

/// Recomputes the chain of codes along the claimed path and compares the result (rule A3).
///
/// Each hop must be a tree ancestor of the next. Skipped heads are left out, so the last hop need not be the planned
/// sender.
pub(crate) fn verify_path(
    tree: Option<&StripeTree>,
    open: &ActiveOrder,
    context: &ProofContext<'_>,
    way: &Way,
) -> Result<(), PathError> {
    let tree = tree.ok_or(PathError::NoSuchStripe)?;
    let order = &open.row.order;
    if way.path.len() > limits::LIST_DEPTH {
        return Err(PathError::TooLong);
    }
    if way.path.first() != Some(&order.server) {
        return Err(PathError::NotFromServer);
    }
    let mut code = RollingCode::root(context.master, order.id, way.stripe, tree.root().hash);
    let below = way.path[1..].iter().chain([&context.machine]);
    for (&above, &below) in way.path.iter().zip(below) {
        let subtree = tree.subtree(below).ok_or(PathError::NotOnList)?;
        if !tree.is_ancestor(above, below) {
            return Err(PathError::NotAncestor { above, below });
        }
        code = code.child(below, subtree.hash);
    }
    if !code.proves(way.proof, context.exporter, order.id, open.artifact.digest) {
        return Err(PathError::WrongCode);
    }
    Ok(())
}

/// Formats a path for the log and for administrators.
pub(crate) fn describe_path(way: &Way) -> String {
    let path: Vec<String> = way.path.iter().take(limits::LIST_DEPTH).map(MachineId::short).collect();
    format!("stripe {}, path {}", way.stripe, path.join(" "))
}
