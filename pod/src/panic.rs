//! What becomes of a panic. It ends the process, and another replica goes on: a half-dead one might lead without writing, or judge by what
//! has long changed. Only where an answer is made of a question and nothing else is touched, it ends no more than that answer. Either way
//! the log says where it was, and never what was said: nobody can know what that quotes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// As Rust's own, after a panic of the main thread.
const FAILURE: i32 = 101;

thread_local! {
    /// Whether this thread's next panic is contained.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// There was a panic. The log says where.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("a defect: the log says where; please report it")]
pub struct Panicked;

/// What `work` gives, or that it panicked. It must be pure: what it had begun to change would stay half changed.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    CONTAINED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(false);
    outcome.map_err(|_| Panicked)
}

pub(crate) fn set_hook() {
    std::panic::set_hook(Box::new(|panic| {
        // Taken: a second panic, of what the first one drops, could not be contained.
        let contained = CONTAINED.take();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(code.location = place, process.ends = !contained, "this should not happen; please report it");
        if !contained {
            // And not abort: a core dump would have every credential that is in memory.
            std::process::exit(FAILURE);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CANARY: &str = "sk-canary";
    const ALONE: &str = "KEYWARD_TEST_ALONE";
    /// What the tests' runner says when it comes to its end.
    const LIVES: &str = "test result: ok";

    fn is_alone() -> bool {
        let alone = std::env::var_os(ALONE).is_some();
        if alone {
            crate::log::start(&[]);
        }
        alone
    }

    /// Runs a test of these in a process of its own; gives how that ended and what it said.
    fn alone(test: &str) -> (Option<i32>, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("panic::tests::{test}"), "--nocapture"]).env(ALONE, "1").env_remove("RUST_LOG");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    #[test]
    fn a_contained_panic_says_where_but_not_what_and_the_process_goes_on() {
        if is_alone() {
            assert_eq!(contained(|| -> u8 { panic!("{CANARY}") }), Err(Panicked));
            assert_eq!(contained(|| 1), Ok(1));
            return;
        }
        let (code, said) = alone("a_contained_panic_says_where_but_not_what_and_the_process_goes_on");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("panic.rs:") && said.contains("\"process.ends\":false") && said.contains(LIVES), "{said}");
        assert!(!said.contains(CANARY), "{said}");
    }

    #[test]
    fn any_other_panic_ends_the_process_and_says_where_but_not_what() {
        if is_alone() {
            let _ = contained(|| -> u8 { panic!("{CANARY}") });
            // In a thread, as runtimes have them: by itself it would end that thread only.
            let _ = std::thread::spawn(|| -> u8 { panic!("{CANARY}") }).join();
            return;
        }
        let (code, said) = alone("any_other_panic_ends_the_process_and_says_where_but_not_what");
        assert_eq!(code, Some(FAILURE), "no abort: {said}");
        assert!(said.contains("panic.rs:") && said.contains("\"process.ends\":true") && !said.contains(LIVES), "{said}");
        assert!(!said.contains(CANARY), "{said}");
    }
}
