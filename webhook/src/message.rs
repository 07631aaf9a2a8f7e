//! The words of a verdict: where, why, and commands that put it right. They are made of our own constants, of names that Kubernetes has
//! checked, and of numbers; never of a value.

use std::collections::BTreeSet;

use crds::credentials::remedy::{Holds, Remedy};
use crds::credentials::{LAST_APPLIED, Level, Violation};

use crate::request::Request;

/// So many fields are named.
const FIELDS: usize = 10;
/// For so many places commands are given.
const COMMANDS: usize = 3;
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

/// What moves inline tokens of an Upstream into Secrets.
fn commands(request: &Request, violations: &[&Violation]) -> String {
    let name = shown(&request.name, "NAME");
    let remedies = violations.iter().filter_map(|violation| Remedy::of(violation, name));
    let mut seen = BTreeSet::new();
    let remedies: Vec<Remedy> = remedies.filter(|remedy| seen.insert(remedy.secret.clone())).collect();
    let mut text = String::new();
    for remedy in remedies.iter().take(COMMANDS) {
        text += &format!("{}\n{}\n", create(request, remedy), patch(request, remedy));
    }
    text + &more(remedies.len(), COMMANDS).map(|more| format!("{more}, in the same way\n")).unwrap_or_default()
}

/// The token is read without an echo and given on through a pipe, so that neither the shell's history nor the list of processes has it.
fn create(request: &Request, remedy: &Remedy) -> String {
    let namespace = shown(&request.namespace, "NAMESPACE");
    let secret = format!("kubectl create secret generic {} -n {namespace}", remedy.secret);
    match remedy.holds {
        Holds::Token => format!(
            "Put the token into a Secret (enter it after the command):\n  \
             (read -rs TOKEN && printf %s \"$TOKEN\" | {secret} --from-file=Authorization=/dev/stdin)"
        ),
        Holds::AwsKeys => format!(
            "Put the keys into a Secret (enter AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=..., a line each, then Ctrl-D):\n  \
             {secret} --from-env-file=/dev/stdin"
        ),
    }
}

/// On the live object where it has the place, else on the file: what was refused is not there. With the namespace, which the file may
/// have left to a flag.
fn patch(request: &Request, remedy: &Remedy) -> String {
    let pointer = remedy.place.pointer();
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let lives = request.old.as_ref().is_some_and(|old| old.pointer(parent).is_some());
    let (name, namespace) = (shown(&request.name, "NAME"), shown(&request.namespace, "NAMESPACE"));
    let patch = remedy.patch();
    match lives {
        true => format!("Let the Upstream refer to it:\n  kubectl patch upstream {name} -n {namespace} --type=json -p '{patch}'"),
        false => format!(
            "Let the manifest refer to it:\n  \
             kubectl patch --local -f FILE --type=json -p '{patch}' -o yaml -n {namespace} | kubectl apply -n {namespace} -f -"
        ),
    }
}

/// Warnings, few enough for an API server to pass on.
pub(crate) fn warnings(request: &Request, violations: &[&Violation]) -> Vec<String> {
    let (copies, own): (Vec<&&Violation>, Vec<&&Violation>) = violations.iter().partition(|violation| violation.copy);
    let mut lines: Vec<String> = own.iter().take(FIELDS).map(|one| format!("{}: {}", one.field, one.reason.words())).collect();
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
    let named = violations.iter().take(FIELDS).map(|one| format!("{}={}", one.field, one.reason.as_str()));
    named.chain(more(violations.len(), FIELDS)).collect::<Vec<_>>().join("; ")
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
    let end = line.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_WARNING).last().unwrap_or_default();
    line.truncate(end);
    line
}
