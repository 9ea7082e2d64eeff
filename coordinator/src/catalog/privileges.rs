//! What roles may do: ownership, membership, grants, and what everybody may without one.

use std::collections::BTreeSet;

use satsuma_common::{ColumnId, Oid};

use super::objects::{
    DefaultKind, FIRST_USER_OID, Grant, ObjectAddress, ObjectClass, PUBLIC_SCHEMA_OID, RelationRef,
    SUPERUSER_OID,
};
use super::state::{Schema, State};

/// What may be granted on columns.
pub const COLUMN_PRIVILEGES: &str = "arwx";

/// PUBLIC as a grantee.
pub const PUBLIC: Oid = Oid(0);

impl ObjectAddress {
    /// A whole object.
    pub fn whole(class: ObjectClass, oid: Oid) -> Self {
        Self { class, oid, part: 0 }
    }

    pub fn relation(relation: RelationRef) -> Self {
        Self::whole(ObjectClass::Relation, relation.oid())
    }
}

impl Schema {
    pub fn address(&self) -> ObjectAddress {
        ObjectAddress::whole(ObjectClass::Schema, self.oid)
    }
}

/// Every privilege there is on objects of a kind, as letters in PostgreSQL's order.
pub fn all_privileges(state: &State, object: ObjectAddress) -> &'static str {
    match object.class {
        ObjectClass::Relation if object.part != 0 => COLUMN_PRIVILEGES,
        ObjectClass::Relation => match state.relation(object.oid) {
            Some(RelationRef::Sequence(_)) => "rwU",
            _ => "arwdDxt",
        },
        ObjectClass::Schema => "UC",
        ObjectClass::Database => "CTc",
        ObjectClass::Type => "U",
        ObjectClass::Defaults(kind) => match kind {
            DefaultKind::Tables => "arwdDxt",
            DefaultKind::Sequences => "rwU",
            DefaultKind::Functions => "X",
            DefaultKind::Types => "U",
            DefaultKind::Schemas => "UC",
        },
        ObjectClass::Constraint | ObjectClass::Role | ObjectClass::Extension => "",
    }
}

/// What everybody may do until something is granted or revoked.
fn for_everybody(object: ObjectAddress) -> &'static str {
    match object.class {
        // System catalogs can be read, and system schemas looked into.
        ObjectClass::Relation if object.oid.0 < FIRST_USER_OID => "r",
        ObjectClass::Schema if object.oid == PUBLIC_SCHEMA_OID || object.oid.0 < FIRST_USER_OID => {
            "U"
        }
        ObjectClass::Database => "Tc",
        ObjectClass::Type | ObjectClass::Defaults(DefaultKind::Types) => "U",
        ObjectClass::Defaults(DefaultKind::Functions) => "X",
        _ => "",
    }
}

pub fn owner(state: &State, object: ObjectAddress) -> Option<Oid> {
    match object.class {
        ObjectClass::Relation => match state.relation(object.oid)? {
            RelationRef::Table(id) => Some(state.table(id)?.owner),
            RelationRef::View(oid) => Some(state.view(oid)?.owner),
            RelationRef::Sequence(id) => Some(state.sequence(id)?.owner),
            RelationRef::Index(oid) => Some(state.table(state.index(oid)?.table)?.owner),
        },
        ObjectClass::Schema => Some(state.schema(object.oid)?.owner),
        ObjectClass::Type => Some(state.enum_type(object.oid)?.owner),
        ObjectClass::Database | ObjectClass::Extension => Some(SUPERUSER_OID),
        ObjectClass::Defaults(_) => Some(object.oid),
        ObjectClass::Constraint | ObjectClass::Role => None,
    }
}

/// The role and what it is a member of, step by step; `inherited` leaves out what a role has to
/// SET ROLE for.
pub fn roles_of(state: &State, role: Oid, inherited: bool) -> BTreeSet<Oid> {
    let mut all = BTreeSet::from([role]);
    let mut next = vec![role];
    while let Some(role) = next.pop() {
        let Some(role) = state.role(role).filter(|role| role.inherit || !inherited) else {
            continue;
        };
        let groups = role.member_of.iter().map(|(group, _)| *group);
        next.extend(groups.filter(|group| all.insert(*group)));
    }
    all
}

pub fn is_superuser(state: &State, role: Oid) -> bool {
    state.role(role).is_some_and(|role| role.superuser)
}

/// Whether `member` is the role, a member of it, or a superuser.
pub fn is_member(state: &State, member: Oid, role: Oid) -> bool {
    is_superuser(state, member) || roles_of(state, member, false).contains(&role)
}

/// The access list of an object, written out where nothing was granted yet.
pub fn access_list(state: &State, object: ObjectAddress) -> Vec<Grant> {
    let grants = state.grants(object);
    if !grants.is_empty() || object.part != 0 {
        return grants.to_vec();
    }
    first_access_list(state, object)
}

/// The access list of an object on which nothing was granted yet.
pub fn first_access_list(state: &State, object: ObjectAddress) -> Vec<Grant> {
    let Some(owner) = owner(state, object) else { return Vec::new() };
    let everybody = for_everybody(object);
    let mut list = Vec::new();
    if !everybody.is_empty() {
        list.push(Grant {
            grantee: PUBLIC,
            grantor: owner,
            privileges: everybody.into(),
            grantable: String::new(),
        });
    }
    let all = all_privileges(state, object);
    list.push(Grant {
        grantee: owner,
        grantor: owner,
        privileges: all.into(),
        grantable: String::new(),
    });
    list
}

/// Whether the role has the privilege with this letter; with `to_grant`, whether it may pass it
/// on.
pub fn has_privilege(
    state: &State,
    role: Oid,
    object: ObjectAddress,
    privilege: char,
    to_grant: bool,
) -> bool {
    if is_superuser(state, role) {
        return true;
    }
    let roles = roles_of(state, role, true);
    if owner(state, object).is_some_and(|owner| roles.contains(&owner)) {
        return true;
    }
    let grants = state.grants(object);
    if grants.is_empty() {
        return object.part == 0 && !to_grant && for_everybody(object).contains(privilege);
    }
    grants.iter().any(|grant| {
        let held = if to_grant { &grant.grantable } else { &grant.privileges };
        (grant.grantee == PUBLIC || roles.contains(&grant.grantee)) && held.contains(privilege)
    })
}

/// The columns of a relation that the role may use in the way that the letter says, by what was
/// granted on them alone.
pub fn columns_allowed(state: &State, role: Oid, relation: Oid, privilege: char) -> Vec<ColumnId> {
    let columns = state.column_grants(relation).map(|(object, _)| object);
    columns
        .filter(|object| may(state, role, **object, privilege))
        .filter_map(|object| u16::try_from(object.part).ok().map(ColumnId))
        .collect()
}

/// Whether the role may use the object in the way that the letter says.
pub fn may(state: &State, role: Oid, object: ObjectAddress, privilege: char) -> bool {
    has_privilege(state, role, object, privilege, false)
}
