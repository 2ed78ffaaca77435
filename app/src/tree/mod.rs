//! The tree of a deployment for people: what is to be seen (`view`), how it looks (`draw`), and keeping it up to date in
//! a terminal or a log (`live`). The first is plain data that tests compare; the others are thin.

mod changes;
mod draw;
mod live;
mod view;

pub(crate) use draw::{copies, draw, seconds, shares_words};
pub(crate) use live::{Live, look};
pub(crate) use view::{From, Share, TreeView};

#[cfg(test)]
pub(crate) mod fixture;
