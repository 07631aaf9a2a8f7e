//! The propagation benchmark: placeholder until its parts are here.
