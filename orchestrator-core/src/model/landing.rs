//! From an accepted head to a commit of the target (law 5).

use serde::{Deserialize, Serialize};

use super::{
    AttemptId, Change, ClaimedEvidence, CommitId, Completion, ContentHash, Failover, Finding,
    GateReport, Grant, KeptArtifact, Observation, Refusal, RepoPath, Review, Timestamp, TreeId,
    TurnEnd, Waiver,
};

/// The head merged into the target's tip, landing edits included: the very tree that is gated and lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The worker's head.
    pub head: CommitId,
    /// The target's tip that it was merged into.
    pub tip: CommitId,
    /// The tree of that tip.
    pub tip_tree: TreeId,
    /// The result.
    pub tree: TreeId,
    /// How the result differs from the tip, landing edits left out: judged against the contract again.
    pub changes: Vec<Change>,
}

/// Why there is no candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MergeFailure {
    /// Head and tip changed the same things.
    Conflict {
        /// The tip that it conflicts with.
        tip: CommitId,
        /// The paths in conflict.
        paths: Vec<RepoPath>,
    },
    /// The merge result offends the contract.
    Offends {
        /// How.
        findings: Vec<Finding>,
    },
    /// The target no longer has the commit that the work begins after. The work was committed anew
    /// on the tip, and nothing of what was dropped came with it.
    CarriedOver(Carried),
    /// The target contains the head already, and nobody landed it.
    PastReview {
        /// The tip that contains it.
        tip: CommitId,
    },
    /// The landing edits could not be made, or the target is gone.
    Impossible {
        /// Why.
        reason: String,
    },
    /// The remote could not be reached: nothing was learned.
    Unreachable {
        /// In git's words.
        reason: String,
    },
}

/// At which commit the repository of a gate's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateHead {
    /// A commit of the target.
    Tip(CommitId),
    /// A commit that is made for it, since nothing has landed yet.
    Merge {
        /// The target's tip.
        tip: CommitId,
        /// What was merged into it; the tip itself, if nothing was.
        head: CommitId,
    },
}

impl GateHead {
    /// The target's tip.
    #[must_use]
    pub fn tip(&self) -> CommitId {
        match self {
            Self::Tip(tip) | Self::Merge { tip, .. } => *tip,
        }
    }
}

/// An attempt's own changes, committed by us on another base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The tip that it was committed on: its only parent.
    pub onto: CommitId,
    /// The commit.
    pub head: CommitId,
    /// Its tree.
    pub tree: TreeId,
    /// How it differs from its parent.
    pub changes: Vec<Change>,
    /// What was wrong with commits of the worker's that it stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Finding>,
}

/// What an attempt that could not land leaves to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its head; kept, and readable from the next attempt's repository.
    pub head: CommitId,
    /// The target's tip that it did not fit, or its base: the next attempt's base contains it.
    pub tip: CommitId,
    /// What was in the way.
    pub obstacle: Obstacle,
}

/// Why work could not land.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// Both sides changed the same things.
    Conflict {
        /// The paths in conflict.
        paths: Vec<RepoPath>,
    },
    /// It ended before its work was finished; the head is what it left, committed or not, as we found it.
    Unfinished,
    /// They merge, and gates are red on the result.
    Gates {
        /// One for each red gate.
        findings: Vec<Finding>,
    },
}

/// All that an acceptance rests on. Its hash stands in the landed commit's trailer. Labels are not in it: they follow
/// from claims and reports whenever they are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Always 1.
    pub version: u32,
    /// What was accepted.
    pub attempt: AttemptId,
    /// Under which contract.
    pub contract: ContentHash,
    /// The worker's head: the landed commit's second parent. The tip, where nothing had to be done.
    pub head: CommitId,
    /// The target's tip before: the landed commit's first parent.
    pub tip: CommitId,
    /// The landed commit's tree.
    pub tree: TreeId,
    /// What reviewers said of the head.
    pub reviews: Vec<Review>,
    /// What gates said of the tree.
    pub gates: Vec<GateReport>,
    /// In place of which agent its contract's agent worked, and why; `None` for the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// How the last turn ended; `None` where a person let the task count without one.
    pub ended: Option<TurnEnd>,
    /// By whom the work was confirmed to be complete.
    pub completion: Option<Completion>,
    /// What the worker says that it has proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<ClaimedEvidence>,
    /// The SHA-256 of the worker's handoff, as the evidence store keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<ContentHash>,
    /// Artifacts that were kept.
    pub artifacts: Vec<KeptArtifact>,
    /// Risks that the worker named.
    pub residual_risks: Vec<String>,
    /// What a person approved on the way, in the order of the answers.
    pub approvals: Vec<Grant>,
    /// What a person let pass, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// What a person has seen for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observation>,
}

impl Acceptance {
    /// The bytes that are kept of it, and whose SHA-256 names it: compact JSON.
    ///
    /// # Panics
    /// Never: our own data has string keys and serialises.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our own data has string keys and serialises")
    }

    /// The name of its record in the evidence store, and in the landed commit's trailer.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(&self.to_bytes())
    }
}

/// One intent to land, recorded before it is tried. A commit of the target that bears its id and tree is the proof that
/// it was done (law 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Landing {
    /// Unique: run, attempt and effect.
    pub id: String,
    /// The first line of the commit's message.
    pub subject: String,
    /// What lands, and what it rests on; its hash stands in the commit's trailer.
    pub acceptance: Acceptance,
    /// The commit's date, so that trying again makes the same commit.
    pub at: Timestamp,
}

impl Landing {
    /// The parents of the commit. A landing that changes nothing but what the task's source asks for
    /// has the tip alone.
    #[must_use]
    pub fn parents(&self) -> Vec<CommitId> {
        let Acceptance { head, tip, .. } = self.acceptance;
        if head == tip {
            vec![tip]
        } else {
            vec![tip, head]
        }
    }
}

/// How trying to land went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LandingOutcome {
    /// The target contains it now.
    Landed {
        /// The merge commit.
        commit: CommitId,
    },
    /// The target had moved meanwhile: a new candidate is due.
    TipMoved,
    /// The remote, or the repository, did not take it.
    Refused(Refusal),
    /// The person's checkout of the target has uncommitted changes.
    CheckoutDirty {
        /// Some of them.
        paths: Vec<RepoPath>,
    },
    /// The remote could not be reached, and may have taken it or not: the same landing is tried again.
    Unreachable {
        /// In git's words.
        reason: String,
    },
}

/// The person's checkout of the target, where landing would touch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkout {
    /// Landing touches none: it is pushed, or the target is checked out nowhere.
    Untouched,
    /// It can be fast-forwarded.
    Clean,
    /// It has uncommitted changes to tracked files.
    Dirty {
        /// Some of them.
        paths: Vec<RepoPath>,
    },
}
