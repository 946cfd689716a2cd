//! One child process and all that it starts.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup, ProcessSession};
use rustix::{
    fs::{Access, access},
    process::Signal,
};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::{
    cgroup, death,
    moment::Moment,
    sessions::Session,
    sweep::{
        MARK_VARIABLE, Target, kill_until_none, kill_until_none_blocking, members, signal_all,
        signal_leader, start_time,
    },
};

/// How long a sweep goes on against processes that cannot be killed, such as those stuck in the kernel.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);

/// A program to be started: in a session of its own, with nothing in its environment but what is given here.
#[derive(Clone)]
pub struct Spawn {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) directory: PathBuf,
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) mark: Option<String>,
    pub(super) input: Input,
    pub(super) dies_by: Option<&'static str>,
    pub(super) session: bool,
}

/// What the program reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Nothing: its standard input is `/dev/null`.
    Closed,
    /// What the caller writes to [`Child::stdin`].
    Piped,
}

/// Arguments and environments may hold secrets and are not shown.
impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawn")
            .field("program", &self.program)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Spawn {
    /// This program, in this directory, with an empty environment.
    pub fn new(program: impl Into<OsString>, directory: impl Into<PathBuf>) -> Self {
        let (program, directory) = (program.into(), directory.into());
        Self {
            program,
            arguments: Vec::new(),
            directory,
            environment: BTreeMap::new(),
            mark: None,
            input: Input::Closed,
            dies_by: None,
            session: true,
        }
    }

    /// Adds arguments behind those that were added before.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds variables to the environment; a later value of the same name wins.
    #[must_use]
    pub fn envs<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.environment.extend(
            variables
                .into_iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        self
    }

    /// Marks the program and all that it starts, so that they are found again wherever they go.
    #[must_use]
    pub fn marked(mut self, mark: impl Into<String>) -> Self {
        let mark = mark.into();
        self.environment
            .insert(MARK_VARIABLE.into(), mark.clone().into());
        self.mark = Some(mark);
        self
    }

    /// Sets what it reads.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Sends the program this signal, such as `INT`, when this process dies, however that comes; what becomes of its relatives is its own
    /// affair. Counts from when it has become that program, some milliseconds after it was started. Needs Linux and util-linux's
    /// `setpriv`; where that is not to be had, the program lives on until it is swept at the next
    /// start.
    #[must_use]
    pub fn dying_with_us(mut self, signal: &'static str) -> Self {
        self.dies_by = Some(signal);
        self
    }

    /// Starts it in a process group of its own, and in our session. Such a program, if it is not marked and has a path, is started
    /// without copying this process's page tables: what takes 0.1 ms then takes 1.6 ms with 50 MiB of memory in use, and 6 ms with 200.
    /// For programs of which nothing leaves its group, and that ask nobody at the terminal.
    #[must_use]
    pub fn in_our_session(mut self) -> Self {
        self.session = false;
        self
    }

    /// The program itself, or what becomes it: the shell that joins its group, the tool that ties it to this process.
    fn command(&self) -> io::Result<Command> {
        let mark = self.mark.as_deref().filter(|_| cgroup::has_cgroups());
        let tie = self.dies_by.zip(death::setpriv());
        if mark.is_some() || tie.is_some() {
            // What those would say of it, nobody could tell from what the program says.
            let path = self.environment.get(OsStr::new("PATH"));
            can_run(
                &self.program,
                &self.directory,
                path.map(OsString::as_os_str),
            )?;
        }
        let mut line: Vec<OsString> = Vec::new();
        if let Some(group) = mark.and_then(cgroup::make) {
            line.extend(["/bin/sh", "-c", cgroup::JOIN].map(OsString::from));
            line.push(group.into());
        }
        if let Some((signal, setpriv)) = tie {
            line.extend(
                [
                    setpriv.as_os_str(),
                    OsStr::new("--pdeathsig"),
                    OsStr::new(signal),
                    OsStr::new("--"),
                ]
                .map(OsStr::to_owned),
            );
        }
        let mut command = match line.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(&self.arguments);
        Ok(command)
    }

    /// The program, as it was given.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Where the program is looked for: the working directory, and the `PATH`.
    pub(super) fn places(&self) -> (&Path, Option<&OsStr>) {
        let path = self.environment.get(OsStr::new("PATH"));
        (&self.directory, path.map(OsString::as_os_str))
    }

    /// Starts it. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the program is not there, or cannot be run.
    pub fn spawn(self) -> io::Result<Child> {
        let mut command = self.command()?;
        command
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.environment);
        command.stdin(if self.input == Input::Piped {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let since = Moment::now();
        let mut wrap = CommandWrap::from(command);
        if self.session {
            wrap.wrap(ProcessSession);
        } else {
            wrap.wrap(ProcessGroup::leader());
        }
        let spawned = if self.dies_by.is_some() {
            death::on_lasting_thread(move || wrap.spawn())?
        } else {
            wrap.spawn()?
        };
        // The child alone is waited for. Its wrapper waits for its whole group, as far as that is ours: where orphans become children of
        // ours, as of process 1, that is until the last of its relatives ends by itself.
        let inner = spawned.into_inner();
        let pid = inner
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        let leader = start_time(pid).map(|start| (pid, start));
        let session = self.session.then(|| Session::of(pid, self.mark.clone()));
        let killer = Killer {
            target: Target {
                mark: self.mark,
                whole: true,
                leader,
                session: self.session,
                since,
            },
        };
        Ok(Child {
            session,
            inner,
            killer,
            exit: None,
        })
    }
}

/// Whether a program is there and may be run, looked for as `exec` does: one with a slash in its name relative to `directory`, another
/// in each directory of `path`.
///
/// # Errors
/// `NotFound`, or `PermissionDenied` for a file that is there and may not be run.
pub fn can_run(program: &OsStr, directory: &Path, path: Option<&OsStr>) -> io::Result<()> {
    if program.as_encoded_bytes().contains(&b'/') {
        let file = directory.join(program);
        if file.is_file() && !is_executable(&file) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    found_in(program, directory, path)
        .map(drop)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The file that is run by this name, looked for in the same way.
pub(super) fn found_in(program: &OsStr, directory: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        let file = directory.join(program);
        return is_executable(&file).then_some(file);
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    std::env::split_paths(path)
        .map(|place| directory.join(place).join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    access(file, Access::EXEC_OK).is_ok() && file.is_file()
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        status
            .code()
            .map_or_else(|| Self::Signal(status.signal().unwrap_or(0)), Self::Code)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
        }
    }
}

/// A running child. Dropping it before [`wait`](Self::wait) has returned kills it, and all that it started, in the
/// background.
#[derive(Debug)]
pub struct Child {
    /// That it leads, until it was waited for. The first of the fields, so that it is also the first to be dropped.
    session: Option<Session>,
    inner: Box<dyn ChildWrapper>,
    killer: Killer,
    exit: Option<Exit>,
}

impl Child {
    /// What the child reads, where it was to be piped; once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin().take()
    }

    /// What the child writes; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout().take()
    }

    /// What the child complains; once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.inner.stderr().take()
    }

    /// Waits for the child itself. What it started may live on: see [`Killer::sweep`]. Cancel-safe.
    ///
    /// # Errors
    /// As waiting for a process.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit = self.inner.wait().await?.into();
        self.session = None;
        self.exit = Some(exit);
        Ok(exit)
    }

    /// A handle that can end it from elsewhere.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            drop(self.inner.start_kill());
            let target = self.killer.target.clone();
            std::thread::spawn(move || kill_until_none_blocking(&target, SWEEP_PATIENCE));
        }
    }
}

/// Ends a child and all that it started.
#[derive(Debug, Clone)]
pub struct Killer {
    target: Target,
}

impl Killer {
    /// Asks everybody to end, waits for at most `grace`, and kills whoever is left. When this returns, nobody is.
    pub async fn stop(&self, grace: Duration) {
        let until = Instant::now() + grace;
        if !grace.is_zero() && !signal_all(&self.target, Signal::TERM).members.is_empty() {
            let mut pause = Duration::from_millis(1);
            while !members(&self.target).is_empty() && Instant::now() < until {
                tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now())))
                    .await;
                pause = (pause * 2).min(Duration::from_millis(20));
            }
        }
        self.sweep().await;
    }

    /// Sends INT to the child alone, as a person at a terminal would; what becomes of its relatives is its own affair.
    pub fn interrupt(&self) {
        signal_leader(&self.target, Signal::INT);
    }

    /// Which processes it would end.
    pub(super) fn target(&self) -> Target {
        self.target.clone()
    }

    /// Whether the child itself lives, whatever has become of its relatives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.target
            .leader
            .is_some_and(|(pid, start)| start_time(pid) == Some(start))
    }

    /// Kills whoever is left of a child that has ended.
    pub async fn sweep(&self) {
        kill_until_none(&self.target, SWEEP_PATIENCE).await;
    }
}
