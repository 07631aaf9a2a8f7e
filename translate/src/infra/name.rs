//! Names of what runs for a Gateway: they fit where the API server is narrower than for Gateways, and no two Gateways share one.

use sha2::{Digest, Sha256};

use crate::ObjectKey;

/// A Service's name is a DNS label, and so is a label's value as long.
const LONGEST: usize = 63;
/// Hexadecimal digits of a hash.
const HASH: usize = 20;

/// `<gateway>-<class>` (GEP-1762) where that is a name that a Service may have, and where it can mean no other Gateway; else a readable part
/// of it and a hash of the whole. The name is also that of a ServiceAccount, whose token is good for this Gateway's credentials.
pub(crate) fn infra_name(gateway: &ObjectKey, class: &str) -> String {
    let plain = format!("{}-{class}", gateway.name);
    let letter_first = plain.starts_with(|c: char| c.is_ascii_lowercase());
    // With a class without a dash, the last dash tells where the Gateway's name ends.
    let unmistakable = !class.contains('-');
    match plain.len() <= LONGEST && letter_first && !plain.contains('.') && unmistakable {
        true => plain,
        // No name has a slash, so that the two parts cannot be told otherwise.
        false => shortened(&plain, &format!("{}/{class}", gateway.name), if letter_first { "" } else { "gw-" }),
    }
}

/// A name as the value of a label.
pub(crate) fn label(name: &str) -> String {
    if name.len() <= LONGEST { name.to_owned() } else { shortened(name, name, "") }
}

/// The hash is long enough, and of a kind, that nobody finds two names with the same.
fn shortened(name: &str, whole: &str, prefix: &str) -> String {
    let hash: String = Sha256::digest(whole).iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST - prefix.len() - 1 - HASH;
    let readable: String = name.chars().map(|c| if c == '.' { '-' } else { c }).take(room).collect();
    format!("{prefix}{}-{hash}", readable.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(gateway: &str) -> String {
        infra_name(&ObjectKey::new("ns", gateway), "keyward")
    }

    #[test]
    fn keeps_a_name_that_fits() {
        assert_eq!(name("ai-gateway"), "ai-gateway-keyward");
    }

    #[test]
    fn two_gateways_never_share_a_name_however_names_and_classes_meet() {
        let one = infra_name(&ObjectKey::new("ns", "prod"), "internal-keyward");
        let other = infra_name(&ObjectKey::new("ns", "prod-internal"), "keyward");
        assert_ne!(one, other);
    }

    #[test]
    fn makes_any_other_name_fit_and_keeps_them_apart() {
        let names = [name(&"a".repeat(253)), name(&format!("{}b", "a".repeat(252))), name("a.b"), name("a-b"), name("1a"), name("gw-1a")];
        for name in &names {
            assert!(name.len() <= LONGEST && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('.'), "{name}");
        }
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
