//! A machine with a valid certificate that does what no honest machine does, over the same sockets, frames and requests.
//!
//! [`attacks`] strikes one agent or the server. [`relay`] stands in a tree between honest machines.

pub mod attacks;
pub mod relay;

use crate::enrolment::read_answer;
use banyan_proto::{
    ALPN_HTTP, ALPN_PEER, Address, MachineId, PROTOCOL_VERSIONS,
    api::{CheckIn, EnrolRequest},
    format,
    join::JoinCode,
    peer::Hello,
};
use banyan_wire::{
    connection::{self, Connection},
    tls::{Credentials, SERVER_NAME, pinned_client},
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long one step of an attack may take before the agent gives it up.
const STEP: Duration = Duration::from_secs(10);

/// An enrolled hostile machine.
pub struct EvilAgent {
    /// Its identifier.
    pub id: MachineId,
    /// The server's identifier.
    pub server: MachineId,
    /// The server's address.
    pub server_address: SocketAddr,
    /// Its label.
    pub label: String,
    /// Where it accepts connections; other machines know this address.
    pub listener: TcpListener,
    credentials: Credentials,
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

async fn connect(to: SocketAddr, name: String, tls: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = timeout(STEP, TcpStream::connect(to)).await??;
    let name = ServerName::try_from(name).map_err(invalid)?;
    timeout(STEP, TlsConnector::from(Arc::new(tls)).connect(name, stream)).await?
}

/// Sends a request and returns the answer's status and body. The body is sent as it is, whatever its length says.
///
/// # Errors
/// When the other side closes the connection.
pub async fn exchange(mut stream: TlsStream<TcpStream>, head: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    stream.write_all(head.as_bytes()).await?;
    // An answer can come before the whole body was taken.
    let sent = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = timeout(STEP, stream.read_to_end(&mut answer)).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { return Err(sent.err().or(read.err()).unwrap_or_else(|| invalid("no answer"))) };
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    Ok((status, answer[body..].to_vec()))
}

fn head(method: &str, path: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Sends an enrolment. Returns the answer's status and body.
///
/// # Errors
/// When the server closes the connection.
pub async fn send_enrolment(code: &JoinCode, request: &EnrolRequest) -> io::Result<(u16, Vec<u8>)> {
    let server = code.servers[0].as_socket().ok_or_else(|| invalid("the server has no IP address"))?;
    let tls = pinned_client(code.ca, &[ALPN_HTTP]).map_err(invalid)?;
    let body = format::write(request);
    exchange(connect(server, SERVER_NAME.into(), tls).await?, &head("POST", "/v1/enrol", body.len()), body.as_bytes())
        .await
}

/// Returns an enrolment of a usual machine, except for what the caller changes.
#[must_use]
pub fn enrolment(code: &JoinCode, label: &str, csr: String, address: SocketAddr) -> EnrolRequest {
    EnrolRequest {
        secret: data_encoding::HEXLOWER.encode(&code.secret),
        csr,
        label: label.into(),
        platform: "linux-x86_64".into(),
        addresses: vec![address.into()],
        software: "evil-agent".into(),
    }
}

/// Returns a certificate request for this key.
///
/// # Panics
/// When the library cannot make one.
#[must_use]
pub fn certificate_request(key: &rcgen::KeyPair) -> String {
    let request = rcgen::CertificateParams::default().serialize_request(key).expect("a request can be made");
    request.pem().expect("a request has a PEM form")
}

impl EvilAgent {
    /// Enrols.
    ///
    /// # Errors
    /// When the server refuses, or the network fails.
    pub async fn enrol(code: &JoinCode, label: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let key = rcgen::KeyPair::generate().map_err(invalid)?;
        let request = enrolment(code, label, certificate_request(&key), listener.local_addr()?);
        let (reply, credentials) = read_answer(send_enrolment(code, &request).await?, &key)?;
        let server_address = code.servers[0].as_socket().ok_or_else(|| invalid("the server has no IP address"))?;
        Ok(Self { id: reply.machine, server: reply.server, server_address, label: label.into(), listener, credentials })
    }
    /// Returns a greeting like that of an honest machine.
    #[must_use]
    pub fn hello() -> Hello {
        Hello { versions: PROTOCOL_VERSIONS.to_vec(), software: "evil-agent".into(), crl_number: 1, stop_number: None }
    }
    /// Connects to a machine, or to the server, with the frame protocol.
    ///
    /// # Errors
    /// When it is not reachable or refuses.
    pub async fn dial(&self, peer: MachineId, address: SocketAddr) -> io::Result<Connection> {
        let tls = self.credentials.connector(None, &[ALPN_PEER]).map_err(invalid)?;
        connection::dial(peer, vec![Address::from(address)], tls, Self::hello()).await.map_err(invalid)
    }
    /// Connects with TLS, but says nothing.
    ///
    /// # Errors
    /// When it is not reachable or refuses.
    pub async fn dial_silently(&self, peer: MachineId, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let tls = self.credentials.connector(None, &[ALPN_PEER]).map_err(invalid)?;
        connect(address, banyan_wire::tls::machine_name(peer), ClientConfig::clone(&tls)).await
    }
    /// Opens a connection to the server's API.
    ///
    /// # Errors
    /// When the server is not reachable or refuses.
    pub async fn open_api(&self) -> io::Result<TlsStream<TcpStream>> {
        let tls = self.credentials.connector(None, &[ALPN_HTTP]).map_err(invalid)?;
        connect(self.server_address, SERVER_NAME.into(), ClientConfig::clone(&tls)).await
    }
    /// Sends a request to the server's API. Returns the answer's status and body.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub async fn request(&self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        exchange(self.open_api().await?, &head(method, path, body.len()), body).await
    }
    /// Checks in, as an honest machine would.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub async fn check_in(&self, last: u64, wait_seconds: u32) -> io::Result<(u16, Vec<u8>)> {
        let body = format::write(&CheckIn {
            boot: 1,
            last,
            label: self.label.clone(),
            addresses: vec![self.listener.local_addr()?.into()],
            software: "evil-agent".into(),
            crl_number: 1,
            epoch: 0,
            known: vec![],
            wait_seconds,
            publishers: None,
            policy: None,
            clock: None,
            server_addresses: None,
            site_budget: None,
            stop_number: None,
        });
        self.request("POST", "/v1/check-in", body.as_bytes()).await
    }
}
