//! Tests of selections: filters, groups, tags, names and named sites, and what deployments and policies make of them.

use crate::world::{Agent, PATIENCE, Refused, World, assert_refused, csr};
use banyan_proto::{
    Reason, ServerCopies,
    admin::{Deploy, Deployed, GroupPolicy, Machine, NewToken, SelectedMachines, Selection, SetPolicy, TokenCreated},
    api::{CheckIn, CheckInReply, Event},
    assignments::{
        AssignMachines, AssignedMachines, Assignment, DeleteAssigned, EditMachines, EditedMachines, Group, NameSite,
        NamedSite, RenameMachine, RenamedMachine, Tag, UNKNOWN_MACHINES,
    },
    order::{Spread, Window},
    rollout::Rollout,
    schedule::Policy,
};
use hyper::{Method, StatusCode};
use tokio::time::timeout;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
fn filter(text: &str) -> Selection {
    Selection::Filter(text.to_owned())
}
fn edit(machines: Selection) -> EditMachines {
    EditMachines {
        machines,
        add_groups: vec![],
        remove_groups: vec![],
        add_tags: vec![],
        remove_tags: vec![],
        expect: None,
        preview: false,
    }
}

/// What a test asks of the server as an administrator.
impl World {
    async fn edit(&self, request: &EditMachines) -> Result<EditedMachines, Refused> {
        self.admin().await.post("/api/v1/machines/edit", request).await
    }
    async fn tag(&self, machines: &str, tag: &str) {
        let request = EditMachines { add_tags: names(&[tag]), ..edit(Selection::Machines(names(&[machines]))) };
        assert_eq!(self.edit(&request).await.unwrap(), EditedMachines { matched: 1, changed: 1, unknown: 0 });
    }
    /// Returns the names of the machines that a filter selects, in order.
    async fn list(&self, filter: &str) -> Result<Vec<String>, Refused> {
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let machines: Vec<Machine> = self.admin().await.get(&format!("/api/v1/machines?where={encoded}")).await?;
        let mut names: Vec<String> = machines.into_iter().map(|machine| machine.label).collect();
        names.sort();
        Ok(names)
    }
    async fn deploy_to(&self, to: Selection, include_protected: bool) -> Result<Deployed, Refused> {
        let request = Deploy {
            package: "hello".into(),
            version: None,
            to,
            stripes: 1,
            spread: Spread::CutThrough,
            window: Window::Any,
            deadline: None,
            allow: vec![],
            include_protected,
            server_copies: ServerCopies::ONE,
            rollout: Rollout::default(),
        };
        self.admin().await.post("/api/v1/deployments", &request).await
    }
    async fn set_policy(&self, group: &str, upload: u64, rank: Option<i32>) {
        let policy = Some(Policy { upload: Some(upload), ..Policy::default() });
        let asked = SetPolicy { group: Some(group.into()), policy, rank };
        self.admin().await.post::<()>("/api/v1/policies", &asked).await.unwrap();
    }
}

/// Checks in once. Returns the upload limit and the number of a newer policy.
async fn policy(agent: &Agent, known: u64, wait_seconds: u32) -> Option<(Option<u64>, u64)> {
    let request = CheckIn { policy: Some(known), ..agent.check_in(vec![], u64::MAX, wait_seconds) };
    let reply: CheckInReply = agent.session().await.post("/v1/check-in", &request).await.unwrap();
    let policy = reply.policy?.verify(&agent.keys).unwrap();
    Some((policy.upload, policy.number))
}

#[tokio::test]
async fn a_filter_selects_machines_by_what_is_known_of_them() {
    let world = World::new().await;
    for (label, platform, address) in [
        ("lab-1", "linux-x86_64", Some("10.1.2.3:7700")),
        ("lab-2", "windows-x86_64", Some("10.1.9.4:7700")),
        ("till ü", "linux-aarch64", None),
    ] {
        world.agent_on(label, platform, address.into_iter().map(|text| text.parse().unwrap()).collect()).await;
    }
    world.tag("lab-1", "Exam").await;
    let site = NameSite { name: "Branch".into(), ranges: vec!["10.1.2.0-10.1.3.9".parse().unwrap()] };
    world.admin().await.post::<()>("/api/v1/sites/names", &site).await.unwrap();
    for (filter, expected) in [
        ("all", &["lab-1", "lab-2", "till ü"][..]),
        ("os = linux", &["lab-1", "till ü"]),
        ("name = lab-* and not tag:exam", &["lab-2"]),
        (r#"name = "till ü""#, &["till ü"]),
        ("arch != x86_64", &["till ü"]),
        ("group = OFFICE", &["lab-1", "lab-2", "till ü"]),
        ("enrolled < 1h and seen < 1h and excluded = no and online = no", &["lab-1", "lab-2", "till ü"]),
        ("site = branch", &["lab-1"]),
        ("address = 10.1.0.0/16 and not site = 10.1.2.0/24", &["lab-2"]),
        ("receives > 1bit/s or not receives > 1bit/s", &[]),
        ("not known(clock)", &["lab-1", "lab-2", "till ü"]),
    ] {
        assert_eq!(world.list(filter).await.unwrap(), expected, "{filter}");
    }
    let sites: Vec<NamedSite> = world.admin().await.get("/api/v1/sites/names").await.unwrap();
    assert_eq!((sites[0].name.as_str(), sites[0].machines), ("Branch", 1));
}

#[tokio::test]
async fn a_wrong_filter_is_refused_with_its_place_and_selects_nothing() {
    let world = World::new().await;
    world.agent("a").await;
    for (filter, at, said) in [
        ("", 0, "the filter is empty"),
        ("oss = linux", 0, "`oss` is no field"),
        ("os = linux and not group = labb", 27, "there is no group `labb`; there are: office"),
        ("not site = branch", 11, "no site has the name `branch`"),
        ("not site = 10.1.0.0/16", 11, "address = 10.1.0.0/16"),
        ("' or 1=1 --", 0, "no field"),
    ] {
        let refused = world.list(filter).await;
        let detail = refused.as_ref().unwrap_err().1.detail.clone();
        assert!(detail.contains(said) && detail.contains(&format!("at byte {at}:")), "{filter:?}: {detail}");
        assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
        let request = EditMachines { add_tags: names(&["x"]), ..edit(self::filter(filter)) };
        assert_refused(world.edit(&request).await, StatusCode::BAD_REQUEST, Reason::BadRequest);
    }
    // A site that loses its name makes filters with it errors, and never selects others.
    let site = NameSite { name: "branch".into(), ranges: vec!["10.0.0.0/8".parse().unwrap()] };
    world.admin().await.post::<()>("/api/v1/sites/names", &site).await.unwrap();
    assert!(world.list("not site = branch").await.is_ok());
    world.admin().await.post::<()>("/api/v1/sites/names", &NameSite { ranges: vec![], ..site }).await.unwrap();
    assert_refused(world.list("not site = branch").await, StatusCode::BAD_REQUEST, Reason::BadRequest);
}

#[tokio::test]
async fn what_is_unknown_is_counted_and_never_selected() {
    let mut world = World::new().await;
    let (old, new, unknown) = (world.agent("old").await, world.agent("new").await, world.agent("unknown").await);
    let installed = || Event::Installed { already: false, milliseconds: 1, remark: None };
    let first = {
        world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
        world.deploy("hello", Selection::Machines(vec![old.id.to_string(), new.id.to_string()]), 1).await
    };
    old.report(1, first, installed()).await;
    new.report(1, first, installed()).await;
    world.publish("hello", 2, &[("any", &[2; 20_000])]).await;
    let second = world.deploy("hello", Selection::Machines(vec![old.id.to_string(), new.id.to_string()]), 1).await;
    new.report(2, second, installed()).await;
    // A version that did not work and was replaced by the former one again.
    old.report(2, second, Event::Installing).await;
    assert_eq!(world.list("known(version(hello))").await.unwrap(), ["new"], "old is installing");
    let failed = |restored| Event::Failed { reason: Reason::ProbeFailed, detail: "no".into(), restored };
    old.report(3, second, failed(true)).await;

    assert_eq!(world.list("version(hello) < 1.2").await.unwrap(), ["old"]);
    assert_eq!(world.list("version(HELLO) >= 1.2").await.unwrap(), ["new"]);
    assert_eq!(world.list("not version(hello) >= 1.2").await.unwrap(), ["old"]);
    let mut admin = world.admin().await;
    let path = "/api/v1/machines?where=version(hello)%20%3c%202&unknown=true";
    let left_out: Vec<Machine> = admin.get(path).await.unwrap();
    assert_eq!(left_out.iter().map(|machine| machine.id).collect::<Vec<_>>(), [unknown.id]);
    let headers = admin.headers(Method::GET, path).await;
    assert_eq!(headers.get(UNKNOWN_MACHINES).unwrap(), "1");

    let request = EditMachines { add_tags: names(&["x"]), ..edit(filter("not version(hello) > 9")) };
    assert_eq!(world.edit(&request).await.unwrap(), EditedMachines { matched: 2, changed: 2, unknown: 1 });
    world.publish("hello", 3, &[("any", &[3; 20_000])]).await;
    let deployed = world.deploy_to(filter("not version(hello) > 9"), false).await.unwrap();
    assert_eq!(deployed.selected, Some(SelectedMachines { machines: 2, unknown: 1, protected: 0 }));
    let mut targets: Vec<_> =
        world.status(deployed.id.first_order()).await.addressees.iter().map(|one| one.label.clone()).collect();
    targets.sort();
    assert_eq!(targets, ["new", "old"]);
    let none = world.deploy_to(filter("version(hello) > 9 or receives > 1bit/s"), false).await;
    let detail = none.as_ref().unwrap_err().1.detail.clone();
    assert!(detail.contains("for 3 it has no answer"), "{detail}");
    assert_refused(none, StatusCode::UNPROCESSABLE_ENTITY, Reason::NotFound);
}

#[tokio::test]
async fn protected_machines_are_targets_only_when_they_are_named() {
    let mut world = World::new().await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    for label in ["desk", "server-1"] {
        world.agent(label).await;
    }
    world.tag("server-1", "Protected").await;
    for (to, include, machines, protected) in [
        (Selection::All, false, 1, 1),
        (Selection::Group("office".into()), false, 1, 1),
        (filter("group = office"), false, 1, 1),
        (filter("tag = prot*"), false, 0, 1),
        (filter("tag:protected or name = desk"), false, 2, 0),
        (filter("not tag:protected"), false, 1, 0),
        (Selection::Machines(names(&["server-1"])), false, 1, 0),
        (Selection::All, true, 2, 0),
    ] {
        let answer = world.deploy_to(to.clone(), include).await;
        if machines == 0 {
            let detail = answer.as_ref().unwrap_err().1.detail.clone();
            assert!(detail.contains("--include-protected"), "{detail}");
            assert_refused(answer, StatusCode::UNPROCESSABLE_ENTITY, Reason::NotFound);
        } else {
            let expected = SelectedMachines { machines, unknown: 0, protected };
            assert_eq!(answer.unwrap().selected, Some(expected), "{to:?}");
        }
    }
}

#[tokio::test]
async fn machines_are_changed_in_bulk_and_counted() {
    let mut world = World::new().await;
    for label in ["a", "b", "c"] {
        world.agent(label).await;
    }
    let both =
        EditMachines { add_groups: names(&["Lab", "x"]), add_tags: names(&["t"]), ..edit(filter("name in (a, b)")) };
    let preview = EditMachines { preview: true, ..both.clone() };
    assert_eq!(world.edit(&preview).await.unwrap(), EditedMachines { matched: 2, changed: 2, unknown: 0 });
    assert_eq!(world.list("group != office").await.unwrap(), [""; 0], "a preview changes nothing");
    let expecting = EditMachines { expect: Some(3), ..both.clone() };
    assert_refused(world.edit(&expecting).await, StatusCode::CONFLICT, Reason::BadRequest);
    assert_eq!(world.edit(&both).await.unwrap(), EditedMachines { matched: 2, changed: 2, unknown: 0 });
    // The spelling in use stays, and what machines have already is no change.
    let all = EditMachines { add_groups: names(&["LAB"]), expect: Some(3), ..edit(Selection::All) };
    assert_eq!(world.edit(&all).await.unwrap(), EditedMachines { matched: 3, changed: 1, unknown: 0 });
    world.restart().await;
    let machines = world.machines().await;
    let of = |label: &str| machines.iter().find(|machine| machine.label == label).unwrap();
    assert_eq!((&of("a").groups, &of("a").tags), (&names(&["Lab", "office", "x"]), &names(&["t"])));
    assert_eq!((&of("c").groups, of("c").group.as_deref()), (&names(&["Lab", "office"]), Some("Lab")));
    let gone = EditMachines {
        remove_groups: names(&["lab"]),
        remove_tags: names(&["T"]),
        ..edit(Selection::Group("x".into()))
    };
    assert_eq!(world.edit(&gone).await.unwrap(), EditedMachines { matched: 2, changed: 2, unknown: 0 });
    assert_eq!(world.list("group = lab or tag = t").await.unwrap(), ["c"]);

    for wrong in [
        edit(Selection::All),
        EditMachines { add_groups: names(&[" lab"]), ..edit(Selection::All) },
        EditMachines { add_tags: names(&["a\u{200b}b"]), ..edit(Selection::All) },
        EditMachines { add_tags: names(&["t"]), remove_tags: names(&["T"]), ..edit(Selection::All) },
        EditMachines { add_tags: (0..65).map(|n| n.to_string()).collect(), ..edit(Selection::All) },
    ] {
        assert_refused(world.edit(&wrong).await, StatusCode::BAD_REQUEST, Reason::BadRequest);
    }
    let unknown = EditMachines { add_tags: names(&["t"]), ..edit(Selection::Machines(names(&["nobody"]))) };
    assert_refused(world.edit(&unknown).await, StatusCode::NOT_FOUND, Reason::NotFound);
    let refused = world.agent("d").await.session().await.post::<EditedMachines>("/api/v1/machines/edit", &both).await;
    assert_refused(refused, StatusCode::UNAUTHORIZED, Reason::NotAllowed);
}

#[tokio::test]
async fn the_policy_of_the_highest_rank_applies_and_follows_a_machine_into_other_groups_at_once() {
    let mut world = World::new().await;
    let agent = world.agent("a").await; // in the group `office`
    world.set_policy("office", 1, None).await;
    assert_eq!(policy(&agent, 0, 0).await, Some((Some(1), 1)));
    // A group without a policy changes nothing.
    let join =
        |group: &str| EditMachines { add_groups: names(&[group]), ..edit(filter(&format!("id = {}", agent.id))) };
    world.edit(&join("other")).await.unwrap();
    assert_eq!(policy(&agent, 1, 0).await, None);
    world.set_policy("lab", 2, Some(7)).await;

    let request = CheckIn { policy: Some(1), ..agent.check_in(vec![], u64::MAX, 60) };
    let mut session = agent.session().await;
    let poll = tokio::spawn(async move { session.post::<CheckInReply>("/v1/check-in", &request).await });
    world.edit(&join("lab")).await.unwrap();
    let reply = timeout(PATIENCE, poll).await.expect("the poll was not answered at once").unwrap().unwrap();
    let news = reply.policy.unwrap().verify(&agent.keys).unwrap();
    assert_eq!((news.upload, news.number), (Some(2), 3), "the change of groups has a number of its own");

    // A lower rank loses, an equal one loses to the name that comes first.
    world.set_policy("office", 1, Some(9)).await;
    assert_eq!(policy(&agent, 3, 0).await, Some((Some(1), 4)));
    world.set_policy("office", 1, Some(7)).await;
    assert_eq!(policy(&agent, 4, 0).await, Some((Some(2), 5)));
    let listed: Vec<GroupPolicy> = world.admin().await.get("/api/v1/policies").await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|one| (one.group.as_deref(), one.rank, one.machines, one.applies_to)).collect();
    let expected = [
        (None, 0, 0, Some(0)),
        (Some("lab"), 7, 1, Some(1)),
        (Some("office"), 7, 1, Some(0)),
        (Some("other"), 0, 1, Some(0)),
    ];
    assert_eq!(listed, expected);

    // Without its groups, the machine goes back to what it had before, with a higher number. That outlives a restart.
    let leave =
        EditMachines { remove_groups: names(&["lab", "office"]), ..edit(filter(&format!("id = {}", agent.id))) };
    world.edit(&leave).await.unwrap();
    assert_eq!(policy(&agent, 5, 0).await, Some((None, 6)));
    world.restart().await;
    assert_eq!(policy(&agent, 5, 0).await, Some((None, 6)));
    // A removed policy takes its rank along.
    let removed = SetPolicy { group: Some("lab".into()), policy: None, rank: None };
    world.admin().await.post::<()>("/api/v1/policies", &removed).await.unwrap();
    world.set_policy("lab", 2, None).await;
    let groups: Vec<Group> = world.admin().await.get("/api/v1/groups").await.unwrap();
    assert_eq!(groups.iter().find(|group| group.name == "lab").unwrap().policy_rank, Some(0));
    let asked = SetPolicy { group: None, policy: Some(Policy::default()), rank: Some(1) };
    let refused = world.admin().await.post::<()>("/api/v1/policies", &asked).await;
    assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
}

#[tokio::test]
async fn a_group_in_use_is_not_deleted_and_the_answer_names_its_uses() {
    let world = World::new().await;
    world.agent("a").await;
    let delete = async |kind: &str, name: &str, expect| {
        let request = DeleteAssigned { name: name.into(), expect };
        world.admin().await.post::<()>(&format!("/api/v1/{kind}/delete"), &request).await
    };
    world.set_policy("office", 1, Some(3)).await;
    let token = NewToken { uses: 1, expires_seconds: 600, group: Some("Office".into()), replaces: None };
    world.admin().await.post::<TokenCreated>("/api/v1/tokens", &token).await.unwrap();
    let groups: Vec<Group> = world.admin().await.get("/api/v1/groups").await.unwrap();
    let [office] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!((office.name.as_str(), office.machines, office.policy_rank), ("office", 1, Some(3)));
    let codes = office.join_codes.clone();
    assert!(!codes.is_empty());

    let refused = delete("groups", "office", 1).await;
    let detail = refused.as_ref().unwrap_err().1.detail.clone();
    assert!(detail.contains("1 machines have it") && detail.contains("a policy of rank 3"), "{detail}");
    assert!(codes.iter().all(|code| detail.contains(&code.to_string()[..8])), "{detail}");
    assert_refused(refused, StatusCode::CONFLICT, Reason::BadRequest);

    let reset = SetPolicy { group: Some("office".into()), policy: None, rank: None };
    world.admin().await.post::<()>("/api/v1/policies", &reset).await.unwrap();
    for code in codes {
        world.admin().await.post::<()>(&format!("/api/v1/tokens/{code}/revoke"), &()).await.unwrap();
    }
    assert_refused(delete("groups", "office", 0).await, StatusCode::CONFLICT, Reason::BadRequest);
    delete("groups", "OFFICE", 1).await.unwrap();
    assert_eq!(world.machines().await[0].groups, [""; 0]);
    assert_refused(delete("groups", "office", 0).await, StatusCode::NOT_FOUND, Reason::NotFound);

    world.tag("a", "exam").await;
    let tags: Vec<Tag> = world.admin().await.get("/api/v1/tags").await.unwrap();
    assert_eq!(tags, [Tag { name: "exam".into(), machines: 1 }]);
    assert_refused(delete("tags", "exam", 2).await, StatusCode::CONFLICT, Reason::BadRequest);
    delete("tags", "exam", 1).await.unwrap();
    assert_eq!(world.machines().await[0].tags, [""; 0]);
}

#[tokio::test]
async fn an_administrators_name_replaces_what_the_machine_reports() {
    let mut world = World::new().await;
    let (agent, other) = (world.agent("a").await, world.agent("b").await);
    let rename = async |world: &World, machine: &str, name: Option<&str>| {
        let request = RenameMachine { name: name.map(str::to_owned) };
        world.admin().await.post::<RenamedMachine>(&format!("/api/v1/machines/{machine}/rename"), &request).await
    };
    assert_eq!(rename(&world, "a", Some("kiosk ü")).await.unwrap().name, "kiosk ü");
    let id = agent.id.to_string();
    // What the machine reports changes nothing about the name.
    let check_in = CheckIn { label: "reported".into(), ..agent.check_in(vec![], u64::MAX, 0) };
    agent.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    world.restart().await;
    let machines = world.machines().await;
    let shown = machines.iter().find(|machine| machine.id == agent.id).unwrap();
    assert_eq!((shown.label.as_str(), shown.reported_label.as_deref()), ("kiosk ü", Some("reported")));
    assert_eq!(world.list("label = reported").await.unwrap(), ["kiosk ü"]);
    assert_eq!(world.list("name = reported").await.unwrap(), [""; 0]);
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let order = world.deploy("hello", Selection::Machines(names(&["kiosk ü"])), 1).await;
    assert_eq!(world.status(order).await.addressees[0].label, "kiosk ü");
    let gone = world.try_deploy("hello", Selection::Machines(names(&["reported"])), 1).await;
    assert_refused(gone, StatusCode::NOT_FOUND, Reason::NotFound);

    assert_refused(rename(&world, "b", Some("KIOSK ü")).await, StatusCode::CONFLICT, Reason::BadRequest);
    assert_refused(rename(&world, "b", Some(" x")).await, StatusCode::BAD_REQUEST, Reason::BadRequest);
    // Nor can another machine take the name by reporting it as its own.
    let check_in = CheckIn { label: "kiosk ü".into(), ..other.check_in(vec![], u64::MAX, 0) };
    other.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    let order = world.deploy("hello", Selection::Machines(names(&["kiosk ü"])), 1).await;
    assert_eq!(world.status(order).await.addressees[0].id, agent.id);
    let check_in = CheckIn { label: "b".into(), ..check_in };
    other.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    assert_eq!(rename(&world, &id, None).await.unwrap().name, "reported");

    // A machine that replaces another one takes over its groups, tags and name.
    rename(&world, "b", Some("till")).await.unwrap();
    world.tag("till", "protected").await;
    let token = NewToken { uses: 1, expires_seconds: 600, group: None, replaces: Some(other.id) };
    let secret = world.admin().await.post::<TokenCreated>("/api/v1/tokens", &token).await.unwrap().secret;
    let (csr, key) = csr();
    let new = world.try_enrol(&World::enrolment(secret.expose(), "new-b", &csr), &key).await.unwrap().id;
    let machines = world.machines().await;
    let new = machines.iter().find(|machine| machine.id == new).unwrap();
    assert_eq!((new.label.as_str(), new.reported_label.as_deref()), ("till", Some("new-b")));
    assert_eq!((&new.groups, &new.tags), (&names(&["office"]), &names(&["protected"])));
}

#[tokio::test]
async fn a_table_is_assigned_as_a_whole_or_not_at_all() {
    let world = World::new().await;
    let (a, b) = (world.agent("a").await, world.agent("b").await);
    let line = |machine: &str, name: Option<&str>, tags: Option<&[&str]>| Assignment {
        machine: machine.into(),
        name: name.map(str::to_owned),
        groups: None,
        tags: tags.map(names),
    };
    let assign = async |machines: Vec<Assignment>, preview| {
        let request = AssignMachines { machines, preview };
        world.admin().await.post::<AssignedMachines>("/api/v1/machines/assign", &request).await.unwrap()
    };
    let id = a.id.to_string();
    let wrong = assign(
        vec![
            line("a", Some("till"), Some(&["x"])),
            line("nobody", None, None),
            line(&id, None, None),
            line("b", Some("TILL"), Some(&[" y"])),
            line("b", Some("TILL"), None),
        ],
        false,
    )
    .await;
    let errors: Vec<(usize, &str)> = wrong.errors.iter().map(|error| (error.index, error.detail.as_str())).collect();
    let has = |index: usize, said: &str| errors.iter().any(|(at, detail)| *at == index && detail.contains(said));
    assert!(has(1, "no machine has the name") && has(2, "more than once") && has(3, "begins or ends"), "{errors:?}");
    assert!(has(0, "has the name") && has(4, "has the name") && errors.len() == 5, "{errors:?}");
    assert_eq!(world.list("tag = x").await.unwrap(), [""; 0]);

    // Two machines exchange their names.
    let table = vec![line(&id, Some("b"), Some(&["=1+1", "漢"])), line(&b.id.to_string(), Some("a"), Some(&[]))];
    assert_eq!(assign(table.clone(), true).await, AssignedMachines { changed: 2, errors: vec![] });
    assert_eq!(world.list("tag = 漢").await.unwrap(), [""; 0]);
    assert_eq!(assign(table.clone(), false).await.changed, 2);
    assert_eq!(world.list("tag = 漢 and tag = \"=1+1\"").await.unwrap(), ["b"]);
    assert_eq!(assign(table, false).await.changed, 0);
}
