//! Attacks by a machine that is on no list. Each is one call. It ends when the victim closes the connection, or after a
//! bounded number of messages.

use super::{EvilAgent, certificate_request, enrolment, head, send_enrolment};
use banyan_proto::{
    Digest, MachineId, Membership, OrderId, Proof, Reason, UnixSeconds,
    api::{Event, Report, Reports},
    format,
    frame::{Frame, Heartbeat, chunk_header},
    join::JoinCode,
    list::Subtree,
    peer::{Confirm, Control, Effort, Hello, OfferReply, Pull},
};
use banyan_wire::connection::Connection;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// An attack on the frame protocol of an agent or the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameAttack {
    /// Messages of 8 MiB with an unknown type.
    HugeMessages,
    /// Messages whose unknown type has terminal escapes and marks that change the writing direction.
    HiddenCharacters,
    /// A header that promises 4 GiB.
    ImpossibleLength,
    /// A header that promises 8 MiB, and nothing after it, on several connections.
    UnfinishedMessages,
    /// A message that arrives byte by byte.
    SlowMessage,
    /// Content that nobody asked for.
    UnrequestedChunk,
    /// Confirmations of an order with a wrong hash.
    WrongConfirmations,
    /// Heartbeats without a transfer.
    Heartbeats,
    /// A second greeting.
    SecondGreeting,
    /// A message that requires something unknown.
    MustUnderstand,
    /// Messages that require ten thousand things.
    ManyRequirements,
    /// Pulls of unknown orders.
    UnknownPulls,
    /// A pull with a proof of a hundred thousand steps.
    DeepProof,
    /// A revocation list that is none.
    ForgedRevocationList,
    /// Messages of an offer's type that are none.
    BrokenOffers,
    /// Answers to offers that were never made.
    UnaskedAnswers,
    /// A kind of frame that does not exist.
    UnknownKind,
    /// A greeting of a megabyte.
    HugeGreeting,
    /// A greeting with versions that nobody speaks.
    UnknownVersions,
    /// TLS, and then nothing.
    NoGreeting,
    /// TCP, and then nothing.
    NoHandshake,
    /// Connecting and disconnecting as fast as possible.
    ConnectStorm,
    /// Many connections at once.
    ManyLinks,
}

impl FrameAttack {
    /// All attacks.
    pub const ALL: &[Self] = &[
        Self::HugeMessages,
        Self::HiddenCharacters,
        Self::ImpossibleLength,
        Self::UnfinishedMessages,
        Self::SlowMessage,
        Self::UnrequestedChunk,
        Self::WrongConfirmations,
        Self::Heartbeats,
        Self::SecondGreeting,
        Self::MustUnderstand,
        Self::ManyRequirements,
        Self::UnknownPulls,
        Self::DeepProof,
        Self::ForgedRevocationList,
        Self::BrokenOffers,
        Self::UnaskedAnswers,
        Self::UnknownKind,
        Self::HugeGreeting,
        Self::UnknownVersions,
        Self::NoGreeting,
        Self::NoHandshake,
        Self::ConnectStorm,
        Self::ManyLinks,
    ];
}

/// A victim of frame attacks.
#[derive(Debug, Clone, Copy)]
pub struct Victim {
    /// Its identifier.
    pub id: MachineId,
    /// Its address.
    pub address: SocketAddr,
}

fn control(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len() + 1).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &[0][..], text.as_bytes()].concat()
}

/// Sends bytes again and again until the victim closes the connection, or for this long.
async fn flood(connection: &mut Connection, bytes: &[u8], times: usize, most: Duration) {
    let sending = async {
        for _ in 0..times {
            if connection.send_bytes(bytes).await.is_err() {
                return;
            }
        }
    };
    drop(timeout(most, sending).await);
}

/// Waits until the other side closes the connection, or for this long.
async fn until_closed(connection: &mut Connection, most: Duration) {
    drop(timeout(most, async { while connection.next().await.is_ok() {} }).await);
}

impl EvilAgent {
    /// Carries out an attack. `order` is an order that the victim knows.
    ///
    /// # Errors
    /// When the victim does not accept the connection.
    pub async fn attack(&self, attack: FrameAttack, victim: Victim, order: OrderId, seconds: u64) -> io::Result<()> {
        let most = Duration::from_secs(seconds);
        let Victim { id, address } = victim;
        match attack {
            FrameAttack::NoHandshake => {
                let mut open = Vec::new();
                // More than one address may have, and from the administrator's own.
                for _ in 0..300 {
                    open.push(TcpStream::connect(address).await?);
                }
                sleep(most).await;
                return Ok(());
            }
            FrameAttack::NoGreeting => {
                let _open = self.dial_silently(id, address).await?;
                sleep(most).await;
                return Ok(());
            }
            FrameAttack::ConnectStorm => {
                let storm = async {
                    for _ in 0..300 {
                        drop(self.dial(id, address).await);
                    }
                };
                drop(timeout(most, storm).await);
                return Ok(());
            }
            FrameAttack::ManyLinks => {
                let mut open = Vec::new();
                for _ in 0..40 {
                    open.extend(self.dial(id, address).await);
                }
                sleep(most).await;
                return Ok(());
            }
            FrameAttack::HugeGreeting | FrameAttack::UnknownVersions => {
                let mut stream = self.dial_silently(id, address).await?;
                let hello = match attack {
                    FrameAttack::HugeGreeting => Hello { software: "A".repeat(1 << 20), ..Self::hello() },
                    _ => Hello {
                        versions: (100..900).collect(),
                        software: "\u{1b}[2J\u{202e}evil".into(),
                        crl_number: 0,
                        stop_number: None,
                    },
                };
                drop(stream.write_all(&Frame::Control(Control::Hello(hello)).encode()).await);
                drop(timeout(most, stream.read_to_end(&mut Vec::new())).await);
                return Ok(());
            }
            FrameAttack::UnfinishedMessages => {
                let mut open = Vec::new();
                for _ in 0..8 {
                    let mut connection = self.dial(id, address).await?;
                    drop(connection.send_bytes(&(8_u32 << 20).to_be_bytes()).await);
                    drop(connection.send_bytes(&[0]).await);
                    drop(connection.send_bytes(&[b' '; 1 << 16]).await);
                    open.push(connection);
                }
                sleep(most).await;
                return Ok(());
            }
            _ => {}
        }
        let mut connection = self.dial(id, address).await?;
        let huge = |start: &str, end: &str| control(&format!("{start}{}{end}", "A".repeat((8 << 20) - 100)));
        let bytes = match attack {
            FrameAttack::HugeMessages => huge("{\"type\":\"", "\"}"),
            FrameAttack::HiddenCharacters => control("{\"type\":\"\\u001b[31mEVIL\\n\\u202e\\u200b\\u2028\"}"),
            FrameAttack::ImpossibleLength => vec![0xff, 0xff, 0xff, 0xff, 0],
            FrameAttack::SlowMessage => {
                drop(connection.send_bytes(&[0, 0, 0x40, 0, 0]).await);
                let slowly = async {
                    while connection.send_bytes(b" ").await.is_ok() {
                        sleep(Duration::from_millis(200)).await;
                    }
                };
                drop(timeout(most, slowly).await);
                return Ok(());
            }
            FrameAttack::UnrequestedChunk => [&chunk_header(0, 1 << 14)[..], &[7; 1 << 14]].concat(),
            FrameAttack::WrongConfirmations => {
                Frame::Control(Control::Confirm(Confirm { order, artifact: Digest([0; 32]) })).encode()
            }
            FrameAttack::Heartbeats => {
                Frame::Heartbeat(Heartbeat { watermark: u32::MAX, ..Heartbeat::default() }).encode()
            }
            FrameAttack::SecondGreeting => Frame::Control(Control::Hello(Self::hello())).encode(),
            FrameAttack::MustUnderstand => {
                control("{\"type\":\"parts-accepted\",\"must_understand\":[\"\\u202e\\u0007obey\"]}")
            }
            FrameAttack::ManyRequirements => control(&format!(
                "{{\"type\":\"parts-accepted\",\"must_understand\":[{}\"x\"]}}",
                "\"\",".repeat(10_000)
            )),
            FrameAttack::UnknownPulls | FrameAttack::DeepProof => {
                let depth = if attack == FrameAttack::DeepProof { 100_000 } else { 1 };
                let step = banyan_proto::list::Step {
                    head: self.id,
                    part: banyan_proto::list::Part::First,
                    sibling: Subtree::EMPTY,
                };
                let membership = Membership { parts: [Subtree::EMPTY; 2], proof: Proof(vec![step; depth]) };
                let pull = Pull {
                    order,
                    stripe: 0,
                    from: 0,
                    membership,
                    wait: false,
                    effort: Effort::Normal,
                    changes_effort: false,
                };
                control(&format::write(&Control::Pull(Box::new(pull))))
            }
            FrameAttack::ForgedRevocationList => {
                let der = data_encoding::BASE64.encode(&[0x30; 1000]);
                Frame::Control(Control::Crl { der }).encode()
            }
            FrameAttack::BrokenOffers => huge("{\"type\":\"offer\",\"order\":\"", "\"}"),
            FrameAttack::UnaskedAnswers => {
                let reply = OfferReply::Refused { reason: Reason::Busy, detail: "\u{202e}".repeat(5000) };
                Frame::Control(Control::OfferReply(reply)).encode()
            }
            FrameAttack::UnknownKind => vec![0, 0, 0, 2, 77, 1],
            FrameAttack::UnfinishedMessages
            | FrameAttack::HugeGreeting
            | FrameAttack::UnknownVersions
            | FrameAttack::NoGreeting
            | FrameAttack::NoHandshake
            | FrameAttack::ConnectStorm
            | FrameAttack::ManyLinks => Vec::new(),
        };
        flood(&mut connection, &bytes, 100_000, most).await;
        until_closed(&mut connection, Duration::from_millis(200)).await;
        Ok(())
    }
}

/// An attack on the server's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiAttack {
    /// A request whose headers never end.
    SlowHeaders,
    /// A request whose body never arrives.
    SlowBody,
    /// A body of 64 MiB.
    GiantBody,
    /// Reports of 4 MiB.
    HugeReports,
    /// Ten thousand reports in one request, again and again.
    ReportFlood,
    /// Ten thousand reports about another machine.
    Accusations,
    /// Check-ins without a pause.
    CheckInFlood,
    /// Calls for help with orders of others.
    HelpFlood,
    /// Requests for receipts of an order that is not for this machine.
    FalseReceipts,
    /// Labels with hidden characters.
    HiddenLabels,
    /// Guesses of the administrator's token.
    WrongTokens,
    /// Certificate requests with keys that peers cannot load.
    OddKeys,
    /// Guesses of join codes.
    WrongCodes,
}

impl ApiAttack {
    /// All attacks.
    pub const ALL: &[Self] = &[
        Self::SlowHeaders,
        Self::SlowBody,
        Self::GiantBody,
        Self::HugeReports,
        Self::ReportFlood,
        Self::Accusations,
        Self::CheckInFlood,
        Self::HelpFlood,
        Self::FalseReceipts,
        Self::HiddenLabels,
        Self::WrongTokens,
        Self::OddKeys,
        Self::WrongCodes,
    ];
}

fn reports(event: &Event, first: u64, count: u64, order: OrderId) -> Vec<u8> {
    let report = |number| Report { number, at: UnixSeconds(1), order: Some(order), event: event.clone() };
    format::write(&Reports { reports: (first..first + count).map(report).collect() }).into_bytes()
}

impl EvilAgent {
    /// Carries out an attack. `other` is a machine to accuse, `order` an order that is open. Returns the statuses of the
    /// answers.
    pub async fn attack_api(
        &self,
        attack: ApiAttack,
        code: &JoinCode,
        other: MachineId,
        order: OrderId,
        times: u64,
    ) -> Vec<u16> {
        let mut statuses = Vec::new();
        let mut slow = Vec::new();
        for time in 0..times {
            let first = 1_000_000 * (time + 1);
            let answer = match attack {
                ApiAttack::SlowHeaders | ApiAttack::SlowBody => {
                    if let Ok(mut stream) = self.open_api().await {
                        let begin = match attack {
                            ApiAttack::SlowHeaders => "POST /v1/reports HTTP/1.1\r\nx-slow: ".to_owned(),
                            _ => head("POST", "/v1/reports", 1 << 20),
                        };
                        drop(stream.write_all(begin.as_bytes()).await);
                        slow.push(stream);
                    }
                    continue;
                }
                ApiAttack::GiantBody => self.request("POST", "/v1/reports", &vec![b' '; 64 << 20]).await,
                ApiAttack::HugeReports => {
                    let detail = "B".repeat((4 << 20) - 400);
                    let event = Event::Failed { reason: Reason::DiskFull, detail, restored: true };
                    self.request("POST", "/v1/reports", &reports(&event, first, 1, order)).await
                }
                ApiAttack::ReportFlood => {
                    let event = Event::Progress { held: 1, of: 2 };
                    self.request("POST", "/v1/reports", &reports(&event, first, 10_000, order)).await
                }
                ApiAttack::Accusations => {
                    let event = Event::BadChunk { source: other, index: 1 };
                    self.request("POST", "/v1/reports", &reports(&event, first, 1000, order)).await
                }
                ApiAttack::CheckInFlood => self.check_in(0, 0).await,
                ApiAttack::HelpFlood => self.request("GET", &format!("/v1/orders/{order}/help"), b"").await,
                ApiAttack::FalseReceipts => {
                    let body = format!(
                        "{{\"order\":\"{order}\",\"artifact\":\"{}\",\"ways\":[],\"sources\":[]}}",
                        Digest([0; 32])
                    );
                    self.request("POST", "/v1/receipt", body.as_bytes()).await
                }
                ApiAttack::HiddenLabels => {
                    let label =
                        ["a\u{1b}[31m", "a\u{202e}", "a\u{200b}", "a\u{2028}", "a\u{9b}", " "][time as usize % 6];
                    let request = self.enrolment_request(code, label);
                    send_enrolment(code, &request).await
                }
                ApiAttack::WrongTokens => {
                    let request = "GET /api/v1/machines HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer x\r\n\r\n";
                    match self.open_api().await {
                        Ok(stream) => super::exchange(stream, request, b"").await,
                        Err(error) => Err(error),
                    }
                }
                ApiAttack::OddKeys => {
                    let key = match time % 2 {
                        0 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
                        _ => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
                    };
                    let request = key.map(|key| certificate_request(&key)).unwrap_or_else(|_| "no key".into());
                    let request = enrolment(code, "odd", request, self.server_address);
                    send_enrolment(code, &request).await
                }
                ApiAttack::WrongCodes => {
                    let wrong = JoinCode { secret: [9; 16], ..code.clone() };
                    send_enrolment(&wrong, &self.enrolment_request(&wrong, "guess")).await
                }
            };
            statuses.push(answer.map_or(0, |(status, _)| status));
        }
        if !slow.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        statuses
    }

    fn enrolment_request(&self, code: &JoinCode, label: &str) -> banyan_proto::api::EnrolRequest {
        let key = rcgen::KeyPair::generate().map(|key| certificate_request(&key));
        enrolment(code, label, key.unwrap_or_default(), self.server_address)
    }
}
