//! Credentials written into a manifest, found by one function for everybody who asks: admission webhook, audit, `keyward check`. It reads an
//! object as JSON, so that an object no type would take is judged all the same. It never changes an object and never shows a value: a
//! violation knows its field, its reason and the SHA-256 of what stands there.
//!
//! ```text
//! object ─┬─ Upstream ──────────────► providers, pools, health checks, CONNECT ─┐
//!         ├─ HTTPRoute, GRPCRoute ──► filters of rules and of backendRefs ──────┼─► [Violation] ─► ratchet::compare with the old object
//!         └─ last-applied copy ─────► the same again, once ─────────────────────┘
//! ```

mod finder;
mod level;
mod levels;
pub mod literal;
mod path;
pub mod ratchet;
pub mod remedy;
mod route;
mod trace;
mod upstream;

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use finder::{Finder, Found};

pub use level::{Level, UnknownLevel};
pub use levels::{AUDIT, ENFORCE, Labelled, Levels, WARN};
pub use path::{FieldPath, Step};

/// Where `kubectl apply` keeps a copy of the whole manifest.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// On an Upstream, with the value `true`: connect without TLS.
pub const PLAINTEXT: &str = "keyward.dev/plaintext";

/// "annotations: Too long: may not be more than 262144 bytes" (apimachinery `TotalAnnotationSizeLimitB`): an API server takes no longer copy.
const LONGEST_COPY: usize = 256 * 1024;

/// A credential where it must not be, or one that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The way to it. Made of names that we know and of numbers, never of what a manifest says.
    pub field: FieldPath,
    /// What is wrong.
    pub reason: Reason,
    /// Tells whether the credential has changed: of a header its name and value, of a URL one parameter or the user.
    pub value: Fingerprint,
    /// True inside the last-applied copy.
    pub copy: bool,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Two sources of one credential.
    SeveralSources,
    /// An inline token without text.
    EmptyToken,
    /// `$TOKEN`: a shell did not put the value in.
    UnexpandedToken,
    /// The token stands in the manifest.
    InlineToken,
    /// A header that carries a credential has a literal value.
    CredentialHeader,
    /// A key in a query, or a user before a host.
    CredentialInUrl,
    /// The last-applied copy cannot be read, so it cannot be known to be free of credentials.
    UnreadableCopy,
    /// More violations than are listed.
    TooMany,
    /// The credential travels without encryption.
    Plaintext,
    /// A Secret of another namespace.
    ForeignSecret,
}

impl Reason {
    /// The lowest level that forbids it; every higher one does too.
    pub fn level(self) -> Level {
        match self {
            Self::SeveralSources | Self::EmptyToken | Self::UnexpandedToken => Level::Open,
            Self::InlineToken | Self::CredentialHeader | Self::CredentialInUrl | Self::UnreadableCopy | Self::TooMany => Level::Protected,
            Self::Plaintext | Self::ForeignSecret => Level::Restricted,
        }
    }

    /// Whether somebody may have read a credential there.
    pub fn exposes(self) -> bool {
        self.level() == Level::Protected
    }

    /// For people, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SeveralSources => "several sources of one credential; keep exactly one",
            Self::EmptyToken => "the token is empty; was a variable not set?",
            Self::UnexpandedToken => "a variable that no shell has expanded, not a token",
            Self::InlineToken => "a token in the manifest; use secretRef",
            Self::CredentialHeader => "a literal credential in a header; use authToken.secretRef of an Upstream",
            Self::CredentialInUrl => "a credential in a URL; use authToken.secretRef",
            Self::UnreadableCopy => "a copy that cannot be read, so it may hold a token",
            Self::TooMany => "more violations than are listed",
            Self::Plaintext => "the credential would travel without TLS",
            Self::ForeignSecret => "a Secret of another namespace",
        }
    }

    /// For machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SeveralSources => "SeveralSources",
            Self::EmptyToken => "EmptyToken",
            Self::UnexpandedToken => "UnexpandedToken",
            Self::InlineToken => "InlineToken",
            Self::CredentialHeader => "CredentialHeader",
            Self::CredentialInUrl => "CredentialInUrl",
            Self::UnreadableCopy => "UnreadableCopy",
            Self::TooMany => "TooMany",
            Self::Plaintext => "Plaintext",
            Self::ForeignSecret => "ForeignSecret",
        }
    }

    /// Every reason, for lists of rules.
    pub const ALL: [Self; 10] = [
        Self::SeveralSources,
        Self::EmptyToken,
        Self::UnexpandedToken,
        Self::InlineToken,
        Self::CredentialHeader,
        Self::CredentialInUrl,
        Self::UnreadableCopy,
        Self::TooMany,
        Self::Plaintext,
        Self::ForeignSecret,
    ];
}

/// The SHA-256 of a value: two are equal when the values are. It prints as eight hex digits and goes into no answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The kinds that are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `gloo.solo.io Upstream`.
    Upstream,
    /// `gateway.networking.k8s.io HTTPRoute` or `GRPCRoute`, which name their filters alike.
    Route,
}

impl Kind {
    /// `None` for every kind that cannot hold a credential of ours. The version does not matter: fields are found by their names.
    pub fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("gloo.solo.io", "Upstream") => Some(Self::Upstream),
            ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => Some(Self::Route),
            _ => None,
        }
    }

    /// By what an object says of itself.
    pub fn of_object(object: &Value) -> Option<Self> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let (group, _) = text("apiVersion")?.split_once('/')?;
        Self::of(group, text("kind")?)
    }
}

/// Every inline credential of an object, and what is wrong with its credentials otherwise: of all levels, the object's own fields first,
/// then its last-applied copy, each in the order of their fields. Nothing for a kind that is not judged.
pub fn inline_credentials(object: &Value) -> Vec<Violation> {
    find(object).listed
}

fn find(object: &Value) -> Found {
    let Some(kind) = Kind::of_object(object) else { return Found::default() };
    let mut finder = Finder::new();
    look(kind, &mut finder, object);
    look_at_copy(kind, &mut finder, object);
    finder.found()
}

fn look(kind: Kind, finder: &mut Finder, object: &Value) {
    match kind {
        Kind::Upstream => upstream::find(finder, object),
        Kind::Route => route::find(finder, object),
    }
}

/// Of the object's kind, whatever kind the copy says it is: it cannot talk its way out. Once: a copy inside the copy is not looked for.
fn look_at_copy(kind: Kind, finder: &mut Finder, object: &Value) {
    let text = object.get("metadata").and_then(|metadata| metadata.get("annotations")).and_then(|all| all.get(LAST_APPLIED));
    let Some(text) = text.and_then(Value::as_str).filter(|text| !text.trim().is_empty()) else { return };
    let copy = Some(text).filter(|text| text.len() <= LONGEST_COPY).and_then(|text| serde_json::from_str::<Value>(text).ok());
    finder.in_copy(|finder| match copy {
        Some(copy) => look(kind, finder, &copy),
        None => finder.push(Reason::UnreadableCopy, text),
    });
}
