//! Taking in what a worker left: its head, its handoff, its artifacts (laws 3 and 6).

use std::{
    io::{self, Read as _},
    path::PathBuf,
    sync::PoisonError,
};

use super::{RunError, StoreError, host::Host};
use crate::{
    git::{GitError, IngressLimits, Trusted, Workspace},
    model::{
        Change, Collected, CommitId, Contract, Finding, Handoff, HandoffReport, KeptArtifact,
        MAX_HANDOFF, RepoPath, Severity, Submission,
    },
    port::{EvidenceError, Stored},
    untrusted::{directory, open_beneath},
};

/// The largest artifact that is kept whole, in bytes.
const MAX_ARTIFACT: u64 = 64 << 20;
/// What is kept of a raw stream, in bytes; the backend has cut it by then.
const MAX_STREAM: u64 = 16 << 20;
/// So many raw streams are kept of a turn.
const MAX_STREAMS: usize = 16;
/// Of uncommitted paths, so many are named.
const MAX_UNCOMMITTED: usize = 50;

/// The name of what belongs to a turn.
pub(super) fn turn_name(turn: u32) -> String {
    format!("turn-{turn}")
}

/// Where the backend of a turn leaves the raw streams: out of the worker's way.
pub(super) fn streams_dir(workspace: &Workspace, turn: u32) -> PathBuf {
    workspace.root().join("streams").join(turn_name(turn))
}

/// Where the worker of a turn leaves its handoff, beside its artifacts.
pub(super) fn handoff_path(workspace: &Workspace, turn: u32) -> PathBuf {
    workspace.out().join(turn_name(turn)).join("handoff.json")
}

/// A file of a turn, by its path in the workspace: from there on no link is followed.
fn in_workspace(directory: &str, turn: u32, name: &str) -> Option<RepoPath> {
    format!("{directory}/{}/{name}", turn_name(turn))
        .parse()
        .ok()
}

/// The handoff's.
fn handoff_file(turn: u32) -> RepoPath {
    in_workspace("out", turn, "handoff.json").expect("a relative path")
}

/// What the commits of a submission are.
struct History {
    /// How many.
    commits: u32,
    /// What they change together.
    changes: Vec<Change>,
    /// Those that claim to be landings.
    forged: Vec<CommitId>,
}

/// What a turn claims.
pub(super) struct LeftHandoff {
    report: HandoffReport,
    /// The bytes that it was read from; `None` where none could be.
    pub(super) kept: Option<KeptArtifact>,
}

impl LeftHandoff {
    fn unread(report: HandoffReport) -> Self {
        Self { report, kept: None }
    }
}

/// A head that was taken in.
struct Ingested {
    head: CommitId,
    /// The worker's head, where `head` is a commit of ours with the same tree.
    carried: Option<CommitId>,
    /// What only the worker's history had, and was left out with it.
    left_out: Vec<Finding>,
}

impl Host {
    /// Keeps what a turn said, whatever became of its work, beside what is kept of its handoff.
    pub(super) async fn keep_turn(
        &self,
        workspace: &Workspace,
        turn: u32,
        handoff: Option<&KeptArtifact>,
    ) -> Result<Vec<KeptArtifact>, StoreError<EvidenceError>> {
        let mut found = Vec::new();
        let streams = streams_dir(workspace, turn);
        let there = directory(&streams).is_ok();
        let mut entries: Vec<_> = std::fs::read_dir(streams)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|_| there)
            .collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries.into_iter().take(MAX_STREAMS) {
            let name = entry.file_name().into_string().ok();
            if let Some((name, path)) =
                name.and_then(|name| Some((name.clone(), in_workspace("streams", turn, &name)?)))
            {
                found.push((name, path));
            }
        }
        let mut kept = Vec::new();
        // One after another: flushes at one time wait for each other.
        for (name, path) in found {
            let Ok(file) = open_beneath(workspace.root(), &path) else {
                continue;
            };
            let stored = self.evidence.keep_file(file, MAX_STREAM).await?;
            kept.push(of_turn(turn, &name, &stored));
        }
        kept.extend(handoff.cloned());
        Ok(kept)
    }

    /// Keeps what a turn claims, and reads it from the very bytes that are kept.
    pub(super) async fn take_handoff(
        &self,
        workspace: &Workspace,
        turn: u32,
    ) -> Result<LeftHandoff, StoreError<EvidenceError>> {
        let bytes = match handoff_bytes(workspace, turn) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LeftHandoff::unread(HandoffReport::Missing));
            }
            Err(error) => {
                let reason = error.to_string();
                return Ok(LeftHandoff::unread(HandoffReport::Broken { reason }));
            }
        };
        let stored = self.evidence.keep(&bytes).await?;
        let report = match Handoff::parse(&bytes) {
            Ok(handoff) => HandoffReport::Read(handoff),
            Err(error) => HandoffReport::Broken {
                reason: error.to_string(),
            },
        };
        let kept = Some(of_turn(turn, "handoff.json", &stored));
        Ok(LeftHandoff { report, kept })
    }

    /// Takes in the work of an attempt, as it is after one of its turns.
    pub(super) async fn collect(
        &self,
        workspace: &Workspace,
        contract: &Contract,
        base: CommitId,
        turn: u32,
        left: &LeftHandoff,
    ) -> Result<Collected, RunError> {
        let handoff = left.report.clone();
        // Said of this turn, and of no later one.
        let said = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&workspace.attempt);
        match self.take_in(workspace, contract, base, turn).await {
            // That we have no room is no fault of the worker's: with room, its work is taken in.
            Err(error) if error.is_full() => Err(error.into()),
            Err(GitError::Refused { findings }) => Ok(Collected::Refused { findings }),
            Err(error) => Ok(Collected::Unusable {
                reason: error.to_string(),
            }),
            Ok(None) => {
                let uncommitted = workspace
                    .uncommitted(&self.trusted, base, MAX_UNCOMMITTED)
                    .await
                    .unwrap_or_default();
                // What cannot be read is not lost: the workspace stays, and says so.
                let (dirty, rescued) = match workspace
                    .rescue(&self.trusted, base, &self.policy.limits)
                    .await
                {
                    Ok(rescued) => (rescued.is_some(), rescued),
                    Err(_) => (!uncommitted.is_empty(), None),
                };
                let tree = self.trusted.tree_of(base)?;
                let rescued = rescued.map(|rescued| rescued.commit);
                Ok(Collected::Nothing {
                    base,
                    tree,
                    handoff,
                    said,
                    dirty,
                    uncommitted,
                    rescued,
                })
            }
            Ok(Some(mut submission)) => {
                submission.handoff = handoff;
                submission.handoff_hash = left.kept.as_ref().map(|kept| kept.hash);
                for name in &contract.artifacts {
                    match self.keep_artifact(workspace, turn, name).await? {
                        Ok(kept) => submission.artifacts.push(kept),
                        Err(why) => {
                            submission.findings.push(
                                Finding::new(Severity::Error, "artifact/missing", why)
                                    .at(name.clone()),
                            );
                        }
                    }
                }
                Ok(Collected::Work(submission))
            }
        }
    }

    /// The head and all that git says of it; `None` if there is no commit on top of the base.
    async fn take_in(
        &self,
        workspace: &Workspace,
        contract: &Contract,
        base: CommitId,
        turn: u32,
    ) -> Result<Option<Submission>, GitError> {
        let trusted = &self.trusted;
        let branch = workspace.attempt.branch();
        let Ingested {
            head,
            carried,
            left_out,
        } = self.ingest(workspace, contract, base, turn).await?;
        if head == base {
            return Ok(None);
        }
        let left = async || workspace.uncommitted(trusted, head, MAX_UNCOMMITTED).await;
        let has_modules = !workspace.placed().is_empty();
        let (history, left_beside) = if has_modules {
            (self.history(base, head).await, None)
        } else {
            let (history, left) = tokio::join!(self.history(base, head), left());
            (history, Some(left))
        };
        let History {
            commits,
            changes,
            forged,
        } = history?;
        let limits = IngressLimits::of(&self.policy.limits);
        let repository = workspace.repository();
        let mut findings = trusted
            .take_lfs(&repository, base, head, &changes, limits)
            .await?;
        findings.extend(left_out);
        findings.extend(self.moved_submodules(&changes).await);
        // What a submodule was moved to is fetched before it is compared with the files.
        let left = match left_beside {
            Some(left) => left,
            None => left().await,
        };
        if changes.is_empty() {
            findings.push(Finding::new(
                Severity::Error,
                "commit/empty",
                "there are commits, but no file differs from the base",
            ));
        }
        // Up to where the target is now: what was merged from it is ours.
        for commit in forged.into_iter().take(5) {
            let message = format!(
                "commit {} bears a trailer that only a landing bears; there it means nothing",
                commit.short()
            );
            findings.push(Finding::new(Severity::Warning, "commit/trailer", message));
        }
        if !workspace.on_branch() {
            let message =
                format!("the worktree is not on `{branch}`: what is elsewhere does not count");
            findings.push(Finding::new(Severity::Warning, "commit/branch", message));
        }
        let uncommitted = match left {
            Ok(paths) => paths,
            Err(error) => {
                findings.push(Finding::new(
                    Severity::Warning,
                    "commit/workspace",
                    format!("the workspace cannot be read: {error}"),
                ));
                Vec::new()
            }
        };
        if !uncommitted.is_empty() {
            let names: Vec<_> = uncommitted
                .iter()
                .take(5)
                .map(ToString::to_string)
                .collect();
            let message = format!(
                "left uncommitted, so that it does not count: {}",
                names.join(", ")
            );
            findings.push(Finding::new(
                Severity::Warning,
                "commit/uncommitted",
                message,
            ));
        }
        Ok(Some(Submission {
            base,
            head,
            carried,
            tree: trusted.tree_of(head)?,
            commits,
            changes,
            uncommitted,
            handoff: HandoffReport::Missing,
            handoff_hash: None,
            findings,
            artifacts: Vec::new(),
        }))
    }

    /// Takes the head in. Where only its history is refused, as for a large file that the head does
    /// not have any more, its tree comes in as one commit of ours: no turn is spent on it.
    async fn ingest(
        &self,
        workspace: &Workspace,
        contract: &Contract,
        base: CommitId,
        turn: u32,
    ) -> Result<Ingested, GitError> {
        let from = workspace.repository();
        let branch = workspace.attempt.branch();
        let keep = Trusted::keep_ref(&workspace.attempt, turn);
        let limits = IngressLimits::of(&self.policy.limits);
        let ingested = self.trusted.ingest(&from, &branch, &keep, base, limits);
        let findings = match ingested.await {
            Ok(head) => {
                return Ok(Ingested {
                    head,
                    carried: None,
                    left_out: Vec::new(),
                });
            }
            Err(GitError::Refused { findings }) => findings,
            Err(error) => return Err(error),
        };
        let subject = format!("{}: {}", workspace.attempt.task, contract.title);
        let tree = self
            .trusted
            .ingest_tree(&from, &branch, &keep, base, limits, &subject);
        // Whatever keeps it out, the first answer says what the worker can do.
        let Ok(Some((worker_head, head))) = tree.await else {
            return Err(GitError::Refused { findings });
        };
        let left_out = findings.into_iter().map(|finding| Finding {
            severity: Severity::Note,
            ..finding
        });
        Ok(Ingested {
            head,
            carried: Some(worker_head),
            left_out: left_out.collect(),
        })
    }

    /// What a head brings on top of its base.
    ///
    /// # Errors
    /// Where it cannot be told, or may not come in.
    async fn history(&self, base: CommitId, head: CommitId) -> Result<History, GitError> {
        let trusted = &self.trusted;
        if !trusted.contains(head, base).await? {
            let why = format!(
                "its head {} does not descend from its base {}: its history was rewritten; put the work back on the base: \
                 `git reset --soft {base}`, and commit again",
                head.short(),
                base.short()
            );
            return Err(GitError::Refused {
                findings: vec![Finding::new(Severity::Error, "commit/rewritten", why)],
            });
        }
        // A worker that has merged the target may have a newer one than we: what came from there is not its own. A remote that
        // does not answer now leaves us with what we know.
        let (commits, merges) = trusted.between(base, head).await?;
        if merges && let Err(error) = trusted.fetch_target().await {
            tracing::warn!(%error, "the target could not be fetched");
        }
        let own = trusted.begins_on(base, head).await?;
        let changes = trusted
            .changes(trusted.tree_of(own)?, trusted.tree_of(head)?)
            .await?;
        Ok(History {
            commits,
            changes,
            forged: trusted.forged(own, head).await?,
        })
    }

    /// Keeps an artifact of this turn, or of the latest before it that left one.
    async fn keep_artifact(
        &self,
        workspace: &Workspace,
        turn: u32,
        name: &RepoPath,
    ) -> Result<Result<KeptArtifact, String>, StoreError<EvidenceError>> {
        let place = |turn| {
            in_workspace("out", turn, &name.to_string()).expect("a relative path beneath another")
        };
        let found =
            (1..=turn)
                .rev()
                .find_map(|turn| match open_beneath(workspace.root(), &place(turn)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    other => Some(other),
                });
        let file = match found {
            None => {
                return Ok(Err(
                    "the contract asks for it, and it is not beside the handoff".to_owned(),
                ));
            }
            Some(Err(error)) => return Ok(Err(format!("it cannot be taken: {error}"))),
            Some(Ok(file)) => file,
        };
        let stored = self.evidence.keep_file(file, MAX_ARTIFACT).await?;
        if stored.truncated {
            return Ok(Err(format!("it has more than {MAX_ARTIFACT} bytes")));
        }
        Ok(Ok(KeptArtifact {
            name: name.clone(),
            hash: stored.hash,
            size: stored.size,
        }))
    }
}

/// The handoff of a turn, and no more of it than tells that it is too large.
fn handoff_bytes(workspace: &Workspace, turn: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_beneath(workspace.root(), &handoff_file(turn))?;
    file.take(MAX_HANDOFF + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Something that is kept of a turn, by a name of its own.
fn of_turn(turn: u32, name: &str, stored: &Stored) -> KeptArtifact {
    let name = format!("{}/{name}", turn_name(turn));
    KeptArtifact {
        name: name.parse().expect("a relative path"),
        hash: stored.hash,
        size: stored.size,
    }
}
