//! Our own environment, and who may read it.

use std::io;

/// Keeps processes of the same user from reading this process's environment and memory in `/proc`, for as long as it lives.
/// Children get none of our environment but what each needs, and could look the rest up at their parent. What they get can be read as
/// long as they run: the switch is this process's alone.
///
/// A switch of the whole process, so the program decides, not the library: call it first in `main`. It also means that no core
/// is dumped and no debugger can be attached (`PR_SET_DUMPABLE` of prctl(2)). Root can read everything all the same.
///
/// # Errors
/// [`Unsupported`](io::ErrorKind::Unsupported) where there is no such switch: it is Linux's.
pub fn hide_environment() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Into::into);
    #[cfg(not(target_os = "linux"))]
    return Err(io::ErrorKind::Unsupported.into());
}
