//! A connection ends in the middle of a chunk: complete chunks are kept, and the next pull starts after them.

use crate::victim::Victim;
use banyan_proto::frame::Frame;

#[tokio::test]
async fn resumes_at_the_first_missing_chunk() {
    let victim = Victim::start(4).await;
    let (mut link, _) = victim.offered_and_pulled().await;
    link.send(&Frame::Chunk { index: 0, bytes: victim.chunk(0) }).await.unwrap();
    let second = Frame::Chunk { index: 1, bytes: victim.chunk(1) }.encode();
    link.send_bytes(&second[..second.len() / 2]).await.unwrap();
    victim.wait_for_chunks(1).await;
    drop(link);
    let (mut link, from) = victim.offered_and_pulled().await;
    assert_eq!(from, 1);
    for index in 1..4 {
        link.send(&Frame::Chunk { index, bytes: victim.chunk(index) }).await.unwrap();
    }
    victim.wait_for_chunks(4).await;
    victim.content.verify_whole().unwrap();
    victim.stop().await;
}
