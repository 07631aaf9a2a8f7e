//! Components of `config/components`, as a user's kustomization takes them.

use anyhow::Result;
use tempfile::TempDir;

use crate::Cluster;
use crate::part::root;

impl Cluster {
    /// What kustomize makes of `config/default` with this component: manifests, one after another.
    ///
    /// # Errors
    /// When it makes nothing.
    pub fn kustomize(&self, component: &str) -> Result<String> {
        let directory = TempDir::new()?;
        // kustomize takes relative paths of directories only.
        let config = root().join("config").canonicalize()?;
        let depth = directory.path().canonicalize()?.components().count().saturating_sub(1);
        let config = format!("{}{}", "../".repeat(depth), config.to_string_lossy().trim_start_matches('/'));
        let text = format!("resources: [{config}/default]\ncomponents: [{config}/components/{component}]\n");
        std::fs::write(directory.path().join("kustomization.yaml"), text)?;
        self.kubectl(&["kustomize", &directory.path().to_string_lossy()], None)
    }
}
