//! Any text may stand in a file of wire resources. Reading and compiling it never panics; what can be read is written and read again as
//! the same, tokens included, and compiles again if it did.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Config, Table, wire};

fuzz_target!(|bytes: &[u8]| judge(bytes));

fn judge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = wire::decode(text) else { return };
    let again = travelled(&config);
    assert_eq!(again, config);
    assert_eq!(Table::compile(&config).err().map(|error| error.to_string()), Table::compile(&again).err().map(|error| error.to_string()));
}

fn travelled(config: &Config) -> Config {
    let text = wire::encode(config).expect("what was read can be written");
    wire::decode(&text).expect("what was written can be read")
}
