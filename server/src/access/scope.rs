//! The machines that an access token is for. It goes by the groups that the server assigned, never by what machines
//! report about themselves.

use crate::store::{Assigned, is_same_name};

/// The machines that a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All machines.
    All,
    /// The machines that are in one of these groups. A group without machines adds none.
    Groups(Vec<String>),
}

impl Scope {
    /// Returns the scope of a token with these groups; none means all machines.
    pub(crate) fn of(groups: &[String]) -> Self {
        if groups.is_empty() { Self::All } else { Self::Groups(groups.to_vec()) }
    }
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::All
    }
    /// Returns whether a machine that is assigned this belongs to it.
    pub(crate) fn includes(&self, machine: &Assigned) -> bool {
        match self {
            Self::All => true,
            Self::Groups(groups) => groups.iter().any(|group| machine.is_in(group)),
        }
    }
    /// Returns whether all machines of this group belong to it.
    pub(crate) fn has_group(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Groups(groups) => groups.iter().any(|group| is_same_name(group, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_belongs_to_a_scope_by_any_of_its_groups() {
        let assigned = |groups: &[&str]| Assigned {
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            ..Assigned::default()
        };
        let scope = Scope::of(&["Lab".into(), "empty".into()]);
        assert!(scope.includes(&assigned(&["lab", "office"])) && scope.has_group("LAB"));
        assert!(!scope.includes(&assigned(&["office"])) && !scope.includes(&assigned(&[])));
        assert!(!scope.has_group("office") && !scope.is_all());
        assert!(Scope::of(&[]).is_all() && Scope::All.includes(&assigned(&[])) && Scope::All.has_group("x"));
    }
}
