//! From a gated tree to the target's tip (laws 3 to 5).

use super::{BranchCommit, GitError, Trusted, cli::Answer, history::commits, user::Destination};
use crate::{
    model::{CommitId, Landing, LandingOutcome},
    process::Exit,
};

/// Trailers of a landed commit.
pub(super) const LANDING: &str = "Orchestrator-Landing";
pub(super) const RECORD: &str = "Orchestrator-Record";
const TASK: &str = "Orchestrator-Task";
const ATTEMPT: &str = "Orchestrator-Attempt";

impl Trusted {
    /// Lands: commits the tree on the tip that it was built on, and makes that the target's tip, unless the target has
    /// moved. A landing that was done before, by us before a crash, is found and not done again.
    ///
    /// # Errors
    /// Only what keeps us from trying; a refusal is an outcome.
    pub async fn land(&self, landing: &Landing) -> Result<LandingOutcome, GitError> {
        // A remote is asked when it refuses: the lease tells whether it has moved. The person's own repository is asked first.
        if let Destination::Local = &self.destination
            && self.user.tip(self.target()).await? != landing.tip
            && let Some(outcome) = self.settled(landing).await?
        {
            return Ok(outcome);
        }
        let commit = self.commit(landing).await?;
        let kept = format!("refs/orchestrator/landings/{}/{}", landing.attempt.task, landing.attempt.number);
        self.set_ref(&kept, commit).await?;
        let outcome = match &self.destination {
            Destination::Remote { push_url, .. } => self.push(push_url, commit, landing).await?,
            Destination::Local => self.user.advance(self, &kept, commit, landing.tip).await?,
        };
        if let LandingOutcome::Landed { commit } = &outcome {
            self.set_tip(*commit).await?;
        }
        Ok(outcome)
    }

    async fn commit(&self, landing: &Landing) -> Result<CommitId, GitError> {
        let message = format!(
            "{}\n\nMerge of attempt {} at {}.\n\n{TASK}: {}\n{ATTEMPT}: {}\n{LANDING}: {}\n{RECORD}: sha256:{}\n",
            crate::model::clean(&landing.subject).replace('\n', " "),
            landing.attempt.number,
            landing.head.short(),
            landing.attempt.task,
            landing.attempt.number,
            landing.id,
            crate::model::ContentHash::of_json(&landing.acceptance),
        );
        let date = format!("@{} +0000", landing.at.0 / 1000);
        let call = self.call().var("GIT_AUTHOR_DATE", &date).var("GIT_COMMITTER_DATE", &date).args(["commit-tree"]);
        let call = call.args(self.identity.sign.then_some("-S"));
        let parents = ["-p".to_owned(), landing.tip.to_string(), "-p".to_owned(), landing.head.to_string()];
        let call = call.args(parents).args(["-F", "-"]).args([landing.tree.to_string()]).input(message);
        // Who signs may be asked for a passphrase.
        if self.identity.sign { call.reaches_out() } else { call }.id().await
    }

    /// The commit of the target's first-parent line, above the tip that the landing was built on, that bears its id and
    /// tree. Our trailers in any other commit mean nothing.
    async fn find_landing(&self, landing: &Landing, tip: CommitId) -> Result<Option<CommitId>, GitError> {
        let above = ["--first-parent".to_owned(), tip.to_string(), format!("^{}", landing.tip)];
        let found = commits(self.call(), &above).await?;
        let same = |known: &BranchCommit| known.landing.as_ref() == Some(&landing.id) && known.tree == landing.tree;
        Ok(found.into_iter().find(same).map(|known| known.commit))
    }

    /// Pushes with a lease on the tip that the commit was built on, so that nothing can be overwritten. What counts is what
    /// the remote has afterwards: a reply can be lost.
    async fn push(&self, url: &str, commit: CommitId, landing: &Landing) -> Result<LandingOutcome, GitError> {
        let target = self.target().full();
        let call = self.call().args(["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"]);
        let call = call.args([format!("--force-with-lease={target}:{}", landing.tip)]);
        let call = call.args(["--end-of-options".to_owned(), url.to_owned(), format!("{commit}:{target}")]);
        let answer = match call.reaches_out().answer().await {
            Ok(answer) => answer,
            Err(GitError::TimedOut { verb, after }) => Answer {
                exit: Exit::Code(128),
                stdout: Vec::new(),
                stderr: format!("`git {verb}` did not end within {} s", after.as_secs()),
                skipped: None,
            },
            Err(error) => return Err(error),
        };
        if answer.exit == Exit::Code(0) {
            return Ok(LandingOutcome::Landed { commit });
        }
        let refused = || LandingOutcome::Refused { reason: answer.stderr };
        Ok(self.settled(landing).await?.unwrap_or_else(refused))
    }

    /// What the target says of a landing, if it is no longer where that was built: that it was done, or that the target moved.
    async fn settled(&self, landing: &Landing) -> Result<Option<LandingOutcome>, GitError> {
        let tip = self.fetch_target().await?;
        if tip == landing.tip {
            return Ok(None);
        }
        let found = self.find_landing(landing, tip).await?;
        Ok(Some(found.map_or(LandingOutcome::TipMoved, |commit| LandingOutcome::Landed { commit })))
    }
}
