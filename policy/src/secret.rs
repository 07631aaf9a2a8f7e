//! Text that must never be seen: it prints and serializes as a fingerprint, and is wiped when dropped.

use std::cell::Cell;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

thread_local! {
    /// True only while [`exposed`] runs: the wire encoder is the one place where a token leaves the process in clear.
    static EXPOSE: Cell<bool> = const { Cell::new(false) };
}

/// A credential, a private key, or a header value that carries one.
///
/// `Debug`, `Display` and `Serialize` give `sha256:` and eight hex digits. The text is reached by [`Token::expose`] alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes ownership of secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `sha256:` and the first eight hex digits of the text's SHA-256: enough to tell two tokens apart, too little to use.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        digest[..4].iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match EXPOSE.get() {
            true => serializer.serialize_str(&self.0),
            false => serializer.serialize_str(&self.fingerprint()),
        }
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Runs `encode` with tokens serialized in clear, on this thread, until it returns or panics.
pub(crate) fn exposed<R>(encode: impl FnOnce() -> R) -> R {
    struct Conceal;
    impl Drop for Conceal {
        fn drop(&mut self) {
            EXPOSE.set(false);
        }
    }
    let _conceal = Conceal;
    EXPOSE.set(true);
    encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_serializes_as_a_fingerprint_only() {
        let token = Token::new("sk-canary");
        for text in [format!("{token}"), format!("{token:?}"), serde_json::to_string(&token).unwrap()] {
            assert!(text.contains("sha256:") && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn conceals_again_after_a_panic_while_exposed() {
        let token = Token::new("sk-canary");
        let _ = std::panic::catch_unwind(|| exposed(|| panic!("on purpose")));
        assert!(!serde_json::to_string(&token).unwrap().contains("canary"));
    }
}
