//! Pages of a list of machines. A cursor names the last machine of a page by a unique key, so a walk over all pages has
//! each machine that was there from beginning to end exactly once, whatever is added, removed or seen meanwhile.

use crate::{refusal::Refusal, store::MachineRow};
use banyan_proto::MachineId;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The most machines of a page.
const MAX_LIMIT: usize = 1000;

/// What a list of machines is sorted by; machines with the same value by their ids. None of it changes unless an
/// administrator changes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MachineSort {
    /// When the machine enrolled, the oldest first.
    #[default]
    Enrolled,
    /// The name, without upper and lower case.
    Name,
    /// The id.
    Id,
    /// The platform.
    Platform,
}

/// Where a page ends.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    sort: MachineSort,
    key: String,
    id: MachineId,
}

impl MachineSort {
    fn key(self, row: &MachineRow) -> String {
        match self {
            Self::Enrolled => format!("{:020}", row.enrolled.0),
            Self::Name => row.name().to_lowercase(),
            Self::Id => String::new(),
            Self::Platform => row.platform.clone(),
        }
    }
}

/// Cuts one page out of a list. Returns it with the cursor of the next one, if there is one.
pub(super) fn page(
    rows: Vec<MachineRow>,
    sort: MachineSort,
    cursor: Option<&str>,
    limit: Option<usize>,
) -> Result<(Vec<MachineRow>, Option<String>), Refusal> {
    let after = cursor.map(|text| parse(text, sort)).transpose()?;
    let limit = match limit {
        Some(limit @ 1..=MAX_LIMIT) => limit,
        None => usize::MAX,
        Some(_) => return Err(Refusal::bad(format!("the limit is 1 to {MAX_LIMIT} machines"))),
    };
    let mut keyed: Vec<(String, MachineRow)> = rows.into_iter().map(|row| (sort.key(&row), row)).collect();
    if let Some(Cursor { key, id, .. }) = &after {
        keyed.retain(|(own, row)| (own, row.id).cmp(&(key, *id)) == Ordering::Greater);
    }
    keyed.sort_unstable_by(|(one, a), (other, b)| (one, a.id).cmp(&(other, b.id)));
    let has_more = keyed.len() > limit;
    keyed.truncate(limit);
    let last = keyed.last().filter(|_| has_more);
    let next = last.and_then(|(key, row)| {
        let text = serde_json::to_vec(&Cursor { sort, key: key.clone(), id: row.id }).ok()?;
        Some(BASE64URL_NOPAD.encode(&text))
    });
    Ok((keyed.into_iter().map(|(_, row)| row).collect(), next))
}

fn parse(text: &str, sort: MachineSort) -> Result<Cursor, Refusal> {
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let cursor = decoded.and_then(|text| serde_json::from_slice::<Cursor>(&text).ok());
    cursor.filter(|cursor| cursor.sort == sort).ok_or_else(|| {
        Refusal::bad("the cursor is not one that this server gave for this order; begin with the first page again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Assigned, KnownReach};
    use banyan_proto::{KnownRates, UnixSeconds};

    fn row(number: u16) -> MachineRow {
        let [high, low] = number.to_be_bytes();
        let mut id = [0; 16];
        // Ids and names in other orders than the numbers.
        (id[0], id[1]) = (low.reverse_bits(), high);
        MachineRow {
            id: MachineId(id),
            label: format!("M{}", number % 7),
            assigned: Assigned::default(),
            platform: if number.is_multiple_of(3) { "a" } else { "b" }.into(),
            software: String::new(),
            addresses: vec![],
            enrolled: UnixSeconds(u64::from(number / 5)),
            seen: UnixSeconds(0),
            revoked: None,
            quarantined: None,
            replaced_by: None,
            rates: KnownRates::default(),
            reach: KnownReach::default(),
        }
    }

    #[test]
    fn a_walk_has_each_machine_once_while_others_come_and_go() {
        for sort in [MachineSort::Enrolled, MachineSort::Name, MachineSort::Id, MachineSort::Platform] {
            let mut all: Vec<MachineRow> = (0..500).map(row).collect();
            let (mut walked, mut cursor, mut next) = (Vec::new(), None::<String>, 500);
            loop {
                let (rows, more) = page(all.clone(), sort, cursor.as_deref(), Some(17)).unwrap();
                assert!(rows.len() <= 17);
                walked.extend(rows.iter().map(|row| row.id));
                // A machine of 400 to 499 goes, another one comes, and all are seen.
                all.remove(usize::from(400 + next % 50).min(all.len() - 1));
                all.push(row(next));
                next += 1;
                all.iter_mut().for_each(|row| row.seen = UnixSeconds(u64::from(next)));
                cursor = more;
                if cursor.is_none() {
                    break;
                }
            }
            for number in 0..400 {
                let id = row(number).id;
                assert_eq!(walked.iter().filter(|seen| **seen == id).count(), 1, "{sort:?} {number}");
            }
        }
    }

    #[test]
    fn wrong_cursors_and_limits_are_refused() {
        let rows: Vec<MachineRow> = (0..3).map(row).collect();
        let (_, next) = page(rows.clone(), MachineSort::Name, None, Some(1)).unwrap();
        let next = next.unwrap();
        assert!(page(rows.clone(), MachineSort::Id, Some(&next), None).is_err());
        for (cursor, limit) in [(Some("x"), None), (Some("e30"), None), (None, Some(0)), (None, Some(1001))] {
            assert!(page(rows.clone(), MachineSort::Name, cursor, limit).is_err(), "{cursor:?} {limit:?}");
        }
        assert_eq!(page(rows, MachineSort::Name, None, None).unwrap().1, None);
    }
}
