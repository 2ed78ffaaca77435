//! A text that must not be shown: its debug form is `[secret]`, and its memory is overwritten when it is dropped.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// A secret text, such as an access token. It is written out only where [`Secret::expose`] is called, and by serde.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        (*secret.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("hush");
        assert_eq!(format!("{:?} {:#?}", secret, Some(&secret)), "[secret] Some(\n    [secret],\n)");
        assert_eq!((secret.expose(), serde_json::to_string(&secret).unwrap().as_str()), ("hush", "\"hush\""));
    }
}
