//! Commands from other processes: a file renamed into place, consumed by the one writer (law 11).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    failpoint::reach,
    git::absolute,
    model::{Answer, ContentHash, RunMode},
    untrusted::{read_small, remove},
};

/// What a person tells a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Another run mode.
    Mode(RunMode),
    /// An answer to a hold.
    Answer(Answer),
    /// End at once; what is in flight goes on at the next start.
    Stop,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    version: u32,
    command: Command,
}

/// The directory `inbox` of a state directory. Each file is `{"version": 1, "command": ...}`, where a command is
/// `{"mode": "drain"}`, `{"answer": {"hold": "H1", "option": "approve", "note": null}}` or `"stop"`.
#[derive(Debug, Clone)]
pub struct Inbox {
    dir: PathBuf,
}

impl Inbox {
    /// The inbox of a state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self {
            dir: absolute(state_dir).join("inbox"),
        }
    }

    /// Leaves a command for whoever runs, or will run, on this state directory. The same command twice is one command as
    /// long as nobody has consumed it.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn post(&self, command: &Command) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let json = serde_json::to_vec(&Letter {
            version: 1,
            command: command.clone(),
        })?;
        let mut file = tempfile::Builder::new()
            .prefix(".letter-")
            .tempfile_in(&self.dir)?;
        // By this it is known that it is still written; where files cannot be locked, it is as good without.
        drop(file.as_file().try_lock());
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(self.dir.join(format!("{}.json", ContentHash::of(&json))))?;
        Ok(())
    }

    /// What lies there, with the file of each; a file that is no letter comes with the reason.
    pub(super) fn letters(&self) -> Vec<(PathBuf, Result<Command, String>)> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some("json".as_ref()))
            .collect();
        paths.sort();
        let read = |path: &Path| -> Result<Command, String> {
            let bytes = read_small(path).map_err(|error| error.to_string())?;
            let letter: Letter =
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            if letter.version == 1 {
                Ok(letter.command)
            } else {
                Err(format!("its version is {}", letter.version))
            }
        };
        paths
            .into_iter()
            .map(|path| (path.clone(), read(&path)))
            .collect()
    }

    /// Takes a letter away, once what it says is in the ledger.
    pub(super) fn consumed(path: &Path) {
        reach("before letter is taken");
        if let Err(error) = remove(path) {
            tracing::warn!(path = %path.display(), %error, "a letter could not be taken out of the inbox");
        }
    }
}
