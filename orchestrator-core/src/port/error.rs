//! What the errors of all ports have in common.

use std::{error::Error, io, time::Duration};

use rustix::io::Errno;
use thiserror::Error;

/// What can be done about a port's error. Whoever calls the port obeys it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// It may work later, unchanged.
    Transient {
        /// The time after which it is worth another try, where that is known.
        retry_after: Option<Duration>,
    },
    /// A person must do something first.
    NeedsPerson,
    /// It will never work as asked.
    Permanent,
    /// A bug: ours, or the implementation's.
    Bug,
}

impl ErrorClass {
    /// Transient, and nobody knows for how long.
    pub const TRANSIENT: Self = Self::Transient { retry_after: None };

    /// The class of an error of the system: transient where it comes from a peer, a lock or a shortage that passes, and for a
    /// person where it stays until somebody acts, as a full disk does.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        let shortage = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
        if shortage.contains(&error.raw_os_error()) {
            return Self::TRANSIENT;
        }
        match error.kind() {
            io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::TRANSIENT,
            _ => Self::NeedsPerson,
        }
    }
}

/// Why an implementation could not do what was asked, though nothing is wrong with what was asked: its disk, its database, its
/// network.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct PortFailure {
    what: String,
    class: ErrorClass,
    source: Box<dyn Error + Send + Sync>,
}

impl PortFailure {
    /// A failure. `what` says which thing could not be used, and where it is: `the ledger at db.example.org/night cannot be
    /// used`; it does not repeat the source.
    #[must_use]
    pub fn new(
        what: impl Into<String>,
        class: ErrorClass,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (what, source) = (what.into(), source.into());
        Self {
            what,
            class,
            source,
        }
    }

    /// A failure of the system, of the class that [`ErrorClass::of_io`] gives it.
    #[must_use]
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        let class = ErrorClass::of_io(&source);
        Self::new(what, class, source)
    }

    /// What can be done about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }
}
