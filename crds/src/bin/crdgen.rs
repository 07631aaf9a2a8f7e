//! `crdgen [DIR]`: writes the CustomResourceDefinitions of Keyward into DIR, or prints them. CI runs it and fails on a difference.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let files = crds::crd::files()?;
    match arguments.as_slice() {
        [] => print(files.into_iter().filter(|(name, _)| name != "kustomization.yaml").map(|(_, text)| text)),
        [directory] => write(Path::new(directory), files),
        _ => bail!("usage: crdgen [DIR]: give at most one directory to write to"),
    }
}

fn print(texts: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for text in texts {
        writeln!(out, "---\n{}", text.trim_end())?;
    }
    Ok(())
}

fn write(directory: &Path, files: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
