//! The target's tip, as it is fetched.

use std::ffi::{OsStr, OsString};

use super::{Ancestry, Destination, GitError, Trusted, cli::Call, trouble::why_unreachable};
use crate::model::CommitId;

/// The target's tip, as last fetched.
pub const TARGET: &str = "refs/orchestrator/target";
/// The target's tip as the last fetch brought it, before it counts as [`TARGET`].
const FETCHED: &str = "refs/orchestrator/fetched";
/// What the person's repository had, for as long as the target is fetched for the first time.
pub(super) const SEED: &str = "refs/orchestrator/seed";

impl Trusted {
    /// Fetches the target, and returns its tip.
    ///
    /// # Errors
    /// [`GitError::Unreachable`] when a remote does not answer, [`GitError::Repository`] when it has no such branch.
    pub async fn fetch_target(&self) -> Result<CommitId, GitError> {
        let _alone = self.target_ref.lock().await;
        let before = self.tip()?;
        let user = self.user.git_dir().as_os_str();
        match &self.destination {
            Destination::Remote {
                name, fetch_url, ..
            } => {
                if before.is_none() {
                    // Most of what the remote has is in the person's repository already.
                    drop(self.fetching(user, SEED, None).transfers_any().run().await);
                }
                let fetch = self.fetching(fetch_url.as_ref(), FETCHED, self.settings.upload_pack());
                let fetched = self.settings.govern(fetch).reaches_out().run().await;
                if before.is_none() {
                    self.forget(SEED).await?;
                }
                if let Err(error) = fetched {
                    return Err(self.not_fetched(name, fetch_url, error).await);
                }
            }
            Destination::Local => {
                self.fetching(user, FETCHED, None)
                    .transfers_any()
                    .run()
                    .await?;
            }
        }
        let none = || GitError::Output {
            verb: "fetch".to_owned(),
            what: format!("no tip of `{}`", self.target),
        };
        let tip = self.objects.named(FETCHED)?.ok_or_else(none)?;
        // Git takes nothing from a history that is cut off, and does not call that an error.
        if let Destination::Local = &self.destination
            && self.user.git_dir().join("shallow").exists()
            && self.user.tip(&self.target).await? != tip
        {
            self.user.complete().await?;
        }
        if before == Some(tip) {
            return Ok(tip);
        }
        // What was dropped is known before anybody can see a tip without it.
        if let Some(before) = before
            && self.ancestry(tip, before).await? == Ancestry::Dropped
        {
            self.remember_dropped(before).await?;
        }
        self.set_ref(TARGET, tip).await?;
        Ok(tip)
    }

    /// Fetching the target to a ref, for which the caller holds `target_ref`.
    fn fetching(&self, from: &OsStr, to: &str, program: Option<OsString>) -> Call<'_> {
        let call = self
            .call()
            .fetching()
            .args(program)
            .args(["--end-of-options"])
            .args([from]);
        call.args([format!("+{}:{to}", self.target.full())])
    }

    /// Why the target could not be fetched from this remote: it does not answer, or has no such branch.
    async fn not_fetched(&self, name: &str, url: &str, error: GitError) -> GitError {
        let why = match error {
            GitError::Failed { stderr, .. } => stderr,
            // Who does not answer one question does not answer the next.
            other => {
                return GitError::Unreachable {
                    remote: name.to_owned(),
                    why: other.to_string(),
                };
            }
        };
        if let Some(missing) = self.missing_target(url).await {
            return GitError::NoTarget {
                remote: name.to_owned(),
                missing: Box::new(missing),
            };
        }
        GitError::Unreachable {
            remote: name.to_owned(),
            why: why_unreachable(name, &why),
        }
    }

    /// The target's tip, as last fetched or landed.
    ///
    /// # Errors
    /// When the ref cannot be read.
    pub fn tip(&self) -> Result<Option<CommitId>, GitError> {
        self.objects.named(TARGET)
    }

    pub(super) async fn set_tip(&self, tip: CommitId) -> Result<(), GitError> {
        let _alone = self.target_ref.lock().await;
        self.set_ref(TARGET, tip).await
    }
}
