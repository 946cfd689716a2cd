//! What an agent keeps on disk of its sessions: it says what a turn has used that was cut off.

use std::{
    fmt::Debug,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    sync::Arc,
};

use rustix::fs::CWD;

use crate::{
    model::{ModelUsage, SessionUsage, TurnUsage, UsageSource},
    port::TurnRequest,
    untrusted::open_regular,
};

/// Reads the files in which an agent keeps its sessions.
///
/// They are the agent's own, and most often undocumented: what cannot be found or read is not known.
pub trait SessionFiles: Debug + Send + Sync + 'static {
    /// What a session has used in all, its agents' own agents included; `None` where that cannot be
    /// said. It may block, and is called where that is allowed.
    fn used(&self, session: &str) -> Option<ModelUsage>;
}

/// The most that is read of one session file, in bytes: what is longer is not known.
const MOST_READ: u64 = 512 << 20;

/// Gives each line of a session file to `each`; `None` for one that cannot be read, or is longer
/// than 512 MiB. Nothing but a regular file is read, so that it never blocks.
pub fn read_session_file(path: &Path, mut each: impl FnMut(&[u8])) -> Option<()> {
    let file = open_regular(CWD, path).ok()?;
    if file.metadata().ok()?.len() > MOST_READ {
        return None;
    }
    let mut reader = BufReader::new(file.take(MOST_READ));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).ok()? > 0 {
        each(&line);
        line.clear();
    }
    Some(())
}

/// Counts what one turn uses of its session.
#[derive(Debug, Default)]
pub(super) struct SessionCount {
    files: Option<Arc<dyn SessionFiles>>,
    /// Whether there were earlier turns.
    resumed: bool,
    /// What is known of the session's earlier turns.
    known: SessionUsage,
    /// What its files said before the turn began; nothing for a new session.
    before: Option<ModelUsage>,
}

impl SessionCount {
    /// Of what the request says alone.
    pub(super) fn new(request: &TurnRequest) -> Self {
        let resumed = request.resume.is_some();
        Self {
            files: None,
            resumed,
            known: if resumed {
                request.used.clone()
            } else {
                SessionUsage::default()
            },
            before: (!resumed).then(ModelUsage::default),
        }
    }

    /// Reads how much the session has used before.
    pub(super) async fn with_files(
        self,
        files: Arc<dyn SessionFiles>,
        request: &TurnRequest,
    ) -> Self {
        let before = match &request.resume {
            Some(session) => used(Arc::clone(&files), session.0.clone()).await,
            None => None,
        };
        self.with_read(files, before)
    }

    /// Takes over what the files say that the session has used before.
    pub(super) fn with_read(
        mut self,
        files: Arc<dyn SessionFiles>,
        before: Option<ModelUsage>,
    ) -> Self {
        if self.resumed {
            self.before = before.filter(|all| !all.is_empty());
        }
        self.files = Some(files);
        self
    }

    /// What earlier turns have used beyond what was known of them, if that can be said.
    pub(super) fn earlier(&self) -> Option<ModelUsage> {
        let before = self.before.clone().filter(|_| self.resumed)?;
        Some(before.minus(&self.known.known()))
    }

    /// Whether the use of an earlier turn is not known.
    pub(super) fn has_unknown(&self) -> bool {
        self.known.unknown + self.known.lost > 0
    }

    /// What the turn has used, as the files of its session say.
    pub(super) async fn read(&self, session: &str) -> Option<TurnUsage> {
        let files = Arc::clone(self.files.as_ref()?);
        let all = used(files, session.to_owned()).await?;
        let before = self.before.clone().unwrap_or_else(|| self.known.known());
        let turn = all.minus(&before);
        // An agent whose files say nothing may still have used something.
        let turn = (!turn.is_empty()).then_some(turn);
        Some(TurnUsage {
            turn,
            source: UsageSource::SessionFile,
            incomplete: false,
            earlier: self.earlier(),
        })
    }
}

/// Reads on a thread where that may take its time.
async fn used(files: Arc<dyn SessionFiles>, session: String) -> Option<ModelUsage> {
    let read = tokio::task::spawn_blocking(move || files.used(&session)).await;
    read.ok().flatten().filter(|all| !all.is_empty())
}
