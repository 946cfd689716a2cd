//! Places at which a test may kill this process, before and after each side effect.
//!
//! Without the feature `failpoints` they are nothing. With it, `ORCHESTRATOR_FAILPOINT=7` kills the process (SIGKILL: nothing is
//! tidied up) when it comes to its seventh, and `ORCHESTRATOR_FAILPOINTS=FILE` writes down their names as they are passed.

/// Passes a failpoint.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn reach(_: &str) {}

/// Passes a failpoint.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str) {
    use std::{
        io::Write as _,
        sync::{Mutex, PoisonError},
    };
    static PASSED: Mutex<usize> = Mutex::new(0);
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    *passed += 1;
    if let Some(path) = std::env::var_os("ORCHESTRATOR_FAILPOINTS") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        // A name that could not be written down is missed by the test that counts them.
        drop(file.and_then(|mut file| writeln!(file, "{name}")));
    }
    let wanted = std::env::var("ORCHESTRATOR_FAILPOINT")
        .ok()
        .and_then(|wanted| wanted.parse().ok());
    if wanted == Some(*passed) {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL)
            .expect("a process may kill itself");
        // The signal comes at once; nothing else may happen before it does.
        loop {
            std::thread::park();
        }
    }
}
