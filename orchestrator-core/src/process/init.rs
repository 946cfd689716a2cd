//! Being the first process of a container.
//!
//! Orphans become children of process 1, or of the nearest ancestor that asked for that (a subreaper), and stay zombies until that waits for
//! them. To wait for any child at all would take the exit status away from whoever waits for one of its own. So the two are kept
//! apart: this process starts the program again and does nothing but wait, and the program runs as on any other machine.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Command, id},
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use super::EndSignals;

/// Where this process is given orphans, as number 1 of a container without an init, or as a subreaper: starts this program once more,
/// with the same arguments, and until that ends passes on to it the signals of [`EndSignals`] and waits for all that has ended. The status
/// is then to be this process's own: 128 and the signal's number for a program that was killed. `None` at once where this
/// process is given none: it goes on as the program.
///
/// To be called first thing in `main`, outside of any runtime. A switch of the whole process, so the program decides, not the
/// library; a container that is run with an init (`docker run --init`) needs none.
///
/// # Errors
/// When the program cannot be started again.
pub fn act_as_init() -> io::Result<Option<u8>> {
    if id() != 1 && !is_subreaper() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(wait_for_all()).map(Some)
}

fn is_subreaper() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::process::child_subreaper().is_ok_and(|set| set.is_some());
    #[cfg(not(target_os = "linux"))]
    return false;
}

async fn wait_for_all() -> io::Result<u8> {
    // From here on neither an end nor a signal is missed.
    let mut ended = signal(SignalKind::child())?;
    let mut signals = EndSignals::listen()?;
    let program = start_again()?;
    loop {
        if let Some(status) = take_the_dead(program)? {
            return Ok(status);
        }
        tokio::select! {
            _ = ended.recv() => {}
            // It may have ended just now.
            signal = signals.next() => kill_process(program, signal).unwrap_or_default(),
        }
    }
}

/// Its own handle is not needed: whoever waits for all waits for it too.
fn start_again() -> io::Result<Pid> {
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = name {
        command.arg0(name);
    }
    let child = command.args(arguments).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the program that was started again has no process id"))
}

/// Waits for all that has ended; the status of the program, once it is among them.
fn take_the_dead(program: Pid) -> io::Result<Option<u8>> {
    let mut status = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) if pid == program => status = Some(code(ended)),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(status),
            Err(error) => return Err(error.into()),
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let signalled = || status.terminating_signal().unwrap_or(Signal::KILL.as_raw()) + 128;
    u8::try_from(status.exit_status().unwrap_or_else(signalled)).unwrap_or(u8::MAX)
}
