//! The signals by which a program is asked to end.

use std::{future::poll_fn, io, task::Poll};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Hears INT, TERM, HUP and QUIT, which no longer end this process by themselves: a terminal that was closed and a connection that was
/// lost (HUP) are as good a reason to stop in order as a person's Ctrl-C. HUP and QUIT are left alone where they were ignored when this
/// process was started, as by `nohup` and for jobs in the background.
///
/// A switch of the whole process, so the program decides, not the library.
#[derive(Debug)]
pub struct EndSignals(Vec<(Signal, unix::Signal)>);

impl EndSignals {
    /// Begins to hear. Needs a tokio runtime.
    ///
    /// # Errors
    /// When a handler cannot be set.
    pub fn listen() -> io::Result<Self> {
        let optional = [Signal::HUP, Signal::QUIT]
            .into_iter()
            .filter(|signal| !is_ignored(*signal));
        let heard = [Signal::INT, Signal::TERM].into_iter().chain(optional);
        let listen =
            |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        heard.map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next, and tells which it is. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            let came = self
                .0
                .iter_mut()
                .find_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Whether this process ignores a signal, as Linux tells it: a mask in which the first bit is the first signal.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}
