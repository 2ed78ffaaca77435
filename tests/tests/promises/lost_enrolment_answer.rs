//! Verifies that a machine whose connection is cut after it sent its join code still joins, with a code for one machine.

use banyan_tests::TestNetwork;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The type of TLS records whose content is encrypted.
const ENCRYPTED: u8 = 23;

/// Reads one TLS record.
fn read_record(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record)?;
    record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
    from.read_exact(&mut record[5..])?;
    Ok(record)
}

/// Relays one connection, but cuts it instead of passing on what the server says once the handshake is over.
fn relay_without_answer(mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
    let is_handshake_over = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let is_over = Arc::clone(&is_handshake_over);
    thread::spawn(move || {
        while let Ok(record) = read_record(&mut from_client) {
            is_over.fetch_or(record[0] == ENCRYPTED, Ordering::SeqCst);
            if to_server.write_all(&record).is_err() {
                break;
            }
        }
    });
    loop {
        let record = read_record(&mut server)?;
        if is_handshake_over.load(Ordering::SeqCst) {
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&record)?;
    }
}

/// Listens, and relays the first connection without its answer. Returns the address.
fn start_relay(server: SocketAddr, is_cut: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("the listener has an address");
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("the agent connects");
        let server = TcpStream::connect(server).expect("the server listens");
        relay_without_answer(client, server).expect("the connection can be relayed");
        is_cut.store(true, Ordering::SeqCst);
    });
    address
}

#[test]
fn a_machine_whose_answer_is_lost_joins_with_the_same_code() {
    let mut network = TestNetwork::start(0);
    let server = network.profile().servers[0].as_socket().expect("the server has an IP address");
    let is_cut = Arc::new(AtomicBool::new(false));
    let relay = start_relay(server, Arc::clone(&is_cut));
    let code = network.join_code(1);
    let which = network.place_machine(Some(code));
    network.agents[which].arguments = vec!["--server".into(), relay.to_string()];
    network.start_agent(which);
    network.wait_until("the machine is online", |network| network.machines().iter().any(|machine| machine.online));
    assert!(is_cut.load(Ordering::SeqCst), "the relay must have cut the first connection");
    assert_eq!(network.machines().len(), 1);
    assert!(network.log_of(which).contains("trying again"), "{}", network.log_of(which));
}
