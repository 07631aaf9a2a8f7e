//! Regular expressions in a manifest.

use crate::finding::Flaw;

/// Whether the proxy will be able to compile it: anchored at both ends, and of limited size since strangers write it. Of the error only
/// its kind is repeated, which is its last line; the lines before show the expression.
pub(super) fn judge(pattern: &str) -> Result<(), Flaw> {
    policy::whole(pattern).map(drop).map_err(|error| {
        let error = error.to_string();
        let kind = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Flaw::new("", format!("not a regular expression that can be used: {kind} (syntax: https://docs.rs/regex, no look-around)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn refuses_expressions_that_take_too_much_memory() {
        assert!(judge("(a{1000}){1000}").is_err());
    }

    proptest! {
        #[test]
        fn tells_what_is_wrong_without_showing_the_expression(before in "[(\\[*?\n{]{0,3}", after in "[(\\[)\n\\\\]{0,3}") {
            if let Err(flaw) = judge(&format!("{before}sk-canary{after}")) {
                prop_assert!(!flaw.message.contains("canary"), "{}", flaw.message);
            }
        }
    }
}
