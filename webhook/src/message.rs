//! The words of a verdict: where, why, and commands that put it right. They are made of our own constants, of names that Kubernetes has
//! checked, and of numbers; never of a value.

use std::fmt::Write as _;

use crds::credentials::remedy::{self, Holds, Remedy};
use crds::credentials::{LAST_APPLIED, Level, Violation};
use serde_json::Value;

use crate::request::Request;

/// So many fields are named.
const FIELDS: usize = 10;
/// So many Secrets have a command of their own.
const SECRETS: usize = 5;
/// A patch has no more operations: it is to be read before it is pasted.
const OPERATIONS: usize = 16;
/// "Individual warning messages over 256 characters may be truncated by the API server" (dynamic admission control, "Response").
const LONGEST_WARNING: usize = 256;

/// The message of a refusal.
pub(crate) fn refusal(request: &Request, level: Level, violations: &[&Violation]) -> String {
    let namespace = shown(&request.namespace, "NAMESPACE");
    let mut text = match violations.iter().all(|violation| violation.reason.level() == Level::Open) {
        true => "this credential cannot be meant, whatever the namespace allows\n".to_owned(),
        false => format!("namespace {namespace} is {level} for credentials (credentials.keyward.dev/enforce)\n"),
    };
    for violation in violations.iter().take(FIELDS) {
        text += &format!("  {}: {}\n", violation.field, violation.reason.words());
    }
    text += &more(violations.len(), FIELDS).map(|more| format!("  {more}\n")).unwrap_or_default();
    text += &commands(request, violations);
    if violations.iter().any(|violation| violation.reason.exposes()) {
        text += "Treat this token as exposed, for it has left its owner's hands and may be in the audit log: rotate it.\n";
    }
    text.trim_end().to_owned()
}

/// What moves inline tokens of an Upstream into Secrets: a command for each Secret, then one patch for all of them, since an Upstream with
/// half of its tokens moved would be refused again.
fn commands(request: &Request, violations: &[&Violation]) -> String {
    match Remedy::all(violations.iter().copied(), shown(&request.name, "NAME")).as_slice() {
        [] => String::new(),
        remedies if remedies.len() <= OPERATIONS => secrets(request, remedies) + &patch(request, remedies),
        _ => {
            let namespace = shown(&request.namespace, "NAMESPACE");
            format!(
                "Write the Secrets, and the Upstream that refers to them, into a new directory, and apply both:\n  \
                 keyward check -f FILE --fix DIR\n  kubectl apply -n {namespace} -f DIR\n"
            )
        }
    }
}

fn secrets(request: &Request, remedies: &[Remedy]) -> String {
    let mut text = match remedies.len() {
        1 => String::new(),
        _ => "Run these one by one, since most wait for what you enter.\n".to_owned(),
    };
    text.extend(remedies.iter().take(SECRETS).map(|remedy| create(request, remedy)));
    if let Some(more) = more(remedies.len(), SECRETS) {
        text += &format!("{more} in the same way, by the names in the patch; keyward check -f FILE --fix DIR writes them all\n");
    }
    text
}

/// The token is read without an echo and given on through a pipe, so that neither the shell's history nor the list of processes has it.
fn create(request: &Request, remedy: &Remedy) -> String {
    let (place, namespace) = (&remedy.place, shown(&request.namespace, "NAMESPACE"));
    let secret = format!("kubectl create secret generic {} -n {namespace}", remedy.secret);
    match remedy.holds {
        Holds::Token => format!(
            "Put the token of {place} into a Secret (enter it after the command):\n  \
             (read -rs TOKEN && printf %s \"$TOKEN\" | {secret} --from-file=Authorization=/dev/stdin)\n"
        ),
        Holds::AwsKeys => format!(
            "Put the keys of {place} into a Secret (enter AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=..., a line each, then Ctrl-D):\n  \
             {secret} --from-env-file=/dev/stdin\n"
        ),
    }
}

/// On the live object where these credentials are all that changes: a patch would lose anything else, and might meet another entry of a pool
/// at the same place. Else on the file. With the namespace, which the file may have left to a flag.
fn patch(request: &Request, remedies: &[Remedy]) -> String {
    let (name, namespace) = (shown(&request.name, "NAME"), shown(&request.namespace, "NAMESPACE"));
    let nothing = Value::Null;
    let object = request.object.as_ref().unwrap_or(&nothing);
    let patch = remedy::patch(remedies, object);
    let them = if remedies.len() == 1 { "it" } else { "them" };
    let moved = remedy::misplaced(remedies, object).map_or("", |_| ", and have its provider in spec.ai, where it is read");
    let lives = request.old.as_ref().is_some_and(|old| remedy::are_all_that_differs(remedies, old, object));
    match lives {
        true => {
            format!("Let the Upstream refer to {them}{moved}:\n  kubectl patch upstream {name} -n {namespace} --type=json -p '{patch}'\n")
        }
        false => format!(
            "Let the manifest refer to {them}{moved} (FILE has this Upstream and nothing else):\n  \
             kubectl patch --local -f FILE --type=json -p '{patch}' -o yaml -n {namespace} | kubectl apply -n {namespace} -f -\n"
        ),
    }
}

/// Warnings, few enough for an API server to pass on.
pub(crate) fn warnings(request: &Request, violations: &[&Violation]) -> Vec<String> {
    let (copies, own): (Vec<&&Violation>, Vec<&&Violation>) = violations.iter().partition(|violation| violation.copy);
    let mut lines: Vec<String> = own.iter().take(FIELDS).map(|one| told(one, ": ", one.reason.words())).collect();
    lines.extend(more(own.len(), FIELDS));
    if !copies.is_empty() {
        let (kind, name) = (request.kind_name.to_ascii_lowercase(), shown(&request.name, "NAME"));
        let namespace = shown(&request.namespace, "NAMESPACE");
        let command = format!("kubectl annotate {kind} {name} -n {namespace} {LAST_APPLIED}-");
        lines.push(format!("the last-applied copy has a credential; once the object has none: {command}"));
    }
    lines.into_iter().map(cut).collect()
}

/// Warnings about labels that are no levels.
pub(crate) fn odd_labels(namespace: &str, labels: &[&'static str]) -> Vec<String> {
    let namespace = shown(namespace, "NAMESPACE");
    let line =
        |label: &&str| cut(format!("label {label} of namespace {namespace} is not open, protected or restricted; restricted counts"));
    labels.iter().map(line).collect()
}

/// Fields and reasons, for the audit log.
pub(crate) fn audit(violations: &[&Violation]) -> String {
    let named = violations.iter().take(FIELDS).map(|one| told(one, "=", one.reason.as_str()));
    named.chain(more(violations.len(), FIELDS)).collect::<Vec<_>>().join("; ")
}

/// Its field and its reason. Most objects that are let in with a word about them have one such text: it need not grow.
fn told(violation: &Violation, between: &str, reason: &str) -> String {
    let mut line = String::with_capacity(LONGEST_WARNING);
    // Nothing fails in writing to a text.
    let _ = write!(line, "{}{between}{reason}", violation.field);
    line
}

fn more(all: usize, shown: usize) -> Option<String> {
    (all > shown).then(|| format!("and {} more", all - shown))
}

/// A name that Kubernetes has checked stands in a command as it is. Anything else could be a token, or a command.
fn shown<'t>(name: &'t str, otherwise: &'t str) -> &'t str {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let sound = !name.is_empty() && name.len() <= 253 && name.bytes().all(sound) && !name.starts_with('-');
    if sound { name } else { otherwise }
}

fn cut(mut line: String) -> String {
    line.truncate(line.floor_char_boundary(LONGEST_WARNING));
    line
}
