//! A sender delivers bytes that do not match the publisher's hash: they are not stored, and the sender is dropped and
//! reported.

use crate::victim::{PATIENCE, SERVER, Victim};
use banyan_proto::{api::Event, frame::Frame};
use tokio::time::timeout;

#[tokio::test]
async fn is_not_stored_and_its_sender_is_reported() {
    let mut victim = Victim::start(4).await;
    let (mut link, from) = victim.offered_and_pulled().await;
    assert_eq!(from, 0);
    link.send(&Frame::Chunk { index: 0, bytes: victim.chunk(0) }).await.unwrap();
    victim.wait_for_chunks(1).await;
    let mut bad = victim.chunk(1);
    bad[100] ^= 1;
    link.send(&Frame::Chunk { index: 1, bytes: bad }).await.unwrap();
    // The victim disconnects,
    while timeout(PATIENCE, link.next()).await.expect("the victim disconnects").is_ok() {}
    // keeps the good chunk, and reports the sender.
    assert_eq!(victim.content.held(0), Some(1));
    loop {
        let event = timeout(PATIENCE, victim.events.recv()).await.expect("the bad chunk is reported").unwrap();
        if let Event::BadChunk { source, index } = event {
            break assert_eq!((source, index), (SERVER, 1));
        }
    }
    victim.stop().await;
}

#[tokio::test]
async fn a_valid_chunk_with_the_wrong_index_is_a_bad_chunk() {
    let victim = Victim::start(4).await;
    let (mut link, _) = victim.offered_and_pulled().await;
    link.send(&Frame::Chunk { index: 0, bytes: victim.chunk(1) }).await.unwrap();
    while timeout(PATIENCE, link.next()).await.expect("the victim disconnects").is_ok() {}
    assert_eq!(victim.content.held(0), Some(0));
    victim.stop().await;
}
