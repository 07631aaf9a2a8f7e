//! Names of what runs for a Gateway: they fit where the API server is narrower than for Gateways, and no two Gateways share one.

use crate::ObjectKey;

/// A Service's name is a DNS label, and so is a label's value as long.
const LONGEST: usize = 63;

/// `<gateway>-<class>` (GEP-1762) where that is a name that a Service may have; else a readable part of it and a hash of the whole.
pub(crate) fn infra_name(gateway: &ObjectKey, class: &str) -> String {
    let plain = format!("{}-{class}", gateway.name);
    let letter_first = plain.starts_with(|c: char| c.is_ascii_lowercase());
    match plain.len() <= LONGEST && letter_first && !plain.contains('.') {
        true => plain,
        false => shortened(&plain, if letter_first { "" } else { "gw-" }),
    }
}

/// A name as the value of a label.
pub(crate) fn label(name: &str) -> String {
    if name.len() <= LONGEST { name.to_owned() } else { shortened(name, "") }
}

fn shortened(name: &str, prefix: &str) -> String {
    let hash = fnv1a(name);
    let room = LONGEST - prefix.len() - 9;
    let readable: String = name.chars().map(|c| if c == '.' { '-' } else { c }).take(room).collect();
    format!("{prefix}{}-{hash:08x}", readable.trim_end_matches('-'))
}

/// 64 bits folded to 32. The same for ever: a name must not change with a version of ours.
fn fnv1a(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32) as u32 ^ hash as u32
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
    fn makes_any_other_name_fit_and_keeps_them_apart() {
        let names = [name(&"a".repeat(253)), name(&format!("{}b", "a".repeat(252))), name("a.b"), name("a-b"), name("1a"), name("gw-1a")];
        for name in &names {
            assert!(name.len() <= LONGEST && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('.'), "{name}");
        }
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
