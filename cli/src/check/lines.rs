//! Which line of a document a field stands on. A second reading beside the one that is judged: it keeps names and lines, never a value, and
//! decides nothing.

use std::collections::BTreeMap;
use std::fmt;

use crds::credentials::Step;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::document;

/// A value, and the line where it begins; of a field, the line of its name.
pub(super) struct Lines {
    line: usize,
    inside: Inside,
}

enum Inside {
    Fields(BTreeMap<String, Lines>),
    Elements(Vec<Lines>),
    Scalar,
}

impl Lines {
    /// Those of a document; `None` if it cannot be read.
    pub(super) fn of(text: &str) -> Option<Self> {
        let top: Spanned<Inside> = serde_saphyr::from_str_with_options(text, document::options()).ok()?;
        Some(Self::at(top.defined, top.value))
    }

    /// The line of a field, counted from 1; where an anchor is used, that of the field which it repeats. A way is followed as far as the
    /// text has it: to an annotation with a copy of the object in it, to the fields among which one has a name that is not ours to repeat.
    pub(super) fn line(&self, way: &[Step]) -> usize {
        let next = way.split_first().and_then(|(step, rest)| Some((self.step(*step)?, rest)));
        next.map_or(self.line, |(within, rest)| within.line(rest))
    }

    fn step(&self, step: Step) -> Option<&Self> {
        match (&self.inside, step) {
            (Inside::Fields(fields), Step::Field(name) | Step::Key(name)) => fields.get(name),
            (Inside::Elements(elements), Step::Index(index)) => elements.get(index),
            (Inside::Fields(_) | Inside::Elements(_) | Inside::Scalar, _) => None,
        }
    }

    fn at(location: Location, inside: Inside) -> Self {
        Self { line: usize::try_from(location.line()).unwrap_or_default(), inside }
    }
}

impl<'de> Deserialize<'de> for Inside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Inside;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inside, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let inside = map.next_value()?;
            fields.insert(name.value, Lines::at(name.defined, inside));
        }
        Ok(Inside::Fields(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inside, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<Spanned<Inside>>()? {
            elements.push(Lines::at(element.defined, element.value));
        }
        Ok(Inside::Elements(elements))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Inside, E> {
        Ok(Inside::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AI: [Step; 2] = [Step::Field("spec"), Step::Field("ai")];

    #[test]
    fn gives_the_line_of_a_name_whatever_the_value_looks_like() {
        let text =
            "\n# comment\nspec:\n  # comment\n  ai:\n\n    - {}\n    - inline: |\n        a\n        b\n      model: >-\n        c\n";
        let lines = Lines::of(text).unwrap();
        assert_eq!(lines.line(&AI[..1]), 3);
        assert_eq!(lines.line(&AI), 5);
        let inside = |steps: &[Step]| lines.line(&[&AI, steps].concat());
        assert_eq!(inside(&[Step::Index(0)]), 7);
        assert_eq!(inside(&[Step::Index(1), Step::Field("inline")]), 8);
        assert_eq!(inside(&[Step::Index(1), Step::Field("model")]), 11);
    }

    #[test]
    fn stops_at_the_last_step_that_the_text_has() {
        let lines = Lines::of("spec:\n  ai:\n    - null\n    - 1.5\n    - true\n    - -1\n    - a\n").unwrap();
        for rest in [Step::Field("inline"), Step::Key("a/b"), Step::Index(9)] {
            assert_eq!(lines.line(&[AI[0], AI[1], rest]), 2, "{rest:?}");
        }
        for (nth, line) in (3..8).enumerate() {
            assert_eq!(lines.line(&[AI[0], AI[1], Step::Index(nth), Step::Field("inline")]), line);
        }
    }

    #[test]
    fn reads_json_in_one_line_and_in_several() {
        assert_eq!(Lines::of("{\"spec\":{\"ai\":1}}").unwrap().line(&AI), 1);
        assert_eq!(Lines::of("{\n\t\"spec\": {\n\t\t\"ai\":\n1\n}\n}").unwrap().line(&AI), 3);
    }

    #[test]
    fn an_alias_leads_to_its_anchor_and_a_merge_to_what_it_merges() {
        let text = "a: &a\n  ai: &b\n    inline: x\nspec: *a\nai: *b\nmerged:\n  <<: *a\n  own: x\n";
        let lines = Lines::of(text).unwrap();
        let inline = Step::Field("inline");
        assert_eq!(lines.line(&AI[..1]), 4);
        assert_eq!(lines.line(&[AI[0], AI[1], inline]), 3);
        assert_eq!(lines.line(&[AI[1]]), 5);
        assert_eq!(lines.line(&[AI[1], inline]), 3);
        assert_eq!(lines.line(&[Step::Field("merged"), AI[1], inline]), 3);
        assert_eq!(lines.line(&[Step::Field("merged"), Step::Field("own")]), 8);
    }

    #[test]
    fn has_no_lines_of_what_cannot_be_read() {
        assert!(Lines::of("a: [").is_none());
    }
}
