//! A program that does as it is told: the agent's own, for a test.
//!
//! The test binary runs itself again as that program, so that everything between a backend and its agent is real: process, pipes,
//! signals, children. What it does is a [`Play`], a list of [`Step`]s; none of them waits for time to pass, but
//! [`Step::Pause`], which replays need.
//!
//! | to | by |
//! | --- | --- |
//! | say, complain, flood | [`Step::Say`], [`Step::Complain`], as much of it as you like |
//! | edit, commit, run a command | [`Step::Edit`], [`Step::Commit`], [`Step::Shell`] |
//! | hand off, and lie about it | [`Step::Handoff`], with a true one from [`handoff`], or any other |
//! | ask | [`Step::Say`] in the agent's words, then [`Step::Hear`] |
//! | wait for a signal of the test's | [`Step::Await`] |
//! | crash, hang, fork | [`Step::Exit`], [`Step::Die`], [`Step::Hang`], [`Step::Fork`] |
//!
//! [`ScriptedAgent`](crate::ScriptedAgent) does the same in this process, where no program is needed.
//!
//! ```text
//! Play ──install──► an executable script ──exec──► this test binary, at its entry ──► the steps
//! ```

use std::{
    env, fs,
    io::{BufRead as _, Read as _, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use orchestrator_core::model::ContentHash;
use serde::{Deserialize, Serialize};

/// Names the file with the steps.
const PLAY: &str = "ORCHESTRATOR_TESTKIT_PLAY";

/// One thing that the program does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Step {
    /// Writes these bytes to its standard output; `@TASK@` and `@ATTEMPT@` in them become those of the turn.
    Say(#[serde(with = "bytes")] Vec<u8>),
    /// Writes these bytes to its standard error.
    Complain(#[serde(with = "bytes")] Vec<u8>),
    /// Reads one line of its standard input.
    Hear,
    /// Reads its standard input to the end.
    HearAll,
    /// Writes a file of the workspace.
    Edit {
        /// Relative to the workspace.
        path: PathBuf,
        /// All of it.
        content: String,
    },
    /// Commits all that was changed.
    Commit {
        /// The message.
        message: String,
    },
    /// Leaves these bytes where the handoff is to be.
    Handoff(#[serde(with = "bytes")] Vec<u8>),
    /// Runs this with `sh -eu` to its end; when it fails, the program fails.
    Shell(String),
    /// Starts two processes that live on for a long time, each in a session of its own, and one of them without a parent.
    Fork,
    /// Waits until somebody opens this FIFO for writing.
    Await(PathBuf),
    /// Lets time pass.
    Pause(Duration),
    /// Does nothing more, and does not end.
    Hang,
    /// Ends with this status.
    Exit(i32),
    /// Ends by this signal.
    Die(i32),
}

impl Step {
    /// A line on standard output.
    #[must_use]
    pub fn line(text: impl AsRef<[u8]>) -> Self {
        let mut bytes = text.as_ref().to_vec();
        bytes.push(b'\n');
        Self::Say(bytes)
    }
}

/// What the program does, from its start to its end. Where the steps run out it ends with status 0.
#[derive(Debug, Clone, Default)]
pub struct Play {
    steps: Vec<Step>,
    stubborn: bool,
    /// What it answers at once to a first argument.
    answers: Vec<(String, String)>,
}

/// By what way this test binary becomes the program.
#[derive(Debug, Clone, Copy)]
pub struct Player {
    /// A test of libtest's that calls [`play_if_asked`]; `None` where `main` does.
    entry: Option<&'static str>,
}

/// Makes the test binary able to play: to be written once, in a test file's own module. Defines `player()`, for [`Play::install`]
/// and for the conformance suites.
#[macro_export]
macro_rules! scripted_worker {
    () => {
        /// What this test binary is run again at; asked by nobody, it tries itself out.
        #[test]
        fn scripted_worker() {
            $crate::play_if_asked();
            player().try_out();
        }

        fn player() -> $crate::Player {
            $crate::Player::test(concat!(module_path!(), "::scripted_worker"))
        }
    };
}

impl Player {
    /// A test that calls [`play_if_asked`], by its full path with the crate's name in front: see [`scripted_worker!`].
    #[must_use]
    pub fn test(path: &'static str) -> Self {
        Self {
            entry: Some(path.split_once("::").map_or(path, |(_, path)| path)),
        }
    }

    /// A `main` that calls [`play_if_asked`] before everything else, as where `harness = false`.
    #[must_use]
    pub const fn main() -> Self {
        Self { entry: None }
    }

    /// Plays something, and looks whether it was played.
    ///
    /// # Panics
    /// When it was not.
    pub fn try_out(self) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let play = Play::new([
            Step::Hear,
            Step::line("heard"),
            Step::Complain(b"complained".to_vec()),
            Step::Exit(7),
        ]);
        let mut child = Command::new(play.install(self, directory.path(), "tried"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be run");
        child
            .stdin
            .take()
            .expect("is piped")
            .write_all(b"a line\n")
            .expect("it listens");
        let output = child.wait_with_output().expect("it ends");
        let said = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code(),
        );
        assert_eq!(said, ("heard\n".into(), "complained".into(), Some(7)));
    }
}

impl Play {
    /// These steps.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            ..Self::default()
        }
    }

    /// What it does, in its order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Adds steps.
    #[must_use]
    pub fn then(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Lets it live on when it is asked to end: INT, TERM and HUP mean nothing to it.
    #[must_use]
    pub fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }

    /// Lets it answer a first argument, such as `--version`, with this and end, whatever its steps are.
    #[must_use]
    pub fn answering(mut self, argument: &str, answer: &str) -> Self {
        self.answers.push((argument.to_owned(), answer.to_owned()));
        self
    }

    /// Makes it an executable of this name in a directory, and returns its path. The arguments of each run are kept beside it: see
    /// [`arguments`].
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn install(&self, player: Player, directory: &Path, name: &str) -> PathBuf {
        let (program, steps) = (directory.join(name), directory.join(format!("{name}.play")));
        fs::write(
            &steps,
            serde_json::to_vec(&self.steps).expect("steps are JSON"),
        )
        .expect("writes the steps");
        let binary = env::current_exe().expect("this is a program");
        let mut script = String::from("#!/bin/sh\n");
        script += &format!(
            "for argument; do printf '%s\\0' \"$argument\"; done > {}.arguments\n",
            quoted(&program)
        );
        for (argument, answer) in &self.answers {
            script += &format!(
                "[ \"${{1-}}\" = {} ] && echo {} && exit\n",
                quoted(argument),
                quoted(answer)
            );
        }
        if self.stubborn {
            script += "trap '' INT TERM HUP\n";
        }
        script += &format!("{PLAY}={} exec {}", quoted(&steps), quoted(&binary));
        // libtest says something of its own first, which no agent says.
        if let Some(entry) = player.entry {
            script += &format!(" --exact {} --nocapture", quoted(entry));
        }
        script += " 3>&1 > /dev/null\n";
        // Written by a process that ends, so that no other thread's child can hold it open for writing when it is run (ETXTBSY).
        let mut writer = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        writer
            .stdin
            .take()
            .expect("is piped")
            .write_all(script.as_bytes())
            .expect("writes the script");
        assert!(
            writer.wait().is_ok_and(|status| status.success()),
            "writes the script"
        );
        program
    }
}

/// What an installed program was run with the last time, without its own name.
///
/// # Panics
/// When it was never run.
#[must_use]
pub fn arguments(program: &Path) -> Vec<String> {
    let mut kept = program.as_os_str().to_owned();
    kept.push(".arguments");
    let content = fs::read_to_string(kept).expect("it was run");
    content.split_terminator('\0').map(str::to_owned).collect()
}

fn quoted(text: impl AsRef<std::ffi::OsStr>) -> String {
    format!(
        "'{}'",
        text.as_ref().to_string_lossy().replace('\'', r"'\''")
    )
}

/// Plays, and ends the process, where this process was started by an installed [`Play`]; otherwise returns at once.
///
/// # Panics
/// When a step cannot be done.
pub fn play_if_asked() {
    let Some(steps) = env::var_os(PLAY) else {
        return;
    };
    let steps = serde_json::from_slice(&fs::read(steps).expect("the steps are there"))
        .expect("they are steps");
    let out = fs::File::options()
        .write(true)
        .open("/dev/fd/3")
        .expect("the script passes its standard output on");
    std::process::exit(perform(steps, out));
}

fn perform(steps: Vec<Step>, mut out: impl Write) -> i32 {
    let mut heard = std::io::stdin().lock();
    for step in steps {
        let done = match step {
            Step::Say(bytes) => out.write_all(&expanded(bytes)).and_then(|()| out.flush()),
            Step::Complain(bytes) => std::io::stderr().write_all(&bytes),
            Step::Hear => heard.read_until(b'\n', &mut Vec::new()).map(drop),
            Step::HearAll => heard.read_to_end(&mut Vec::new()).map(drop),
            Step::Edit { path, content } => path
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(path, content)),
            Step::Commit { message } => run(
                "git add --all && git commit --quiet --message \"$1\"",
                &message,
            ),
            Step::Handoff(bytes) => fs::write(
                env::var_os("ORCHESTRATOR_HANDOFF").unwrap_or_default(),
                expanded(bytes),
            ),
            Step::Shell(script) => run(&script, ""),
            Step::Fork => run(
                "setsid sleep 1000 > /dev/null 2>&1 & (setsid sh -c 'sleep 1000 & sleep 1000' &)",
                "",
            ),
            Step::Await(fifo) => fs::File::open(fifo)
                .and_then(|mut fifo| fifo.read_to_end(&mut Vec::new()))
                .map(drop),
            Step::Pause(time) => {
                thread::sleep(time);
                Ok(())
            }
            Step::Hang => hang(),
            Step::Exit(status) => return status,
            // The signal comes when it comes; but a shell's background jobs are born deaf to INT, and so are all that they start.
            Step::Die(signal) => run(&format!("kill -{signal} $PPID"), "").and_then(|()| {
                thread::sleep(Duration::from_secs(10));
                Err(std::io::Error::other(format!(
                    "signal {signal} is ignored where this was started"
                )))
            }),
        };
        if let Err(error) = done {
            drop(writeln!(std::io::stderr(), "the play broke off: {error}"));
            return 99;
        }
    }
    0
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

fn run(script: &str, argument: &str) -> std::io::Result<()> {
    let status = Command::new("/bin/sh")
        .args(["-euc", script, "sh", argument])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| std::io::Error::other(format!("`{script}`: {status}")))
}

fn expanded(bytes: Vec<u8>) -> Vec<u8> {
    let mut text = bytes;
    for (place, variable) in [
        ("@TASK@", "ORCHESTRATOR_TASK"),
        ("@ATTEMPT@", "ORCHESTRATOR_ATTEMPT"),
    ] {
        let value = env::var(variable).unwrap_or_default();
        let mut from = 0;
        while let Some(at) = text[from..]
            .windows(place.len())
            .position(|window| window == place.as_bytes())
        {
            text.splice(from + at..from + at + place.len(), value.bytes());
            from += at + value.len();
        }
    }
    text
}

/// A true handoff, as far as it goes: of the task and attempt whose program leaves it.
#[must_use]
pub fn handoff(status: &str) -> String {
    format!(
        r#"{{"version":1,"task":"@TASK@","attempt":@ATTEMPT@,"status":"{status}","self_review":"read it once more"}}"#
    )
}

/// Bytes as a JSON string, one character for each: a script may be large.
mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(
            &bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>(),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        text.chars()
            .map(|char| u8::try_from(char).map_err(|_| D::Error::custom("not a byte")))
            .collect()
    }
}

/// The mark of this test's processes: nobody else's.
#[must_use]
pub(crate) fn fresh_mark(what: &Path) -> String {
    format!(
        "testkit-{}",
        &ContentHash::of(what.as_os_str().as_encoded_bytes()).to_string()[..16]
    )
}
