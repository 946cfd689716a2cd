//! Objects that a worker's pointers name (law 8: opened as regular files, without following links,
//! within limits).

use std::{collections::HashSet, path::Path};

use super::{
    findings::{Brought, damaged, nowhere, other_size, too_much},
    pointer::{MAX_POINTER, Named},
    ready::Lacking,
    scan::pointer_of,
    store::{Held, Offered},
};
use crate::{
    git::{
        GitError, IngressLimits, Objects, Trusted, error::io_error, objects::to_gix,
        parse::parse_objects,
    },
    model::{BlobId, Change, CommitId, Finding, RepoPath},
    untrusted::open_beneath,
};

/// So many are named of what is found.
const FOUND: usize = 20;

/// What a worker's store has of a pointer's object.
enum Theirs {
    Taken,
    /// It is ours already.
    Ours,
    OtherSize(u64),
    Damaged,
    Nothing,
}

impl Trusted {
    /// Takes the objects of Git LFS that a head's new pointers name from the repository of an
    /// attempt, verified, and finds pointers whose objects are nowhere, or are not what the pointer
    /// says, and files that were committed without the filter. `changes` are those from `base` to
    /// the head's tree.
    ///
    /// # Errors
    /// [`GitError::Refused`] when it is too much; nothing is taken then. When an object cannot be
    /// read, or our store not be written.
    pub(crate) async fn take_lfs(
        &self,
        from: &Path,
        base: CommitId,
        head: CommitId,
        changes: &[Change],
        limits: IngressLimits,
    ) -> Result<Vec<Finding>, GitError> {
        let tree = self.tree_of(head)?;
        let before = self.tree_of(base)?;
        let lfs = self.lfs.clone();
        let is_used = move |objects: &Objects| {
            Ok(lfs.is_used(objects, tree)? || lfs.is_used(objects, before)?)
        };
        if !self.look(is_used).await? {
            return Ok(Vec::new());
        }
        let brought = self.pointers_between(head, &[base]).await?;
        let too_much = too_much(&brought, limits);
        if !too_much.is_empty() {
            let findings = self.all_placed(too_much, base, head).await?;
            return Err(GitError::Refused { findings });
        }
        let mut findings = Vec::new();
        let mut lacking = Vec::new();
        for named in brought.named {
            let finding = match self.take_one(from, &named).await? {
                Theirs::Taken | Theirs::Ours => continue,
                Theirs::Nothing => {
                    lacking.push(named);
                    continue;
                }
                Theirs::OtherSize(size) => other_size(&named, size),
                Theirs::Damaged => damaged(),
            };
            findings.push((named, finding));
        }
        findings.extend(self.missing(lacking, head).await?);
        let mut placed = self.all_placed(findings, base, head).await?;
        placed.extend(self.committed_as_they_are(head, changes).await?);
        Ok(placed)
    }

    /// All pointers in commits that `head` has and `hidden` and the target have not.
    pub(super) async fn pointers_between(
        &self,
        head: CommitId,
        hidden: &[CommitId],
    ) -> Result<Brought, GitError> {
        let mut call = self.call().args(["rev-list", "--objects"]);
        call = call.args([head.to_string()]);
        let tip = self.tip()?;
        call = call.args(hidden.iter().chain(&tip).map(|commit| format!("^{commit}")));
        let listed = call.transfers().bytes().await?;
        self.look(move |objects| brought(objects, &listed)).await
    }

    /// Takes one object, from the worker's store or from nowhere.
    async fn take_one(&self, from: &Path, named: &Named) -> Result<Theirs, GitError> {
        let lfs = self.lfs.clone();
        let from = from.to_owned();
        let pointer = named.pointer;
        self.look(move |_| {
            let failed = || io_error(&from);
            match lfs.holds(&pointer).map_err(failed())? {
                Held::Whole => return Ok(Theirs::Ours),
                Held::OtherSize(size) => return Ok(Theirs::OtherSize(size)),
                Held::Nothing => {}
            }
            let place = format!("lfs/{}", pointer.place());
            let place: RepoPath = place.parse().expect("a relative path of plain names");
            // What cannot be opened is no object: a link, a FIFO, a directory.
            let Ok(file) = open_beneath(&from, &place) else {
                return Ok(Theirs::Nothing);
            };
            let size = file.metadata().map_err(failed())?.len();
            if size != pointer.size {
                return Ok(Theirs::OtherSize(size));
            }
            let offered = lfs.offer(&pointer, file);
            Ok(match offered.map_err(io_error(&lfs.file(&pointer)))? {
                Offered::Taken => Theirs::Taken,
                Offered::Differs => Theirs::Damaged,
            })
        })
        .await
    }

    /// Pointers of which the objects are neither the worker's, nor ours, nor the person's, nor in
    /// their remote.
    async fn missing(
        &self,
        lacking: Vec<Named>,
        head: CommitId,
    ) -> Result<Vec<(Named, Finding)>, GitError> {
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let Lacking { mut files, why } = self.gather(lacking).await?;
        self.keep_filtered(self.tree_of(head)?, &mut files).await?;
        let missing = files.into_iter();
        let found = missing.map(|named| {
            let finding = nowhere(&named, &why);
            (named, finding)
        });
        Ok(found.collect())
    }

    async fn all_placed(
        &self,
        findings: Vec<(Named, Finding)>,
        base: CommitId,
        head: CommitId,
    ) -> Result<Vec<Finding>, GitError> {
        let mut placed = Vec::new();
        for (named, finding) in findings.into_iter().take(FOUND) {
            placed.push(self.placed_in_history(&named, finding, base, head).await?);
        }
        Ok(placed)
    }

    /// A finding with its path, and with the commit that has it, where only the history does.
    async fn placed_in_history(
        &self,
        named: &Named,
        finding: Finding,
        base: CommitId,
        head: CommitId,
    ) -> Result<Finding, GitError> {
        let finding = finding.at(named.path.clone());
        let onto = self.begins_on(base, head).await?;
        let commits = self
            .call()
            .args(["rev-list", "--reverse", "--topo-order"])
            .args([head.to_string(), format!("^{base}")])
            .transfers()
            .commits()
            .await?;
        let path = named.path.clone();
        let blob = named.blob;
        let first = self
            .look(move |objects| {
                let has = |commit: CommitId| -> Result<bool, GitError> {
                    let entry = objects.entry(objects.tree_of(commit)?, &path)?;
                    Ok(entry.is_some_and(|entry| entry.id == blob))
                };
                if has(head)? {
                    return Ok(None);
                }
                for commit in commits {
                    if has(commit)? {
                        return Ok(Some(commit));
                    }
                }
                Ok(None)
            })
            .await?;
        Ok(match first {
            Some(commit) => finding.only_in(commit, onto),
            None => finding,
        })
    }
}

/// Reads what `git rev-list --objects` lists: ids, each perhaps with a path.
fn brought(objects: &Objects, listed: &[u8]) -> Result<Brought, GitError> {
    let repository = objects.repository();
    let mut brought = Brought::default();
    let mut seen = HashSet::new();
    for (id, path) in parse_objects(listed)? {
        let header = repository
            .find_header(to_gix(id))
            .map_err(crate::git::objects::unreadable(id))?;
        brought.total += header.size();
        if header.kind() != gix::object::Kind::Blob || header.size() >= MAX_POINTER {
            continue;
        }
        let Ok(path) = RepoPath::from_bytes(path) else {
            continue;
        };
        if let Some(pointer) = pointer_of(objects, BlobId(id))?
            && seen.insert(pointer)
        {
            brought.named.push(Named {
                blob: BlobId(id),
                path,
                pointer,
            });
        }
    }
    Ok(brought)
}
