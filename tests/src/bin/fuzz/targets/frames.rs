//! Fuzz target: the stream of frames on a connection between machines (rule P1).

use super::{Verdict, ensure};
use banyan_proto::{
    frame::{Frame, HEADER, parse_body, parse_header},
    limits,
};

/// The longest body that any header may announce.
const LONGEST: usize =
    if limits::CONTROL_BYTES > limits::CHUNK_BYTES + 4 { limits::CONTROL_BYTES } else { limits::CHUNK_BYTES + 4 };

/// Reads frames until one is invalid or truncated.
pub(super) fn check(input: &[u8]) -> Verdict {
    let mut rest = input;
    let mut frames = 0;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let Ok((kind, length)) = parse_header(*header, banyan_proto::limits::CONTROL_BYTES) else { break };
        ensure(length <= LONGEST, "a header may announce more than the largest frame")?;
        let Some((body, next)) = after.split_at_checked(length) else { break };
        let Ok(frame) = parse_body(kind, body.to_vec()) else { break };
        let written = frame.encode();
        ensure(read(&written).as_ref() == Some(&frame), "a frame changes in a round trip")?;
        if !matches!(frame, Frame::Control(_)) {
            ensure(written == rest[..HEADER + length], "a frame without JSON has two encodings")?;
        }
        frames += 1;
        rest = next;
    }
    Ok(frames > 0)
}

fn read(bytes: &[u8]) -> Option<Frame> {
    let (header, body) = bytes.split_first_chunk::<HEADER>()?;
    let (kind, length) = parse_header(*header, banyan_proto::limits::CONTROL_BYTES).ok()?;
    (length == body.len()).then(|| parse_body(kind, body.to_vec()).ok())?
}
