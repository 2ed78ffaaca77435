//! How the packets of one connection are sent: like those of other programs, or in the background.
//!
//! The loop decides, and the socket carries it out when it is next read or written. So no second handle on the socket is
//! needed, and an unchanged decision costs one comparison.

use crate::sys::traffic_class;
use banyan_proto::schedule::{Background, CongestionControl, Dscp};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tokio::net::TcpStream;

/// The codepoint of lower effort (RFC 8622).
const LE: u8 = 1;
/// The codepoint of packets without a mark.
const UNMARKED: u8 = 0;

/// Bits of a class: whether packets are marked, and whether the background congestion control is used.
const IS_MARKED: u8 = 1;
const HAS_BACKGROUND_CONTROL: u8 = 2;

/// The class that the loop wants.
#[derive(Debug, Default)]
pub(crate) struct TrafficClass(AtomicU8);

impl TrafficClass {
    /// Sets the class; `None` for packets like those of other programs.
    pub(crate) fn set(&self, background: Option<Background>) {
        let class = background.map_or(0, |Background { dscp, congestion_control }| {
            let mark = if dscp == Dscp::Le { IS_MARKED } else { 0 };
            let control = if congestion_control == CongestionControl::Background { HAS_BACKGROUND_CONTROL } else { 0 };
            mark | control
        });
        self.0.store(class, Relaxed);
    }
}

/// The class that the socket has.
#[derive(Debug, Default)]
pub(crate) struct AppliedTrafficClass {
    class: u8,
    /// The congestion control before the background one.
    usual_control: Option<traffic_class::CongestionControlName>,
}

impl AppliedTrafficClass {
    /// Gives the socket the wanted class. A system that refuses sends the packets as before: the transfer matters more.
    pub(crate) fn apply(&mut self, wanted: &TrafficClass, stream: &TcpStream) {
        let wanted = wanted.0.load(Relaxed);
        let changed = std::mem::replace(&mut self.class, wanted) ^ wanted;
        if changed & IS_MARKED != 0 {
            let dscp = if wanted & IS_MARKED != 0 { LE } else { UNMARKED };
            if let Err(error) = traffic_class::set_dscp(stream, dscp) {
                tracing::debug!(dscp, %error, "packets not marked");
            }
        }
        if changed & HAS_BACKGROUND_CONTROL != 0 {
            let done = match self.usual_control.take() {
                Some(usual) => traffic_class::set_congestion_control(stream, &usual),
                None => traffic_class::set_background_control(stream).map(|usual| self.usual_control = Some(usual)),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "congestion control not changed");
            }
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::socket::Socket;
    use socket2::SockRef;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LE_BYTE: u32 = 0b100;
    const MARKED: Background = Background { dscp: Dscp::Le, congestion_control: CongestionControl::Default };

    /// Returns a connection: the end that dialled, and the end that accepted.
    async fn connect(listen: &str, to: &str) -> (Socket, Socket) {
        let listener = crate::listen::bind(listen.parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialled = TcpStream::connect(SocketAddr::new(to.parse().unwrap(), port)).await.unwrap();
        (Socket::from(dialled), Socket::from(listener.accept().await.unwrap().0))
    }
    /// Moves a byte, so that both ends carry out what was decided.
    async fn move_byte(from: &mut Socket, to: &mut Socket) {
        from.write_all(&[7]).await.unwrap();
        assert_eq!(to.read_u8().await.unwrap(), 7);
    }
    /// Returns the byte of the packets' header that holds the codepoint.
    fn mark(socket: &Socket) -> u32 {
        let (four, six) = (SockRef::from(socket.tcp()).tos_v4(), SockRef::from(socket.tcp()).tclass_v6());
        let is_six = matches!(socket.tcp().peer_addr().unwrap().ip().to_canonical(), std::net::IpAddr::V6(_));
        if is_six { six.unwrap() } else { four.unwrap() }
    }

    #[tokio::test]
    async fn both_ends_mark_their_packets_in_both_families_and_take_the_mark_back() {
        // An address of IPv4 at a socket of IPv6, as of an agent that listens on all addresses, and either family.
        for (listen, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let (mut one, mut other) = connect(listen, to).await;
            assert_eq!([mark(&one), mark(&other)], [0, 0], "{listen}");
            for (background, expected) in [(Some(MARKED), LE_BYTE), (None, 0), (Some(MARKED), LE_BYTE)] {
                one.control().set_background(background);
                other.control().set_background(background);
                move_byte(&mut one, &mut other).await;
                assert_eq!([mark(&one), mark(&other)], [expected; 2], "{listen} {background:?}");
            }
            let unmarked = Background { dscp: Dscp::Default, ..MARKED };
            one.control().set_background(Some(unmarked));
            move_byte(&mut one, &mut other).await;
            assert_eq!(mark(&one), 0, "{listen}");
        }
    }

    /// Whether this kernel has TCP-LP or not: nothing fails, and afterwards the control is the usual one again.
    #[tokio::test]
    async fn the_background_congestion_control_is_used_where_the_system_has_it() {
        let (mut one, mut other) = connect("127.0.0.1:0", "127.0.0.1").await;
        let control = |socket: &Socket| SockRef::from(socket.tcp()).tcp_congestion().unwrap();
        let usual = control(&one);
        let lower = Background { congestion_control: CongestionControl::Background, ..MARKED };
        let has_lp = SockRef::from(other.tcp()).set_tcp_congestion(b"lp").is_ok();
        one.control().set_background(Some(lower));
        move_byte(&mut one, &mut other).await;
        assert_eq!(control(&one).starts_with(b"lp\0"), has_lp);
        assert_eq!(mark(&one), LE_BYTE);
        one.control().set_background(None);
        move_byte(&mut one, &mut other).await;
        assert_eq!(control(&one), usual);
    }
}
