//! The shape of a list before names are assigned: how many names go to the first part below each position.
//!
//! Positions count from 0 in the order of the list, without the server.

use banyan_proto::{
    AddresseeList, MachineId,
    list::{Addressee, ListError},
};
use std::ops::Range;

/// A tree of positions.
pub(super) struct Shape {
    /// The number of names in the first part below the server.
    top: usize,
    /// The number of names in the first part below each position.
    first: Vec<usize>,
    children: Vec<u8>,
}

impl Shape {
    /// Builds the tree over sites of these sizes, in this order. With `halved`, the server splits its list like any
    /// other head; otherwise it has one part.
    pub(super) fn new(sites: &[usize], halved: bool) -> Self {
        // The first position of each site except the first.
        let borders: Vec<usize> = sites
            .iter()
            .scan(0, |end, size| {
                *end += size;
                Some(*end)
            })
            .take(sites.len().saturating_sub(1))
            .collect();
        let len = sites.iter().sum();
        let (mut first, mut children) = (vec![0; len], vec![0; len]);
        let top = if halved { split(&(0..len), &borders) } else { len };
        let mut todo = vec![0..top, top..len];
        while let Some(range) = todo.pop() {
            if range.is_empty() {
                continue;
            }
            let rest = range.start + 1..range.end;
            let here = split(&rest, &borders);
            first[range.start] = here;
            children[range.start] = u8::from(here > 0) + u8::from(rest.len() > here);
            todo.extend([rest.start..rest.start + here, rest.start + here..rest.end]);
        }
        Self { top, first, children }
    }
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }
    /// Returns how many machines the one at this position forwards to.
    pub(super) fn children(&self, at: usize) -> u8 {
        self.children[at]
    }
    /// Returns the list with these names at the positions, headed by the server.
    pub(super) fn list(&self, server: MachineId, names: &[MachineId]) -> Result<AddresseeList, ListError> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let below = names.iter().zip(&self.first).map(|(&id, &first)| Addressee { id, first: number(first) });
        let head = Addressee { id: server, first: number(self.top) };
        std::iter::once(head).chain(below).collect::<Vec<_>>().try_into()
    }
}

/// Returns how many of the names in `range` go to the first part. That is the middle or, in a range that spans sites,
/// the site border nearest the middle. A whole site below a head from another site is one part, so that it is entered
/// once.
fn split(range: &Range<usize>, borders: &[usize]) -> usize {
    let middle = range.start + range.len().div_ceil(2);
    let from = borders.partition_point(|&border| border <= range.start);
    let to = borders.partition_point(|&border| border < range.end);
    let inside = &borders[from..to.max(from)];
    let alone = if borders.binary_search(&range.start).is_ok() { range.end } else { middle };
    let at = inside.iter().copied().min_by_key(|border| border.abs_diff(middle)).unwrap_or(alone);
    at - range.start
}

/// Returns how many children each position of a finished list has.
pub(super) fn children_of(entries: &[Addressee]) -> Vec<u8> {
    let mut sizes = vec![0; entries.len()];
    if let Some(whole) = sizes.first_mut() {
        *whole = entries.len();
    }
    let mut children = vec![0; entries.len()];
    for (at, entry) in entries.iter().enumerate() {
        let (first, below) = (entry.first as usize, sizes[at] - 1);
        children[at] = u8::from(first > 0) + u8::from(below > first);
        if first > 0 {
            sizes[at + 1] = first;
        }
        if below > first {
            sizes[at + 1 + first] = below - first;
        }
    }
    children
}
