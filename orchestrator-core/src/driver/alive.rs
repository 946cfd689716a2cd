//! Whether an orchestrator is running on a state directory, for who only looks.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// Whether an orchestrator is running on this state directory now. It holds the lock of the directory
/// for as long as it lives; where that cannot be seen, it is taken for running.
#[must_use]
pub fn is_running(state_dir: &Path) -> bool {
    match File::open(state_dir.join("lock")) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
        },
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orchestrator_runs_as_long_as_its_lock_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!is_running(dir.path()), "there was none yet");
        let lock = File::create(dir.path().join("lock")).expect("is made");
        assert!(!is_running(dir.path()), "it has ended");
        lock.try_lock().expect("is free");
        assert!(is_running(dir.path()));
        drop(lock);
        assert!(!is_running(dir.path()));
    }
}
