//! What administrators assign to machines: names, groups and tags; and the named sites. Messages of the admin API.

use crate::{
    AddressRange, Digest, MachineId,
    admin::Selection,
    format::{is_false, requests},
};
use serde::{Deserialize, Serialize};

/// The tag of machines that only an explicit selection includes.
pub const PROTECTED_TAG: &str = "protected";

/// The header of the reply to `GET /api/v1/machines?where=FILTER`: for how many machines the filter has no answer, because
/// something about them is not known. They are not in the reply. A server that does not know filters omits it.
pub const UNKNOWN_MACHINES: &str = "unknown-machines";

/// The header of the reply to `GET /api/v1/machines?limit=N` with the cursor of the next page, if there is one.
pub const NEXT_CURSOR: &str = "next-cursor";

/// `POST /api/v1/machines/edit`: changes the groups and tags of the selected machines, in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EditMachines {
    /// The machines. Unlike a deployment, this includes protected and excluded ones.
    pub machines: Selection,
    /// The groups that they join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_groups: Vec<String>,
    /// The groups that they leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_groups: Vec<String>,
    /// The tags that they get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_tags: Vec<String>,
    /// The tags that they lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_tags: Vec<String>,
    /// How many machines the sender expects to be selected. The server refuses the request if it is another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u32>,
    /// Whether only to say what would change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preview: bool,
}

/// The reply to [`EditMachines`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EditedMachines {
    /// How many machines were selected.
    pub matched: u32,
    /// How many of them were changed. The others had the groups and tags already.
    pub changed: u32,
    /// How many machines were not selected because something about them is not known.
    pub unknown: u32,
}

/// `POST /api/v1/machines/assign`: gives machines names, groups and tags, each its own. Either all are assigned or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AssignMachines {
    /// The machines, each at most once.
    pub machines: Vec<Assignment>,
    /// Whether only to say what would change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preview: bool,
}

/// What one machine is assigned. Fields that are left out stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Assignment {
    /// The machine, by name or id.
    pub machine: String,
    /// Its name; an empty text removes an administrator's name, so that the label applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All of its groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// All of its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// The reply to [`AssignMachines`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AssignedMachines {
    /// How many machines were changed, or would be.
    pub changed: u32,
    /// What is wrong with single assignments. Unless this is empty, nothing was changed.
    pub errors: Vec<AssignmentError>,
}

/// What is wrong with one assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AssignmentError {
    /// The assignment's place in the request, from 0.
    pub index: usize,
    /// An explanation for people.
    pub detail: String,
}

/// `POST /api/v1/machines/{machine}/rename`: gives a machine a name, which replaces the label that it reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RenameMachine {
    /// The name; `None`: the label applies again.
    pub name: Option<String>,
}

/// The reply to [`RenameMachine`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RenamedMachine {
    /// The machine.
    pub id: MachineId,
    /// The name that people see from now on.
    pub name: String,
}

/// A group in the reply to `GET /api/v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// The number of its machines, without revoked ones.
    pub machines: usize,
    /// The rank of its policy; `None`: it has no policy of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rank: Option<i32>,
    /// The ids of the open join codes with which machines join it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join_codes: Vec<Digest>,
}

/// A tag in the reply to `GET /api/v1/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tag {
    /// The tag.
    pub name: String,
    /// The number of machines that have it, without revoked ones.
    pub machines: usize,
}

/// `POST /api/v1/groups/delete`, `POST /api/v1/tags/delete`: takes a group or a tag from all machines. The server refuses
/// this while something else uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeleteAssigned {
    /// The group or the tag.
    pub name: String,
    /// How many machines the sender expects to have it. The server refuses the request if it is another number.
    #[serde(default)]
    pub expect: u32,
}

/// `POST /api/v1/sites/names`: gives ranges of addresses a name, or removes the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NameSite {
    /// The site's name.
    pub name: String,
    /// All of its ranges; none removes the name.
    pub ranges: Vec<AddressRange>,
}

/// A named site in the reply to `GET /api/v1/sites/names`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NamedSite {
    /// The site's name.
    pub name: String,
    /// Identifies the ranges. A request to name the site with `If-Match` and this is refused with 412 if they were changed
    /// meanwhile. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its ranges.
    pub ranges: Vec<AddressRange>,
    /// The number of machines there, without revoked ones.
    pub machines: usize,
}

requests! {
    EditMachines = "request to change machines";
    AssignMachines = "request to assign names, groups and tags";
    RenameMachine = "request to rename a machine";
    DeleteAssigned = "request to delete a group or a tag";
    NameSite = "request to name a site";
}
