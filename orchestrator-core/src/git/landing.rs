//! From a gated tree to the target's tip (laws 3 to 5).

use std::sync::PoisonError;

use super::{
    BranchCommit, GitError, Trusted,
    history::{LANDING, RECORD, commits},
    push_refusal::PushRefusal,
    trouble::RemoteTrouble,
    user::Destination,
};
use crate::{
    model::{CommitId, Landing, LandingOutcome, RefusalCause},
    process::Exit,
};

/// Beneath it, a ref keeps each commit that is about to become the target's tip.
pub(super) const LANDINGS: &str = "refs/orchestrator/landings";

/// So often one landing is pushed without an answer before a person is asked.
const UNANSWERED: u32 = 5;
const TASK: &str = "Orchestrator-Task";
const ATTEMPT: &str = "Orchestrator-Attempt";

impl Trusted {
    /// Lands: commits the tree on the tip that it was built on, and makes that the target's tip, unless the target has
    /// moved. A landing that was done before, by us before a crash, is found and not done again.
    ///
    /// # Errors
    /// Only what keeps us from trying; a refusal is an outcome.
    pub async fn land(&self, landing: &Landing) -> Result<LandingOutcome, GitError> {
        let attempt = &landing.acceptance.attempt;
        let kept = format!("{LANDINGS}/{}/{}", attempt.task, attempt.number);
        let outcome = self.try_to_land(landing, &kept).await?;
        if let LandingOutcome::Landed { .. } = &outcome {
            // The target's ref keeps it now. Each ref that stayed would be read by every fetch and push from now on.
            let forgotten = self.forget(&kept).await;
            forgotten.unwrap_or_else(|error| tracing::warn!(kept, %error, "a ref that is of no more use could not be deleted"));
        }
        Ok(outcome)
    }

    async fn try_to_land(&self, landing: &Landing, kept: &str) -> Result<LandingOutcome, GitError> {
        // A remote is asked when it refuses: the lease tells whether it has moved. The person's own repository is asked first.
        if let Destination::Local = &self.destination
            && self.user.tip(self.target()).await? != landing.acceptance.tip
            && let Some(outcome) = self.settled(landing).await?
        {
            return Ok(outcome);
        }
        let commit = match self.commit(landing).await {
            Ok(commit) => commit,
            Err(error) => return self.not_committed(error),
        };
        self.set_ref(kept, commit).await?;
        // Before the target names them: whoever clones it then finds all of them.
        if let Some(outcome) = self.publish_lfs(commit, landing.acceptance.tip).await? {
            return Ok(outcome);
        }
        let outcome = match &self.destination {
            Destination::Remote { push_url, .. } => self.push(push_url, commit, landing).await?,
            Destination::Local => {
                self.user
                    .advance(self, kept, commit, landing.acceptance.tip)
                    .await?
            }
        };
        if let LandingOutcome::Landed { commit } = &outcome {
            self.set_tip(*commit).await?;
        }
        Ok(outcome)
    }

    async fn commit(&self, landing: &Landing) -> Result<CommitId, GitError> {
        let acceptance = &landing.acceptance;
        let message = format!(
            "{}\n\nMerge of attempt {} at {}.\n\n{TASK}: {}\n{ATTEMPT}: {}\n{LANDING}: {}\n{RECORD}: sha256:{}\n",
            crate::model::clean(&landing.subject).replace('\n', " "),
            acceptance.attempt.number,
            acceptance.head.short(),
            acceptance.attempt.task,
            acceptance.attempt.number,
            landing.id,
            acceptance.hash(),
        );
        let date = format!("@{} +0000", landing.at.0 / 1000);
        let call = self
            .call()
            .var("GIT_AUTHOR_DATE", &date)
            .var("GIT_COMMITTER_DATE", &date)
            .args(["commit-tree"]);
        let call = call.args(self.identity.sign.then_some("-S"));
        let parents = landing
            .parents()
            .into_iter()
            .flat_map(|parent| ["-p".to_owned(), parent.to_string()]);
        let call = call
            .args(parents)
            .args(["-F", "-"])
            .args([acceptance.tree.to_string()])
            .input(message);
        // Who signs may be asked for a passphrase.
        if self.identity.sign {
            self.settings.govern(call).persons()
        } else {
            call
        }
        .id()
        .await
    }

    /// The commit of the target's first-parent line, above the tip that the landing was built on, that bears its id and
    /// tree. Our trailers in any other commit mean nothing.
    async fn find_landing(
        &self,
        landing: &Landing,
        tip: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let above = [
            "--first-parent".to_owned(),
            tip.to_string(),
            format!("^{}", landing.acceptance.tip),
        ];
        let found = commits(self.call(), &above).await?;
        let same = |known: &BranchCommit| {
            known.landing.as_ref() == Some(&landing.id) && known.tree == landing.acceptance.tree
        };
        Ok(found.into_iter().find(same).map(|known| known.commit))
    }

    /// Pushes with a lease on the tip that the commit was built on, so that nothing can be overwritten. What counts is what
    /// the remote has afterwards: a reply can be lost. One that was lost although the remote has not moved may still be on its
    /// way, as where a hook of the remote's goes on: the same push is tried again, a few times, and does nothing where it was done.
    async fn push(
        &self,
        url: &str,
        commit: CommitId,
        landing: &Landing,
    ) -> Result<LandingOutcome, GitError> {
        let target = self.target().full();
        // Not marked: killed in the middle, by the next run, it would leave locks in the remote.
        let call = self.git.with_dir(self.dir()).args([
            "push",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
        ]);
        let call = call
            .args([format!(
                "--force-with-lease={target}:{}",
                landing.acceptance.tip
            )])
            .args(self.settings.receive_pack());
        let call = call.args([
            "--end-of-options".to_owned(),
            url.to_owned(),
            format!("{commit}:{target}"),
        ]);
        let (refused, reason) = match self.settings.govern(call).reaches_out().answer().await {
            Ok(answer) if answer.exit == Exit::Code(0) => {
                return Ok(LandingOutcome::Landed { commit });
            }
            Ok(answer) => (PushRefusal::of(&answer.stdout), answer.stderr),
            Err(
                error @ (GitError::TimedOut { .. }
                | GitError::Silent { .. }
                | GitError::Output { .. }),
            ) => (None, error.to_string()),
            Err(error) => return Err(error),
        };
        let unknown = match (self.settled(landing).await, refused) {
            (Ok(Some(outcome)), _) => return Ok(outcome),
            (Ok(None), Some(refused)) => {
                let words = format!("{}\n{reason}", refused.reason);
                return Ok(self.refused(refused.cause(), &words));
            }
            (Ok(None), None)
                if RemoteTrouble::of(&reason).is_some_and(RemoteTrouble::needs_person) =>
            {
                return Ok(self.refused(RefusalCause::Denied, &reason));
            }
            (Ok(None), None) => reason,
            // There is nobody to ask, or nothing that it could have landed in.
            (
                Err(
                    error @ (GitError::Unreachable { .. }
                    | GitError::NoTarget { .. }
                    | GitError::Repository { .. }),
                ),
                _,
            ) => {
                return Err(error);
            }
            (Err(error), _) => {
                format!("{reason}; and what became of it could not be read: {error}")
            }
        };
        if self.is_answered_no_more(landing) {
            let tries = UNANSWERED;
            return Ok(self.refused(RefusalCause::Unanswered { tries }, &unknown));
        }
        Ok(LandingOutcome::Unreachable { reason: unknown })
    }

    /// Counts the pushes of a landing that were not answered; whether it is time to ask a person, and to begin anew after that.
    fn is_answered_no_more(&self, landing: &Landing) -> bool {
        let mut unanswered = self
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = unanswered
            .take()
            .filter(|(id, _)| *id == landing.id)
            .map_or(0, |(_, before)| before);
        let enough = before + 1 >= UNANSWERED;
        *unanswered = (!enough).then(|| (landing.id.clone(), before + 1));
        enough
    }

    /// What the target says of a landing, if it is no longer where that was built: that it was done, or that the target moved.
    async fn settled(&self, landing: &Landing) -> Result<Option<LandingOutcome>, GitError> {
        let tip = self.fetch_target().await?;
        if tip == landing.acceptance.tip {
            return Ok(None);
        }
        let found = self.find_landing(landing, tip).await?;
        Ok(Some(found.map_or(LandingOutcome::TipMoved, |commit| {
            LandingOutcome::Landed { commit }
        })))
    }
}
