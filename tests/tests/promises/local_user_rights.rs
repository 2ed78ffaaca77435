//! Verifies that the local API is closed by default: only users with a session at this machine may see and choose, and
//! only root and the agent's user may do more. A machine can also be enrolled through it.

use banyan_proto::{
    Digest, Reason,
    join::JoinCode,
    local::{Headline, LOCAL_VERSION, PauseFor, Reply, Request, Right},
};
use banyan_tests::TestNetwork;
use nix::unistd::{Uid, geteuid, seteuid};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

/// Two users of this machine: one has a session, the other runs a service.
const MIA: u32 = 41_001;
const DAEMON: u32 = 41_002;

/// Sends these requests as this user. Returns the replies.
fn say_as(user: u32, socket: &Path, requests: &[Request]) -> Vec<Reply> {
    seteuid(Uid::from_raw(user)).expect("root can change its user");
    let connected = UnixStream::connect(socket);
    seteuid(Uid::from_raw(0)).expect("the user can be changed back to root");
    let mut stream = connected.expect("any user can connect");
    for request in requests {
        // The agent closes the connection of a refused user after the first message.
        drop(writeln!(stream, "{}", serde_json::to_string(request).expect("the request can be serialised")));
    }
    drop(stream.shutdown(std::net::Shutdown::Write));
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.map(|line| serde_json::from_str(&line).expect("the answer is valid JSON")).collect()
}

#[test]
fn a_user_with_a_session_may_choose_and_others_have_no_right() {
    assert!(geteuid().is_root(), "this test switches users, so it must run as root");
    let mut network = TestNetwork::start(1);
    let open = tempfile::tempdir().expect("a temporary folder can be created");
    fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755)).expect("the folder's mode can be set");
    let (socket, sessions) = (open.path().join("banyan/agent.sock"), open.path().join("sessions"));
    fs::create_dir(&sessions).expect("the folder is accessible");
    let session = format!("UID={MIA}\nSTATE=active\nREMOTE=0\nCLASS=user\n");
    fs::write(sessions.join("c1"), session).expect("the file can be written");
    let text = |path: &Path| path.to_str().expect("the path is valid UTF-8").to_owned();
    network.agents[0].arguments =
        ["--socket", &text(&socket), "--sessions", &text(&sessions)].map(str::to_owned).to_vec();
    network.kill_agent(0);
    network.start_agent(0);
    network.wait_until("the agent answers", |_| UnixStream::connect(&socket).is_ok());

    let hello = Request::Hello { version: LOCAL_VERSION };
    let pause = Request::Pause { until: PauseFor::Seconds(60) };
    let enrol = Request::Enrol { code: "x".into() };
    let not_allowed = |reply: &Reply| matches!(reply, Reply::Error(error) if error.reason == Reason::NotAllowed);
    match &say_as(MIA, &socket, &[hello.clone(), pause.clone(), enrol.clone()])[..] {
        [Reply::Hello { rights, .. }, Reply::Done, refused] => {
            assert_eq!(rights[..], [Right::See, Right::Choose, Right::Get]);
            assert!(not_allowed(refused), "{refused:?}");
        }
        other => panic!("{other:?}"),
    }
    let snapshot = network.snapshot(0);
    assert!(matches!(snapshot.headline(), Headline::Paused { until: Some(_) }), "{snapshot:?}");
    match &say_as(DAEMON, &socket, &[hello.clone(), Request::Resume])[..] {
        [refused] => assert!(not_allowed(refused), "{refused:?}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(network.snapshot(0).headline(), Headline::Paused { .. }), "a refused request changed something");
    // A user who logs out loses the right, on open connections, too.
    fs::remove_file(sessions.join("c1")).expect("the session file exists");
    assert!(not_allowed(&say_as(MIA, &socket, &[hello, Request::Resume])[0]));
    // The data folder was not opened to other users.
    seteuid(Uid::from_raw(MIA)).expect("root can change its user");
    let inside =
        [fs::read_dir(&network.agents[0].data).is_err(), fs::read(network.agents[0].data.join("agent.redb")).is_err()];
    seteuid(Uid::from_raw(0)).expect("the user can be changed back to root");
    assert_eq!(inside, [true, true]);
}

#[test]
fn a_waiting_machine_is_enrolled_with_a_join_code() {
    let mut network = TestNetwork::start(0);
    network.add_waiting_agent();
    let socket = network.agents[0].data.join("agent.sock");
    network.wait_until("the agent answers", |_| UnixStream::connect(&socket).is_ok());
    assert_eq!(network.snapshot(0).headline(), Headline::NotEnrolled);
    let hello = Request::Hello { version: LOCAL_VERSION };
    let enrol = |code: &str| Request::Enrol { code: code.to_owned() };
    let spent = network.join_code(1).replace(|digit: char| digit.is_ascii_digit(), "0");
    for bad in ["nonsense", &spent] {
        let replies = network.say(0, &[hello.clone(), enrol(bad)]);
        assert!(matches!(&replies[1], Reply::Error(error) if error.reason == Reason::JoinRefused), "{replies:?}");
    }
    network.tell(0, &enrol(&network.join_code(1)));
    network.wait_until("the machine is online", |network| network.machines().iter().any(|machine| machine.online));
    let snapshot = network.snapshot(0);
    assert!(snapshot.about.enrolled.is_some() && !snapshot.history.is_empty(), "{snapshot:?}");
    // Another code of the same server tells the machine where the server is; one of another server is refused.
    let same_server = network.join_code(1);
    let again = network.say(0, &[hello.clone(), enrol(&same_server)]);
    assert_eq!(again[1], Reply::Done);
    let code: JoinCode = same_server.parse().unwrap();
    let other = JoinCode { ca: Digest::of(b"another CA"), ..code }.to_string();
    let refused = network.say(0, &[hello, enrol(&other)]);
    assert!(matches!(&refused[1], Reply::Error(error) if error.reason == Reason::OtherServer), "{refused:?}");
}
