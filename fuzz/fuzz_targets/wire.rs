//! Any bytes may stand in a file of wire resources. Reading and compiling it never panics; what can be read is written and read again as
//! the same, tokens included, and compiles again if it did.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Config, Table, wire};

fuzz_target!(|bytes: &[u8]| judge(bytes));

fn judge(bytes: &[u8]) {
    let Ok(config) = wire::decode(bytes) else { return };
    let again = travelled(&config);
    assert_eq!(again, config);
    assert_eq!(problems(&again), problems(&config));
}

/// What the proxy has to say: the error that stops it, or the rules that it refuses.
fn problems(config: &Config) -> Result<Vec<String>, String> {
    let table = Table::compile(config).map_err(|error| error.to_string())?;
    Ok(table.problems().iter().map(ToString::to_string).collect())
}

fn travelled(config: &Config) -> Config {
    let text = wire::encode(config).expect("what was read can be written");
    wire::decode(text.as_bytes()).expect("what was written can be read")
}
