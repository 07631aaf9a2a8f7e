//! What is wrong with the manifests, for the person who wrote them: file, document, field, what, and how to put it right. Said once, and
//! again only after it was gone.

use std::collections::BTreeSet;

use translate::Problem;

use crate::document::Mistake;
use crate::files::{Manifests, Place};
use crate::merge::Clash;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    place: Option<Place>,
    object: String,
    field: String,
    /// Condition and reason, as the object's status would have them.
    condition: String,
    message: String,
}

/// Remembers what was said.
#[derive(Default)]
pub(crate) struct Report(BTreeSet<Line>);

impl Report {
    /// Prints what is new among the mistakes of files, the problems of objects and clashes between Gateways.
    pub(crate) fn print(&mut self, manifests: &Manifests, problems: &[Problem], clashes: &[Clash]) {
        let mistakes = manifests.mistakes.iter().map(|(place, mistake)| unread(place, mistake));
        let problems = problems.iter().map(|problem| about(manifests, problem));
        let clashes = clashes.iter().map(|clash| clashing(manifests, clash));
        let lines: BTreeSet<Line> = mistakes.chain(problems).chain(clashes).collect();
        for line in lines.difference(&self.0) {
            line.print();
        }
        self.0 = lines;
    }
}

impl Line {
    fn print(&self) {
        let (file, document) = self.place.as_ref().map_or(("", 0), |place| (place.file.as_str(), place.document));
        tracing::warn!(file, document, object = self.object, field = self.field, condition = self.condition, "{}", self.message);
    }
}

fn unread(place: &Place, mistake: &Mistake) -> Line {
    let Mistake { field, message, object } = mistake.clone();
    let object = object.map(|(kind, key)| format!("{kind} {key}")).unwrap_or_default();
    Line { place: Some(place.clone()), object, field, condition: String::new(), message }
}

fn about(manifests: &Manifests, problem: &Problem) -> Line {
    let key = (problem.kind.clone(), problem.namespace.clone(), problem.name.clone());
    Line {
        place: manifests.places.get(&key).cloned(),
        object: format!("{} {}/{}", problem.kind, problem.namespace, problem.name),
        field: problem.field.clone(),
        condition: format!("{} {}", problem.condition, problem.reason),
        message: problem.message.clone(),
    }
}

fn clashing(manifests: &Manifests, clash: &Clash) -> Line {
    let key = ("Gateway".to_owned(), clash.gateway.namespace.clone(), clash.gateway.name.clone());
    Line {
        place: manifests.places.get(&key).cloned(),
        object: format!("Gateway {}", clash.gateway),
        field: format!("spec.listeners[{}].port", clash.listener),
        condition: "Programmed AddressNotUsable".to_owned(),
        message: clash.message.clone(),
    }
}
