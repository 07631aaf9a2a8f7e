//! The files that `-f` names: found, not read. What cannot be looked into is told, so that nobody takes it for empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, FileType};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How far into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The manifests in it, as `kubectl -f DIR` takes them.
    Files,
    /// And those in the directories below, as with kubectl's `-R`, but not in hidden ones such as `.git`.
    Tree,
}

/// What there is to read, and what could not be looked into.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In the order of the arguments; those of a directory by name.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) unread: Vec<(PathBuf, io::Error)>,
}

impl Listing {
    /// Files as they are named, whatever they are called, and of directories the manifests.
    pub(crate) fn of(arguments: &[PathBuf], depth: Depth) -> Self {
        let mut walk = Walk::new(depth);
        arguments.iter().for_each(|path| walk.argument(path));
        while let Some(link) = walk.links.pop() {
            walk.directory(&link);
        }
        walk.listing
    }
}

struct Walk {
    depth: Depth,
    listing: Listing,
    /// Each directory once: links may lead round in circles.
    entered: BTreeSet<PathBuf>,
    /// Links to directories. They come last, so that what has a name of its own is found under that.
    links: Vec<PathBuf>,
}

impl Walk {
    fn new(depth: Depth) -> Self {
        Self { depth, listing: Listing::default(), entered: BTreeSet::new(), links: Vec::new() }
    }

    fn argument(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            _ if path.as_os_str() == "-" => self.listing.files.push(path.to_owned()),
            Ok(found) if found.is_dir() => self.directory(path),
            Err(error) if error.kind() != ErrorKind::NotFound => self.listing.unread.push((path.to_owned(), error)),
            // Of one that is missing, whoever reads it tells.
            Ok(_) | Err(_) => self.listing.files.push(path.to_owned()),
        }
    }

    fn directory(&mut self, directory: &Path) {
        match self.enter(directory) {
            Ok(entries) => entries.into_iter().for_each(|(path, kind)| self.entry(path, kind)),
            Err(error) => self.listing.unread.push((directory.to_owned(), error)),
        }
    }

    fn enter(&mut self, directory: &Path) -> io::Result<Entries> {
        match self.entered.insert(directory.canonicalize()?) {
            true => entries(directory),
            false => Ok(Entries::new()),
        }
    }

    fn entry(&mut self, path: PathBuf, kind: io::Result<FileType>) {
        let is_manifest = is_manifest(&path);
        match kind {
            Ok(kind) if kind.is_dir() => self.subdirectory(path),
            Ok(kind) if is_manifest && kind.is_file() => self.listing.files.push(path),
            // Reading a pipe could take for ever.
            Ok(_) if is_manifest => self.listing.unread.push((path, io::Error::other("it is not a file"))),
            Err(error) if is_manifest || self.leads_to_manifests(&error) => self.listing.unread.push((path, error)),
            Ok(_) | Err(_) => {}
        }
    }

    /// Whether a link that cannot be followed may be one to a directory that is to be read. There is nothing to read in one that is missing.
    fn leads_to_manifests(&self, error: &io::Error) -> bool {
        self.depth == Depth::Tree && error.kind() != ErrorKind::NotFound
    }

    fn subdirectory(&mut self, path: PathBuf) {
        if self.depth == Depth::Files || is_hidden(&path) {
            return;
        }
        match path.is_symlink() {
            true => self.links.push(path),
            false => self.directory(&path),
        }
    }
}

/// By path, and so in order; of a link, what it leads to.
type Entries = BTreeMap<PathBuf, io::Result<FileType>>;

fn entries(directory: &Path) -> io::Result<Entries> {
    std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| (entry.path(), kind(&entry)))).collect()
}

fn kind(entry: &DirEntry) -> io::Result<FileType> {
    match entry.file_type()? {
        link if link.is_symlink() => std::fs::metadata(entry.path()).map(|found| found.file_type()),
        kind => Ok(kind),
    }
}

/// As kubectl tells them.
fn is_manifest(path: &Path) -> bool {
    [".yaml", ".yml", ".json"].into_iter().any(|extension| name(path).ends_with(extension.as_bytes()))
}

fn is_hidden(path: &Path) -> bool {
    name(path).starts_with(b".")
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    fn tree(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    /// Files, and what could not be read.
    fn listed(root: &TempDir, depth: Depth) -> (Vec<String>, Vec<String>) {
        let Listing { files, unread } = Listing::of(&[root.path().to_owned()], depth);
        let name = |path: PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        (files.into_iter().map(name).collect(), unread.into_iter().map(|(path, _)| name(path)).collect())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn takes_manifests_of_a_directory_or_of_all_below_it_but_of_no_hidden_one() {
        let root = tree(&[
            "b.json",
            "a.yaml",
            "c.yml",
            ".hidden.yaml",
            ".json",
            "notes.txt",
            "yaml",
            "sub/deeper/e.yaml",
            "sub/d.yaml",
            "like.yaml/f.yaml",
            ".git/g.yaml",
            "sub/.terraform/h.json",
        ]);
        let own = names(&[".hidden.yaml", ".json", "a.yaml", "b.json", "c.yml"]);
        assert_eq!(listed(&root, Depth::Files), (own.clone(), Vec::new()));
        let below = names(&["like.yaml/f.yaml", "sub/d.yaml", "sub/deeper/e.yaml"]);
        assert_eq!(listed(&root, Depth::Tree), ([own, below].concat(), Vec::new()));
    }

    #[test]
    fn follows_links_once_and_tells_of_those_that_lead_nowhere() {
        let elsewhere = tree(&["x.yaml"]);
        let root = tree(&["sub/a.yaml"]);
        let link = |to: &Path, name: &str| symlink(to, root.path().join(name)).unwrap();
        link(elsewhere.path(), "elsewhere");
        link(&elsewhere.path().join("x.yaml"), "file.yaml");
        link(Path::new("sub"), "again");
        link(Path::new(".."), "sub/up");
        link(Path::new("nowhere"), "nothing");
        link(Path::new("nowhere"), "nothing.yaml");
        link(Path::new("round"), "round");
        assert_eq!(
            listed(&root, Depth::Tree),
            (names(&["file.yaml", "sub/a.yaml", "elsewhere/x.yaml"]), names(&["nothing.yaml", "round"]))
        );
        assert_eq!(listed(&root, Depth::Files), (names(&["file.yaml"]), names(&["nothing.yaml"])));
    }

    #[test]
    fn tells_of_what_looks_like_a_manifest_and_is_no_file() {
        let root = tree(&["a.yaml"]);
        let _socket = UnixListener::bind(root.path().join("socket.yaml")).unwrap();
        assert_eq!(listed(&root, Depth::Tree), (names(&["a.yaml"]), names(&["socket.yaml"])));
    }

    #[test]
    fn tells_of_a_directory_that_cannot_be_read() {
        let root = tree(&[]);
        let gone = root.path().join("gone");
        let mut walk = Walk::new(Depth::Tree);
        walk.directory(&gone);
        assert!(matches!(&walk.listing.unread[..], [(path, _)] if *path == gone), "{:?}", walk.listing);
    }

    #[test]
    fn takes_named_files_as_they_are_called_and_a_missing_one_for_its_reader_to_tell() {
        let root = tree(&["manifest", ".hidden/a.yaml"]);
        let path = |name: &str| root.path().join(name);
        let listing = Listing::of(&[PathBuf::from("-"), path("manifest"), path("missing"), path(".hidden")], Depth::Files);
        assert_eq!(listing.files, [PathBuf::from("-"), path("manifest"), path("missing"), path(".hidden/a.yaml")]);
        assert!(listing.unread.is_empty(), "{listing:?}");
    }
}
