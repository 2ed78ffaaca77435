//! A client of a machine's local API: sends choices to its agent and reads its state, as the desktop app does.

use crate::lab::lab_machine::LabMachine;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

const HELLO: &str = r#"{"request":"hello","version":2}"#;

fn send(machine: &LabMachine, request: &str) -> Result<BufReader<UnixStream>> {
    let socket = machine.seen_from_here(&format!("{}/agent.sock", LabMachine::data()));
    let mut stream = UnixStream::connect(&socket).with_context(|| format!("no agent at {}", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    writeln!(stream, "{HELLO}\n{request}")?;
    Ok(BufReader::new(stream))
}

/// Sends a request that must succeed.
pub(crate) fn send_request(machine: &LabMachine, request: &str) -> Result<()> {
    let answer = send(machine, request)?.lines().nth(1).context("the agent did not answer")??;
    match serde_json::from_str::<Value>(&answer)? {
        answer if answer["reply"] == "done" => Ok(()),
        answer => bail!("the agent answered {request} with {answer}"),
    }
}

/// Returns the snapshot that the agent sends to desktop apps.
pub(crate) fn snapshot(machine: &LabMachine) -> Result<Value> {
    for line in send(machine, r#"{"request":"subscribe"}"#)?.lines() {
        let message: Value = serde_json::from_str(&line?)?;
        if message["event"] == "snapshot" {
            return Ok(message);
        }
    }
    bail!("the agent sent no snapshot")
}
