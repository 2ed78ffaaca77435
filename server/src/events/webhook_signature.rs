//! Signs what webhooks post, as the Standard Webhooks specification says: `v1,` and HMAC-SHA-256 over id, time and body.

use aws_lc_rs::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use banyan_proto::UnixSeconds;
use data_encoding::BASE64;

/// Length of a secret (bytes).
const SECRET_BYTES: usize = 32;

/// Returns a new random secret.
///
/// # Panics
/// When the system cannot provide random numbers.
pub(crate) fn new_secret() -> Vec<u8> {
    let mut secret = vec![0; SECRET_BYTES];
    SystemRandom::new().fill(&mut secret).expect("the system's random number generator failed");
    secret
}

/// Returns a secret in the form in which administrators give it to the receiver.
pub(crate) fn secret_text(secret: &[u8]) -> String {
    format!("whsec_{}", BASE64.encode(secret))
}

/// Returns the header with the signatures by all of these secrets.
pub(crate) fn signatures(secrets: &[&[u8]], id: &str, at: UnixSeconds, body: &str) -> String {
    let text = format!("{id}.{}.{body}", at.0);
    let sign = |secret: &&[u8]| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signatures(&[&secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", UnixSeconds(1_614_265_330), body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[&secret, b"old"], "m", UnixSeconds(1), "{}");
        assert_eq!(both.split(' ').count(), 2);
    }
}
