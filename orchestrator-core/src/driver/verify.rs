//! Whether a branch, the ledger and the evidence still tell one story.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{StoreError, StoreLimits, fold::PAGE, keeper, recorder::read};
use crate::{
    git::{BranchCommit, Git, GitError, TARGET, UserRepository, absolute, first_parents},
    model::{
        Acceptance, AttemptId, BranchName, CommitId, ContentHash, Contract, Evidence, Item,
        Landing, Opinion, Record, Severity, TaskId,
    },
    port::{EvidenceError, EvidenceStore, Ledger, LedgerError, Sequence},
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
    Ledger(#[from] StoreError<LedgerError>),
    /// The evidence store cannot be read.
    #[error(transparent)]
    Evidence(#[from] StoreError<EvidenceError>),
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

/// The line of commits that is compared.
#[derive(Debug, Clone, Copy)]
pub enum VerifiedBranch<'a> {
    /// The target as an orchestrator saw it last, in its state directory.
    Target {
        /// The state directory.
        state_dir: &'a Path,
    },
    /// A branch of the person's repository.
    Of {
        /// The repository.
        repository: &'a UserRepository,
        /// The branch.
        name: &'a BranchName,
    },
}

impl VerifiedBranch<'_> {
    /// Its commits, newest first.
    async fn commits(&self, git: &Git) -> Result<Vec<BranchCommit>, GitError> {
        match self {
            Self::Target { state_dir } => {
                let trusted = absolute(state_dir).join("trusted.git");
                first_parents(git, &trusted, TARGET).await
            }
            Self::Of { repository, name } => {
                first_parents(git, repository.git_dir(), &name.full()).await
            }
        }
    }
}

impl fmt::Display for VerifiedBranch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { .. } => f.write_str("target"),
            Self::Of { name, .. } => name.fmt(f),
        }
    }
}

/// Compares a branch with a ledger and its evidence. Writes nothing, and works beside a running orchestrator.
///
/// For each commit with our trailers: the ledger has that landing, with these parents and this tree, and says that it landed; the
/// record's hash is the one in the trailer; the record's own parts fit together; each file that it names is in the evidence
/// store, and is what its hash says. Hashes detect; they prevent nothing: whoever can write the branch, the ledger and the evidence
/// can make up all three.
///
/// # Errors
/// [`VerifyError`] when branch, ledger or evidence cannot be read.
pub async fn verify(
    git: &Git,
    branch: VerifiedBranch<'_>,
    ledger: &dyn Ledger,
    evidence: &dyn EvidenceStore,
) -> Result<Verification, VerifyError> {
    let known = Known::of(ledger).await?;
    let history = branch.commits(git).await?;
    let mut commits = Vec::new();
    for commit in &history {
        let landing = commit.claims_to_be_a_landing();
        let what = if landing {
            known.check(commit, evidence).await?
        } else {
            CommitKind::Foreign
        };
        commits.push(CheckedCommit {
            commit: commit.commit,
            subject: commit.subject.clone(),
            what,
        });
    }
    Ok(Verification {
        version: 1,
        branch: branch.to_string(),
        commits,
        missing: known.missing(&history),
    })
}

/// What the ledger knows of landings.
#[derive(Default)]
struct Known {
    contracts: BTreeMap<AttemptId, Arc<Contract>>,
    /// By the landing's id.
    intents: BTreeMap<String, Arc<Landing>>,
    landed: BTreeMap<AttemptId, CommitId>,
    /// Landings that a rewritten target has as other commits: with the same patch, but not
    /// necessarily with the same parents and tree.
    moved: HashSet<CommitId>,
}

impl Known {
    async fn of(ledger: &dyn Ledger) -> Result<Self, StoreError<LedgerError>> {
        let mut known = Self::default();
        let mut next = Sequence(1);
        loop {
            let page = read(ledger, next, PAGE, StoreLimits::default()).await?;
            let Some(last) = page.last() else {
                return Ok(known);
            };
            next = Sequence(last.sequence.0 + 1);
            page.into_iter().for_each(|entry| known.learn(entry.record));
        }
    }

    fn learn(&mut self, record: Record) {
        match record {
            Record::Dispatched {
                attempt, contract, ..
            }
            | Record::ContractAdopted { attempt, contract } => {
                self.contracts.insert(attempt, contract);
            }
            Record::Accepted { landing } => {
                self.intents.insert(landing.id.clone(), landing);
            }
            Record::Landed { attempt, commit } => drop(self.landed.insert(attempt, commit)),
            Record::LandingMoved { task, commit } => self.moved(&task, commit),
            Record::Reopened { task, .. } => self.moved(&task, None),
            _ => {}
        }
    }

    /// What has landed and is not among these commits.
    fn missing(&self, history: &[BranchCommit]) -> Vec<String> {
        let there: HashSet<CommitId> = history.iter().map(|commit| commit.commit).collect();
        let missing = self
            .landed
            .iter()
            .filter(|(_, commit)| !there.contains(commit));
        missing
            .map(|(attempt, commit)| {
                format!("{attempt} landed as {commit}, which is not on this branch")
            })
            .collect()
    }

    /// The landing of a task is another commit now, or is no longer asked for.
    fn moved(&mut self, task: &TaskId, commit: Option<CommitId>) {
        let last = self.landed.keys().rfind(|attempt| attempt.task == *task);
        let Some(attempt) = last.cloned() else {
            return;
        };
        self.landed.remove(&attempt);
        if let Some(commit) = commit {
            self.landed.insert(attempt, commit);
            self.moved.insert(commit);
        }
    }

    async fn check(
        &self,
        commit: &BranchCommit,
        evidence: &dyn EvidenceStore,
    ) -> Result<CommitKind, StoreError<EvidenceError>> {
        let record = commit.record.clone();
        let id = commit.landing.as_deref().unwrap_or("none");
        let Some(landing) = self.intents.get(id) else {
            return Ok(CommitKind::Landing {
                attempt: None,
                record,
                faults: vec![format!("the ledger knows no landing `{id}`")],
            });
        };
        let hash = landing.acceptance.hash();
        let mut faults = self.differences(commit, landing, hash);
        for (what, hash) in kept(&landing.acceptance, hash) {
            if let Some(why) = fault_of(evidence, hash).await? {
                faults.push(format!("{what} {why}"));
            }
        }
        Ok(CommitKind::Landing {
            attempt: Some(landing.acceptance.attempt.clone()),
            record,
            faults,
        })
    }

    /// What differs between a commit, the record of its landing, whose hash this is, and its contract.
    fn differences(
        &self,
        commit: &BranchCommit,
        landing: &Landing,
        hash: ContentHash,
    ) -> Vec<String> {
        let moved = self.moved.contains(&commit.commit);
        let checks = [
            (
                commit.record.as_deref() == Some(&format!("sha256:{hash}")),
                "its trailer has another hash than its record",
            ),
            (
                moved || commit.tree == landing.acceptance.tree,
                "its tree is not the one that was gated",
            ),
            (
                moved || commit.parents == landing.parents(),
                "its parents are not the ones that were recorded",
            ),
            (
                self.landed.get(&landing.acceptance.attempt) == Some(&commit.commit),
                "the ledger does not say that it landed",
            ),
        ];
        let broken = checks.iter().filter(|(holds, _)| !holds);
        let mut faults: Vec<_> = broken.map(|(_, fault)| (*fault).to_owned()).collect();
        match self.contracts.get(&landing.acceptance.attempt) {
            None => faults.push("its contract is not in the ledger".to_owned()),
            Some(contract) => faults.extend(inconsistent(&landing.acceptance, contract)),
        }
        faults
    }
}

/// What a landing has in the evidence store, its record with this hash included, and what it is called.
fn kept(acceptance: &Acceptance, record: ContentHash) -> Vec<(String, ContentHash)> {
    let mut kept = vec![("its record".to_owned(), record)];
    kept.extend(acceptance.gates.iter().map(|report| {
        let what = format!("what gate `{}` printed", report.gate.name);
        (what, report.output)
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
        let what = format!("what was brought as a proof, `{}`", artifact.name);
        (what, artifact.hash)
    }));
    kept
}

/// What in a record does not fit together.
fn inconsistent(acceptance: &Acceptance, contract: &Contract) -> Vec<String> {
    let mut faults = Vec::new();
    if acceptance.contract != contract.hash() {
        faults.push("its record names another contract".to_owned());
    }
    for gate in &contract.gates {
        let green = acceptance.gates.iter().any(|report| {
            report.gate == *gate && report.tree == acceptance.tree && report.passed()
        });
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
    if acceptance.reviews.is_empty() && acceptance.head != acceptance.tip {
        faults.push("nobody reviewed it".to_owned());
    }
    for review in &acceptance.reviews {
        if review.commit != acceptance.head {
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

/// What is wrong with what the store has under a hash, if anything is.
async fn fault_of(
    evidence: &dyn EvidenceStore,
    hash: ContentHash,
) -> Result<Option<String>, StoreError<EvidenceError>> {
    let mut content = match keeper::open(evidence, hash, StoreLimits::default()).await {
        Ok(content) => content,
        Err(StoreError::Refused(EvidenceError::Unknown(_))) => {
            return Ok(Some(format!(
                "is not in the evidence store (sha256:{hash})"
            )));
        }
        Err(error) => return Err(error),
    };
    let patience = StoreLimits::default().answer;
    let is = match hash_of(&mut content, patience).await {
        Ok(is) => is,
        Err(error) => return Ok(Some(format!("cannot be read: {error}"))),
    };
    Ok((is != hash).then(|| format!("was altered: sha256:{hash} is now sha256:{is}")))
}

/// Each piece must come within `patience`.
async fn hash_of(
    content: &mut (dyn AsyncRead + Send + Unpin),
    patience: Duration,
) -> io::Result<ContentHash> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::time::timeout(patience, content.read(&mut buffer)).await??;
        if read == 0 {
            return Ok(ContentHash::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
    }
}
