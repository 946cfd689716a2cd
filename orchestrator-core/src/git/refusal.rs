//! Why a landing failed: looked for in git's machine-readable output, in exit codes and in the files of a
//! repository. Git's sentences (with `LC_ALL=C`) decide only where it leaves nothing else.

use std::path::{Path, PathBuf};

use super::{GitError, Trusted, UserRepository, output::path_of, user::Destination};
use crate::model::{
    BranchName, CommitId, LandingOutcome, LandingPlace, Refusal, RefusalCause, RepoPath,
    with_source,
};

/// Of files that are in the way, so many are named.
const NAMED: usize = 20;

/// A move of the target that was tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved<'a> {
    pub(super) target: &'a BranchName,
    /// Where it was to be.
    pub(super) commit: CommitId,
    /// Where it was.
    pub(super) tip: CommitId,
    /// The checkout in which it was merged, if it came so far.
    pub(super) checkout: Option<&'a Path>,
}

impl<'a> Moved<'a> {
    pub(super) fn new(
        target: &'a BranchName,
        commit: CommitId,
        tip: CommitId,
        checkout: Option<&'a Path>,
    ) -> Self {
        Self {
            target,
            commit,
            tip,
            checkout,
        }
    }
}

impl Trusted {
    /// Where landings go.
    fn place(&self) -> LandingPlace {
        match &self.destination {
            Destination::Remote { name, .. } => LandingPlace::Remote(name.clone()),
            Destination::Local => self.user.place(),
        }
    }

    pub(super) fn refused(&self, cause: RefusalCause, words: &str) -> LandingOutcome {
        LandingOutcome::Refused(Refusal::new(cause, self.place()).with_words(words))
    }

    /// The landing's commit could not be made. What a person can fix is an outcome.
    pub(super) fn not_committed(&self, error: GitError) -> Result<LandingOutcome, GitError> {
        let words = match &error {
            GitError::Failed { stderr, .. } => stderr.clone(),
            GitError::TimedOut { .. } => error.to_string(),
            _ => return Err(error),
        };
        match storage_cause(&words) {
            None if self.identity.sign => Ok(self.refused(RefusalCause::Signing, &words)),
            _ => Err(error),
        }
    }

    /// What an error that kept a landing from being tried means to a person.
    #[must_use]
    pub fn refusal(&self, error: &GitError) -> Refusal {
        let words = with_source(error);
        // Where it happened is among the words: not always in the place where the landing was to go.
        if let GitError::NoTarget { missing, .. } = error {
            return Refusal::new(RefusalCause::TargetGone((**missing).clone()), self.place());
        }
        let io_cause = match error {
            GitError::Io { source, .. } => io_cause(source),
            _ => None,
        };
        let Some(cause) = io_cause.or_else(|| storage_cause(&words)) else {
            return Refusal::new(RefusalCause::Other, self.place()).with_words(&words);
        };
        let own = LandingPlace::Repository(self.dir().display().to_string());
        Refusal::new(cause, own).with_words(&words)
    }
}

impl UserRepository {
    /// Its path, as a person knows it.
    pub(super) fn place(&self) -> LandingPlace {
        let path = self.root().unwrap_or(self.git_dir());
        LandingPlace::Repository(path.display().to_string())
    }

    pub(super) fn refused(&self, cause: RefusalCause, words: &str) -> LandingOutcome {
        LandingOutcome::Refused(Refusal::new(cause, self.place()).with_words(words))
    }

    pub(super) async fn git_dir_of(&self, checkout: &Path) -> Result<PathBuf, GitError> {
        let call = self
            .git
            .call(checkout)
            .args(["rev-parse", "--absolute-git-dir"]);
        let printed = call.bytes().await?;
        Ok(path_of(printed.trim_ascii_end()))
    }

    /// What is known to be in the way of moving a branch before it is tried: an operation of git that is not finished
    /// on it, or a checkout whose directory is gone.
    pub(super) fn in_the_way(
        &self,
        branch: &BranchName,
        checkout: Option<&Path>,
    ) -> Option<LandingOutcome> {
        if let Some((operation, directory)) = self.unfinished(branch, checkout) {
            let place = LandingPlace::Repository(directory.display().to_string());
            let cause = RefusalCause::Unfinished { operation };
            return Some(LandingOutcome::Refused(Refusal::new(cause, place)));
        }
        let gone = checkout.filter(|checkout| !checkout.is_dir())?;
        let path = gone.display().to_string();
        Some(self.refused(RefusalCause::WorktreeGone { path }, ""))
    }

    /// Takes back what a merge that failed has checked out: only where the index is exactly the commit's tree, and
    /// git refuses to overwrite what the person changes meanwhile.
    pub(super) async fn put_back(&self, checkout: &Path, commit: CommitId, tip: CommitId) {
        let is_half_done = self
            .git
            .call(checkout)
            .args(["diff-index", "--cached", "--quiet"])
            .args([commit.to_string()])
            .args(["--"]);
        let on_target = self
            .git
            .call(checkout)
            .args(["rev-parse", "--verify", "HEAD"]);
        let head: Result<CommitId, GitError> = on_target.id().await;
        if head.ok() != Some(tip) || !is_half_done.holds().await.unwrap_or(false) {
            return;
        }
        let call = self.git.call(checkout).args(["read-tree", "-m", "-u"]);
        let call = call.args([commit.to_string(), tip.to_string()]);
        if let Err(error) = call.persons().run().await {
            tracing::warn!(%error, "what a failed merge had checked out could not be taken back");
        }
    }

    /// Why a move of a branch failed, of which git complained in these words.
    pub(super) async fn cause_of(&self, moved: &Moved<'_>, complaint: &str) -> RefusalCause {
        if let Some(cause) = storage_cause(complaint) {
            return cause;
        }
        // The words that git has for each hook that ends a transaction of refs.
        if complaint.contains("aborted by hook") {
            return RefusalCause::LocalHook;
        }
        let Some(checkout) = moved.checkout else {
            return RefusalCause::Other;
        };
        match self.branch_in(checkout).await {
            Ok(now) if now.as_ref() != Some(moved.target) => {
                return RefusalCause::CheckoutMoved { now };
            }
            Ok(_) | Err(_) => {}
        }
        self.files_in_the_way(checkout, moved)
            .await
            .unwrap_or(RefusalCause::Other)
    }

    /// The branch that is checked out there; `None` for a detached HEAD.
    async fn branch_in(&self, checkout: &Path) -> Result<Option<BranchName>, GitError> {
        let call = self
            .git
            .call(checkout)
            .args(["symbolic-ref", "--quiet", "HEAD"]);
        let answer = call.answer().await?;
        Ok(answer.text().parse().ok())
    }

    /// Files of the person's where a landing adds some. The checkout has no changes to tracked files, so whatever is
    /// there is untracked or ignored.
    async fn files_in_the_way(&self, checkout: &Path, moved: &Moved<'_>) -> Option<RefusalCause> {
        let call = self.git.call(checkout).args([
            "diff-tree",
            "-r",
            "-z",
            "--no-renames",
            "--name-only",
            "--diff-filter=AT",
        ]);
        let call = call.args([moved.tip.to_string(), moved.commit.to_string()]);
        let added = call.bytes().await.ok()?;
        let added = added.split(|byte| *byte == 0);
        let paths: std::collections::BTreeSet<RepoPath> = added
            .filter_map(|path| RepoPath::from_bytes(path).ok())
            .filter_map(|path| first_in_the_way(checkout, &path))
            .collect();
        let mut untracked = Vec::new();
        let mut ignored = Vec::new();
        for path in paths {
            if self.tracks_in(checkout, &path).await.ok()? {
                continue;
            }
            let call = self
                .git
                .call(checkout)
                .args(["check-ignore", "--quiet", "--"]);
            let list = match call.args([path.to_path()]).holds().await {
                Ok(true) => &mut ignored,
                Ok(false) | Err(_) => &mut untracked,
            };
            list.push(path);
        }
        untracked.truncate(NAMED);
        ignored.truncate(NAMED);
        match (untracked.is_empty(), ignored.is_empty()) {
            (false, _) => Some(RefusalCause::Untracked { paths: untracked }),
            (true, false) => Some(RefusalCause::Ignored { paths: ignored }),
            (true, true) => None,
        }
    }
}

/// What is in the place of a file that is to be added: something at its path, or a file at that of one of its
/// directories.
fn first_in_the_way(checkout: &Path, path: &RepoPath) -> Option<RepoPath> {
    let whole = path.to_path();
    let parents: Vec<&Path> = whole.ancestors().collect();
    for part in parents
        .into_iter()
        .rev()
        .filter(|part| !part.as_os_str().is_empty())
    {
        let meta = checkout.join(part).symlink_metadata().ok()?;
        if part == whole || !meta.is_dir() {
            return RepoPath::from_bytes(part.as_os_str().as_encoded_bytes()).ok();
        }
    }
    None
}

fn io_cause(error: &std::io::Error) -> Option<RefusalCause> {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(RefusalCause::NoSpace),
        ErrorKind::ReadOnlyFilesystem => Some(RefusalCause::ReadOnly),
        ErrorKind::PermissionDenied => Some(RefusalCause::Permission),
        _ => None,
    }
}

/// The system's own words (strerror(3) in the C locale), which git passes on.
fn storage_cause(words: &str) -> Option<RefusalCause> {
    let causes = [
        ("No space left on device", RefusalCause::NoSpace),
        ("Disk quota exceeded", RefusalCause::NoSpace),
        ("Read-only file system", RefusalCause::ReadOnly),
        ("Permission denied", RefusalCause::Permission),
        (
            "insufficient permission for adding",
            RefusalCause::Permission,
        ),
    ];
    let found = causes.into_iter().find(|(said, _)| words.contains(said));
    found.map(|(_, cause)| cause)
}
