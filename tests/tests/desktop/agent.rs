//! An agent that only talks: it tells a snapshot and writes down what it is asked for.

use banyan_proto::local::{Event, LOCAL_VERSION, Message, Reply, Request, Right, Snapshot};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

/// The agent.
pub(crate) struct Agent {
    shared: Arc<Shared>,
}

struct Shared {
    snapshot: Snapshot,
    asked: Mutex<Vec<Request>>,
    reported: Mutex<Vec<Option<bool>>>,
}

impl Agent {
    /// Answers at this socket from now on.
    pub(crate) fn listen(socket: &Path, snapshot: Snapshot) -> Self {
        let listener = UnixListener::bind(socket).expect("the socket is free");
        let shared = Arc::new(Shared { snapshot, asked: Mutex::default(), reported: Mutex::default() });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&all);
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { shared }
    }
    /// What was reported to it about the screen last.
    pub(crate) fn last_report(&self) -> Option<Option<bool>> {
        self.shared.reported.lock().expect("nothing panics with it").last().copied()
    }
    /// What it was asked for so far, greetings and reports left out.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.shared.asked.lock().expect("nothing panics with it").clone()
    }
}

impl Shared {
    fn serve(&self, stream: &UnixStream) {
        let say = |message: &Message| {
            let mut line = serde_json::to_vec(message).expect("messages have a JSON form");
            line.push(b'\n');
            // A face may go at any time.
            let mut to = stream;
            drop(to.write_all(&line));
        };
        let rights = vec![Right::See, Right::Choose, Right::Administer];
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            match serde_json::from_str(&line).expect("faces send requests") {
                Request::Hello { .. } => {
                    let software = "an agent of the tests".to_owned();
                    say(&Message::Reply(Reply::Hello { version: LOCAL_VERSION, software, rights: rights.clone() }));
                }
                Request::Subscribe => {
                    say(&Message::Reply(Reply::Done));
                    say(&Message::Event(Event::Snapshot(Box::new(self.snapshot.clone()))));
                }
                Request::Report { full_screen } => {
                    self.reported.lock().expect("nothing panics with it").push(full_screen);
                    say(&Message::Reply(Reply::Done));
                }
                other => {
                    self.asked.lock().expect("nothing panics with it").push(other);
                    say(&Message::Reply(Reply::Done));
                }
            }
        }
    }
}
