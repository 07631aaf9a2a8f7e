//! Who admits.

use serde_json::{Value, json};

use crate::Answer;
use crate::bench::figure::US;

/// On a namespace: which subject admits there.
pub(super) const LABEL: &str = "bench.keyward.dev/admission";

/// One way of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// What a create costs by itself.
    Nobody,
    /// In the API server.
    Policy,
    /// On controller-runtime.
    Go,
    Ours,
}

impl Subject {
    pub(super) const ALL: [Self; 4] = [Self::Nobody, Self::Policy, Self::Go, Self::Ours];

    /// In results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Policy => "admission-policy",
            Self::Go => "controller-runtime",
            Self::Ours => US,
        }
    }

    /// In labels and in names of namespaces.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Policy => "policy",
            Self::Go => "go",
            Self::Ours => "ours",
        }
    }

    /// Whether an answer about a token that no shell has expanded shows that this one admits, and nobody else.
    pub(super) fn gave(self, answer: &Answer) -> bool {
        match self {
            Self::Nobody => answer.is_allowed(),
            Self::Policy => answer.message.contains("ValidatingAdmissionPolicy 'keyward-"),
            Self::Go => answer.message.contains("\"go.bench.keyward.dev\" denied the request"),
            Self::Ours => answer.message.contains(".credentials.keyward.dev\" denied the request"),
        }
    }
}

/// An Upstream with an inline token: what every subject has to look at, and lets in while the namespace is open.
pub(super) fn upstream(token: &str) -> Value {
    json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai", "labels": { "app": "gloo" } },
        "spec": { "ai": { "openai": { "authToken": { "inline": token }, "model": "gpt-4o-mini" } } },
    })
}
