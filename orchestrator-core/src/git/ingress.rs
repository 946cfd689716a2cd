//! What comes in from workers' repositories: objects, with fsck and within limits.
//!
//! ```text
//! attempt's objects ──► gathered ──┬── plain ───────────────────────────────────► trusted.git
//!         │                        └── a pack ──► git unpack-objects --strict ───►     small work
//!         └──────── git fetch, with fsck ──► a room of its own ──► judged ────────►     all other
//! ```
//!
//! Most work is some files in objects of their own. It is read in process, so that no git looks at the repository that the worker can
//! write. What is plain beyond doubt is written into ours as it is; of the rest git decides when it unpacks it, with the checks of a
//! fetch. What is larger, packed, damaged or strange is fetched, from a repository of ours that borrows the worker's objects, and git says
//! why if that fails; it comes into ours when it is within its limits, and what is not is named.

use std::{
    collections::{HashMap, HashSet},
    io,
    io::Write as _,
    path::Path,
};

use gix::{
    objs::{CommitRef, Kind, TreeRef},
    zlib::{Compression, stream::deflate},
};

use super::{
    GitError, Objects, Trusted,
    batch::Batch,
    lent::branch_head,
    loose::Loose,
    objects::to_gix,
    plain::{Whole, are_plain},
    refs::add_ref,
    trees::keep,
};
use crate::{
    model::{BranchName, CommitId, Finding, Limits, Severity},
    untrusted::read_beneath,
};

/// What may come in from one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngressLimits {
    /// The largest single file, in bytes.
    pub blob: u64,
    /// All new objects together, in bytes.
    pub total: u64,
    /// How many new objects.
    pub objects: usize,
}

impl Default for IngressLimits {
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

impl IngressLimits {
    /// As a policy has them.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self {
            blob: limits.file.0,
            total: limits.work.0,
            objects: limits.objects as usize,
        }
    }
}

/// Work of so much at the most is small.
const SMALL: IngressLimits = IngressLimits {
    blob: 1 << 20,
    total: 4 << 20,
    objects: 100,
};

impl Trusted {
    /// Takes a branch of an attempt's repository in, with fsck, under a ref that keeps it. Runs nothing of what is in there, and
    /// gives it none of our environment. Objects of Git LFS are taken apart from it.
    ///
    /// # Errors
    /// [`GitError::Refused`] when its worker can mend it: it is too large, or git refuses what is in it; nothing of it is kept then.
    /// [`GitError::Failed`] when it is damaged or gone, [`GitError::Io`] when our own repository cannot be written.
    pub async fn ingest(
        &self,
        from: &Path,
        branch: &BranchName,
        keep: &str,
        base: CommitId,
        limits: IngressLimits,
    ) -> Result<CommitId, GitError> {
        if let Some(head) = self.unpack(from, branch, keep, base, limits).await? {
            return Ok(head);
        }
        let head = self.take_whole(from, branch, base, limits).await?;
        self.set_ref(keep, head).await.map(|()| head)
    }

    /// Takes small work in, under its ref; `None`: it is to be fetched.
    async fn unpack(
        &self,
        from: &Path,
        branch: &BranchName,
        kept: &str,
        base: CommitId,
        limits: IngressLimits,
    ) -> Result<Option<CommitId>, GitError> {
        let Some(head) = branch_head(from, branch) else {
            return Ok(None);
        };
        if head == base {
            return self.set_ref(kept, head).await.map(|()| Some(head));
        }
        let Some(theirs) = Loose::of(from) else {
            return Ok(None);
        };
        let limits = IngressLimits {
            blob: limits.blob.min(SMALL.blob),
            total: limits.total.min(SMALL.total),
            objects: limits.objects.min(SMALL.objects),
        };
        let (dir, name) = (self.dir().to_owned(), kept.to_owned());
        let gather = move |ours: &Objects| {
            let mut ours = ours.repository();
            // What came since packs were looked for last is of no use here: most that is asked for is new, and not there.
            ours.objects.refresh_never();
            let gathering = Gathering {
                ours: &ours,
                theirs,
                limits,
                seen: HashSet::new(),
                total: 0,
                brought: Vec::new(),
            };
            let Some(mut brought) = gathering.of(head, base) else {
                return Ok(None);
            };
            let is_there = |id: &gix::ObjectId, kind| {
                ours.find_header(*id)
                    .is_ok_and(|header| header.kind() == kind)
            };
            if are_plain(&brought, is_there) {
                // What is named comes before what names it.
                brought.reverse();
                brought.sort_by_key(|(_, kind, _)| {
                    [Kind::Blob, Kind::Tree, Kind::Commit]
                        .iter()
                        .position(|known| known == kind)
                });
                let mut batch = Batch::default();
                keep(&ours, &brought, &mut batch)?;
                add_ref(&mut batch, &dir, &name, head)?;
                return batch.settle().map(|()| Some(Vec::new()));
            }
            Ok(pack(&brought).ok())
        };
        let Some(pack) = self.look(gather).await? else {
            return Ok(None);
        };
        if !pack.is_empty() {
            let unpacked = self
                .call()
                .args(["unpack-objects", "-q", "--strict"])
                .input(pack)
                .transfers()
                .run()
                .await;
            // Each object that was unpacked is named by what it is: so the head is there only if all of it is what it says.
            if unpacked.is_err() || !self.has(head) {
                return Ok(None);
            }
            self.set_ref(kept, head).await?;
        }
        Ok(Some(head))
    }

    /// Takes any work in.
    async fn take_whole(
        &self,
        from: &Path,
        branch: &BranchName,
        base: CommitId,
        limits: IngressLimits,
    ) -> Result<CommitId, GitError> {
        if branch_is_gone(from, branch) {
            let why = format!(
                "there is no branch `{branch}` any more: make it again, on your work: `git checkout -B {branch}`"
            );
            return Err(refused([Finding::new(
                Severity::Error,
                "commit/branch-gone",
                why,
            )]));
        }
        let incoming = match self.fetch_work(from, branch, true).await {
            Err(GitError::Failed { verb, exit, stderr }) => {
                let finding = self.refused_by_git(from, branch, base, &stderr).await?;
                return Err(
                    finding.map_or(GitError::Failed { verb, exit, stderr }, |finding| {
                        refused([finding])
                    }),
                );
            }
            fetched => fetched?,
        };
        let findings = self.too_much(&incoming, base, limits).await?;
        if findings.is_empty() {
            self.accept(&incoming)
        } else {
            Err(refused(findings))
        }
    }
}

fn refused(findings: impl Into<Vec<Finding>>) -> GitError {
    GitError::Refused {
        findings: findings.into(),
    }
}

/// Whether a repository is there, and its attempt's branch is not. Where something that is no file is in the place of a ref, the
/// repository is damaged.
fn branch_is_gone(from: &Path, branch: &BranchName) -> bool {
    let is_absent = |name: &str| {
        read_beneath(from, name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let packed = is_absent("packed-refs") || read_beneath(from, "packed-refs").is_ok();
    is_absent(&branch.full())
        && packed
        && branch_head(from, branch).is_none()
        && from.join("objects").is_dir()
}

/// What a head brings, read object by object and within limits: an object that was in the base already may count as well.
struct Gathering<'a> {
    ours: &'a gix::Repository,
    theirs: Loose,
    limits: IngressLimits,
    seen: HashSet<gix::ObjectId>,
    total: u64,
    /// What we do not have yet.
    brought: Vec<Whole>,
}

impl Gathering<'_> {
    /// The objects of all commits that `head` has and `base` has not; `None` where that is not for us to say.
    fn of(mut self, head: CommitId, base: CommitId) -> Option<Vec<Whole>> {
        let base = to_gix(base.0);
        let mut commits = vec![to_gix(head.0)];
        while let Some(id) = commits.pop() {
            // Where a worker merged what came after its base, that is part of the target's history, or will be asked by git.
            if id == base || !self.take(id, Kind::Commit)? {
                continue;
            }
            let data = self.read(id, Kind::Commit)?;
            let commit = CommitRef::from_bytes(&data, gix::hash::Kind::Sha1).ok()?;
            let parents: Vec<_> = commit.parents().collect();
            let before = match parents.first() {
                Some(parent) => {
                    let data = self.read(*parent, Kind::Commit)?;
                    Some(
                        CommitRef::from_bytes(&data, gix::hash::Kind::Sha1)
                            .ok()?
                            .tree(),
                    )
                }
                None => None,
            };
            self.tree(commit.tree(), before)?;
            commits.extend(parents);
        }
        Some(self.brought)
    }

    /// What a tree has that another has not in the same place.
    fn tree(&mut self, id: gix::ObjectId, before: Option<gix::ObjectId>) -> Option<()> {
        let mut left = vec![(id, before)];
        while let Some((id, before)) = left.pop() {
            if Some(id) == before || !self.take(id, Kind::Tree)? {
                continue;
            }
            let (data, old) = (
                self.read(id, Kind::Tree)?,
                before.map(|before| self.read(before, Kind::Tree)),
            );
            let old = match &old {
                Some(data) => {
                    TreeRef::from_bytes(data.as_ref()?, gix::hash::Kind::Sha1)
                        .ok()?
                        .entries
                }
                None => Vec::new(),
            };
            let old: HashMap<_, _> = old.iter().map(|entry| (entry.filename, entry)).collect();
            for entry in TreeRef::from_bytes(&data, gix::hash::Kind::Sha1)
                .ok()?
                .entries
            {
                let before = old
                    .get(entry.filename)
                    .filter(|old| old.mode.is_tree() == entry.mode.is_tree());
                let before = before.map(|before| before.oid.to_owned());
                if entry.mode.is_tree() {
                    left.push((entry.oid.to_owned(), before));
                } else if !entry.mode.is_commit() && before.as_deref() != Some(entry.oid) {
                    self.take(entry.oid.to_owned(), Kind::Blob)?;
                }
            }
        }
        Some(())
    }

    /// Counts an object, and takes it along if we lack it; whether it was new to this gathering. `None` beyond the limits.
    fn take(&mut self, id: gix::ObjectId, kind: Kind) -> Option<bool> {
        if !self.seen.insert(id) {
            return Some(false);
        }
        let size = match self.ours.try_find_header(id).ok()? {
            Some(header) => header.size(),
            None => {
                let data = self.theirs.read(&id, kind, self.limits.blob)?;
                let size = data.len() as u64;
                self.brought.push((id, kind, data));
                size
            }
        };
        self.total += size;
        let within = size <= self.limits.blob
            && self.total <= self.limits.total
            && self.seen.len() <= self.limits.objects;
        within.then_some(true)
    }

    /// An object of ours, or else of theirs.
    fn read(&self, id: gix::ObjectId, kind: Kind) -> Option<Vec<u8>> {
        // What was just taken along is mostly read next.
        if let Some((_, found, data)) = self
            .brought
            .iter()
            .rev()
            .find(|(brought, ..)| *brought == id)
        {
            return (*found == kind).then(|| data.clone());
        }
        if let Some(object) = self.ours.try_find_object(id).ok()? {
            return (object.kind == kind).then(|| object.detach().data);
        }
        self.theirs.read(&id, kind, self.limits.blob)
    }
}

/// A pack of whole objects (gitformat-pack(5)).
fn pack(objects: &[Whole]) -> io::Result<Vec<u8>> {
    let count = u32::try_from(objects.len()).map_err(io::Error::other)?;
    let mut pack = [
        b"PACK".as_slice(),
        &2_u32.to_be_bytes(),
        &count.to_be_bytes(),
    ]
    .concat();
    for (_, kind, data) in objects {
        let number = match kind {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
            Kind::Tag => 4,
        };
        // Four bits of the size beside the kind, then seven in each byte, the highest of which says that another follows.
        let (mut byte, mut rest) = (number << 4 | (data.len() & 0x0f) as u8, data.len() >> 4);
        while rest > 0 {
            pack.push(byte | 0x80);
            (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        pack.push(byte);
        let mut deflated = deflate::Write::new(pack, Compression::BEST_SPEED);
        deflated.write_all(data)?;
        deflated.flush()?;
        pack = deflated.into_inner();
    }
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(&pack);
    pack.extend_from_slice(hasher.try_finalize().map_err(io::Error::other)?.as_slice());
    Ok(pack)
}
