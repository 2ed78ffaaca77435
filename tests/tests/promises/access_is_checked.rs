//! Verifies with the real programs who may do what at the server. The table of routes comes from the description that the
//! server itself serves: every route is asked by every role, without a token, and by an enrolled machine. Tokens that are
//! limited to groups see and touch the machines of these groups only, and a revoked token is refused at once.

use banyan_proto::{
    ALPN_ADMINISTRATOR, ALPN_HTTP,
    access::{Permission, Role},
    admin::{DeploymentStatus, Machine, Profile},
    api::{ApiError, EnrolRequest},
    assignments::Group,
    audit::{AuditPage, AuditResult},
    format,
    join::JoinCode,
};
use banyan_tests::{TestNetwork, enrolment::read_answer, simulated_fleet::ApiSession, test_package::Behaviour};
use banyan_wire::tls::{Credentials, pinned_client};
use rcgen::{CertificateParams, KeyPair};
use serde::de::DeserializeOwned;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::runtime::Runtime;

/// A route as the server describes it.
#[derive(Debug)]
struct Route {
    method: String,
    path: String,
    operation: String,
    permission: Option<Permission>,
    groups: String,
}

/// Who asks for something.
enum Caller<'a> {
    /// Somebody who announces an administrator and has no token.
    Nobody,
    /// Somebody who announces nothing.
    Stranger,
    Machine(&'a Credentials),
    Token(&'a str),
}

struct Api {
    runtime: Runtime,
    server: SocketAddr,
    profile: Profile,
    /// The last source address. The server answers an address ever more slowly after wrong tokens.
    last_source: AtomicU32,
}

impl Api {
    fn new(network: &TestNetwork) -> Self {
        let profile = network.profile();
        let server = profile.servers[0].as_socket().expect("the server has an IP address");
        let runtime = Runtime::new().expect("a runtime");
        Self { runtime, server, profile, last_source: AtomicU32::new(u32::from(Ipv4Addr::new(127, 1, 0, 0))) }
    }
    fn open(&self, caller: &Caller<'_>) -> ApiSession {
        let tls = match caller {
            Caller::Machine(credentials) => {
                credentials.connector(None, &[ALPN_HTTP]).expect("the machine's credentials can be used")
            }
            Caller::Stranger => Arc::new(pinned_client(self.profile.ca, &[ALPN_HTTP]).expect("the CA can be used")),
            Caller::Nobody | Caller::Token(_) => {
                Arc::new(pinned_client(self.profile.ca, &[ALPN_ADMINISTRATOR, ALPN_HTTP]).expect("the CA can be used"))
            }
        };
        let source = Ipv4Addr::from(self.last_source.fetch_add(1, Ordering::Relaxed) + 1);
        let session = self.runtime.block_on(ApiSession::open(self.server, source, tls)).expect("the server listens");
        match caller {
            Caller::Token(token) => session.with_token(token),
            Caller::Nobody | Caller::Stranger | Caller::Machine(_) => session,
        }
    }
    fn ask(&self, session: &mut ApiSession, (method, path): (&str, &str), body: &str) -> (u16, Vec<u8>) {
        self.runtime.block_on(session.request(method, path, body)).expect("the server answers")
    }
    fn get<T: DeserializeOwned>(&self, token: &str, path: &str) -> T {
        let (status, body) = self.ask(&mut self.open(&Caller::Token(token)), ("GET", path), "");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("the answer can be parsed")
    }
    /// Sends a request that must be refused with this status. Returns the explanation.
    fn refused(&self, token: &str, request: (&str, &str), body: &str, status: u16) -> String {
        let (found, body) = self.ask(&mut self.open(&Caller::Token(token)), request, body);
        assert_eq!(found, status, "{request:?}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<ApiError>(&body).expect("a refusal says why").detail
    }
    /// Returns the routes that the server describes.
    fn routes(&self, token: &str) -> Vec<Route> {
        let description: serde_json::Value = self.get(token, "/api/v1/openapi.json");
        let mut routes = Vec::new();
        for (path, methods) in description["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let text = |name: &str| operation[name].as_str().unwrap_or_else(|| panic!("{method} {path}: {name}"));
                let permission = match text("x-permission") {
                    "any-token" => None,
                    name => Some(serde_json::from_value(name.into()).expect("a permission")),
                };
                // Objects that do not exist, so that nothing is changed where the request is let through.
                let path = path
                    .replace("{digest}", &"0".repeat(64))
                    .replace("{package}", "nothing")
                    .replace("{sequence}", "1")
                    .replace("{event}", "1")
                    .replace("{name}", "nobody");
                let path = if path.contains("deployments/{id}") {
                    path.replace("{id}", &"0".repeat(32))
                } else if path.contains("access/{id}") {
                    path.replace("{id}", "999999")
                } else {
                    path.replace("{id}", &"0".repeat(64))
                };
                // Whoever may read this stream would read for ever.
                let path = if path.ends_with("/events") { format!("{path}?after=none") } else { path };
                assert!(!path.contains('{'), "{path}: a parameter that this test does not know");
                routes.push(Route {
                    method: method.to_uppercase(),
                    path,
                    operation: text("operationId").to_owned(),
                    permission,
                    groups: text("x-groups").to_owned(),
                });
            }
        }
        routes
    }
}

/// Creates an access token. Returns it.
fn token(network: &TestNetwork, person: &str, role: Role, groups: &[&str]) -> String {
    let path = network.path(&format!("{person}.toml"));
    let mut arguments = vec!["access", "add", person, "--role", role.name(), "--out", &path];
    groups.iter().for_each(|group| arguments.extend(["--group", group]));
    network.banyan(&arguments);
    let text = fs::read_to_string(&path).expect("the profile was written");
    let profile: Profile = toml::from_str(&text).expect("it is a profile");
    assert!(profile.token.expose().starts_with("banyan_pat_"));
    profile.token.expose().to_owned()
}

/// Enrols a machine that this test drives itself.
fn machine(network: &TestNetwork, api: &Api) -> Credentials {
    let code: JoinCode = network.join_code(1).parse().expect("a join code");
    let key = KeyPair::generate().expect("a key");
    let csr =
        CertificateParams::default().serialize_request(&key).and_then(|request| request.pem()).expect("a request");
    let request = EnrolRequest {
        secret: data_encoding::HEXLOWER.encode(&code.secret),
        csr,
        label: "tester".into(),
        platform: "linux-x86_64".into(),
        addresses: vec![],
        software: "test".into(),
    };
    let answer = api.ask(&mut api.open(&Caller::Stranger), ("POST", "/v1/enrol"), &format::write(&request));
    read_answer(answer, &key).expect("it is enrolled").1
}

#[test]
fn every_route_is_closed_to_those_who_may_not_use_it() {
    let network = TestNetwork::start(0);
    let api = Api::new(&network);
    let setup = api.profile.token.expose().to_owned();
    let machine = machine(&network, &api);
    let routes = api.routes(&setup);
    assert!(routes.len() > 40, "{}", routes.len());
    let mut operations: Vec<&str> = routes.iter().map(|route| route.operation.as_str()).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), routes.len(), "each operation has a name of its own");
    let open: Vec<&str> = routes.iter().filter(|route| route.permission.is_none()).map(|route| &*route.path).collect();
    assert_eq!(open, ["/api/v1/access/self", "/api/v1/openapi.json", &format!("/api/v1/work/{}", "0".repeat(64))]);
    // What some routes must need, whatever the server says of them.
    for (operation, permission) in [
        ("deploy", Permission::Deploy),
        ("publish_release", Permission::Publish),
        ("create_access", Permission::Access),
        ("revoke_access", Permission::Access),
        ("export_audit", Permission::Audit),
        ("create_join_code", Permission::Enrol),
        ("retry_deployment", Permission::Retry),
        ("halt_deployment", Permission::Control),
        ("set_policy", Permission::Configure),
        ("edit_machines", Permission::Machines),
        ("list_machines", Permission::View),
    ] {
        let route = routes.iter().find(|route| route.operation == operation);
        assert_eq!(route.expect("the route exists").permission, Some(permission), "{operation}");
    }

    let tokens: Vec<(Role, String)> =
        Role::ALL.iter().map(|&role| (role, token(&network, role.name(), role, &[]))).collect();
    let scoped: Vec<(Role, String)> = [Role::Viewer, Role::HelpDesk, Role::Operator]
        .map(|role| (role, token(&network, &format!("{role}-of-branch"), role, &["branch"])))
        .into();
    let mut refused_changes = 0;
    for route in &routes {
        let request = (route.method.as_str(), route.path.as_str());
        let body = if route.method == "POST" { "{}" } else { "" };
        for caller in [Caller::Nobody, Caller::Stranger, Caller::Machine(&machine), Caller::Token("banyan_pat_wrong")] {
            let (status, answer) = api.ask(&mut api.open(&caller), request, body);
            assert_eq!(status, 401, "{route:?}: {}", String::from_utf8_lossy(&answer));
        }
        for (is_scoped, (role, token)) in
            tokens.iter().map(|one| (false, one)).chain(scoped.iter().map(|one| (true, one)))
        {
            let may = route.permission.is_none_or(|permission| role.may(permission))
                && !(is_scoped && route.groups == "refused");
            let (status, answer) = api.ask(&mut api.open(&Caller::Token(token)), request, body);
            let answer = String::from_utf8_lossy(&answer);
            if may {
                assert!(status != 401 && status < 500, "{role} {route:?}: {status} {answer}");
                // Only the handler itself refuses then: for what belongs to other groups.
                assert!(status != 403 || is_scoped, "{role} {route:?}: {answer}");
            } else {
                assert_eq!(status, 403, "{role} {route:?}: {answer}");
                assert!(
                    answer.contains(if is_scoped && route.groups == "refused" { "" } else { role.name() }),
                    "{answer}"
                );
                refused_changes += usize::from(route.method != "GET");
            }
        }
    }

    // Refused changes are in the audit log, with the person's and the token's names.
    let mut refused = 0;
    let mut before = String::new();
    loop {
        let page: AuditPage = api.get(&setup, &format!("/api/v1/audit?result=refused&limit=1000{before}"));
        refused += page.entries.iter().filter(|entry| entry.reason == Some(banyan_proto::Reason::NotAllowed)).count();
        let is_named = page.entries.iter().all(|entry| !entry.actor.name().is_empty() && entry.from.is_some());
        assert!(is_named && page.entries.iter().all(|entry| entry.result == AuditResult::Refused));
        let Some(next) = page.next else { break };
        before = format!("&before={next}");
    }
    assert!(refused >= refused_changes, "{refused} of {refused_changes}");

    // A revoked token is refused at once, also on a connection that is open.
    let (_, viewer) = &tokens[0];
    let mut session = api.open(&Caller::Token(viewer));
    assert_eq!(api.ask(&mut session, ("GET", "/api/v1/machines"), "").0, 200);
    network.banyan(&["access", "revoke", "viewer"]);
    assert_eq!(api.ask(&mut session, ("GET", "/api/v1/machines"), "").0, 401);
    let listed = network.banyan(&["access", "list"]);
    assert!(!listed.contains("viewer  default"), "{listed}");
    // No token is in the database.
    let database = fs::read(network.path("server/server.sqlite")).expect("the database is there");
    let log = fs::read(network.path("server/server.sqlite-wal")).unwrap_or_default();
    for (role, token) in tokens.iter().chain(&scoped) {
        let is_in = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!is_in(&database) && !is_in(&log), "the token of {role} is stored");
    }
}

#[test]
fn a_token_for_some_groups_sees_and_touches_their_machines_only() {
    let mut network = TestNetwork::start(0);
    network.add_agent_of("branch");
    network.add_agent_of("head office");
    network.wait_until("both are online", |network| network.machines().iter().filter(|one| one.online).count() == 2);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let both = network.deploy("hello", "all", 1);
    let theirs = network.deploy("hello", "machine:m1", 1);
    let api = Api::new(&network);
    let token = token(&network, "bert", Role::Operator, &["branch"]);
    let name = |machine: &Machine| machine.label.clone();

    let seen: Vec<Machine> = api.get(&token, "/api/v1/machines");
    assert_eq!(seen.iter().map(name).collect::<Vec<_>>(), ["m0"]);
    for (filter, found) in [
        ("all", vec!["m0"]),
        ("os%20=%20linux", vec!["m0"]),
        ("name%20=%20m1", vec![]),
        ("not%20name%20=%20m0", vec![]),
        ("name%20=%20m0%20or%20name%20=%20m1", vec!["m0"]),
    ] {
        let seen: Vec<Machine> = api.get(&token, &format!("/api/v1/machines?where={filter}"));
        assert_eq!(seen.iter().map(name).collect::<Vec<_>>(), found, "{filter}");
    }
    // Parentheses cannot close those around the filter, and other groups do not exist.
    let filters = "/api/v1/machines?where=";
    api.refused(&token, ("GET", &format!("{filters}name%20=%20m1)%20or%20(name%20=%20m1")), "", 400);
    let other = api.refused(&token, ("GET", &format!("{filters}group%20=%20%22head%20office%22")), "", 400);
    assert!(other.contains("there is no group `head office`; there are: branch"), "{other}");
    let groups: Vec<Group> = api.get(&token, "/api/v1/groups");
    assert_eq!(groups.iter().map(|group| (&*group.name, group.machines)).collect::<Vec<_>>(), [("branch", 1)]);

    // Objects of others are not found.
    let m1 = network.machines().into_iter().find(|machine| machine.label == "m1").expect("m1 is enrolled").id;
    for name in ["m1", &m1.to_string(), &m1.short()] {
        for action in ["revoke", "readmit"] {
            api.refused(&token, ("POST", &format!("/api/v1/machines/{name}/{action}")), "", 404);
        }
        api.refused(&token, ("POST", &format!("/api/v1/machines/{name}/rename")), r#"{"name":"x"}"#, 404);
        let edit = format!(r#"{{"machines":{{"machines":["{name}"]}},"add_tags":["x"]}}"#);
        api.refused(&token, ("POST", "/api/v1/machines/edit"), &edit, 404);
        let assign = format!(r#"{{"machines":[{{"machine":"{name}","tags":["x"]}}]}}"#);
        api.refused(&token, ("POST", "/api/v1/machines/assign"), &assign, 404);
    }
    // Nor can its own machines be given to others.
    let edit = r#"{"machines":"all","add_groups":["head office"]}"#;
    api.refused(&token, ("POST", "/api/v1/machines/edit"), edit, 403);
    api.refused(&token, ("POST", "/api/v1/tokens"), r#"{"uses":1,"expires_seconds":60}"#, 403);
    api.refused(&token, ("POST", "/api/v1/policies"), r#"{"group":null,"policy":null}"#, 403);
    for action in ["", "/halt", "/resume", "/retry"] {
        let method = if action.is_empty() { "GET" } else { "POST" };
        api.refused(&token, (method, &format!("/api/v1/deployments/{theirs}{action}")), "", 404);
    }
    let partly = api.refused(&token, ("POST", &format!("/api/v1/deployments/{both}/halt")), "", 403);
    assert!(partly.contains("outside the groups"), "{partly}");
    let status: DeploymentStatus = api.get(&token, &format!("/api/v1/deployments/{both}"));
    assert_eq!(status.addressees.iter().map(|one| &*one.label).collect::<Vec<_>>(), ["m0"]);
    assert_eq!(status.counts.iter().map(|(_, count)| count).sum::<u32>(), 1);
    let listed: Vec<DeploymentStatus> = api.get(&token, "/api/v1/deployments");
    assert_eq!(listed.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(), [both]);
    assert_eq!(listed[0].counts.iter().map(|(_, count)| count).sum::<u32>(), 1);

    // Everything means everything of its groups.
    network.publish("hello", "1.1", 300_000, Behaviour::Works);
    let bert = network.path("bert.toml");
    let mut command = banyan_tests::programs::banyan();
    command.args(["--profile", &bert, "deploy", "hello", "--to", "all", "--wait", "--json"]);
    let output = command.output().expect("banyan runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.1"));
    assert_ne!(network.says(1, "hello").as_deref(), Some("hello 1.1"));
    let newest: Vec<DeploymentStatus> = api.get(&token, "/api/v1/deployments?limit=1");
    let whole = network.status(&newest[0].id.to_string());
    assert_eq!(whole.addressees.iter().map(|one| &*one.label).collect::<Vec<_>>(), ["m0"]);
}
