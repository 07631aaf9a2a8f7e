//! What is checked: from arguments to objects. Whatever is named and cannot be judged comes out as such, for who guards something by this
//! believes it when it says nothing.

use std::path::{Path, PathBuf};

use crate::directory::{Depth, Listing};
use crate::document::{self, Item, Mistake};
use crate::files::{self, Part, Place};

/// Said of each argument when none of them holds an object: a path may have changed, or whatever writes to standard input failed.
const NOTHING: &str = "nothing to check: no object in it (of directories, .yaml, .yml and .json files are read)";

/// Everything that the arguments name.
#[derive(Default)]
pub(super) struct Read {
    pub(super) documents: Vec<Document>,
    pub(super) unread: Vec<Unread>,
}

pub(super) struct Document {
    pub(super) place: Place,
    pub(super) part: Part,
    pub(super) items: Vec<Item>,
}

/// What could not be judged.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) file: String,
    /// Counted from 1; `None`: all of it.
    pub(super) document: Option<usize>,
    pub(super) message: String,
}

impl Read {
    /// Reads files, standard input, and directories with all that is below them.
    pub(super) fn all(arguments: &[PathBuf]) -> Self {
        let Listing { files, unread } = Listing::of(arguments, Depth::Tree);
        let mut read = Self::default();
        for (path, error) in &unread {
            read.leave_out(path, &files::unreadable(error).message);
        }
        for path in &files {
            match files::text(path) {
                Ok(text) => read.add(&path.display().to_string(), &text),
                Err(error) => read.leave_out(path, &files::unreadable(&error).message),
            }
        }
        if read.documents.is_empty() && read.unread.is_empty() {
            arguments.iter().for_each(|path| read.leave_out(path, NOTHING));
        }
        read
    }

    pub(super) fn add(&mut self, file: &str, text: &str) {
        for (nth, part) in files::documents(text).into_iter().enumerate() {
            let document = nth + 1;
            match document::parse(&part.text) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    let place = Place { file: file.to_owned(), document };
                    self.documents.push(Document { place, part, items: document::items(value) });
                }
                Err(Mistake { message, .. }) => self.unread.push(Unread { file: file.to_owned(), document: Some(document), message }),
            }
        }
    }

    fn leave_out(&mut self, path: &Path, message: &str) {
        self.unread.push(Unread { file: path.display().to_string(), document: None, message: message.to_owned() });
    }
}
