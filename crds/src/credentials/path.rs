//! The way to a field. Its names are constants of ours by type, so that no text of a manifest, which may be a token, gets into a message.

use std::fmt;

/// One step into an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field.
    Field(&'static str),
    /// A key of a map whose keys have dots and slashes, such as annotations.
    Key(&'static str),
    /// A place in a list.
    Index(usize),
}

/// Steps from the top of an object. Prints as `spec.ai.multi.priorities[0].pool[1].openai.authToken.inline`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(pub(super) Vec<Step>);

impl FieldPath {
    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// As a JSON pointer (RFC 6901), for JSON patches.
    pub fn pointer(&self) -> String {
        let element = |step: &Step| match step {
            Step::Field(name) | Step::Key(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        self.0.iter().map(element).collect()
    }

    /// The names alone: what stays when an entry moves within its list.
    pub fn names(&self) -> Vec<&'static str> {
        let name = |step: &Step| match step {
            Step::Field(name) | Step::Key(name) => Some(*name),
            Step::Index(_) => None,
        };
        self.0.iter().filter_map(name).collect()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(nth, step)| match step {
            Step::Field(name) if nth == 0 => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(name) => write!(f, "[{name}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_write_it_and_as_patches_do() {
        let path = FieldPath(vec![Step::Field("metadata"), Step::Field("annotations"), Step::Key("a.b/c~d"), Step::Index(7)]);
        assert_eq!(path.to_string(), "metadata.annotations[a.b/c~d][7]");
        assert_eq!(path.pointer(), "/metadata/annotations/a.b~1c~0d/7");
        assert_eq!(path.names(), ["metadata", "annotations", "a.b/c~d"]);
    }
}
