//! What administrators assign to machines, named sites and installed versions in SQLite.

use super::{
    Assigned, InstalledRow, NamedSiteRow, NewAssignment, PolicyChange, SelectionStore, StoreResult,
    policies::next_number,
    sqlite::{Columns, Sqlite, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{MachineId, UnixSeconds, admin::Stage};
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};
use std::collections::{BTreeMap, HashMap};

/// Reads the part of a machine's row that was assigned. Groups and tags are in other tables.
pub(super) fn read_assigned(columns: &Columns<'_>) -> StoreResult<Assigned> {
    Ok(Assigned {
        name: columns.optional_text("given_name")?,
        groups: vec![],
        tags: vec![],
        policy: PolicyChange { number: columns.number("policy_number")?, at: columns.time("policy_since")? },
    })
}

/// Returns the names in `column` of each machine, sorted.
async fn names_of_machines(
    from: &mut SqliteConnection,
    sql: &'static str,
) -> StoreResult<HashMap<MachineId, Vec<String>>> {
    let mut names = HashMap::<MachineId, Vec<String>>::new();
    for row in &query(sql).fetch_all(from).await? {
        let columns = Columns(row);
        names.entry(columns.machine("machine")?).or_default().push(columns.text("name")?);
    }
    Ok(names)
}

/// Returns the groups of each machine, sorted.
pub(super) async fn groups_of_machines(from: &mut SqliteConnection) -> StoreResult<HashMap<MachineId, Vec<String>>> {
    names_of_machines(from, "SELECT machine, grp AS name FROM machine_groups ORDER BY machine, grp").await
}

/// Returns the tags of each machine, sorted.
pub(super) async fn tags_of_machines(from: &mut SqliteConnection) -> StoreResult<HashMap<MachineId, Vec<String>>> {
    names_of_machines(from, "SELECT machine, tag AS name FROM machine_tags ORDER BY machine, tag").await
}

/// Returns what one machine is assigned.
pub(super) async fn assigned(from: &mut SqliteConnection, machine: MachineId) -> StoreResult<Assigned> {
    let row = query("SELECT given_name, policy_number, policy_since FROM machines WHERE id = ?")
        .bind(machine.0.as_slice())
        .fetch_one(&mut *from)
        .await?;
    let mut assigned = read_assigned(&Columns(&row))?;
    for (sql, names) in [
        ("SELECT grp AS name FROM machine_groups WHERE machine = ? ORDER BY grp", &mut assigned.groups),
        ("SELECT tag AS name FROM machine_tags WHERE machine = ? ORDER BY tag", &mut assigned.tags),
    ] {
        let rows = query(sql).bind(machine.0.as_slice()).fetch_all(&mut *from).await?;
        *names = rows.iter().map(|row| Columns(row).text("name")).collect::<StoreResult<_>>()?;
    }
    Ok(assigned)
}

/// Replaces what a machine is assigned.
pub(super) async fn write_assigned(
    to: &mut SqliteConnection,
    machine: MachineId,
    assigned: &Assigned,
) -> StoreResult<()> {
    query("UPDATE machines SET given_name = ?, policy_number = ?, policy_since = ? WHERE id = ?")
        .bind(&assigned.name)
        .bind(signed(assigned.policy.number))
        .bind(signed(assigned.policy.at.0))
        .bind(machine.0.as_slice())
        .execute(&mut *to)
        .await?;
    for (delete, insert, names) in [
        (
            "DELETE FROM machine_groups WHERE machine = ?",
            "INSERT OR IGNORE INTO machine_groups (machine, grp) VALUES (?, ?)",
            &assigned.groups,
        ),
        (
            "DELETE FROM machine_tags WHERE machine = ?",
            "INSERT OR IGNORE INTO machine_tags (machine, tag) VALUES (?, ?)",
            &assigned.tags,
        ),
    ] {
        query(delete).bind(machine.0.as_slice()).execute(&mut *to).await?;
        for name in names {
            query(insert).bind(machine.0.as_slice()).bind(name).execute(&mut *to).await?;
        }
    }
    Ok(())
}

#[async_trait]
impl SelectionStore for Sqlite {
    async fn assign(&self, mut new: Vec<NewAssignment>, now: UnixSeconds) -> StoreResult<Vec<NewAssignment>> {
        let mut tx = self.begin().await?;
        if new.iter().any(|one| one.changes_policy) {
            let change = PolicyChange { number: next_number(&mut tx).await?, at: now };
            new.iter_mut().filter(|one| one.changes_policy).for_each(|one| one.assigned.policy = change);
        }
        for one in &new {
            write_assigned(&mut tx, one.machine, &one.assigned).await?;
        }
        tx.commit().await?;
        Ok(new)
    }

    async fn named_sites(&self) -> StoreResult<Vec<NamedSiteRow>> {
        let rows = query("SELECT * FROM named_sites ORDER BY name").fetch_all(&mut *self.reader().await?).await?;
        let read = |row: &SqliteRow| {
            let columns = Columns(row);
            Ok(NamedSiteRow { name: columns.text("name")?, ranges: columns.json("ranges")? })
        };
        rows.iter().map(read).collect()
    }

    async fn set_named_site(&self, site: &NamedSiteRow) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        query("DELETE FROM named_sites WHERE name = ?").bind(&site.name).execute(&mut *tx).await?;
        if !site.ranges.is_empty() {
            query("INSERT INTO named_sites (name, ranges) VALUES (?, ?)")
                .bind(&site.name)
                .bind(json(&site.ranges)?)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    async fn installed(&self, package: &str) -> StoreResult<Vec<InstalledRow>> {
        // A failure after which the former version is there changes nothing.
        let rows = query(
            "SELECT machine, version, stage FROM addressees \
             JOIN orders ON orders.id = addressees.order_id \
             WHERE package = ? AND (stage = 'installed' OR (permitted IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM reports WHERE reports.machine = addressees.machine \
             AND reports.order_id = addressees.order_id AND json_extract(event, '$.restored')))) \
             ORDER BY number",
        )
        .bind(package)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let mut versions = BTreeMap::<MachineId, String>::new();
        for row in &rows {
            let columns = Columns(row);
            let machine = columns.machine("machine")?;
            match columns.enum_value("stage")? {
                Stage::Installed => drop(versions.insert(machine, columns.text("version")?)),
                _ => drop(versions.remove(&machine)),
            }
        }
        let row = |(machine, version)| InstalledRow { machine, package: package.to_owned(), version };
        Ok(versions.into_iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MachineStore as _, PolicyStore as _};
    use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

    /// Creates a database as the version before groups and tags left it.
    async fn old_database(path: &std::path::Path) {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let mut migrations = sqlx::migrate!("./migrations");
        migrations.migrations =
            migrations.migrations.iter().filter(|one| one.version < 12).cloned().collect::<Vec<_>>().into();
        migrations.run(&mut connection).await.unwrap();
        query(
            "INSERT INTO server (one, id, epoch, order_number, crl_number, policy_number) VALUES (1, zeroblob(16), 1, 0, 1, 5)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        for (id, group) in [(1_u8, Some("lab")), (2, None), (3, Some("Büro 7"))] {
            query(
                "INSERT INTO machines (id, label, grp, platform, software, addresses, enrolled, seen) \
                 VALUES (?, 'pc', ?, 'linux-x86_64', 'a 1', '[]', 1, 1)",
            )
            .bind([id; 16].as_slice())
            .bind(group)
            .execute(&mut connection)
            .await
            .unwrap();
        }
        query("INSERT INTO policies (grp, number, at, policy) VALUES ('lab', 5, 7, '{\"upload\": 9}')")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_database_of_an_earlier_version_keeps_its_groups_and_policies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        old_database(&path).await;
        let store = Sqlite::open(&path).await.unwrap();
        let groups: Vec<Vec<String>> =
            store.machines().await.unwrap().into_iter().map(|row| row.assigned.groups).collect();
        assert_eq!(groups, [vec!["lab".to_owned()], vec![], vec!["Büro 7".to_owned()]]);
        let policies = store.policies().await.unwrap();
        assert_eq!((policies[0].group.as_deref(), policies[0].number, policies[0].rank), (Some("lab"), 5, 0));

        let assigned = Assigned {
            name: Some("kiosk".into()),
            groups: vec!["a".into(), "lab".into()],
            tags: vec!["protected".into()],
            policy: PolicyChange::default(),
        };
        let new = NewAssignment { machine: MachineId([2; 16]), assigned, changes_policy: true };
        let stored = store.assign(vec![new], UnixSeconds(20)).await.unwrap();
        assert_eq!(stored[0].assigned.policy, PolicyChange { number: 6, at: UnixSeconds(20) });
        store.close().await;
        let store = Sqlite::open(&path).await.unwrap();
        assert_eq!(store.machines().await.unwrap()[1].assigned, stored[0].assigned);
        store.close().await;
    }
}
