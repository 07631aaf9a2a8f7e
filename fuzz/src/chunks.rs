//! A body with `|` where one read ends and the next begins. The mark means nothing in JSON or in a stream of events.

/// The pieces, in order; some may be empty.
pub fn chunks(marked: &[u8]) -> impl Iterator<Item = &[u8]> {
    marked.split(|byte| *byte == b'|')
}

/// The body without the marks.
pub fn whole(marked: &[u8]) -> Vec<u8> {
    marked.iter().copied().filter(|byte| *byte != b'|').collect()
}
