//! Whether Codex's sandbox works here: tried without a model, with the settings of a turn.
//!
//! A sandbox that cannot work lets a turn begin, and fails each command of it: the model pays for that, and says in the end that it can do
//! nothing. So it is tried when the agent is looked at, and again before each turn: what a turn needs may have gone since.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use orchestrator_core::{
    agent::BubblewrapFault,
    model::AttemptId,
    port::AgentError,
    process::{Exit, OutputLimits, Spawn, run_to_end},
};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    sandbox::{Places, trial_flags},
    settings::CodexSandbox,
};

/// How long one trial may take; measured are 0.2 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sandbox that works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) sandbox: CodexSandbox,
    /// Why it is another than was asked for.
    pub(crate) instead_since: Option<String>,
}

/// Commits in a throwaway repository of the same shape as an attempt's, in the sandbox: what a worker will have to do. Where the profile
/// does not work, and the older flags do, those are what works.
///
/// # Errors
/// [`AgentError::Misconfigured`] with the cause and the fix; [`AgentError::Unavailable`] when the trial does not end.
pub(crate) async fn try_worker(
    program: &Path,
    wanted: CodexSandbox,
    environment: &BTreeMap<String, String>,
) -> Result<Tried, AgentError> {
    let candidates: &[CodexSandbox] = match wanted {
        CodexSandbox::Profile => &[CodexSandbox::Profile, CodexSandbox::Narrow],
        CodexSandbox::Narrow => &[CodexSandbox::Narrow],
        CodexSandbox::Off => return Ok(tried(wanted, None)),
    };
    let trial = Trial::new(program, environment).await?;
    let commit = ["git", "commit", "--quiet", "--allow-empty", "-m", "try"];
    let mut first_words = None;
    for sandbox in candidates {
        match trial.run(*sandbox, false, &commit).await? {
            Ran::Well => return Ok(tried(*sandbox, first_words)),
            Ran::Failed(words) => {
                first_words.get_or_insert(words);
            }
        }
    }
    Err(unusable(&first_words.unwrap_or_default()))
}

/// Runs a command as a reader does.
///
/// # Errors
/// As [`try_worker`].
pub(crate) async fn try_reader(
    program: &Path,
    wanted: CodexSandbox,
    environment: &BTreeMap<String, String>,
) -> Result<Tried, AgentError> {
    let trial = Trial::new(program, environment).await?;
    match (trial.run(wanted, true, &["true"]).await?, wanted) {
        // Where a container is the wall, a reader has to be able to look.
        (Ran::Failed(_), CodexSandbox::Off) => Ok(tried(CodexSandbox::Off, None)),
        (Ran::Failed(words), _) => Err(unusable(&words)),
        // It has one all the same: of those, a reader's are the same.
        (Ran::Well, CodexSandbox::Off) => Ok(tried(CodexSandbox::Narrow, None)),
        (Ran::Well, wanted) => Ok(tried(wanted, None)),
    }
}

fn tried(sandbox: CodexSandbox, instead_since: Option<String>) -> Tried {
    Tried {
        sandbox,
        instead_since,
    }
}

/// That no sandbox works, with the cause and the fix.
fn unusable(words: &str) -> AgentError {
    let (cause, fix) = cause_of(words);
    AgentError::Misconfigured {
        what: format!(
            "Codex's sandbox cannot work here: {cause}: {}",
            words.trim()
        ),
        fix,
    }
}

/// The same in words.
pub(crate) fn unusable_words(words: &str) -> String {
    unusable(words).to_string()
}

/// The cause of a sandbox that does not work, by the words of whoever failed, and how to set it right.
fn cause_of(words: &str) -> (String, String) {
    if words.contains("execvp codex-linux-sandbox") {
        let cause = "a bubblewrap is on the PATH, and Codex makes no helper for it, since `CODEX_HOME` lies in a temporary directory";
        let fix = "set `CODEX_HOME` to a directory elsewhere, such as `~/.codex`, or take that bubblewrap off the PATH";
        return (cause.to_owned(), fix.to_owned());
    }
    if let Some(fault) = BubblewrapFault::of(words) {
        return (fault.to_string(), fault.fix().to_owned());
    }
    let lower = words.to_lowercase();
    if lower.contains("codex_home") || lower.contains("could not find home") {
        let fix = "make the directory that `CODEX_HOME` names, and log in there";
        return ("its home is not there".to_owned(), fix.to_owned());
    }
    let cause = "a worker cannot commit in it";
    let fix = "see what it says, or set `sandbox = \"off\"` in `[agents.NAME]` where a container is the wall";
    (cause.to_owned(), fix.to_owned())
}

/// Whether a command ran in the sandbox.
#[derive(Debug)]
enum Ran {
    Well,
    /// With the end of what it wrote to standard error.
    Failed(String),
}

/// A repository as an attempt has it, to be thrown away.
struct Trial<'a> {
    program: &'a Path,
    environment: &'a BTreeMap<String, String>,
    directory: TempDir,
    attempt: AttemptId,
}

impl<'a> Trial<'a> {
    async fn new(
        program: &'a Path,
        environment: &'a BTreeMap<String, String>,
    ) -> Result<Self, AgentError> {
        let directory = tempfile::tempdir().map_err(AgentError::Spawn)?;
        let attempt = AttemptId {
            task: "preflight".parse().expect("a name of letters is an id"),
            number: 1,
        };
        let trial = Self {
            program,
            environment,
            directory,
            attempt,
        };
        std::fs::create_dir(trial.place("out")).map_err(AgentError::Spawn)?;
        trial.make_repository().await?;
        let (tree, repository, out) = trial.places();
        let places = Places {
            workspace: &tree,
            repository: &repository,
            out: &out,
            attempt: &trial.attempt,
        };
        places.make().map_err(AgentError::Spawn)?;
        Ok(trial)
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn places(&self) -> (std::path::PathBuf, std::path::PathBuf, std::path::PathBuf) {
        (
            self.place("tree"),
            self.place("repo.git"),
            self.place("out"),
        )
    }

    async fn make_repository(&self) -> Result<(), AgentError> {
        let script = "git init --quiet --bare --template= repo.git && cd repo.git && empty=$(git hash-object -t tree -w /dev/null) && \
                      commit=$(git commit-tree -m begin $empty) && git update-ref \"$0\" $commit && git worktree add --quiet ../tree \"$1\"";
        let branch = self.attempt.branch();
        let mut git = Command::new("/bin/sh");
        git.args(["-ec", script, branch.full().as_str(), branch.short()])
            .current_dir(self.directory.path())
            .env_clear()
            .envs(self.environment)
            .envs(plain_git())
            .stdin(Stdio::null());
        let made = git.output().await.map_err(AgentError::Spawn)?;
        if made.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&made.stderr);
        Err(AgentError::Misconfigured {
            what: format!(
                "a repository to try its sandbox in cannot be made: {}",
                said.trim()
            ),
            fix: "let `[environment] allow` name the PATH that has git".to_owned(),
        })
    }

    /// Runs a command in the sandbox as a turn would.
    async fn run(
        &self,
        sandbox: CodexSandbox,
        read_only: bool,
        command: &[&str],
    ) -> Result<Ran, AgentError> {
        let (tree, repository, out) = self.places();
        let places = Places {
            workspace: &tree,
            repository: &repository,
            out: &out,
            attempt: &self.attempt,
        };
        let spawn = Spawn::new(self.program, &tree)
            .args(["sandbox"])
            .args(trial_flags(sandbox, &places, read_only))
            .args(["--"])
            .args(command)
            .envs(self.environment)
            .envs(plain_git());
        let limits = OutputLimits {
            head: 0,
            tail: 2000,
        };
        let ran = run_to_end(spawn, &[], PATIENCE, limits)
            .await
            .map_err(AgentError::Spawn)?;
        match ran.exit {
            Some(Exit::Code(0)) => Ok(Ran::Well),
            Some(_) => Ok(Ran::Failed(said_by(&ran.stderr.end(600)))),
            None => Err(AgentError::Unavailable {
                reason: format!(
                    "the trial of its sandbox did not end within {} s",
                    PATIENCE.as_secs()
                ),
            }),
        }
    }
}

/// What was said, without what Codex says of every home in a temporary directory.
fn said_by(words: &str) -> String {
    let told = words.lines().filter(|line| !line.starts_with("WARNING: "));
    told.collect::<Vec<_>>().join("\n")
}

/// Git without anybody's settings, and with a name for commits.
fn plain_git() -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("GIT_CONFIG_GLOBAL".to_owned(), "/dev/null".to_owned()),
        ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
    ]);
    for who in ["AUTHOR", "COMMITTER"] {
        variables.insert(format!("GIT_{who}_NAME"), "Preflight".to_owned());
        variables.insert(format!("GIT_{who}_EMAIL"), "preflight@localhost".to_owned());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_of_a_broken_sandbox_has_its_fix() {
        let (cause, fix) = cause_of("bwrap: execvp codex-linux-sandbox: No such file or directory");
        assert!(cause.contains("CODEX_HOME"), "{cause}");
        assert!(fix.contains("elsewhere"), "{fix}");
        let (cause, fix) =
            cause_of("bwrap: No permissions to create new namespace, likely because");
        assert!(cause.contains("user namespaces are refused"), "{cause}");
        assert!(fix.contains("userns"), "{fix}");
        let (cause, _) =
            cause_of("Error: CODEX_HOME points to \"/nowhere\", but that path does not exist");
        assert!(cause.contains("its home"), "{cause}");
    }
}
