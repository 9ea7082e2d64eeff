//! Access lists, and how they follow what happens to their objects.

use satsuma_common::{ColumnId, Oid, TableId};

use crate::catalog::objects::{DefaultKind, Grant, ObjectAddress, ObjectClass, RelationRef};
use crate::catalog::privileges;
use crate::catalog::state::State;

pub(super) fn set_grants(state: &mut State, object: ObjectAddress, mut grants: Vec<Grant>) {
    let is_default = matches!(object.class, ObjectClass::Defaults(_));
    if is_default {
        sort(&mut grants);
    }
    let says_nothing =
        is_default && object.part == 0 && grants == privileges::first_access_list(state, object);
    let all = state.grants.make_mut();
    if grants.is_empty() || says_nothing {
        all.remove(&object);
    } else {
        all.insert(object, grants);
    }
}

/// Grants on a new object what its owner wants granted on such.
pub(super) fn grant_defaults(
    state: &mut State,
    object: ObjectAddress,
    (kind, schema): (DefaultKind, Option<Oid>),
) {
    let Some(owner) = privileges::owner(state, object) else { return };
    let everywhere = ObjectAddress::defaults(kind, owner, None);
    let here = schema.map(|schema| ObjectAddress::defaults(kind, owner, Some(schema)));
    let here = here.map_or(&[][..], |here| state.grants(here));
    if here.is_empty() && state.grants(everywhere).is_empty() {
        return;
    }
    let mut list = privileges::access_list(state, everywhere);
    here.iter().for_each(|grant| add(&mut list, grant.clone()));
    sort(&mut list);
    if list != privileges::first_access_list(state, object) {
        set_grants(state, object, list);
    }
}

/// Everybody first, then roles in the order that they were made in.
fn sort(list: &mut [Grant]) {
    list.sort_by_key(|grant| (grant.grantee, grant.grantor));
}

fn add(list: &mut Vec<Grant>, grant: Grant) {
    let same =
        |known: &&mut Grant| (known.grantee, known.grantor) == (grant.grantee, grant.grantor);
    match list.iter_mut().find(same) {
        Some(known) => known.join(&grant),
        None => list.push(grant),
    }
}

/// What the owner of an object gave and had is the next one's, of its columns as well.
pub(super) fn follow_owner(state: &mut State, object: ObjectAddress, from: Oid, to: Oid) {
    let is_part = |other: &ObjectAddress| other.class == object.class && other.oid == object.oid;
    if from == to || !state.grants.keys().any(is_part) {
        return;
    }
    let all = state.grants.make_mut().iter_mut();
    for (_, list) in all.filter(|(other, _)| is_part(other)) {
        let mut followed: Vec<Grant> = Vec::with_capacity(list.len());
        for mut grant in list.drain(..) {
            let renamed = |role: Oid| if role == from { to } else { role };
            grant.grantee = renamed(grant.grantee);
            grant.grantor = renamed(grant.grantor);
            add(&mut followed, grant);
        }
        *list = followed;
    }
}

/// Columns that are gone leave nothing behind.
pub(super) fn follow_columns(state: &mut State, id: TableId) {
    let Some(table) = state.table_arc(id) else { return };
    let address = ObjectAddress::relation(RelationRef::Table(id));
    let is_gone = |object: &ObjectAddress| {
        (object.class, object.oid) == (address.class, address.oid)
            && object.part != 0
            && !u16::try_from(object.part)
                .is_ok_and(|number| table.shape.column(ColumnId(number)).is_some())
    };
    if state.grants.keys().any(is_gone) {
        state.grants.make_mut().retain(|object, _| !is_gone(object));
    }
}
