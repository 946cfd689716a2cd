//! Keeping what a worker left uncommitted: raw bytes, no filters, in a commit of our own (law 4).

use std::{
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
};

use super::{GitError, Trusted, Workspace, error::io_error};
use crate::{
    model::{AttemptId, CommitId, Limits, RepoPath, Size},
    untrusted::open_beneath,
};

/// Uncommitted work, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rescued {
    /// A commit on top of the head, with everything that differed.
    pub commit: CommitId,
    /// The ref that keeps it.
    pub kept: String,
    /// What could not be kept: nested repositories, sockets, files that are too large. Empty is proof that nothing is lost.
    pub left_out: Vec<RepoPath>,
}

/// What one uncommitted path is.
enum Left {
    Gone,
    Content { mode: &'static str, bytes: Vec<u8> },
    Unkeepable,
}

impl Workspace {
    /// Keeps all that differs from `head`, deletions and untracked files included, ignored and brought ones not, as a commit
    /// under a ref of ours. `None` when nothing differs. Done again, it keeps the same
    /// commit, or replaces it by what is there then. A file that is larger than the limits say, or of more files those that are one too many, are
    /// left out: the workspace then stays as it is.
    ///
    /// # Errors
    /// When the workspace cannot be read, or git fails.
    pub(crate) async fn rescue(
        &self,
        trusted: &Trusted,
        head: CommitId,
        limits: &Limits,
    ) -> Result<Option<Rescued>, GitError> {
        let most = limits.rescued as usize;
        let mut paths = self
            .uncommitted(trusted, head, most.saturating_add(1))
            .await?;
        if paths.is_empty() {
            return Ok(None);
        }
        let mut left_out = paths.split_off(paths.len().min(most));
        let scratch = tempfile::tempdir_in(trusted.dir()).map_err(io_error(trusted.dir()))?;
        // What is kept is copied first, since the worker's files may change under our hands, and is then hashed in one go.
        let (mut gone, mut kept, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        for path in paths {
            // No tree holds files of a submodule.
            if self.is_of_module(&path) {
                left_out.push(path);
                continue;
            }
            match look(&self.tree(), &path, limits.file)
                .map_err(io_error(&self.tree().join(path.to_path())))?
            {
                Left::Gone => gone.push(path),
                Left::Content { mode, bytes } => {
                    let copy = scratch.path().join(kept.len().to_string());
                    std::fs::write(&copy, bytes).map_err(io_error(&copy))?;
                    copies.extend_from_slice(copy.as_os_str().as_bytes());
                    copies.push(b'\n');
                    kept.push((mode, path));
                }
                Left::Unkeepable => left_out.push(path),
            }
        }
        let hash = trusted
            .call()
            .args(["hash-object", "-w", "--no-filters", "--stdin-paths"])
            .input(copies);
        let ids = if kept.is_empty() {
            String::new()
        } else {
            hash.text().await?
        };
        let entry = |mode: &str, id: &str, path: &RepoPath| {
            [format!("{mode} {id}\t").as_bytes(), path.as_bytes(), &[0]].concat()
        };
        let mut lines: Vec<u8> = gone
            .iter()
            .flat_map(|path| entry("0", &"0".repeat(40), path))
            .collect();
        lines.extend(
            ids.lines()
                .zip(&kept)
                .flat_map(|(id, (mode, path))| entry(mode, id, path)),
        );
        let index = scratch.path().join("index");
        let with_index = || trusted.call().var("GIT_INDEX_FILE", &index);
        with_index()
            .args(["read-tree"])
            .args([head.to_string()])
            .run()
            .await?;
        with_index()
            .args(["update-index", "--add", "--remove", "-z", "--index-info"])
            .input(lines)
            .run()
            .await?;
        let tree: String = with_index().args(["write-tree"]).text().await?;
        let message = format!(
            "Uncommitted work of attempt {}, as it was found\n",
            self.attempt
        );
        // The head's own time: the same work found again is the same commit, also where another attempt was offered it already.
        let time = trusted
            .call()
            .args(["show", "--no-patch", "--format=@%ct +0000"])
            .args([head.to_string()])
            .text()
            .await?;
        let commit = trusted
            .call()
            .args(["commit-tree", "-p"])
            .args([head.to_string()])
            .args(["-F", "-"])
            .args([tree]);
        let commit = commit
            .var("GIT_AUTHOR_DATE", &time)
            .var("GIT_COMMITTER_DATE", &time)
            .input(message);
        let commit: CommitId = commit.id().await?;
        let kept = Self::rescue_ref(&self.attempt);
        trusted.set_ref(&kept, commit).await?;
        Ok(Some(Rescued {
            commit,
            kept,
            left_out,
        }))
    }

    /// The ref that keeps what an attempt left uncommitted.
    #[must_use]
    pub(crate) fn rescue_ref(attempt: &AttemptId) -> String {
        format!(
            "refs/orchestrator/rescue/{}/{}",
            attempt.task, attempt.number
        )
    }
}

fn look(tree: &Path, path: &RepoPath, largest: Size) -> io::Result<Left> {
    let whole = tree.join(path.to_path());
    let through_link = |parent: &Path| parent.symlink_metadata().is_ok_and(|meta| !meta.is_dir());
    if whole
        .ancestors()
        .skip(1)
        .take_while(|parent| *parent != tree)
        .any(through_link)
    {
        // A directory that became a link or a file: what was beneath it is gone.
        return Ok(Left::Gone);
    }
    let meta = match whole.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Gone),
        Err(error) => return Err(error),
    };
    if meta.is_symlink() {
        let target = std::fs::read_link(&whole)?;
        return Ok(Left::Content {
            mode: "120000",
            bytes: target.as_os_str().as_bytes().to_vec(),
        });
    }
    if !meta.is_file() || meta.len() > largest.0 {
        return Ok(Left::Unkeepable);
    }
    let mut bytes = Vec::new();
    open_beneath(tree, path)?
        .take(largest.0.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest.0 {
        return Ok(Left::Unkeepable);
    }
    let mode = if meta.permissions().mode() & 0o111 == 0 {
        "100644"
    } else {
        "100755"
    };
    Ok(Left::Content { mode, bytes })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_a_path_is_now_is_seen_without_following_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        for place in [&tree, &outside] {
            std::fs::create_dir(place).expect("makes");
        }
        std::fs::write(outside.join("passwd"), "secret").expect("writes");
        std::os::unix::fs::symlink(&outside, tree.join("link")).expect("links");
        std::fs::write(tree.join("file"), "fine").expect("writes");
        let look = |path: &str| {
            look(&tree, &path.parse().expect("a path"), Size::mib(1)).expect("can be looked at")
        };
        assert!(
            matches!(look("link/passwd"), Left::Gone),
            "beneath a directory that became a link nothing is left"
        );
        assert!(matches!(look("nowhere"), Left::Gone));
        assert!(matches!(look("link"), Left::Content { mode: "120000", .. }));
        assert!(
            matches!(look("file"), Left::Content { mode: "100644", bytes } if bytes == b"fine")
        );
    }

    #[test]
    fn a_file_is_kept_up_to_its_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path: RepoPath = "large".parse().expect("a path");
        let largest = Size(1000);
        for (size, kept) in [(largest.0, true), (largest.0 + 1, false)] {
            File::create(dir.path().join("large"))
                .and_then(|file| file.set_len(size))
                .expect("a file full of holes");
            let left = look(dir.path(), &path, largest).expect("can be looked at");
            assert_eq!(
                matches!(left, Left::Content { bytes, .. } if bytes.len() as u64 == size),
                kept,
                "{size}"
            );
        }
    }
}
