//! Running the git binary.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    environment::{Environments, Sees},
    error::GitError,
    output::{Answer, skipped},
    parse::parse_commits,
    version::{GitVersion, MINIMUM_VERSION, parse_version},
};
use crate::{
    failpoint::reach,
    model::{CommitId, Limits, Policy},
    process::{
        Exit, Finished, GivenUp, OutputLimits, Patience, Spawn, can_run, run_to_end,
        run_while_moving,
    },
};

/// How long a call may take that reads and writes on this machine.
pub(super) const LOCAL: Duration = Duration::from_secs(60);
/// How long a call may take that moves objects, or starts a program of the person's; and one that speaks to a remote, where it cannot
/// be seen whether it moves anything.
const TRANSFER: Duration = Duration::from_secs(300);
/// How long a call may take that speaks to a remote and moves bytes all the while. No transfer needs so long, but a hook of the remote's
/// that hangs, and is kept alive by its server, would never end.
const MOVING: Duration = Duration::from_secs(24 * 3600);
/// How long another git of the person's may hold a lock that a call of ours needs.
const LOCKED: Duration = Duration::from_secs(30);
/// What is read of a call's output, in bytes. More is an error, never a silent cut.
const MAX_OUTPUT: usize = 256 << 20;

/// The git binary, checked once.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    version: GitVersion,
    environments: Environments,
    /// How long a transfer may move nothing.
    silence: Duration,
    /// How long another git's lock is waited for.
    pub(super) locked: Duration,
}

impl Git {
    /// Finds git on the `PATH` and checks its version. Takes a copy of this process's environment, without what would
    /// point git elsewhere: most calls see a few variables of it that hold no secret, and those that speak to the person's remote, or
    /// sign, all but what is ours or pays for a model.
    ///
    /// # Errors
    /// [`GitError::NotFound`], [`GitError::TooOld`].
    pub async fn find() -> Result<Self, GitError> {
        Self::at("git").await
    }

    /// The same, for this binary.
    ///
    /// # Errors
    /// [`GitError::NotFound`], [`GitError::TooOld`].
    pub async fn at(program: impl Into<PathBuf>) -> Result<Self, GitError> {
        let environments = Environments::of(std::env::vars_os());
        let program = located(program.into(), environments.path());
        let silence = Limits::default().remote_silence.to_std();
        let mut git = Self {
            program,
            version: MINIMUM_VERSION,
            environments,
            silence,
            locked: LOCKED,
        };
        let said = git.call(Path::new("/")).args(["version"]).text().await?;
        git.version = parse_version(&said).ok_or_else(|| GitError::Output {
            verb: "version".to_owned(),
            what: said.chars().take(80).collect(),
        })?;
        if git.version < MINIMUM_VERSION {
            return Err(GitError::TooOld { found: git.version });
        }
        Ok(git)
    }

    /// The same binary under a policy: how long a remote may be silent (`limits.remote_silence`), what filters see besides
    /// (`environment.allow`), and what of ours no call sees (`agents.NAME.env`).
    #[must_use]
    pub fn under(mut self, policy: &Policy) -> Self {
        self.environments.follow(policy);
        self.silence = policy.limits.remote_silence.to_std();
        self
    }

    /// Where it looks for programs.
    pub(super) fn path(&self) -> Option<&OsStr> {
        self.environments.path()
    }

    /// The version that it told when it was found.
    #[must_use]
    pub fn version(&self) -> GitVersion {
        self.version
    }

    /// A call that finds its repository from a directory: only for the user's own.
    pub(super) fn call(&self, directory: &Path) -> Call<'_> {
        Call {
            git: self,
            directory: directory.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            input: Vec::new(),
            bound: Bound::Total(LOCAL),
            most: MAX_OUTPUT,
            sees: Sees::Neutral,
        }
    }

    /// A call with this git directory and no other.
    pub(super) fn with_dir(&self, git_dir: &Path) -> Call<'_> {
        // A relative one would be looked for in itself, where the call runs.
        let git_dir = &absolute(git_dir);
        let mut git_dir_argument = OsString::from("--git-dir=");
        git_dir_argument.push(git_dir);
        self.call(git_dir).args([git_dir_argument]).args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ])
    }
}

/// A path from the root, by the directory that we are in now; links are not followed. What is given by a user may be
/// relative, and git runs in other directories.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A program's whole path, if it is found, so that nobody has to look for it at each call.
fn located(program: PathBuf, path: Option<&OsStr>) -> PathBuf {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return absolute(&program);
    }
    let places = path
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|place| place.join(&program));
    let found = places
        .filter(|place| place.is_absolute())
        .find(|place| can_run(place.as_os_str(), Path::new("/"), None).is_ok());
    found.unwrap_or(program)
}

/// One call of git, being put together.
#[must_use]
pub(super) struct Call<'a> {
    git: &'a Git,
    directory: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    bound: Bound,
    /// Of its output, in bytes: more is an error, since half an answer is none.
    most: usize,
    sees: Sees,
}

/// For how long a call may run.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// So long in all.
    Total(Duration),
    /// As long as it moves something.
    Moving,
}

impl Call<'_> {
    pub(super) fn args<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// It fetches what is the person's own: history is taken as it is, since only what workers bring is
    /// checked, and nothing but what is asked for is fetched or written.
    pub(super) fn fetching(self) -> Self {
        self.args([
            "-c",
            "fetch.fsckObjects=false",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ])
    }

    /// It runs in this directory, whatever repository it was given.
    pub(super) fn in_directory(mut self, directory: &Path) -> Self {
        self.directory = directory.into();
        self
    }

    pub(super) fn var(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((key.into(), value.into()));
        self
    }

    pub(super) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// It moves objects, which may take its time.
    pub(super) fn transfers(mut self) -> Self {
        self.bound = Bound::Total(TRANSFER);
        self
    }

    /// It may take no longer than this in all.
    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.bound = Bound::Total(deadline);
        self
    }

    /// It moves objects that no worker made, as many as there are: it may go on for as long as it moves something.
    pub(super) fn transfers_any(mut self) -> Self {
        self.bound = Bound::Moving;
        self
    }

    /// It speaks to the person's remote: with what git has there to speak with, and for as long as something moves.
    pub(super) fn reaches_out(self) -> Self {
        self.persons().transfers_any()
    }

    /// It starts other programs of the person's, such as hooks and those that sign, which see what they see at the person's own
    /// terminal. Whoever asks there finds none, and fails instead of being stopped.
    pub(super) fn persons(mut self) -> Self {
        self.sees = Sees::Persons;
        self.transfers()
    }

    /// It tells who the person is.
    pub(super) fn identifies(mut self) -> Self {
        self.variables.extend(self.git.environments.identity());
        self
    }

    /// It reads or writes a tree's files, through filters where there are any.
    pub(super) fn filters(mut self, any: bool) -> Self {
        if any {
            self.sees = Sees::Filters;
        }
        self.transfers()
    }

    /// The command's name, for messages: the first argument that is no option of git itself.
    fn verb(&self) -> String {
        let mut arguments = self
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy());
        while let Some(argument) = arguments.next() {
            match &*argument {
                "-c" | "-C" => drop(arguments.next()),
                option if option.starts_with('-') => {}
                verb => return verb.to_owned(),
            }
        }
        String::new()
    }

    /// Runs it, whatever its exit status.
    pub(super) async fn answer(self) -> Result<Answer, GitError> {
        let (verb, most) = (self.verb(), self.most);
        let spawn = Spawn::new(&self.git.program, &self.directory).args(self.arguments);
        let spawn = spawn
            .envs(self.git.environments.of_call(self.sees).clone())
            .envs(self.variables);
        let spawn = if self.sees == Sees::Neutral {
            spawn.in_our_session()
        } else {
            spawn
        };
        reach(&format!("before git {verb}"));
        let ran = self
            .bound
            .run(
                spawn,
                &self.input,
                OutputLimits {
                    head: most,
                    tail: 0,
                },
                self.git.silence,
            )
            .await;
        reach(&format!("after git {verb}"));
        let ran = ran.map_err(|source| GitError::NotFound {
            program: self.git.program.display().to_string(),
            source,
        })?;
        let finished = ran.map_err(|why| match why {
            GivenUp::Still(after) => GitError::Silent {
                verb: verb.clone(),
                after,
            },
            GivenUp::Late(after) => GitError::TimedOut {
                verb: verb.clone(),
                after,
            },
        })?;
        let Some(exit) = finished.exit else {
            return Err(GitError::Output {
                verb,
                what: "no exit status".to_owned(),
            });
        };
        if finished.stdout.dropped() > 0 {
            return Err(GitError::Output {
                verb,
                what: format!("more than {most} bytes"),
            });
        }
        tracing::trace!(verb, %exit, "git");
        let stderr = finished.stderr.end(2000);
        let skipped = skipped(&finished.stderr.into_bytes());
        Ok(Answer {
            exit,
            stdout: finished.stdout.into_bytes(),
            stderr,
            skipped,
        })
    }

    /// Runs it; any exit status but 0 is an error.
    pub(super) async fn bytes(self) -> Result<Vec<u8>, GitError> {
        let verb = self.verb();
        let answer = self.answer().await?;
        if answer.exit == Exit::Code(0) {
            Ok(answer.stdout)
        } else {
            Err(answer.failed(verb))
        }
    }

    /// The same, for output that is text of one line.
    pub(super) async fn text(self) -> Result<String, GitError> {
        let verb = self.verb();
        let text = String::from_utf8(self.bytes().await?).map_err(|error| GitError::Output {
            verb,
            what: error.to_string(),
        })?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// The same, for output that is one object id.
    pub(super) async fn id<T: std::str::FromStr>(self) -> Result<T, GitError>
    where
        T::Err: fmt::Display,
    {
        let verb = self.verb();
        self.text()
            .await?
            .parse()
            .map_err(|error: T::Err| GitError::Output {
                verb,
                what: error.to_string(),
            })
    }

    /// The same, for output that is one commit's id on each line.
    pub(super) async fn commits(self) -> Result<Vec<CommitId>, GitError> {
        let verb = self.verb();
        parse_commits(&verb, &self.text().await?)
    }

    /// Runs it; nothing but its success matters.
    pub(super) async fn run(self) -> Result<(), GitError> {
        self.bytes().await.map(drop)
    }

    /// Runs it as a question: exit status 0 is yes, 1 is no.
    pub(super) async fn holds(self) -> Result<bool, GitError> {
        let verb = self.verb();
        let answer = self.answer().await?;
        match answer.exit {
            Exit::Code(0) => Ok(true),
            Exit::Code(1) => Ok(false),
            Exit::Code(_) | Exit::Signal(_) => Err(answer.failed(verb)),
        }
    }
}

impl Bound {
    /// Runs a program within this bound; if it was given up, why.
    async fn run(
        self,
        spawn: Spawn,
        input: &[u8],
        limits: OutputLimits,
        still: Duration,
    ) -> io::Result<Result<Finished, GivenUp>> {
        match self {
            Self::Total(total) => {
                let finished = run_to_end(spawn, input, total, limits).await?;
                Ok(if finished.exit.is_some() {
                    Ok(finished)
                } else {
                    Err(GivenUp::Late(total))
                })
            }
            Self::Moving => {
                let patience = Patience {
                    still,
                    total: MOVING,
                    unseen: TRANSFER,
                };
                let (finished, given_up) = run_while_moving(spawn, input, patience, limits).await?;
                Ok(given_up.map_or(Ok(finished), Err))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_version_that_is_enough_is_enough() {
        let directory = tempfile::tempdir().expect("a directory");
        let GitVersion(major, minor, patch) = MINIMUM_VERSION;
        for (patch, fits) in [(patch, true), (patch - 1, false)] {
            let program = directory.path().join(format!("git-{patch}"));
            std::fs::write(
                &program,
                format!("#!/bin/sh\necho git version {major}.{minor}.{patch}\n"),
            )
            .expect("writes");
            std::fs::set_permissions(
                &program,
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .expect("can be run");
            let found = Git::at(&program).await;
            assert_eq!(found.is_ok(), fits, "{found:?}");
        }
    }

    #[tokio::test]
    async fn more_output_than_is_taken_is_an_error() {
        let git = Git::find().await.expect("git");
        let whole = git
            .call(Path::new("/"))
            .args(["version"])
            .bytes()
            .await
            .expect("says it")
            .len();
        for (most, fits) in [(whole, true), (whole - 1, false)] {
            let said = Call {
                most,
                ..git.call(Path::new("/")).args(["version"])
            }
            .bytes()
            .await;
            assert_eq!(said.is_ok(), fits, "{most} of {whole}: {said:?}");
            assert!(said.is_ok() || matches!(said, Err(GitError::Output { .. })));
        }
    }

    #[test]
    fn a_call_is_named_by_its_command() {
        let git = Git {
            program: "git".into(),
            version: MINIMUM_VERSION,
            environments: Environments::of([]),
            silence: LOCAL,
            locked: LOCKED,
        };
        let verb = |arguments: &[&str]| {
            git.call(Path::new("/"))
                .args(arguments.iter().copied())
                .verb()
        };
        assert_eq!(
            verb(&["--git-dir=/x", "-c", "core.bare=false", "read-tree", "-m"]),
            "read-tree"
        );
        assert_eq!(verb(&["version"]), "version");
        assert_eq!(verb(&["-c", "a=b"]), "");
    }
}
