//! Who may do what at the server: roles, permissions, and the access tokens of persons. Messages of the admin API.
//!
//! `docs/access.md` explains them.

mod token;

pub use token::{AccessToken, BadAccessToken};

use crate::{Secret, UnixSeconds, format::requests};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The person to whom the token in the server's own profile belongs.
pub const SETUP: &str = "setup";
/// How long an access token is valid unless its creator says otherwise (seconds): 90 days.
pub const DEFAULT_LIFETIME_SECONDS: u64 = 90 * 24 * 3600;
/// The longest validity of an access token (seconds): 366 days.
pub const LONGEST_LIFETIME_SECONDS: u64 = 366 * 24 * 3600;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }
        impl $name {
            /// All entries.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// Returns the name, as on the wire and on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

words! {
    /// What a request needs. Every route of the admin API names one.
    Permission {
        /// Seeing machines, groups, releases, policies and deployments.
        View = "view",
        /// Reading the metrics.
        Metrics = "metrics",
        /// Deploying the same release again to machines on which it failed.
        Retry = "retry",
        /// Starting deployments.
        Deploy = "deploy",
        /// Halting and resuming deployments.
        Control = "control",
        /// Naming, grouping and tagging machines, and readmitting them.
        Machines = "machines",
        /// Creating and revoking join codes, and revoking machines.
        Enrol = "enrol",
        /// Setting policies, site budgets and the names of sites.
        Configure = "configure",
        /// Uploading what publishers signed: releases, lists and roots.
        Publish = "publish",
        /// Approving deployments of other persons.
        Approve = "approve",
        /// Reading the audit log.
        Audit = "audit",
        /// Seeing, creating and revoking access tokens.
        Access = "access",
    }
}

words! {
    /// What a person may do.
    Role {
        /// Sees everything but the audit log and access tokens.
        Viewer = "viewer",
        /// Also repeats deployments on machines where they failed.
        HelpDesk = "help-desk",
        /// Also deploys, and looks after machines, join codes, policies and sites.
        Operator = "operator",
        /// Sees what viewers see, and uploads releases.
        Publisher = "publisher",
        /// Sees what viewers see, and approves deployments.
        Approver = "approver",
        /// Sees what viewers see, and reads the audit log.
        Auditor = "auditor",
        /// Reads the metrics and nothing else: for monitoring systems.
        Metrics = "metrics",
        /// May do everything, and decides who else may do what.
        Owner = "owner",
    }
}

impl Role {
    /// Returns the permissions of this role.
    #[must_use]
    pub fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Viewer => &[P::View, P::Metrics],
            Self::HelpDesk => &[P::View, P::Metrics, P::Retry],
            Self::Operator => {
                &[P::View, P::Metrics, P::Retry, P::Deploy, P::Control, P::Machines, P::Enrol, P::Configure]
            }
            Self::Publisher => &[P::View, P::Metrics, P::Publish],
            Self::Approver => &[P::View, P::Metrics, P::Approve],
            Self::Auditor => &[P::View, P::Metrics, P::Audit],
            Self::Metrics => &[P::Metrics],
            Self::Owner => Permission::ALL,
        }
    }
    /// Returns whether this role has a permission.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
    /// Returns whether a token of this role can be limited to groups of machines. The other roles act on what belongs to
    /// all machines.
    #[must_use]
    pub fn can_be_scoped(self) -> bool {
        matches!(self, Self::Viewer | Self::HelpDesk | Self::Operator)
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|role| role.name() == text).ok_or_else(|| {
            let roles: Vec<&str> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("{text:?} is not a role; the roles are {}", roles.join(", "))
        })
    }
}

/// `POST /api/v1/access`: creates an access token for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewAccess {
    /// The person. A person can have several tokens.
    pub person: String,
    /// The token's name, unique among the person's tokens; `None`: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the token permits.
    pub role: Role,
    /// The groups whose machines the token is for; empty: all machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How long it is valid (seconds); `None`: 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_seconds: Option<u64>,
}

/// The reply to [`NewAccess`]. It is the only time that the server shows the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessCreated {
    /// What lists say of it.
    pub access: Access,
    /// The token.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub secret: Secret,
}

/// An access token in the reply to `GET /api/v1/access`, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Access {
    /// Identifies the token: a number that is never used again. 0 is the token in the server's own profile.
    pub id: u64,
    /// The person.
    pub person: String,
    /// The token's name.
    pub token: String,
    /// What the token permits.
    pub role: Role,
    /// The groups whose machines the token is for; empty: all machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// When it was created; `None` for the token in the server's own profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<UnixSeconds>,
    /// Who created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it expires; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixSeconds>,
    /// When it was last used, to the minute; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<UnixSeconds>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<UnixSeconds>,
}

/// The reply to `GET /api/v1/access/self`: what the caller's own token permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OwnAccess {
    /// The caller's token.
    pub access: Access,
    /// The permissions of its role.
    pub permissions: Vec<Permission>,
}

requests! {
    NewAccess = "request to create an access token";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{role}\""));
            assert_eq!(role.name().parse(), Ok(*role));
        }
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_string(permission).unwrap(), format!("\"{permission}\""));
        }
        assert!("root".parse::<Role>().unwrap_err().contains("viewer, help-desk"));
    }

    #[test]
    fn only_owners_decide_about_access_and_nobody_signs_by_a_role() {
        let having =
            |wanted| Role::ALL.iter().copied().filter(|role| role.may(wanted)).map(Role::name).collect::<Vec<_>>();
        assert_eq!(having(Permission::Access), ["owner"]);
        assert_eq!(having(Permission::Deploy), ["operator", "owner"]);
        assert_eq!(having(Permission::Publish), ["publisher", "owner"]);
        assert_eq!(having(Permission::Approve), ["approver", "owner"]);
        assert_eq!(having(Permission::Audit), ["auditor", "owner"]);
        assert_eq!(having(Permission::Retry), ["help-desk", "operator", "owner"]);
        for role in Role::ALL.iter().filter(|role| role.can_be_scoped()) {
            for permission in [Permission::Publish, Permission::Approve, Permission::Audit, Permission::Access] {
                assert!(!role.may(permission), "{role} {permission}");
            }
        }
    }
}
