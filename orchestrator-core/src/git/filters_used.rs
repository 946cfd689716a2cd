//! Which filters a tree's attributes name, and whether workers have them.

use std::collections::{BTreeMap, HashSet};

use gix::{
    hash::Kind as Hash,
    objs::{Kind, TreeRef},
};

use super::{
    GitError, Objects, Trusted,
    objects::{to_gix, unreadable},
};
use crate::{
    model::{CommitId, Filter, TreeId},
    process::Exit,
};

/// So much of a file of attributes is read, in bytes.
pub(super) const MAX_ATTRIBUTES: u64 = 1 << 20;

impl Trusted {
    /// Checks that no filter which this commit's attributes name stands in the person's own
    /// repository alone. There it is applied, and with us it is not: what workers commit would be
    /// in the history as it is, such as a secret that was to be encrypted. `policy` are the
    /// policy's.
    ///
    /// # Errors
    /// [`GitError::FilterOfRepository`] with its name.
    pub(crate) async fn check_filters(
        &self,
        commit: CommitId,
        policy: &BTreeMap<String, Filter>,
    ) -> Result<(), GitError> {
        let call = self.user().call().args([
            "config",
            "--local",
            "--null",
            "--name-only",
            "--get-regexp",
            r"^filter\..+\.(clean|smudge|process)$",
        ]);
        let answer = call.answer().await?;
        if answer.exit != Exit::Code(0) {
            return Ok(());
        }
        let listed = String::from_utf8_lossy(&answer.stdout).into_owned();
        let own = listed.split_terminator('\0').filter_map(|key| {
            let (name, _) = key.strip_prefix("filter.")?.rsplit_once('.')?;
            Some(name.to_owned())
        });
        let own: HashSet<_> = own
            // That of git-lfs is known, and whether it is there is looked at elsewhere.
            .filter(|name| name != "lfs" && !policy.contains_key(name) && !self.filters.has(name))
            .collect();
        if own.is_empty() {
            return Ok(());
        }
        let tree = self.tree_of(commit)?;
        let found = self.look(move |objects| first_named(objects, tree, &own));
        match found.await? {
            Some(filter) => Err(GitError::FilterOfRepository { filter }),
            None => Ok(()),
        }
    }
}

/// One of these filters that a file of attributes in a tree names.
fn first_named(
    objects: &Objects,
    tree: TreeId,
    filters: &HashSet<String>,
) -> Result<Option<String>, GitError> {
    let repository = objects.repository();
    let mut seen = HashSet::new();
    let mut left = vec![to_gix(tree.0)];
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        let found = repository.find_tree(id).map_err(unreadable(id))?;
        let parsed = TreeRef::from_bytes(&found.data, Hash::Sha1).map_err(unreadable(id))?;
        for entry in parsed.entries {
            if entry.mode.is_tree() {
                left.push(entry.oid.to_owned());
                continue;
            }
            if entry.filename != ".gitattributes" || !entry.mode.is_blob() {
                continue;
            }
            let header = repository.find_header(entry.oid).map_err(unreadable(id))?;
            if header.kind() != Kind::Blob || header.size() > MAX_ATTRIBUTES {
                continue;
            }
            let blob = repository.find_object(entry.oid).map_err(unreadable(id))?;
            let text = String::from_utf8_lossy(&blob.data).into_owned();
            let named = named(&text).find(|name| filters.contains(*name));
            if let Some(name) = named {
                return Ok(Some(name.to_owned()));
            }
        }
    }
    Ok(None)
}

/// The filters that a file of attributes names (gitattributes(5)).
pub(super) fn named(attributes: &str) -> impl Iterator<Item = &str> {
    let lines = attributes
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.strip_prefix("filter="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_named_by_lines_and_macros_and_not_by_comments() {
        let text = "*.key filter=git-crypt diff=git-crypt\n# *.c filter=no\n[attr]big filter=lfs -text\n*.x -filter\n";
        assert_eq!(named(text).collect::<Vec<_>>(), ["git-crypt", "lfs"]);
    }
}
