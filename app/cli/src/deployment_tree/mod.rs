//! Displays a deployment's tree: `view` collects the data, `draw` formats it, `live` updates it on a terminal or in a
//! log. The first is plain data that tests compare; the others are thin.

mod change_log;
mod draw;
mod live;
mod view;

pub(crate) use draw::{copies, draw, seconds, shares_words};
pub(crate) use live::{Live, look};
pub(crate) use view::{From, Share, TreeView};

#[cfg(test)]
pub(crate) mod fixture;
