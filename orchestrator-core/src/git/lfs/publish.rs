//! Objects of a landing, stored where the target is before it moves.

use std::{fs::File, path::Path};

use super::{
    LfsError,
    pointer::Pointer,
    store::{Held, Offered, put},
};
use crate::{
    failpoint::reach,
    git::{GitError, Objects, Trusted, error::io_error, user::Destination},
    model::{CommitId, LandingOutcome, RefusalCause},
};

/// Words with which programs in Go, and HTTP servers, say that nobody answered, or not now.
const TRANSIENT: [&str; 13] = [
    // So git-lfs calls an answer of 500 and above.
    "batch response: fatal error",
    "connection refused",
    "connection reset",
    "dial tcp",
    "i/o timeout",
    "moved not a byte",
    "no such host",
    "rate limit",
    "timeout awaiting",
    "tls handshake timeout",
    "502 bad gateway",
    "503 service unavailable",
    "unexpected eof",
];

impl Trusted {
    /// Stores the LFS objects of all commits that are about to become the target's: in the remote,
    /// or where the target is the person's own branch in their own store. What the landing then is,
    /// where that fails.
    pub(in super::super) async fn publish_lfs(
        &self,
        commit: CommitId,
        tip: CommitId,
    ) -> Result<Option<LandingOutcome>, GitError> {
        match self.publish(commit, tip).await {
            Ok(()) => Ok(None),
            Err(GitError::Lfs {
                problem: LfsError::NotStored { why, transient },
            }) => Ok(Some(if transient {
                LandingOutcome::Unreachable { reason: why }
            } else {
                self.refused(RefusalCause::LargeObjects, &why)
            })),
            Err(error) => Err(error),
        }
    }

    async fn publish(&self, commit: CommitId, tip: CommitId) -> Result<(), GitError> {
        let lfs = self.lfs.clone();
        let trees = [self.tree_of(commit)?, self.tree_of(tip)?];
        let is_used = move |objects: &Objects| {
            Ok(lfs.is_used(objects, trees[0])? || lfs.is_used(objects, trees[1])?)
        };
        if !self.look(is_used).await? {
            return Ok(());
        }
        let brought = self.pointers_between(commit, &[tip]).await?;
        // Those that the target has, or that are texts which look like pointers, are not ours to
        // store.
        let mut pointers = Vec::new();
        let mut absent = Vec::new();
        for named in brought.named {
            if self.is_whole(named.pointer).await? {
                pointers.push(named.pointer);
            } else {
                absent.push(named.path);
            }
        }
        let absent = self.given_to_lfs(trees[0], &absent).await?;
        if !absent.is_empty() {
            let why =
                "they were not here when the work was taken in, or were lost since".to_owned();
            return Err(LfsError::missing(absent.into_iter().collect(), why).into());
        }
        if pointers.is_empty() {
            return Ok(());
        }
        reach("before lfs objects");
        match self.destination() {
            Destination::Local => self.store_at_home(pointers).await?,
            Destination::Remote { .. } => {
                let exchange = self.exchange(Some(trees[1])).await?;
                exchange.push(&pointers).await?.map_err(not_stored)?;
            }
        }
        reach("after lfs objects");
        Ok(())
    }

    async fn is_whole(&self, pointer: Pointer) -> Result<bool, GitError> {
        let lfs = self.lfs.clone();
        let held = move |_: &Objects| {
            let held = lfs.holds(&pointer).map_err(io_error(&lfs.file(&pointer)))?;
            Ok(held == Held::Whole)
        };
        self.look(held).await
    }

    /// Copies objects into the person's own store.
    async fn store_at_home(&self, pointers: Vec<Pointer>) -> Result<(), GitError> {
        let Some(store) = self.persons_stores().await?.own else {
            let why = "`git lfs env` names no directory of objects".to_owned();
            return Err(not_stored(why));
        };
        let lfs = self.lfs.clone();
        self.look(move |_| {
            for pointer in pointers {
                store_one(&store, &pointer, &lfs.file(&pointer))?;
            }
            Ok(())
        })
        .await
    }
}

fn store_one(store: &Path, pointer: &Pointer, from: &Path) -> Result<(), GitError> {
    let there = store.join(pointer.place());
    if there
        .metadata()
        .is_ok_and(|meta| meta.len() == pointer.size)
    {
        return Ok(());
    }
    let file = File::open(from).map_err(io_error(from))?;
    match put(store, pointer, file) {
        Ok(Offered::Taken) => Ok(()),
        Ok(Offered::Differs) => Err(not_stored(format!("{} is damaged", from.display()))),
        Err(error) => Err(not_stored(format!("{}: {error}", there.display()))),
    }
}

fn not_stored(why: String) -> GitError {
    let said = why.to_ascii_lowercase();
    let transient = TRANSIENT.iter().any(|word| said.contains(word));
    LfsError::NotStored { why, transient }.into()
}
