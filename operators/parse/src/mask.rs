//! `mask` of a string field: the value is replaced before anything behind the parser can see it.
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How a value is hidden.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// Lower-case hex SHA-256 of the salt followed by the value: equal values stay equal, and joinable.
    Hash {
        /// Put before the value.
        salt: Arc<str>,
    },
    /// This text instead of the value.
    Redact {
        /// The text.
        to: Arc<str>,
    },
}

impl Mask {
    /// Append the replacement of `value` to `out`.
    pub fn apply(&self, value: &str, out: &mut Vec<u8>) {
        match self {
            Mask::Redact { to } => out.extend_from_slice(to.as_bytes()),
            Mask::Hash { salt } => {
                let digest = Sha256::new().chain_update(salt.as_bytes()).chain_update(value.as_bytes()).finalize();
                for b in digest.iter() {
                    out.extend_from_slice(&[HEX[(b >> 4) as usize], HEX[(b & 15) as usize]]);
                }
            }
        }
    }

    /// The replacement of `value`.
    pub fn text(&self, value: &str) -> String {
        let mut out = Vec::new();
        self.apply(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_redacts() {
        let h = |salt: &str, v: &str| Mask::Hash { salt: salt.into() }.text(v);
        assert_eq!(h("", "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(h("ab", "c"), h("", "abc"));
        assert_ne!(h("x", "abc"), h("", "abc"));
        assert_eq!(Mask::Redact { to: "***".into() }.text("secret"), "***");
    }
}
