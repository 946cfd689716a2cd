//! What a tree holds that a run should know of before it begins.

use std::collections::BTreeSet;

use super::{
    GitError, Trusted,
    filters_used::{MAX_ATTRIBUTES, named},
    output::split_nul,
};
use crate::model::{BlobId, RepoPath, TreeId};

/// Files by which managers of hooks are configured, at the top of a tree, and who reads them.
const MANAGERS: [(&[u8], &str); 9] = [
    (b".husky", "husky"),
    (b".lefthook.toml", "lefthook"),
    (b".lefthook.yaml", "lefthook"),
    (b".lefthook.yml", "lefthook"),
    (b".overcommit.yml", "overcommit"),
    (b".pre-commit-config.yaml", "pre-commit"),
    (b"lefthook.toml", "lefthook"),
    (b"lefthook.yaml", "lefthook"),
    (b"lefthook.yml", "lefthook"),
];

/// What a tree holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overview {
    pub submodules: Vec<RepoPath>,
    /// The `.gitattributes` that name the filter `lfs`.
    pub lfs: Vec<RepoPath>,
    /// The managers of hooks that it is configured for.
    pub hook_managers: BTreeSet<&'static str>,
}

impl Trusted {
    /// Looks a tree through.
    ///
    /// # Errors
    /// As `git ls-tree`, and when an object cannot be read.
    pub(crate) async fn overview(&self, tree: TreeId) -> Result<Overview, GitError> {
        let listed = self
            .call()
            .args(["ls-tree", "-r", "-z", "--full-tree"])
            .args([tree.to_string()])
            .bytes()
            .await?;
        let mut overview = Overview::default();
        for (mode, id, name) in split_nul(&listed).filter_map(parse_entry) {
            let top = name.split(|byte| *byte == b'/').next().unwrap_or(name);
            let manager = MANAGERS.iter().find(|(file, _)| *file == top);
            overview.hook_managers.extend(manager.map(|(_, who)| *who));
            let Ok(path) = RepoPath::from_bytes(name) else {
                continue;
            };
            if mode == "160000" {
                overview.submodules.push(path);
            } else if is_attributes(name) && self.names_lfs(id)? {
                overview.lfs.push(path);
            }
        }
        Ok(overview)
    }

    fn names_lfs(&self, blob: BlobId) -> Result<bool, GitError> {
        let content = self.objects().blob(blob, MAX_ATTRIBUTES)?;
        let content = content.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let lfs = named(&text).any(|filter| filter == "lfs");
        Ok(lfs)
    }
}

fn is_attributes(name: &[u8]) -> bool {
    name == b".gitattributes" || name.ends_with(b"/.gitattributes")
}

/// A line of `git ls-tree -z`: mode, kind and id, and after a tab the name.
fn parse_entry(line: &[u8]) -> Option<(&str, BlobId, &[u8])> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let mut head = std::str::from_utf8(&line[..tab]).ok()?.split(' ');
    let mode = head.next()?;
    let id = head.nth(1)?.parse().ok()?;
    Some((mode, id, &line[tab + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_entry_takes_names_of_any_bytes() {
        let id = "1".repeat(40);
        let line = [b"100644 blob ", id.as_bytes(), b"\ta\tb\xff"].concat();
        let blob = id.parse().expect("an id");
        assert_eq!(parse_entry(&line), Some(("100644", blob, &b"a\tb\xff"[..])));
        assert_eq!(parse_entry(b"100644 blob 1"), None);
    }
}
