//! Any text may stand in a manifest file. From text over documents, typed objects, translation and merging to the proxy's table nothing
//! panics, and the same text gives the same outcome. What comes out is what a proxy takes: it survives the wire, every configuration
//! compiles, and every rule in it, for a user's mistake is a refusing rule and not one that a proxy stumbles over.
//!
//! The command is a binary; its reading of documents and its merging are compiled in here as they stand.
#![no_main]

#[path = "../../cli/src/document.rs"]
mod document;
#[path = "../../cli/src/merge.rs"]
mod merge;

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use policy::{Config, Table, wire};
use translate::{Settings, Snapshot, Timestamp, Translation, translate};

fuzz_target!(|bytes: &[u8]| judge(bytes));

fn judge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let snapshot = snapshot(text);
    let translation = translated(&snapshot);
    assert_eq!(shown(&translation), shown(&translated(&snapshot)), "the same twice");
    translation.configs.values().for_each(is_taken);
    is_taken(&merge::merge(translation.configs).0);
}

/// As `keyward up` fills it: the first of a kind and name counts, and a document with a mistake is left out.
fn snapshot(text: &str) -> Snapshot {
    let (mut snapshot, mut known) = (Snapshot::default(), BTreeSet::new());
    for document in text.split("\n---").filter_map(|text| document::parse(text).ok().flatten()) {
        for object in document::objects(document).into_iter().flatten() {
            if known.insert((object.kind.clone(), object.key.clone())) {
                object.add_to(&mut snapshot).expect("an object is read like its dry run");
            }
        }
    }
    snapshot
}

fn translated(snapshot: &Snapshot) -> Translation {
    let settings = Settings { implied_class: Some("keyward".to_owned()), ..Settings::default() };
    translate(snapshot, &settings, Timestamp::UNIX_EPOCH)
}

fn shown(translation: &Translation) -> String {
    serde_json::to_string(translation).expect("an outcome can be printed")
}

fn is_taken(config: &Config) {
    let text = wire::encode(config).expect("a configuration can be sent");
    assert_eq!(wire::decode(text.as_bytes()).expect("a configuration can be received"), *config);
    let table = Table::compile(config).expect("a proxy takes a translated configuration");
    assert!(table.problems().is_empty(), "{:?}", table.problems());
}
