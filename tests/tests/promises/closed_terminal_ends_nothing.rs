//! Verifies that a command started by `nohup` waits on after its terminal is closed.

use banyan_tests::{TestNetwork, test_package::Behaviour};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[test]
fn deploy_and_wait_survives_a_closed_terminal_under_nohup() {
    let mut network = TestNetwork::start(1);
    network.publish("hello", "1.0", 100_000, Behaviour::Works);
    network.kill_agent(0);
    let deploy = network.command(&["deploy", "hello", "--to", "all", "--wait"]);
    let mut nohup = Command::new("nohup");
    nohup.arg(deploy.get_program()).args(deploy.get_args());
    nohup.envs(deploy.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut waiting =
        nohup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("nohup can be started");
    let mut progress = BufReader::new(waiting.stderr.take().expect("standard error is piped")).lines();
    progress.next().expect("the command says what it waits for").expect("the line can be read");
    let id = i32::try_from(waiting.id()).expect("a process id");
    kill(Pid::from_raw(id), Signal::SIGHUP).expect("the command runs");
    network.start_agent(0);
    let rest: Vec<String> = progress.map_while(Result::ok).collect();
    let end = waiting.wait().expect("the command ends");
    assert!(end.success(), "{end}: {rest:#?}\n{}", network.logs());
}
