//! Evidence in files, named by their content.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    failpoint::reach,
    model::ContentHash,
    port::{EvidenceError, EvidenceStore, Stored},
};

/// A directory of files: `ab/cdef…`, the SHA-256 of each in its name. Written under another name, flushed, and renamed.
#[derive(Debug, Clone)]
pub struct FileEvidence {
    root: PathBuf,
}

/// What is read before anything is written, in bytes: so much may turn out to be there already.
const SMALL: u64 = 64 * 1024;

fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> EvidenceError {
    let what = format!("{what} {}", path.display());
    move |source| EvidenceError::Io { what, source }
}

impl FileEvidence {
    /// In this directory, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, hash: ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }
}

#[async_trait]
impl EvidenceStore for FileEvidence {
    async fn put(&self, content: &mut (dyn AsyncRead + Send + Unpin), cap: u64) -> Result<Stored, EvidenceError> {
        let reading = || failed("reading what is to be kept in", &self.root);
        let (mut begin, mut hasher) = (Vec::new(), Sha256::new());
        (&mut *content).take(SMALL.min(cap)).read_to_end(&mut begin).await.map_err(reading())?;
        hasher.update(&begin);
        let mut size = begin.len() as u64;
        let hash = ContentHash::from_bytes(hasher.clone().finalize().into());
        // Much of what is kept says nothing, or the same again: what is here already was flushed when it came.
        if size < SMALL.min(cap) && tokio::fs::read(self.path(hash)).await.is_ok_and(|known| known == begin) {
            return Ok(Stored { hash, size, truncated: false });
        }
        tokio::fs::create_dir_all(&self.root).await.map_err(failed("making", &self.root))?;
        let scratch = tempfile::NamedTempFile::new_in(&self.root).map_err(failed("writing in", &self.root))?;
        let mut file = tokio::fs::File::from_std(scratch.reopen().map_err(failed("writing", scratch.path()))?);
        file.write_all(&begin).await.map_err(failed("writing", scratch.path()))?;
        let mut buffer = vec![0; 64 * 1024];
        let truncated = loop {
            let read = content.read(&mut buffer).await.map_err(reading())?;
            if read == 0 {
                break false;
            }
            let room = usize::try_from(cap - size).unwrap_or(usize::MAX).min(read);
            hasher.update(&buffer[..room]);
            size += room as u64;
            file.write_all(&buffer[..room]).await.map_err(failed("writing", scratch.path()))?;
            if room < read {
                break true;
            }
        };
        file.flush().await.map_err(failed("writing", scratch.path()))?;
        file.sync_all().await.map_err(failed("flushing", scratch.path()))?;
        let hash = ContentHash::from_bytes(hasher.finalize().into());
        let path = self.path(hash);
        let directory = path.parent().unwrap_or(&self.root);
        tokio::fs::create_dir_all(directory).await.map_err(failed("making", directory))?;
        reach("before evidence");
        scratch.persist(&path).map_err(|error| failed("writing", &path)(error.error))?;
        let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("flushing", directory))?;
        reach("after evidence");
        Ok(Stored { hash, size, truncated })
    }

    async fn open(&self, hash: ContentHash) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let path = self.path(hash);
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(EvidenceError::Unknown(hash)),
            Err(error) => Err(failed("opening", &path)(error)),
        }
    }
}
