//! How targets read what the fuzzer writes: as a request's head, or as a body in chunks. Both forms are text, so that a seed can be
//! read and written by hand. Nothing here asserts anything.

pub mod chunks;
pub mod head;
