//! Follows symbolic links inside the tree, as the system will.

use super::{Node, Tree};

/// How many links are followed on one way, as in Linux.
const MAX_LINKS: u32 = 40;
/// How many names are looked up on one way.
const MAX_STEPS: u32 = 4096;

/// Where a way through the tree ends.
enum End {
    /// At this path, which need not exist.
    Inside(String),
    /// Outside the tree.
    Outside,
    /// Nowhere: the links lead in a circle.
    Nowhere,
}

impl Tree {
    /// Whether the target of a link at `path` is inside the tree. Other links on the way are followed. A link that leads
    /// nowhere is harmless.
    pub(super) fn stays_inside(&self, path: &str, target: &str) -> bool {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        !matches!(self.follow(folder, target), End::Outside)
    }

    /// Returns the node at a path, following links. Returns `None` if nothing is there.
    #[must_use]
    pub fn lookup(&self, path: &str) -> Option<&Node> {
        match self.follow("", path) {
            End::Inside(path) => self.node_at(&path),
            End::Outside | End::Nowhere => None,
        }
    }

    /// Returns all paths whose last name is `name`, in alphabetical order.
    #[must_use]
    pub fn paths_named(&self, name: &str) -> Vec<&str> {
        let is_named = |path: &&String| path.rsplit('/').next() == Some(name);
        let mut found: Vec<&str> =
            self.nodes.values().flatten().map(|(path, _)| path).filter(is_named).map(String::as_str).collect();
        found.sort_unstable();
        found
    }

    fn follow(&self, folder: &str, way: &str) -> End {
        let mut place: Vec<String> = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let names = |way: &str| way.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
        let (mut ahead, mut links, mut steps) = (names(way), 0, 0);
        while let Some(name) = ahead.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return End::Nowhere;
            }
            match name.as_str() {
                "" | "." => continue,
                ".." if place.pop().is_none() => return End::Outside,
                ".." => continue,
                _ => place.push(name),
            }
            if let Some(Node::Link { target }) = self.node_at(&place.join("/")) {
                links += 1;
                if links > MAX_LINKS {
                    return End::Nowhere;
                }
                place.pop();
                ahead.extend(names(target));
            }
        }
        End::Inside(place.join("/"))
    }
}
