//! Displays a deployment's tree: `view` collects the data, `draw_tree` formats it, `live` updates it on a terminal or in a
//! log. The first is plain data that tests compare; the others are thin.

mod change_log;
mod draw;
mod live;
mod view;

pub(crate) use draw::{draw_tree, format_copies, format_seconds, format_shares};
pub(crate) use live::{LiveTree, detect_terminal};
pub(crate) use view::{ContentSources, SourceShare, TreeView};

#[cfg(test)]
pub(crate) mod fixture;
