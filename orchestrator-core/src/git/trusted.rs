//! `trusted.git`: our own bare repository, in which everything is pinned, reviewed and merged.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

use super::{
    Git, GitError, Identity, Objects, UserRepository,
    cli::{Call, absolute},
    config::{self, Filters},
    error::io_error,
    followed::Followed,
    history::{commits, may_claim_to_be_a_landing},
    lfs::Lfs,
    settings::{Logins, Settings},
    user::Destination,
};
use crate::{
    model::{AttemptId, BranchName, CommitId, Filter, TreeId},
    process::MARK_VARIABLE,
};

/// Our own repository. Its configuration is written by us, and no worker is ever linked to it.
#[derive(Debug, Clone)]
pub struct Trusted {
    pub(super) git: Git,
    pub(super) user: UserRepository,
    pub(super) destination: Destination,
    pub(super) identity: Identity,
    pub(super) settings: Settings,
    pub(super) filters: Filters,
    pub(super) lfs: Arc<Lfs>,
    dir: PathBuf,
    pub(super) target: BranchName,
    /// What its processes bear, so that the next run finds those that outlive this one.
    mark: Option<String>,
    pub(super) objects: Objects,
    pub(super) followed: Arc<std::sync::Mutex<Followed>>,
    /// Held while the target's ref is written: git fails rather than waits when two do it at once.
    pub(super) target_ref: Arc<Mutex<()>>,
    /// The landing whose push was answered neither way, and how often.
    pub(super) unanswered: Arc<std::sync::Mutex<Option<(String, u32)>>>,
}

impl Trusted {
    /// Opens `dir`, or makes it, for work on one target of one repository. `filters` are the policy's.
    ///
    /// # Errors
    /// [`GitError`] when it cannot be made.
    pub async fn open(
        user: UserRepository,
        git: Git,
        dir: PathBuf,
        target: BranchName,
        destination: Destination,
        filters: &BTreeMap<String, Filter>,
    ) -> Result<Self, GitError> {
        let dir = absolute(&dir);
        let identity = user.identity().await?;
        let filters = Filters::of(&git, &user, filters).await?;
        if !dir.join("HEAD").exists() {
            std::fs::create_dir_all(&dir).map_err(io_error(&dir))?;
            let init = git
                .call(&dir)
                .args([
                    "init",
                    "--quiet",
                    "--bare",
                    "--template=",
                    "--object-format=sha1",
                ])
                .args([&dir]);
            init.run().await?;
            // Those that objects of their own are in: who is to be quick later finds them there, or makes them.
            for first in 0..=u8::MAX {
                let directory = dir.join(format!("objects/{first:02x}"));
                std::fs::create_dir_all(&directory).map_err(io_error(&directory))?;
            }
        }
        let config = dir.join("config");
        std::fs::write(&config, config::trusted(&identity, &filters)).map_err(io_error(&config))?;
        let settings =
            Settings::fix(&user, &destination, dir.join("settings"), Logins::Kept).await?;
        let objects = Objects::open(&dir)?;
        Ok(Self {
            lfs: Arc::new(Lfs::of(&dir)),
            git,
            user,
            destination,
            identity,
            settings,
            filters,
            dir,
            target,
            mark: None,
            objects,
            followed: Arc::default(),
            target_ref: Arc::default(),
            unanswered: Arc::default(),
        })
    }

    /// Marks the processes that work in it, as [`Spawn::marked`](crate::process::Spawn::marked) does.
    #[must_use]
    pub fn marked(mut self, mark: impl Into<String>) -> Self {
        self.mark = Some(mark.into());
        self
    }

    /// Lets git ask the person's credential helpers for a login, and tell them nothing: for whoever only looks.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn leaving_logins(mut self) -> Result<Self, GitError> {
        let file = self.dir.join("settings");
        self.settings = Settings::fix(&self.user, &self.destination, file, Logins::Left).await?;
        Ok(self)
    }

    /// The git directory, `trusted.git` in the state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The branch that work lands on.
    #[must_use]
    pub fn target(&self) -> &BranchName {
        &self.target
    }

    /// Its objects, read in process.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Who commits landings, as git said when it was opened.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The person's repository.
    #[must_use]
    pub fn user(&self) -> &UserRepository {
        &self.user
    }

    /// Where accepted work goes.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(super) fn call(&self) -> Call<'_> {
        self.call_in(&self.dir)
    }

    /// A call in this git directory, which is this one or an attempt's before its worker comes.
    pub(super) fn call_in(&self, git_dir: &Path) -> Call<'_> {
        let call = self.git.with_dir(git_dir);
        match &self.mark {
            Some(mark) => call.var(MARK_VARIABLE, mark),
            None => call,
        }
    }

    /// Looks at objects on a thread where that may take its time.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Objects) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let objects = self.objects.clone();
        let looked = tokio::task::spawn_blocking(move || look(&objects)).await;
        looked.map_err(|error| GitError::Object {
            id: self.dir.display().to_string(),
            why: error.to_string(),
        })?
    }

    /// The commit that a ref of ours names.
    ///
    /// # Errors
    /// When there is no such ref.
    pub(crate) fn commit_of(&self, reference: &str) -> Result<CommitId, GitError> {
        let unknown = || GitError::Object {
            id: reference.to_owned(),
            why: "there is no such ref".to_owned(),
        };
        self.objects.named(reference)?.ok_or_else(unknown)
    }

    /// A commit's tree.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn tree_of(&self, commit: CommitId) -> Result<TreeId, GitError> {
        self.objects.tree_of(commit)
    }

    /// Whether a commit is here.
    #[must_use]
    pub fn has(&self, commit: CommitId) -> bool {
        self.objects.has(commit)
    }

    /// The refs that keep what an attempt brought, without the turn.
    #[must_use]
    pub fn keep_refs(attempt: &AttemptId) -> String {
        format!(
            "refs/orchestrator/attempts/{}/{}",
            attempt.task, attempt.number
        )
    }

    /// The ref that keeps just this head of an attempt.
    ///
    /// # Errors
    /// When refs cannot be read.
    pub fn kept(&self, attempt: &AttemptId, head: CommitId) -> Result<Option<String>, GitError> {
        let refs = self.objects.refs(&Self::keep_refs(attempt))?;
        Ok(refs
            .into_iter()
            .find(|(_, kept)| *kept == head)
            .map(|(name, _)| name))
    }

    /// The ref that keeps the head of an attempt's turn.
    #[must_use]
    pub fn keep_ref(attempt: &AttemptId, turn: u32) -> String {
        format!("{}/{turn}", Self::keep_refs(attempt))
    }

    /// The commits that `head` has and `base` has not: how many, and whether one of them is a merge.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn between(&self, base: CommitId, head: CommitId) -> Result<(u32, bool), GitError> {
        let count = move |objects: &Objects| match objects.line(base, head)? {
            Some(line) => Ok((u32::try_from(line.len()).unwrap_or(u32::MAX), false)),
            None => objects.between(base, head),
        };
        self.look(count).await
    }

    /// Commits that `head` has and `base` has not whose messages bear trailers of ours.
    ///
    /// # Errors
    /// As `git rev-list`.
    pub async fn forged(&self, base: CommitId, head: CommitId) -> Result<Vec<CommitId>, GitError> {
        // What git takes for a trailer only git knows, but most messages do not even have its key.
        if !self
            .look(move |objects| objects.any_message(base, head, may_claim_to_be_a_landing))
            .await?
        {
            return Ok(Vec::new());
        }
        let listed = commits(self.call(), &[head.to_string(), format!("^{base}")]).await?;
        Ok(listed
            .iter()
            .filter(|known| known.claims_to_be_a_landing())
            .map(|known| known.commit)
            .collect())
    }
}
