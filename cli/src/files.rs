//! Manifest files: read, cut into documents, and looked at again for changes. A file that breaks keeps its last good content.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use translate::Snapshot;

use crate::directory::{Depth, Listing};
use crate::document::{self, Mistake, Object, mistake};

/// Where an object was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) document: usize,
}

/// A document of a file, unread. It may hold a credential: it is never printed.
pub(crate) struct Part {
    /// The line of the file where it starts, which is that of its `---` if it has one; counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Everything that the files say.
#[derive(Default)]
pub(crate) struct Manifests {
    pub(crate) snapshot: Snapshot,
    /// By kind, namespace and name.
    pub(crate) places: BTreeMap<(String, String, String), Place>,
    pub(crate) mistakes: Vec<(Place, Mistake)>,
}

/// The files named by `-f`.
pub(crate) struct Files {
    arguments: Vec<PathBuf>,
    /// `-`, read once.
    stdin: Option<String>,
    last_good: BTreeMap<PathBuf, Vec<(Place, Object)>>,
}

/// What tells a changed file from an unchanged one.
pub(crate) type Stamp = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Files {
    pub(crate) fn new(arguments: Vec<PathBuf>) -> io::Result<Self> {
        let mut stdin = None;
        if arguments.iter().any(|path| path.as_os_str() == "-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            stdin = Some(text);
        }
        Ok(Self { arguments, stdin, last_good: BTreeMap::new() })
    }

    /// Changes whenever a file is added, removed or written.
    pub(crate) fn stamp(&self) -> Stamp {
        let stamp = |path: PathBuf| {
            let stamp = std::fs::metadata(&path).and_then(|metadata| Ok((metadata.modified()?, metadata.len()))).ok();
            (path, stamp)
        };
        let Listing { files, unread } = self.listing();
        let unread = unread.into_iter().map(|(path, _)| (path, None));
        files.into_iter().map(stamp).chain(unread).collect()
    }

    /// Reads everything.
    pub(crate) fn read(&mut self) -> Manifests {
        let Listing { files, unread } = self.listing();
        let mut manifests = Manifests::default();
        let left_out = |(path, error): (PathBuf, io::Error)| (Place { file: path.display().to_string(), document: 1 }, unreadable(&error));
        manifests.mistakes.extend(unread.into_iter().map(left_out));
        let mut good = BTreeMap::new();
        for path in files {
            let objects = self.objects(&path, &mut manifests.mistakes);
            for (place, object) in &objects {
                manifests.add(place, object);
            }
            good.insert(path, objects);
        }
        self.last_good = good;
        manifests
    }

    /// What is in a directory that cannot be read now is there all the same, as far as anybody knows: a process may just have no file
    /// descriptor left.
    fn listing(&self) -> Listing {
        let mut listing = Listing::of(&self.arguments, Depth::Files);
        let hides = |(place, error): &(PathBuf, io::Error), path: &Path| error.kind() != ErrorKind::NotFound && path.starts_with(place);
        let hidden = |path: &&PathBuf| listing.unread.iter().any(|unread| hides(unread, path)) && !listing.files.contains(*path);
        let kept: Vec<PathBuf> = self.last_good.keys().filter(hidden).cloned().collect();
        listing.files.extend(kept);
        listing
    }

    /// The objects of a file. While a part of it is not even YAML, the whole file counts as it was: half-written is not removed.
    fn objects(&self, path: &Path, mistakes: &mut Vec<(Place, Mistake)>) -> Vec<(Place, Object)> {
        let file = path.display().to_string();
        let place = |document| Place { file: file.clone(), document };
        let text = match (&self.stdin, path.as_os_str() == "-") {
            (Some(text), true) => text.clone(),
            _ => match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    mistakes.push((place(1), unreadable(&error)));
                    return self.last_good.get(path).cloned().unwrap_or_default();
                }
            },
        };
        let mut found = Vec::new();
        let mut broken = false;
        for (nth, part) in documents(&text).into_iter().enumerate() {
            match document::parse(&part.text) {
                Ok(None) => {}
                Ok(Some(value)) => found.extend(document::objects(value).into_iter().map(|object| (place(nth + 1), object))),
                Err(mistake) => {
                    broken = true;
                    mistakes.push((place(nth + 1), mistake));
                }
            }
        }
        let mut objects = Vec::new();
        for (place, object) in found {
            match object {
                Ok(object) => objects.push((place, object)),
                Err(mistake) => {
                    objects.extend(self.last_good_object(path, &mistake));
                    mistakes.push((place, mistake));
                }
            }
        }
        match (broken, self.last_good.get(path)) {
            (true, Some(last_good)) => last_good.clone(),
            (true, None) | (false, _) => objects,
        }
    }
}

impl Files {
    /// An object that was understood before stays as it was: without it, its requests would go to whatever matches next.
    fn last_good_object(&self, path: &Path, mistake: &Mistake) -> Option<(Place, Object)> {
        let (kind, key) = mistake.object.as_ref()?;
        self.last_good.get(path)?.iter().find(|(_, object)| object.kind == *kind && object.key == *key).cloned()
    }
}

impl Manifests {
    fn add(&mut self, place: &Place, object: &Object) {
        let key = (object.kind.clone(), object.key.namespace.clone(), object.key.name.clone());
        if let Some(first) = self.places.get(&key) {
            let message = format!("{} {} was already read from {} and is left out here: keep one of them", key.0, object.key, first.file);
            self.mistakes.push((place.clone(), mistake("metadata.name", &message)));
        } else if let Err(mistake) = object.add_to(&mut self.snapshot) {
            self.mistakes.push((place.clone(), mistake));
        } else {
            self.places.insert(key, place.clone());
        }
    }
}

/// A file's text, or that of standard input.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    match path.as_os_str() == "-" {
        true => io::read_to_string(io::stdin()),
        false => std::fs::read_to_string(path),
    }
}

/// Why a file or directory is left out.
pub(crate) fn unreadable(error: &io::Error) -> Mistake {
    mistake("", &format!("cannot be read: {error}"))
}

/// Cuts at lines that start a new YAML document.
pub(crate) fn documents(text: &str) -> Vec<Part> {
    let mut documents = vec![Part { line: 1, text: String::new() }];
    for (nth, line) in text.lines().enumerate() {
        let current = documents.len() - 1;
        match line.strip_prefix("---") {
            Some(rest) if rest.is_empty() || rest.starts_with(char::is_whitespace) => {
                documents.push(Part { line: nth + 1, text: format!("{rest}\n") });
            }
            _ => documents[current].text += &format!("{line}\n"),
        }
    }
    // What stands before a leading '---' is a document only if it holds something.
    if documents.len() > 1 && documents[0].text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        documents.remove(0);
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_documents_and_counts_them_from_the_first_that_holds_something() {
        let cut = |text: &str| documents(text).into_iter().map(|part| (part.line, part.text)).collect::<Vec<_>>();
        let part = |line: usize, text: &str| (line, text.to_owned());
        assert_eq!(cut("# c\n---\na: 1\n--- # x\nb: 2\n"), [part(2, "\na: 1\n"), part(4, " # x\nb: 2\n")]);
        assert_eq!(cut("a: 1\r\n---\r\n"), [part(1, "a: 1\n"), part(2, "\n")]);
        assert_eq!(cut("a: |\n  ---\n").len(), 1);
    }

    #[test]
    fn a_file_that_breaks_keeps_its_last_good_content_and_so_does_an_object() {
        let directory = std::env::temp_dir().join(format!("keyward-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("n.yaml");
        std::fs::write(&file, "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n").unwrap();
        let mut files = Files::new(vec![directory.clone()]).unwrap();
        assert_eq!(files.read().snapshot.namespaces.len(), 1);
        std::fs::write(&file, "kind: [").unwrap();
        let manifests = files.read();
        assert_eq!((manifests.snapshot.namespaces.len(), manifests.mistakes.len()), (1, 1));
        std::fs::write(&file, "apiVersion: v1\nkind: Namespace\nspec: {finalizers: 1}\nmetadata: {name: n}\n").unwrap();
        assert_eq!(files.read().snapshot.namespaces.len(), 1);
        std::fs::remove_dir_all(directory).unwrap();
        assert!(files.read().snapshot.namespaces.is_empty());
    }

    #[test]
    fn the_files_of_a_directory_that_cannot_be_read_count_as_they_were_and_it_is_told() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("manifests");
        std::fs::create_dir_all(directory.join("below")).unwrap();
        std::fs::write(directory.join("n.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n").unwrap();
        std::fs::write(directory.join("below/m.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: m}\n").unwrap();
        let mut files = Files::new(vec![directory.clone()]).unwrap();
        let before = files.stamp();
        assert_eq!(files.read().snapshot.namespaces.len(), 1, "what is below is not read");
        // A link to itself: not even root can follow it.
        std::fs::remove_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink(&directory, &directory).unwrap();
        assert_ne!(files.stamp(), before);
        for _ in 0..2 {
            let manifests = files.read();
            assert_eq!(manifests.snapshot.namespaces.len(), 1);
            let told =
                |(place, mistake): &(Place, Mistake)| place.file == directory.display().to_string() && mistake.message.contains("read");
            assert!(manifests.mistakes.iter().any(told), "{:?}", manifests.mistakes);
        }
        std::fs::remove_file(&directory).unwrap();
        assert!(files.read().snapshot.namespaces.is_empty(), "what is gone is gone");
    }
}
