//! A program from its start to its end, within bounds.

use std::{future::Future, io, time::Duration};

use super::motion::{GivenUp, Patience, until_given_up};
use super::{Captured, Exit, Input, Killer, Spawn};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// What is still read after the program has ended and its relatives were swept: only what is in the pipe.
const DRAIN: Duration = Duration::from_millis(200);

/// How long the end of a program is waited for when it was killed.
const KILLED: Duration = Duration::from_secs(2);

/// How much of a program's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// From the beginning of each stream, in bytes.
    pub head: usize,
    /// From its end, in bytes.
    pub tail: usize,
}

/// A program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// How; `None` when it ran out of time and was killed.
    pub exit: Option<Exit>,
    /// What it wrote.
    pub stdout: Captured,
    /// What it complained.
    pub stderr: Captured,
}

/// Runs a program to its end, or kills it with all that it started when `deadline` has passed. `input` is written to its
/// standard input. Its relatives are swept when it ends, if it is marked.
///
/// # Errors
/// When it cannot be started.
pub async fn run_to_end(
    spawn: Spawn,
    input: &[u8],
    deadline: Duration,
    limits: OutputLimits,
) -> io::Result<Finished> {
    let (finished, _) = run_until(spawn, input, limits, |_| tokio::time::sleep(deadline)).await?;
    Ok(finished)
}

/// Runs a program to its end for as long as it gets on; if it was given up, why. Otherwise as [`run_to_end`].
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn run_while_moving(
    spawn: Spawn,
    input: &[u8],
    patience: Patience,
    limits: OutputLimits,
) -> io::Result<(Finished, Option<GivenUp>)> {
    run_until(spawn, input, limits, |killer| {
        until_given_up(killer.target(), patience)
    })
    .await
}

/// Runs a program until it ends, or until `given_up` says why it is to be killed.
async fn run_until<Why, Watch: Future<Output = Why>>(
    spawn: Spawn,
    input: &[u8],
    limits: OutputLimits,
    given_up: impl FnOnce(&Killer) -> Watch,
) -> io::Result<(Finished, Option<Why>)> {
    let marked = spawn.mark.is_some();
    let spawn = if input.is_empty() {
        spawn
    } else {
        spawn.input(Input::Piped)
    };
    let mut child = spawn.spawn()?;
    let killer = child.killer();
    let mut stdout = Captured::new(limits.head, limits.tail);
    let mut stderr = Captured::new(limits.head, limits.tail);
    let (stdin, out, err) = (child.stdin(), child.stdout(), child.stderr());
    let given_up = given_up(&killer);
    let (exit, why) = {
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input to the end is free not to.
                drop(stdin.write_all(input).await);
            }
        };
        let drain = async {
            tokio::join!(
                write,
                read_all(out, &mut stdout),
                read_all(err, &mut stderr)
            )
        };
        tokio::pin!(drain);
        let mut drained = false;
        let ended = async {
            loop {
                tokio::select! {
                    exit = child.wait() => return exit,
                    _ = &mut drain, if !drained => drained = true,
                }
            }
        };
        let (exit, why) = tokio::select! {
            biased;
            exit = ended => (Some(exit?), None),
            why = given_up => (None, Some(why)),
        };
        if exit.is_none() {
            killer.stop(Duration::ZERO).await;
            // One that is stuck in the kernel has not ended yet, and is no longer waited for.
            drop(tokio::time::timeout(KILLED, child.wait()).await);
        }
        if marked {
            killer.sweep().await;
        }
        if !drained {
            drop(tokio::time::timeout(DRAIN, drain).await);
        }
        (exit, why)
    };
    Ok((
        Finished {
            exit,
            stdout,
            stderr,
        },
        why,
    ))
}

async fn read_all(from: Option<impl AsyncRead + Unpin>, into: &mut Captured) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        into.push(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Spawn {
        Spawn::new("/bin/sh", "/")
            .args(["-c", script])
            .envs([("PATH", "/usr/bin:/bin")])
    }

    const LIMITS: OutputLimits = OutputLimits {
        head: 1000,
        tail: 1000,
    };

    #[tokio::test]
    async fn output_larger_than_a_pipe_and_input_pass() {
        let input = vec![b'x'; 300_000];
        let finished = run_to_end(
            shell("wc -c; head -c 200000 /dev/zero >&2; exit 3"),
            &input,
            Duration::from_secs(60),
            LIMITS,
        )
        .await;
        let finished = finished.expect("runs");
        assert_eq!(finished.exit, Some(Exit::Code(3)));
        assert_eq!(finished.stdout.end(20), "300000");
        assert_eq!(finished.stderr.dropped(), 198_000);
    }

    #[tokio::test]
    async fn a_deadline_ends_the_program_and_its_children() {
        let mark = format!("test-{}-deadline", std::process::id());
        let spawn =
            shell("trap '' TERM; setsid sleep 1000 & (setsid sh -c 'sleep 1000 &'); sleep 1000")
                .marked(&mark);
        let finished = run_to_end(spawn, &[], Duration::from_millis(300), LIMITS)
            .await
            .expect("runs");
        assert_eq!(finished.exit, None);
        assert_eq!(super::super::marked(&mark), Vec::<i32>::new());
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_swept() {
        let mark = format!("test-{}-sweep", std::process::id());
        let finished = run_to_end(
            shell("setsid sleep 1000 & echo done").marked(&mark),
            &[],
            Duration::from_secs(60),
            LIMITS,
        )
        .await;
        assert_eq!(
            finished
                .map(|finished| finished.stdout.end(9))
                .ok()
                .as_deref(),
            Some("done")
        );
        assert_eq!(super::super::marked(&mark), Vec::<i32>::new());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let result = run_to_end(
            Spawn::new("/nowhere/at-all", "/"),
            &[],
            Duration::from_secs(1),
            LIMITS,
        )
        .await;
        assert_eq!(
            result.map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::NotFound)
        );
    }
}
