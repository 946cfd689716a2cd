//! What reviewers see and say, and what the machine makes of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BackendName, BlobId, Carried, CommitId, ContentHash, FindingId, Handoff, Question, RepoPath,
    ReviewerChoice, TreeId, TurnUsage,
};

/// How much a finding weighs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; kept in the record.
    Note,
    /// Wrong, but no reason to send the work back.
    Warning,
    /// The work goes back.
    Error,
}

/// One thing that a reviewer found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that it offends, such as `paths/forbidden`. The same thing has the same rule and path in the next round.
    pub rule: String,
    /// The path that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// The line, counted from 1, in the file as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong and, where it can be said, the mend.
    pub message: String,
    /// The commit that has it, where the head does not have it any more: it would be pushed with the history all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<CommitId>,
}

impl Finding {
    /// A finding about the whole submission.
    pub fn new(severity: Severity, rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            path: None,
            line: None,
            severity,
            message: message.into(),
            history: None,
        }
    }

    /// By this the same thing is known again in the next round: the beginning of the SHA-256 of rule and path, and of whether only
    /// the history has it. Neither the words nor the line are in it, nor which commit it is.
    #[must_use]
    pub fn id(&self) -> FindingId {
        let hash = match self.history {
            None => ContentHash::of_json(&(&self.rule, &self.path)),
            Some(_) => ContentHash::of_json(&("history", &self.rule, &self.path)),
        };
        let [a, b, c, d, ..] = hash.as_bytes();
        FindingId(u32::from_be_bytes([*a, *b, *c, *d]))
    }

    /// A finding about one path.
    #[must_use]
    pub fn at(mut self, path: RepoPath) -> Self {
        self.path = Some(path);
        self
    }

    /// On one line of it.
    #[must_use]
    pub fn on(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// Only in the history, in this commit; the mend is one commit on top of `onto`.
    #[must_use]
    pub fn only_in(mut self, commit: CommitId, onto: CommitId) -> Self {
        self.history = Some(commit);
        let (at, why) = (commit.short(), &self.message);
        self.message = format!(
            "{why}; commit {at} has it, and what a later commit takes away again is still pushed with the history: \
             `git reset --soft {onto}`, and commit again"
        );
        self
    }
}

/// Whether what sends the work back is found in its history alone: the head's own tree would pass.
#[must_use]
pub fn only_history(findings: &[Finding]) -> bool {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .peekable();
    errors.peek().is_some() && errors.all(|error| error.history.is_some())
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.rule)?;
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{path}:{line}: ")?,
            (Some(path), None) => write!(f, "{path}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

/// What one reviewer says of one commit. Findings only: what follows from them is the machine's to decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// The reviewer's name.
    pub reviewer: String,
    /// The commit that was looked at, and no other.
    pub commit: CommitId,
    /// What it says.
    pub opinion: Opinion,
    /// For an agent: what it cost. What an agent says is an opinion, and counts as far as the policy lets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_agent: Option<AgentReview>,
}

/// That a review was an agent's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentReview {
    /// Which agent.
    pub agent: BackendName,
    /// How it stands to the agent whose work it looked at; `None` where nobody has compared them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<ReviewerChoice>,
    /// What its turn has used.
    pub usage: TurnUsage,
    /// Whether it says that the change is all that the task wants; `None` where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
}

impl Review {
    /// What a reviewer that is no agent says.
    #[must_use]
    pub fn new(reviewer: impl Into<String>, commit: CommitId, opinion: Opinion) -> Self {
        Self {
            reviewer: reviewer.into(),
            commit,
            opinion,
            by_agent: None,
        }
    }

    /// For an agent: that its word is an opinion, and how it stands to the agent whose work it is, in
    /// brackets. Empty for what is no agent.
    #[must_use]
    pub fn standing(&self) -> String {
        let Some(by_agent) = &self.by_agent else {
            return String::new();
        };
        match &by_agent.choice {
            None | Some(ReviewerChoice::Other) => " (an opinion: proxy)".to_owned(),
            Some(choice) => format!(" (an opinion: proxy; {choice})"),
        }
    }

    /// What was found; nothing where it could not look.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match &self.opinion {
            Opinion::Looked { findings } => findings,
            Opinion::Unavailable { .. } => &[],
        }
    }
}

/// The outcome of one reviewer's look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// It looked; no findings is the best that it can say.
    Looked {
        /// What it found.
        findings: Vec<Finding>,
    },
    /// It could not look. Neither approval nor rejection.
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// How one path differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it is now, or was, if it is gone.
    pub path: RepoPath,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it was before; `None` if it was not.
    pub old: Option<Entry>,
    /// What it is now; `None` if it is gone.
    pub new: Option<Entry>,
}

impl Change {
    /// The paths that a contract must permit: for a rename, both sides.
    pub fn touched(&self) -> impl Iterator<Item = &RepoPath> {
        let from = match &self.kind {
            ChangeKind::Renamed { from } => Some(from),
            ChangeKind::Added | ChangeKind::Deleted | ChangeKind::Modified => None,
        };
        from.into_iter().chain([&self.path])
    }
}

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content, mode or type differs.
    Modified,
    /// It was elsewhere, with the same or similar content.
    Renamed {
        /// Where it was.
        from: RepoPath,
    },
}

/// What commits before the head did that the difference between base and head does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastChanges {
    /// The commit of the target that the worker's own commits are on: one commit on top of it has no other history.
    pub onto: CommitId,
    /// Oldest first, each only once.
    pub changes: Vec<PastChange>,
}

/// A path as it was in a commit before the head, where neither the base nor the head has it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastChange {
    /// The first commit that had it so.
    pub commit: CommitId,
    /// How the path differs there from the base.
    pub change: Change,
}

/// The names of a tree, and where its symbolic links point: what is judged of a tree as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeShape {
    /// All files, links and submodules, in order.
    pub paths: Vec<RepoPath>,
    /// The links among them, each with its text. One whose text no file system takes has none.
    pub links: BTreeMap<RepoPath, Vec<u8>>,
}

/// One side of a changed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// What kind of thing it is.
    pub mode: Mode,
    /// Its content; for a submodule, the commit that it points to.
    pub id: BlobId,
}

/// What kind of thing a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A file.
    File,
    /// A file with the executable bit.
    Executable,
    /// A symbolic link; its content is where it points.
    Symlink,
    /// Another repository.
    Submodule,
}

/// What git says of an attempt when its turn is over. Everything here was recomputed by us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The commit that the work begins after: the attempt's base, or the tip that we committed it on.
    pub base: CommitId,
    /// The attempt's head, in our own repository.
    pub head: CommitId,
    /// The worker's own head, where `head` is a commit of ours with its changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<CommitId>,
    /// The head's tree.
    pub tree: TreeId,
    /// How many commits lie between the base and the head, merges included.
    pub commits: u32,
    /// How the head's tree differs from its merge base with the target's tip at that time: what is the worker's own.
    pub changes: Vec<Change>,
    /// Files in the workspace that the head does not have, or has otherwise: work that would be lost.
    pub uncommitted: Vec<RepoPath>,
    /// The worker's claims.
    pub handoff: HandoffReport,
    /// The SHA-256 of the bytes that they were read from, which the evidence store has; `None` where
    /// there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_hash: Option<ContentHash>,
    /// What was noticed while collecting, such as a detached HEAD or a missing artifact.
    pub findings: Vec<Finding>,
    /// Artifacts kept, by name.
    pub artifacts: Vec<KeptArtifact>,
}

impl Submission {
    /// The head that the worker made.
    #[must_use]
    pub fn worker_head(&self) -> CommitId {
        self.carried.unwrap_or(self.head)
    }

    /// The same work as a commit of ours, which has no history of its own.
    #[must_use]
    pub fn as_carried(&self, carried: Carried) -> Self {
        let Carried {
            onto,
            head,
            tree,
            changes,
            left_out,
        } = carried;
        let mut findings = self.findings.clone();
        findings.retain(|finding| finding.history.is_none());
        findings.extend(left_out.into_iter().map(|finding| Finding {
            severity: Severity::Note,
            ..finding
        }));
        Self {
            base: onto,
            head,
            carried: Some(self.worker_head()),
            tree,
            commits: 1,
            changes,
            findings,
            ..self.clone()
        }
    }
}

/// The handoff as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists per submission, and nearly always the large one"
)]
pub enum HandoffReport {
    /// There is none.
    Missing,
    /// It cannot be read.
    Broken {
        /// Why.
        reason: String,
    },
    /// It was read. Still claims.
    Read(Handoff),
}

/// A declared artifact, kept by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptArtifact {
    /// As the contract names it.
    pub name: RepoPath,
    /// Of the bytes that were kept.
    pub hash: ContentHash,
    /// In bytes.
    pub size: u64,
}

/// What the machine derives from reviews, gates and evidence, for one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may land.
    Accept,
    /// It goes back to its worker.
    Revise {
        /// What is to be mended.
        findings: Vec<Finding>,
    },
    /// It will not land: another attempt may do better.
    Reject {
        /// The findings that led to it.
        findings: Vec<Finding>,
    },
    /// Its worker gave up: another attempt may do better.
    GaveUp {
        /// What the worker says.
        said: Option<String>,
    },
    /// Its worker cannot go on: a person must help.
    Blocked {
        /// What the worker says.
        said: Option<String>,
    },
    /// A person must say.
    Escalate(Box<Question>),
}
