//! How strict a namespace is about credentials in manifests, in the manner of Pod Security admission.

use std::fmt;
use std::str::FromStr;

/// From the mildest to the strictest; what one forbids, those after it forbid too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Inline tokens are allowed, for quick tests. What cannot be meant is still refused: two sources, an empty token, `$TOKEN`.
    #[default]
    Open,
    /// No credential in a manifest.
    Protected,
    /// And none sent without TLS, or taken from another namespace.
    Restricted,
}

impl Level {
    /// All, from the mildest.
    pub const ALL: [Self; 3] = [Self::Open, Self::Protected, Self::Restricted];

    /// As a label says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Protected => "protected",
            Self::Restricted => "restricted",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// None of the levels.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("not a level: use open, protected or restricted")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(UnknownLevel)
    }
}
