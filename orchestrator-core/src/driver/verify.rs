//! Whether a branch, the ledger and the evidence still tell one story.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

use crate::{
    git::{BranchCommit, Git, GitError, TARGET, UserRepository, first_parents},
    model::{
        AttemptId, BranchName, CommitId, ContentHash, Contract, Evidence, Item, Landing, Opinion,
        Record, Severity, TaskId,
    },
    port::{EvidenceStore, Ledger, LedgerEntry, LedgerError, Sequence},
    store::{FileEvidence, FileLedger},
};

/// A branch's first-parent line, each commit beside what we know of it. JSON, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Always 1.
    pub version: u32,
    /// The branch, or `target`.
    pub branch: String,
    /// Newest first.
    pub commits: Vec<CheckedCommit>,
    /// What the ledger says has landed and is not on this line.
    pub missing: Vec<String>,
}

/// One commit of the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedCommit {
    /// Which.
    pub commit: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// What it is.
    #[serde(flatten)]
    pub what: CommitKind,
}

/// What a commit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CommitKind {
    /// It bears no trailer of ours: somebody else's.
    Foreign,
    /// It bears one.
    Landing {
        /// Whose work it is, if the ledger knows.
        attempt: Option<AttemptId>,
        /// The hash in its trailer.
        record: Option<String>,
        /// What is missing or was altered; none: its record is complete, and as it was.
        faults: Vec<String>,
    },
}

/// Why nothing could be verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The branch cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The ledger cannot be read: it was altered, say.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Verification {
    /// Whether nothing is missing or altered.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let sound = |commit: &CheckedCommit| match &commit.what {
            CommitKind::Foreign => true,
            CommitKind::Landing { faults, .. } => faults.is_empty(),
        };
        self.missing.is_empty() && self.commits.iter().all(sound)
    }
}

/// Compares a branch of the person's repository (or, for `None`, the target as it was last seen) with the ledger and the
/// evidence in a state directory. Writes nothing, and works beside a running orchestrator.
///
/// For each commit with our trailers: the ledger has that landing, with these parents and this tree, and says that it landed; the
/// record's hash is the one in the trailer; the record's own parts fit together; each file that it names is in the evidence
/// store, and is what its hash says. Hashes detect; they prevent nothing: whoever can write the branch and the state
/// directory can make up both.
///
/// # Errors
/// [`VerifyError`] when branch or ledger cannot be read.
pub async fn verify(
    repository: &UserRepository,
    git: &Git,
    state_dir: &Path,
    branch: Option<&BranchName>,
) -> Result<Verification, VerifyError> {
    let entries = FileLedger::new(state_dir.join("ledger"))
        .read(Sequence(1), usize::MAX)
        .await?;
    let history = match branch {
        None => first_parents(git, &state_dir.join("trusted.git"), TARGET).await?,
        Some(branch) => first_parents(git, repository.git_dir(), &branch.full()).await?,
    };
    let known = Known::of(&entries);
    let evidence = FileEvidence::new(state_dir.join("evidence"));
    let mut commits = Vec::new();
    for commit in &history {
        let landing = commit.claims_to_be_a_landing();
        let what = if landing {
            known.check(commit, &evidence).await
        } else {
            CommitKind::Foreign
        };
        commits.push(CheckedCommit {
            commit: commit.commit,
            subject: commit.subject.clone(),
            what,
        });
    }
    let there: HashSet<CommitId> = history.iter().map(|commit| commit.commit).collect();
    let missing = known
        .landed
        .iter()
        .filter(|(_, commit)| !there.contains(commit));
    let missing = missing
        .map(|(attempt, commit)| {
            format!("{attempt} landed as {commit}, which is not on this branch")
        })
        .collect();
    let branch = branch.map_or("target".to_owned(), ToString::to_string);
    Ok(Verification {
        version: 1,
        branch,
        commits,
        missing,
    })
}

/// What the ledger knows of landings.
#[derive(Default)]
struct Known<'a> {
    contracts: BTreeMap<&'a AttemptId, &'a Contract>,
    /// By the landing's id.
    intents: BTreeMap<&'a str, &'a Landing>,
    landed: BTreeMap<&'a AttemptId, CommitId>,
    /// Landings that a rewritten target has as other commits: with the same patch, but not
    /// necessarily with the same parents and tree.
    moved: HashSet<CommitId>,
}

impl<'a> Known<'a> {
    fn of(entries: &'a [LedgerEntry]) -> Self {
        let mut known = Self::default();
        for entry in entries {
            match &entry.record {
                Record::Dispatched {
                    attempt, contract, ..
                } => drop(known.contracts.insert(attempt, contract)),
                Record::Accepted { landing } => drop(known.intents.insert(&landing.id, landing)),
                Record::Landed { attempt, commit } => drop(known.landed.insert(attempt, *commit)),
                Record::LandingMoved { task, commit } => known.moved(task, *commit),
                Record::Reopened { task, .. } => known.moved(task, None),
                _ => {}
            }
        }
        known
    }

    /// The landing of a task is another commit now, or is no longer asked for.
    fn moved(&mut self, task: &TaskId, commit: Option<CommitId>) {
        let last = self
            .landed
            .keys()
            .copied()
            .rfind(|attempt| attempt.task == *task);
        let Some(attempt) = last else { return };
        self.landed.remove(attempt);
        if let Some(commit) = commit {
            self.landed.insert(attempt, commit);
            self.moved.insert(commit);
        }
    }

    async fn check(&self, commit: &BranchCommit, evidence: &FileEvidence) -> CommitKind {
        let record = commit.record.clone();
        let id = commit.landing.as_deref().unwrap_or("none");
        let Some(landing) = self.intents.get(id) else {
            return CommitKind::Landing {
                attempt: None,
                record,
                faults: vec![format!("the ledger knows no landing `{id}`")],
            };
        };
        let acceptance = &landing.acceptance;
        let hash = ContentHash::of_json(acceptance);
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        check(
            record.as_deref() == Some(&format!("sha256:{hash}")),
            "its trailer has another hash than its record",
        );
        let moved = self.moved.contains(&commit.commit);
        check(
            moved || commit.tree == landing.tree,
            "its tree is not the one that was gated",
        );
        let parents = landing.parents();
        check(
            moved || commit.parents == parents,
            "its parents are not the ones that were recorded",
        );
        check(
            self.landed.get(&landing.attempt) == Some(&commit.commit),
            "the ledger does not say that it landed",
        );
        match self.contracts.get(&landing.attempt) {
            None => faults.push("its contract is not in the ledger".to_owned()),
            Some(contract) => faults.extend(inconsistent(landing, contract)),
        }
        let mut kept = vec![("its record".to_owned(), hash)];
        kept.extend(acceptance.gates.iter().map(|report| {
            (
                format!("what gate `{}` printed", report.gate.name),
                report.output,
            )
        }));
        kept.extend(
            acceptance
                .artifacts
                .iter()
                .map(|artifact| (format!("artifact `{}`", artifact.name), artifact.hash)),
        );
        let proofs = acceptance
            .observations
            .iter()
            .filter_map(|seen| seen.artifact.as_ref());
        kept.extend(proofs.map(|artifact| {
            (
                format!("what was brought as a proof, `{}`", artifact.name),
                artifact.hash,
            )
        }));
        for (what, hash) in kept {
            if let Err(why) = is_there(evidence, hash).await {
                faults.push(format!("{what} {why}"));
            }
        }
        CommitKind::Landing {
            attempt: Some(landing.attempt.clone()),
            record,
            faults,
        }
    }
}

/// What in a record does not fit together.
fn inconsistent(landing: &Landing, contract: &Contract) -> Vec<String> {
    let acceptance = &landing.acceptance;
    let mut faults = Vec::new();
    let same = (acceptance.head, acceptance.tip, acceptance.tree)
        == (landing.head, landing.tip, landing.tree);
    if !same || acceptance.attempt != landing.attempt {
        faults.push("its record speaks of another commit".to_owned());
    }
    if acceptance.contract != contract.hash() {
        faults.push("its record names another contract".to_owned());
    }
    for gate in &contract.gates {
        let green = acceptance
            .gates
            .iter()
            .any(|report| report.gate == *gate && report.tree == landing.tree && report.passed());
        if !green {
            faults.push(format!(
                "no green report of gate `{}` on its tree",
                gate.name
            ));
        }
    }
    let waived = |item: Item| item.is_waived_by(&acceptance.waivers);
    for claim in &contract.claims {
        let evidence = Evidence::of(
            claim,
            &acceptance.claimed,
            &acceptance.gates,
            &acceptance.observations,
        );
        if !evidence.label().is_direct() && !waived(Item::Claim(claim.id.clone())) {
            faults.push(format!("claim `{}` is neither proven nor waived", claim.id));
        }
    }
    if acceptance.reviews.is_empty() && landing.head != landing.tip {
        faults.push("nobody reviewed it".to_owned());
    }
    for review in &acceptance.reviews {
        if review.commit != landing.head {
            faults.push(format!(
                "reviewer `{}` looked at another commit",
                review.reviewer
            ));
        }
        let open = review
            .findings()
            .iter()
            .filter(|finding| finding.severity == Severity::Error && review.by_agent.is_none());
        for finding in open.filter(|finding| !waived(Item::Finding(finding.id()))) {
            faults.push(format!(
                "nobody waived what `{}` found: {finding}",
                review.reviewer
            ));
        }
        let silent = matches!(review.opinion, Opinion::Unavailable { .. });
        if silent && review.by_agent.is_none() && !waived(Item::Reviewer(review.reviewer.clone())) {
            faults.push(format!(
                "reviewer `{}` could not look, and nobody waived that",
                review.reviewer
            ));
        }
    }
    faults
}

/// Whether the store has it, and it is what its hash says.
async fn is_there(evidence: &FileEvidence, hash: ContentHash) -> Result<(), String> {
    let mut content = evidence
        .open(hash)
        .await
        .map_err(|_| format!("is not in the evidence store (sha256:{hash})"))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let read = content
            .read(&mut buffer)
            .await
            .map_err(|error| format!("cannot be read: {error}"))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let is = ContentHash::from_bytes(hasher.finalize().into());
    if is == hash {
        Ok(())
    } else {
        Err(format!("was altered: sha256:{hash} is now sha256:{is}"))
    }
}
