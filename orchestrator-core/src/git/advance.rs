//! The target of the person's own repository is advanced to what has landed.

use std::{path::Path, sync::PoisonError, time::Instant};

use super::{
    GitError, Trusted, UserRepository,
    locks::{FIRST_PAUSE, HeldLock, LONGEST_PAUSE, Locks},
    output::Answer,
    refusal::Moved,
};
use crate::{
    model::{CommitId, LandingOutcome},
    process::Exit,
};

impl UserRepository {
    /// Makes a commit of `trusted` the tip of the target, whose tip is the commit's first parent. A checkout of the target is
    /// fast-forwarded as its owner would do it. Where another git holds a lock, it is waited for.
    ///
    /// # Errors
    /// Only what keeps us from trying.
    pub(super) async fn advance(
        &self,
        trusted: &Trusted,
        kept: &str,
        commit: CommitId,
        tip: CommitId,
    ) -> Result<LandingOutcome, GitError> {
        let until = Instant::now() + self.git.locked;
        let mut pause = FIRST_PAUSE;
        loop {
            let lock = match self
                .try_to_advance(trusted, kept, commit, tip, until)
                .await?
            {
                Tried::Done(outcome) => return Ok(outcome),
                Tried::Locked(lock) => lock,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(self.refused(lock.cause(), ""));
            }
            tracing::debug!(lock = %lock.file().display(), "waits for another git");
            self.wait_for(Some(format!("the lock `{}`", lock.file().display())));
            tokio::time::sleep(pause.min(left)).await;
            self.wait_for(None);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What a landing waits for just now, such as a lock that another git holds.
    #[must_use]
    pub(crate) fn waits_for(&self) -> Option<String> {
        let waits_for = self.waits_for.lock();
        waits_for.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait_for(&self, what: Option<String>) {
        let mut waits_for = self
            .waits_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *waits_for = what;
    }

    async fn try_to_advance(
        &self,
        trusted: &Trusted,
        kept: &str,
        commit: CommitId,
        tip: CommitId,
        until: Instant,
    ) -> Result<Tried, GitError> {
        let target = trusted.target();
        if self.tip(target).await? != tip {
            return Ok(Tried::Done(LandingOutcome::TipMoved));
        }
        let checkout = self.checkout_of(target).await?;
        if let Some(refusal) = self.in_the_way(target, checkout.as_deref()) {
            return Ok(Tried::Done(refusal));
        }
        let Some(checkout) = checkout else {
            let locks = Locks::of(self.git_dir(), None, target);
            let complaint = self
                .fetch(trusted, &format!("{kept}:{}", target.full()))
                .await?;
            let moved = Moved::new(target, commit, tip, None);
            return self.tried(moved, &locks, complaint).await;
        };
        let git_dir = self.git_dir_of(&checkout).await?;
        let locks = Locks::of(self.git_dir(), Some(Path::new(&git_dir)), target);
        // Git checks the files out before it asks for the ref's lock, and leaves them where it does not get that.
        if let Some(lock) = locks.held() {
            return Ok(Tried::Locked(lock));
        }
        let paths = self.changed_in(&checkout).await?;
        if !paths.is_empty() {
            return Ok(Tried::Done(LandingOutcome::CheckoutDirty { paths }));
        }
        if let Some(complaint) = self.fetch(trusted, kept).await? {
            let moved = Moved::new(target, commit, tip, None);
            return self.tried(moved, &locks, Some(complaint)).await;
        }
        let patience = until.saturating_duration_since(Instant::now()).as_millis();
        let patience = ["core.filesRefLockTimeout", "core.packedRefsTimeout"]
            .map(|key| format!("{key}={patience}"));
        let merge = patience
            .iter()
            .fold(self.git.call(&checkout), |call, setting| {
                call.args(["-c", setting])
            });
        let merge = merge
            .args(["merge", "--ff-only", "--quiet", "--no-autostash"])
            // Files that git ignores are the person's as well.
            .args(["--no-overwrite-ignore"])
            .args([commit.to_string()]);
        let complaint = complaint(merge.persons().answer().await)?;
        let moved = Moved::new(target, commit, tip, Some(&checkout));
        self.tried(moved, &locks, complaint).await
    }

    /// What became of the target, whatever git said of it.
    async fn tried(
        &self,
        moved: Moved<'_>,
        locks: &Locks,
        complaint: Option<String>,
    ) -> Result<Tried, GitError> {
        let now = self.tip(moved.target).await?;
        if now == moved.commit {
            let commit = moved.commit;
            return Ok(Tried::Done(LandingOutcome::Landed { commit }));
        }
        if now != moved.tip {
            return Ok(Tried::Done(LandingOutcome::TipMoved));
        }
        let complaint = complaint.unwrap_or_default();
        // Git may have checked the files out before it failed.
        if let Some(checkout) = moved.checkout {
            self.put_back(checkout, moved.commit, moved.tip).await;
        }
        if let Some(lock) = locks.in_the_way(&complaint) {
            return Ok(Tried::Locked(lock));
        }
        let cause = self.cause_of(&moved, &complaint).await;
        Ok(Tried::Done(self.refused(cause, &complaint)))
    }

    /// Fetches one ref of ours; what git complained, if it failed. Nobody but us writes `trusted.git`. Hooks of the person's may run.
    async fn fetch(&self, trusted: &Trusted, refspec: &str) -> Result<Option<String>, GitError> {
        let call = self.call().args([
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
            "fetch",
            "--quiet",
            "--no-tags",
        ]);
        let call = call
            .args([
                "--no-write-fetch-head",
                "--no-recurse-submodules",
                "--no-auto-maintenance",
                "--",
            ])
            .args([trusted.dir()]);
        complaint(call.args([refspec]).persons().answer().await)
    }
}

/// How one try to advance the target ended.
enum Tried {
    Done(LandingOutcome),
    Locked(HeldLock),
}

/// What a call that was tried complained, if it failed. One that was stopped may have done its work before.
fn complaint(answer: Result<Answer, GitError>) -> Result<Option<String>, GitError> {
    match answer {
        Ok(answer) if answer.exit == Exit::Code(0) => Ok(None),
        Ok(answer) => Ok(Some(answer.stderr)),
        Err(error @ (GitError::TimedOut { .. } | GitError::Silent { .. })) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::git::{Destination, Git};

    #[tokio::test]
    async fn a_lock_that_stays_is_named_with_its_age_and_the_mend() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut git = Git::find().await.expect("git");
        git.locked = Duration::from_millis(300);
        let repository = directory.path().join("repo");
        git.call(Path::new("/"))
            .args(["init", "--quiet", "--initial-branch=main"])
            .args([&repository])
            .run()
            .await
            .expect("makes");
        for (key, value) in [
            ("user.name", "Test"),
            ("user.email", "test@example.org"),
            ("commit.gpgSign", "false"),
        ] {
            git.call(&repository)
                .args(["config", key, value])
                .run()
                .await
                .expect("sets it");
        }
        git.call(&repository)
            .args(["commit", "--quiet", "--allow-empty", "-m", "one"])
            .run()
            .await
            .expect("commits");
        let user = UserRepository::open(git.clone(), &repository)
            .await
            .expect("opens");
        let (dir, target) = (
            directory.path().join("trusted.git"),
            "main".parse().expect("a branch"),
        );
        let trusted = Trusted::open(
            user.clone(),
            git,
            dir,
            target,
            Destination::Local,
            &BTreeMap::new(),
        )
        .await
        .expect("opens");
        let tip = trusted.fetch_target().await.expect("fetches");
        let tree = trusted.tree_of(tip).expect("a tree").to_string();
        let commit = trusted
            .call()
            .args(["commit-tree", "-m", "two", "-p"])
            .args([tip.to_string(), tree])
            .id()
            .await
            .expect("commits");
        trusted
            .set_ref("refs/orchestrator/kept", commit)
            .await
            .expect("keeps it");
        let lock = user.git_dir().join("index.lock");
        std::fs::write(&lock, "").expect("locks");
        let outcome = user
            .advance(&trusted, "refs/orchestrator/kept", commit, tip)
            .await
            .expect("can be tried");
        let LandingOutcome::Refused(refusal) = outcome else {
            panic!("{outcome:?}")
        };
        let file = lock.display();
        assert_eq!(
            refusal.to_string(),
            format!("another git holds the lock `{file}`, which was made 0 s ago")
        );
        assert_eq!(
            refusal.fix(),
            "let it finish; if no git runs there any more, remove the file"
        );
        std::fs::remove_file(&lock).expect("removes");
        let outcome = user
            .advance(&trusted, "refs/orchestrator/kept", commit, tip)
            .await
            .expect("can be tried");
        assert_eq!(outcome, LandingOutcome::Landed { commit });
    }
}
