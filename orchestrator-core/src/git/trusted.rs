//! `trusted.git`: our own bare repository, in which everything is pinned, reviewed and merged.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use tokio::sync::Mutex;

use super::{
    Git, GitError, Identity, Objects, UserRepository,
    cli::{Call, absolute, io_error},
    config::{self, Filters},
    followed::Followed,
    history::{commits, may_claim_to_be_a_landing},
    lfs::Lfs,
    rewritten::Ancestry,
    settings::{Logins, Settings},
    trouble::why_unreachable,
    user::Destination,
};
use crate::{
    model::{
        AttemptId, BranchName, Change, ChangeKind, CommitId, Entry, Filter, Mode, RepoPath, TreeId,
        TreeShape,
    },
    process::{Exit, MARK_VARIABLE},
};

/// The target's tip, as last fetched.
pub const TARGET: &str = "refs/orchestrator/target";
/// The target's tip as the last fetch brought it, before it counts as [`TARGET`].
const FETCHED: &str = "refs/orchestrator/fetched";
/// What the person's repository had, for as long as the target is fetched for the first time.
pub(super) const SEED: &str = "refs/orchestrator/seed";

/// What merging two commits gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// A tree.
    Clean(TreeId),
    /// Paths that both sides changed.
    Conflict(Vec<RepoPath>),
}

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
    target: BranchName,
    /// What its processes bear, so that the next run finds those that outlive this one.
    mark: Option<String>,
    objects: Objects,
    followed: Arc<std::sync::Mutex<Followed>>,
    /// Held while the target's ref is written: git fails rather than waits when two do it at once.
    target_ref: Arc<Mutex<()>>,
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

    /// Its directory.
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

    /// Who commits.
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
        // History that is the person's own is taken as it is; only what workers bring is checked.
        let call = self.call().args([
            "-c",
            "fetch.fsckObjects=false",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
        ]);
        let call = call
            .args(["--no-recurse-submodules", "--no-auto-maintenance"])
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

    /// The commit that a ref of ours names.
    ///
    /// # Errors
    /// When there is no such ref.
    pub fn commit_of(&self, reference: &str) -> Result<CommitId, GitError> {
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

    /// Whether one commit contains the other.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn contains(&self, commit: CommitId, ancestor: CommitId) -> Result<bool, GitError> {
        let followed = Arc::clone(&self.followed);
        let look = move |objects: &Objects| {
            if objects.named(TARGET)? == Some(commit) {
                let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
                followed.follow(objects, commit)?;
                if followed.has(ancestor) {
                    return Ok(true);
                }
            }
            Ok(objects.line(ancestor, commit)?.is_some())
        };
        // gix was seen to miss an ancestor where commits have been made within one second.
        let ask = || {
            self.call()
                .args(["merge-base", "--is-ancestor"])
                .args([ancestor.to_string(), commit.to_string()])
        };
        Ok(self.look(look).await? || ask().holds().await?)
    }

    /// The best common ancestor of the target's tip and a commit; `None` if they have none.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn branched_off(
        &self,
        tip: CommitId,
        commit: CommitId,
    ) -> Result<Option<CommitId>, GitError> {
        let followed = Arc::clone(&self.followed);
        let look = move |objects: &Objects| {
            let mut followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.follow(objects, tip)?;
            followed.branched_off(objects, commit)
        };
        if let Some(known) = self.look(look).await? {
            return Ok(Some(known));
        }
        self.merge_base(tip, commit).await
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

    /// How two trees differ, with renames. What is a rename only git knows; where nothing is gone, or nothing is new, there is none.
    ///
    /// # Errors
    /// When one cannot be read, or as `git diff-tree`.
    pub async fn changes(&self, old: TreeId, new: TreeId) -> Result<Vec<Change>, GitError> {
        let changes = self
            .look(move |objects| objects.differences(old, new))
            .await?;
        let any = |kind| changes.iter().any(|change| change.kind == kind);
        if !(any(ChangeKind::Added) && any(ChangeKind::Deleted)) {
            return Ok(changes);
        }
        let call = self.call().args([
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "-M",
            "--full-index",
            "--no-ext-diff",
            "--no-textconv",
        ]);
        let listed = call
            .args([old.to_string(), new.to_string()])
            .bytes()
            .await?;
        parse_raw(&listed).ok_or_else(|| GitError::Output {
            verb: "diff-tree".to_owned(),
            what: "no raw format".to_owned(),
        })
    }

    /// The names and links of two trees.
    ///
    /// # Errors
    /// When one cannot be read.
    pub async fn shapes(&self, before: TreeId, after: TreeId) -> Result<[TreeShape; 2], GitError> {
        self.look(move |objects| Ok([objects.shape(before)?, objects.shape(after)?]))
            .await
    }

    /// The difference in one path, as a unified diff.
    ///
    /// # Errors
    /// As `git diff-tree`.
    pub async fn diff(
        &self,
        old: CommitId,
        new: CommitId,
        path: &RepoPath,
    ) -> Result<Vec<u8>, GitError> {
        let call = self.call().args([
            "--literal-pathspecs",
            "diff-tree",
            "-r",
            "-p",
            "--no-ext-diff",
            "--no-textconv",
            "--no-commit-id",
        ]);
        call.args([old.to_string(), new.to_string(), "--".to_owned()])
            .args([path.to_path()])
            .bytes()
            .await
    }

    /// Merges two commits, touching nothing but objects.
    ///
    /// # Errors
    /// As `git merge-tree`; conflicts are no error.
    pub async fn merge(&self, tip: CommitId, head: CommitId) -> Result<Merge, GitError> {
        let call = self.call().args([
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
        ]);
        let answer = call
            .args([tip.to_string(), head.to_string()])
            .answer()
            .await?;
        let mut parts = split_nul(&answer.stdout);
        let tree = parts
            .next()
            .and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        let mut paths: Vec<_> = parts
            .filter_map(|path| RepoPath::from_bytes(path).ok())
            .collect();
        paths.dedup();
        match (answer.exit, tree) {
            (Exit::Code(0), Some(tree)) => Ok(Merge::Clean(tree)),
            (Exit::Code(1), Some(_)) => Ok(Merge::Conflict(paths)),
            (Exit::Code(_) | Exit::Signal(_), _) => Err(answer.failed("merge-tree")),
        }
    }

    /// Refs of ours at or beneath this one, by their numbers.
    ///
    /// # Errors
    /// When refs cannot be read.
    pub fn refs(&self, prefix: &str) -> Result<Vec<String>, GitError> {
        let mut names: Vec<_> = self
            .objects
            .refs(prefix)?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let number = |name: &String| {
            name.rsplit_once('/')
                .and_then(|(_, last)| last.parse::<u32>().ok())
        };
        names.sort_by_key(|name| (number(name), name.clone()));
        Ok(names)
    }

    /// Deletes refs of ours.
    ///
    /// # Errors
    /// When they cannot be read, or removed.
    pub async fn forget(&self, prefix: &str) -> Result<(), GitError> {
        for (name, id) in self.objects.refs(prefix)? {
            self.delete_ref(&name, id).await?;
        }
        Ok(())
    }
}

/// Parts that each end with a NUL.
pub(super) fn split_nul(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
}

/// The raw format of git-diff-tree(1) with `-z`: `:old-mode new-mode old-id new-id status NUL path NUL [path NUL]`.
fn parse_raw(listed: &[u8]) -> Option<Vec<Change>> {
    let mut parts = split_nul(listed);
    let mut changes = Vec::new();
    while let Some(head) = parts.next() {
        let fields: Vec<_> = std::str::from_utf8(head)
            .ok()?
            .strip_prefix(':')?
            .split(' ')
            .collect();
        let [old_mode, new_mode, old_id, new_id, status] = fields[..] else {
            return None;
        };
        let path = RepoPath::from_bytes(parts.next()?).ok()?;
        let (kind, path) = match status.as_bytes().first()? {
            b'A' => (ChangeKind::Added, path),
            b'D' => (ChangeKind::Deleted, path),
            b'M' | b'T' => (ChangeKind::Modified, path),
            b'R' => (
                ChangeKind::Renamed { from: path },
                RepoPath::from_bytes(parts.next()?).ok()?,
            ),
            _ => return None,
        };
        changes.push(Change {
            path,
            kind,
            old: entry(old_mode, old_id)?,
            new: entry(new_mode, new_id)?,
        });
    }
    Some(changes)
}

/// `None` for a side that is not a thing we know; `Some(None)` for one that is not there.
fn entry(mode: &str, id: &str) -> Option<Option<Entry>> {
    let mode = match mode {
        "000000" => return Some(None),
        "100644" | "100664" => Mode::File,
        "100755" => Mode::Executable,
        "120000" => Mode::Symlink,
        "160000" => Mode::Submodule,
        _ => return None,
    };
    Some(Some(Entry {
        mode,
        id: id.parse().ok()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_differences_are_read_with_any_name() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let listed = format!(
            ":000000 100755 {zero} {one} A\0new\nline\0:120000 160000 {one} {one} T\0a\0:100644 100644 {one} {one} R087\0old\0new\0"
        );
        let changes = parse_raw(listed.as_bytes()).expect("parses");
        let kinds: Vec<_> = changes
            .iter()
            .map(|change| (change.path.to_string(), change.new.map(|new| new.mode)))
            .collect();
        let expected = [
            ("new\\x0aline", Mode::Executable),
            ("a", Mode::Submodule),
            ("new", Mode::File),
        ];
        assert_eq!(
            kinds,
            expected.map(|(path, mode)| (path.to_owned(), Some(mode)))
        );
        assert_eq!(
            changes[2]
                .touched()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["old", "new"]
        );
        assert_eq!(parse_raw(b":100644 nonsense"), None);
    }
}
