//! What a person is asked about, and the question in words.

use serde::{Deserialize, Serialize};

use super::{
    Approval, AttemptId, BackendName, CommitId, EndCause, FindingId, GateName, GateOutcome,
    HoldItem, Lacking, PrivilegedPath, Refusal, RepoPath, Trouble, TurnEnd, UsedUp,
};

/// Changed paths of the person's that a question names.
const MOST_NAMED: usize = 5;

/// What a hold is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldReason {
    /// The contract asks for a person's approval.
    Approval(Approval),
    /// Claims that nothing here can prove directly: the items.
    Unproven,
    /// The person's checkout of the target has uncommitted changes. Ends by itself when they are gone.
    CheckoutDirty {
        /// Some of them.
        paths: Vec<RepoPath>,
    },
    /// The remote, or the repository, did not take the landing.
    LandingRefused(Refusal),
    /// A gate is red on the target's tip itself, so that nothing behind it can be judged. Ends by itself when the tip moves.
    TipRed {
        /// The tip.
        tip: CommitId,
        /// The gates that are red on it.
        gates: Vec<RedGate>,
    },
    /// The change touches files by which other tools are told what to do, and the contract does not name them.
    Authority {
        /// What it touches.
        paths: Vec<PrivilegedPath>,
    },
    /// The target has the attempt's work already, and it was not landed here: somebody pushed it past review.
    PastReview {
        /// The attempt.
        attempt: AttemptId,
        /// Its head.
        head: CommitId,
        /// The tip that has it.
        tip: CommitId,
    },
    /// The task had landed, and the target no longer has its commit: somebody rewrote the target.
    /// Ends by itself when the target has it again.
    LandingDropped {
        /// The commit by which it landed.
        commit: CommitId,
        /// The tip that does not have it.
        tip: CommitId,
    },
    /// The agent committed nothing, and says, or leaves open, that nothing has to be done.
    NothingToDo {
        /// What it says.
        said: Option<String>,
    },
    /// The worker says that it cannot go on.
    Blocked {
        /// What it says.
        said: Option<String>,
    },
    /// The candidate could not be built.
    MergeImpossible {
        /// Why.
        reason: String,
    },
    /// The agent asks.
    Question {
        /// What it asks.
        asked: String,
    },
    /// The agent's context is full before it commits anything.
    ContextFull {
        /// Attempts in a row that ended so.
        attempts: u32,
    },
    /// The prompt alone is more than the agent's model takes.
    PromptTooLong {
        /// What the agent says.
        said: String,
    },
    /// The agent, or its model, declined the task.
    Declined {
        /// What it says.
        said: String,
    },
    /// The agent reached a cap of its own before it committed anything.
    CapReached {
        /// Which.
        cap: String,
    },
    /// An agent cannot be used until a person has seen to it: all of its tasks wait.
    Agent {
        /// Which.
        agent: BackendName,
        /// Why.
        trouble: Trouble,
    },
    /// The session is cut off again and again before it commits anything.
    CutOff {
        /// How often in a row.
        times: u32,
        /// How its last turn ended.
        ended: TurnEnd,
    },
    /// Nobody has said that the work is complete.
    Incomplete {
        /// How its last turn ended.
        ended: TurnEnd,
    },
    /// Reviewers could not look: the items.
    Review,
    /// The same was found wrong again: another round of the same would change nothing.
    Repeated {
        /// By id; the items are all that was found.
        findings: Vec<FindingId>,
    },
    /// All attempts, or the budget of the task, are used up.
    Exhausted {
        /// What is used up.
        limit: UsedUp,
        /// How the last attempt ended.
        last: Box<EndCause>,
    },
}

/// A gate that fails on the target itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedGate {
    /// Its name.
    pub gate: GateName,
    /// How it ended.
    pub outcome: GateOutcome,
    /// What a checkout has that it did not see.
    #[serde(default, skip_serializing_if = "Lacking::is_nothing")]
    pub lacked: Lacking,
}

impl HoldReason {
    /// What is asked about these items, in words.
    #[must_use]
    pub fn question(&self, items: &[HoldItem]) -> String {
        match self {
            Self::Approval(Approval::Dispatch) => {
                "the contract asks for a person's approval before an agent starts".to_owned()
            }
            Self::Approval(Approval::Landing) => {
                "the contract asks for a person's approval before landing".to_owned()
            }
            Self::Unproven => format!(
                "may this land though not all of it is proven? {}",
                joined(items, "; ")
            ),
            Self::CheckoutDirty { paths } => format!(
                "the checkout of the target has uncommitted changes ({}): commit or stash them, and \
                 the run goes on",
                joined(&paths[..paths.len().min(MOST_NAMED)], ", ")
            ),
            Self::LandingRefused(refusal) => format!("the landing was refused: {refusal}"),
            Self::TipRed { tip, gates } => red_target(*tip, gates),
            Self::Authority { paths } => {
                let told = paths
                    .iter()
                    .map(|PrivilegedPath { path, kind }| format!("`{path}` ({kind})"));
                let told: Vec<_> = told.collect();
                format!(
                    "this changes what other tools are told to do, and the contract does not name \
                     it: {}",
                    told.join("; ")
                )
            }
            Self::PastReview { attempt, head, tip } => format!(
                "the target ({}) has {} of {attempt} already, and nobody landed it: it was pushed \
                 past review",
                tip.short(),
                head.short()
            ),
            Self::LandingDropped { commit, tip } => format!(
                "it had landed as {}, and the target at {} does not have it: somebody rewrote the \
                 target",
                commit.short(),
                tip.short()
            ),
            Self::NothingToDo { said: Some(said) } => {
                format!("the agent committed nothing; it says: {said}")
            }
            Self::NothingToDo { said: None } => {
                "the agent committed nothing; it does not say why".to_owned()
            }
            Self::Blocked { said } => format!(
                "the worker cannot go on: {}",
                said.as_deref().unwrap_or("no reason was given")
            ),
            Self::MergeImpossible { reason } => format!("the merge could not be built: {reason}"),
            Self::Question { asked } => format!("the agent asks: {asked}"),
            Self::ContextFull { attempts } => format!(
                "the agent's context was full before it committed anything, in {attempts} attempts \
                 in a row: split the task, shorten its text, or give it an agent whose model takes \
                 more"
            ),
            Self::PromptTooLong { said } => format!(
                "the prompt alone is too long for the agent's model: shorten the task's text, or \
                 give it an agent whose model takes more; it says: {said}"
            ),
            Self::Declined { said } => format!("the agent declined the task: {said}"),
            Self::CapReached { cap } => format!("the agent reached a cap of its own: {cap}"),
            Self::Agent { agent, trouble } => {
                format!(
                    "agent `{agent}`: {}",
                    trouble.with_its_end(None, false, None)
                )
            }
            Self::CutOff { times, ended } => format!(
                "the session was cut off {times} times in a row before it committed anything; the \
                 last time: {ended}"
            ),
            Self::Incomplete { ended } => {
                format!(
                    "nobody has said that the work is complete: {}",
                    cut_off(ended)
                )
            }
            Self::Review => joined(items, "; "),
            Self::Repeated { findings } => format!(
                "it was sent back over the same before ({}): {}",
                joined(findings, ", "),
                joined(items, "; ")
            ),
            Self::Exhausted { limit, last } => limit.with_last(last),
        }
    }
}

/// How the turn ended after which nobody said that the work is complete.
fn cut_off(ended: &TurnEnd) -> String {
    if ended.is_complete() {
        format!("turn {} ended without a handoff", ended.turn)
    } else {
        ended.in_words()
    }
}

fn red_target(tip: CommitId, gates: &[RedGate]) -> String {
    let names: Vec<_> = gates
        .iter()
        .map(|red| format!("`{}` ({})", red.gate, red.outcome))
        .collect();
    let mut question = format!(
        "the target itself is red at {}: {}; nothing can be judged on it until it is mended there",
        tip.short(),
        names.join(", ")
    );
    // A gate sees less than a checkout, in which a person has mostly seen it pass.
    for RedGate { gate, lacked, .. } in gates {
        if !lacked.is_nothing() {
            question = format!("{question}; gate `{gate}`: {lacked}");
        }
    }
    question
}

fn joined<T: ToString>(items: &[T], separator: &str) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(separator)
}
