//! A user's mistake as a value: where it is, which condition says so, and what to do about it. Its message is written once and stands in
//! the condition and in the [`Problem`] alike. It never holds a credential.

use serde::Serialize;

/// A mistake or a warning about one object, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Kind of the object.
    pub kind: String,
    /// Namespace; empty for a GatewayClass.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where in the object, such as `spec.rules[0].backendRefs[0]`.
    pub field: String,
    /// The condition that carries the message: `Accepted`, `ResolvedRefs`, `PartiallyInvalid`, `Conflicted`, `InlineCredentials`.
    pub condition: String,
    /// The condition's reason.
    pub reason: String,
    /// What is wrong, and how to put it right.
    pub message: String,
}

/// The object that problems are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// A condition that a finding makes False, or that a warning adds its words to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    Accepted,
    ResolvedRefs,
    Conflicted,
    /// True while there are some, and absent otherwise.
    InlineCredentials,
}

/// Whether a finding makes its condition False.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Mistake,
    Warning,
}

/// One mistake or warning within an object that is being translated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) field: String,
    pub(crate) aspect: Aspect,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    weight: Weight,
}

impl Finding {
    /// The object is not accepted as written.
    pub(crate) fn accepted(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), aspect: Aspect::Accepted, reason, message: message.into(), weight: Weight::Mistake }
    }

    /// A reference of the object does not resolve.
    pub(crate) fn refs(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { aspect: Aspect::ResolvedRefs, ..Self::accepted(field, reason, message) }
    }

    /// The object is in conflict with another part of itself.
    pub(crate) fn conflict(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { aspect: Aspect::Conflicted, ..Self::accepted(field, reason, message) }
    }

    /// It is served, yet not quite as one might think.
    pub(crate) fn warning(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::accepted(field, reason, message) }
    }

    /// The same about the references.
    pub(crate) fn refs_warning(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::refs(field, reason, message) }
    }

    /// A credential stands in the manifest.
    pub(crate) fn inline(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { aspect: Aspect::InlineCredentials, ..Self::warning(field, reason, message) }
    }

    /// Whether it makes its condition False.
    pub(crate) fn is_mistake(&self) -> bool {
        self.weight == Weight::Mistake
    }

    /// For people, under the name of the condition that carries it.
    pub(crate) fn problem(&self, about: About<'_>, condition: &str) -> Problem {
        Problem {
            kind: about.kind.to_owned(),
            namespace: about.namespace.to_owned(),
            name: about.name.to_owned(),
            field: self.field.clone(),
            condition: condition.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
        }
    }
}

/// What is wrong with one value; whoever knows the way to it makes a [`Finding`] of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flaw {
    /// Below the field being judged, with its leading dot.
    pub(crate) below: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Flaw {
    pub(crate) fn new(below: impl Into<String>, message: impl Into<String>) -> Self {
        Self { below: below.into(), reason: UNSUPPORTED_VALUE, message: message.into() }
    }

    pub(crate) fn under(mut self, above: &str) -> Self {
        self.below.insert_str(0, above);
        self
    }

    pub(crate) fn accepted(self, field: &str) -> Finding {
        Finding::accepted(format!("{field}{}", self.below), self.reason, self.message)
    }
}

/// "The Route includes an unrecognized or unsupported value" (`RouteReasonUnsupportedValue`).
pub(crate) const UNSUPPORTED_VALUE: &str = "UnsupportedValue";

/// All findings of one object, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings(Vec<Finding>);

/// More messages than this do not fit a condition (32768 characters).
const SAID_AT_MOST: usize = 20;

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// No more are to come: takes no more room than needed.
    pub(crate) fn complete(mut self) -> Self {
        self.0.shrink_to_fit();
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub(crate) fn mistakes(&self, aspect: Aspect) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(move |finding| finding.aspect == aspect && finding.is_mistake())
    }

    /// The first mistake under an aspect: its reason is the condition's.
    pub(crate) fn first(&self, aspect: Aspect) -> Option<&Finding> {
        self.mistakes(aspect).next()
    }

    /// Reason and text of a False condition; `None`: it is True.
    pub(crate) fn failing(&self, aspect: Aspect) -> Option<(&'static str, String)> {
        let first = self.first(aspect)?;
        Some((first.reason, said(self.mistakes(aspect))))
    }

    /// The words that warnings add to a True condition.
    pub(crate) fn warnings(&self, aspect: Aspect) -> String {
        said(self.0.iter().filter(|finding| finding.aspect == aspect && !finding.is_mistake()))
    }
}

/// The distinct messages, one per line; a single one is the text itself.
fn said<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let mut messages: Vec<&str> = Vec::new();
    for finding in findings {
        if !messages.contains(&finding.message.as_str()) {
            messages.push(&finding.message);
        }
    }
    let more = messages.len().saturating_sub(SAID_AT_MOST);
    messages.truncate(SAID_AT_MOST);
    match more {
        0 => messages.join("\n"),
        more => format!("{}\nand {more} more", messages.join("\n")),
    }
}
