//! How trees differ, and what merging two commits gives.

use super::{GitError, Trusted, output::split_nul};
use crate::{
    model::{Change, ChangeKind, CommitId, Entry, Mode, RepoPath, TreeId, TreeShape},
    process::Exit,
};

/// What merging two commits gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// The tree that the merge gives; it is in `trusted.git`.
    Clean(TreeId),
    /// Paths that both sides changed.
    Conflict(Vec<RepoPath>),
}

impl Trusted {
    /// How two trees differ, with renames. What is a rename only git knows; where nothing is gone, or nothing is new, there is none.
    ///
    /// # Errors
    /// When one cannot be read, or as `git diff-tree`.
    pub async fn changes(&self, old: TreeId, new: TreeId) -> Result<Vec<Change>, GitError> {
        let changes = self
            .look(move |objects| objects.differences(old, new))
            .await?;
        let any = |kind| changes.iter().any(|change| change.kind == kind);
        if !(any(ChangeKind::Added) && any(ChangeKind::Deleted)) {
            return Ok(changes);
        }
        let call = self.call().args([
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "-M",
            "--full-index",
            "--no-ext-diff",
            "--no-textconv",
        ]);
        let listed = call
            .args([old.to_string(), new.to_string()])
            .bytes()
            .await?;
        parse_raw(&listed).ok_or_else(|| GitError::Output {
            verb: "diff-tree".to_owned(),
            what: "no raw format".to_owned(),
        })
    }

    /// The names and links of two trees.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn shapes(&self, before: TreeId, after: TreeId) -> Result<[TreeShape; 2], GitError> {
        self.look(move |objects| Ok([objects.shape(before)?, objects.shape(after)?]))
            .await
    }

    /// Merges two commits, touching nothing but objects.
    ///
    /// # Errors
    /// As `git merge-tree`; conflicts are no error.
    pub async fn merge(&self, tip: CommitId, head: CommitId) -> Result<Merge, GitError> {
        let call = self.call().args([
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
        ]);
        let answer = call
            .args([tip.to_string(), head.to_string()])
            .answer()
            .await?;
        match (answer.exit, parse_merged(&answer.stdout)) {
            (Exit::Code(0), Some((tree, _))) => Ok(Merge::Clean(tree)),
            (Exit::Code(1), Some((_, paths))) => Ok(Merge::Conflict(paths)),
            (Exit::Code(_) | Exit::Signal(_), _) => Err(answer.failed("merge-tree")),
        }
    }
}

/// What git-merge-tree(1) says with `-z` and `--name-only`: the tree, and the paths in conflict.
fn parse_merged(said: &[u8]) -> Option<(TreeId, Vec<RepoPath>)> {
    let mut parts = split_nul(said);
    let tree = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let mut paths: Vec<_> = parts
        .filter_map(|path| RepoPath::from_bytes(path).ok())
        .collect();
    paths.dedup();
    Some((tree, paths))
}

/// The raw format of git-diff-tree(1) with `-z`: `:old-mode new-mode old-id new-id status NUL path NUL [path NUL]`.
fn parse_raw(listed: &[u8]) -> Option<Vec<Change>> {
    let mut parts = split_nul(listed);
    let mut changes = Vec::new();
    while let Some(head) = parts.next() {
        let fields: Vec<_> = std::str::from_utf8(head)
            .ok()?
            .strip_prefix(':')?
            .split(' ')
            .collect();
        let [old_mode, new_mode, old_id, new_id, status] = fields[..] else {
            return None;
        };
        let path = RepoPath::from_bytes(parts.next()?).ok()?;
        let (kind, path) = match status.as_bytes().first()? {
            b'A' => (ChangeKind::Added, path),
            b'D' => (ChangeKind::Deleted, path),
            b'M' | b'T' => (ChangeKind::Modified, path),
            b'R' => (
                ChangeKind::Renamed { from: path },
                RepoPath::from_bytes(parts.next()?).ok()?,
            ),
            _ => return None,
        };
        changes.push(Change {
            path,
            kind,
            old: entry(old_mode, old_id)?,
            new: entry(new_mode, new_id)?,
        });
    }
    Some(changes)
}

/// `None` for a side that is not a thing we know; `Some(None)` for one that is not there.
fn entry(mode: &str, id: &str) -> Option<Option<Entry>> {
    let mode = match mode {
        "000000" => return Some(None),
        "100644" | "100664" => Mode::File,
        "100755" => Mode::Executable,
        "120000" => Mode::Symlink,
        "160000" => Mode::Submodule,
        _ => return None,
    };
    Some(Some(Entry {
        mode,
        id: id.parse().ok()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_differences_are_read_with_any_name() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let listed = format!(
            ":000000 100755 {zero} {one} A\0new\nline\0:120000 160000 {one} {one} T\0a\0:100644 100644 {one} {one} R087\0old\0new\0"
        );
        let changes = parse_raw(listed.as_bytes()).expect("parses");
        let kinds: Vec<_> = changes
            .iter()
            .map(|change| (change.path.to_string(), change.new.map(|new| new.mode)))
            .collect();
        let expected = [
            ("new\\x0aline", Mode::Executable),
            ("a", Mode::Submodule),
            ("new", Mode::File),
        ];
        assert_eq!(
            kinds,
            expected.map(|(path, mode)| (path.to_owned(), Some(mode)))
        );
        assert_eq!(
            changes[2]
                .touched()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["old", "new"]
        );
        assert_eq!(parse_raw(b":100644 nonsense"), None);
    }

    #[test]
    fn a_merge_is_a_tree_and_each_path_in_conflict_once() {
        let tree = "1".repeat(40);
        let said = format!("{tree}\0a\0a\0new\nline\0");
        let (merged, paths) = parse_merged(said.as_bytes()).expect("parses");
        assert_eq!(merged.to_string(), tree);
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["a", "new\\x0aline"]);
        assert_eq!(parse_merged(b"fatal\0"), None);
    }
}
