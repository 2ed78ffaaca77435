//! A peer sends a message that requires something unknown: this side says so by name before it closes the connection.

use crate::victim::{PATIENCE, Victim};
use banyan_proto::{Reason, frame::Frame, peer::Control};
use tokio::time::timeout;

#[tokio::test]
async fn is_told_what_is_not_understood() {
    let victim = Victim::start(4).await;
    let (mut link, _) = victim.offered_and_pulled().await;
    let body = br#"{"format":1,"must_understand":["sealed"],"type":"parts-accepted"}"#;
    let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
    link.send_bytes(&[length.as_slice(), &[0], body].concat()).await.unwrap();
    loop {
        match timeout(PATIENCE, link.next()).await.expect("the victim disconnects") {
            Ok(Frame::Control(Control::Bye { reason })) => break assert_eq!(reason, Reason::NotUnderstood),
            Ok(_) => {}
            Err(error) => panic!("the victim disconnected without a reason: {error}"),
        }
    }
    victim.stop().await;
}
