//! Evidence in files, named by their content.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    failpoint::reach,
    model::ContentHash,
    port::{EvidenceError, EvidenceStore, PortFailure, Stored},
};

/// A directory of files: `ab/cdef…`, the SHA-256 of each in its name. Written under another name, flushed, and renamed.
#[derive(Debug, Clone)]
pub struct FileEvidence {
    root: PathBuf,
}

/// What is read before anything is written, in bytes: so much may turn out to be there already.
const SMALL: u64 = 64 * 1024;

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> EvidenceError {
    let what = format!(
        "the evidence store cannot be used: {what} {}",
        path.display()
    );
    move |source| PortFailure::io(what, source).into()
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

    fn scratch(&self) -> Result<NamedTempFile, EvidenceError> {
        fs::create_dir_all(&self.root).map_err(failed("making", &self.root))?;
        let scratch =
            NamedTempFile::new_in(&self.root).map_err(failed("writing in", &self.root))?;
        // By this it is known that it is still written; where files cannot be locked, it is as good without.
        drop(scratch.as_file().try_lock());
        Ok(scratch)
    }

    /// Keeps what is in memory as a whole.
    fn put_whole(&self, hash: ContentHash, content: &[u8]) -> Result<(), EvidenceError> {
        // Much of what is kept says nothing, or the same again: what is here already was flushed when it came.
        if fs::read(self.path(hash)).is_ok_and(|known| known == content) {
            return Ok(());
        }
        let mut scratch = self.scratch()?;
        scratch
            .write_all(content)
            .map_err(failed("writing", scratch.path()))?;
        self.settle(scratch, hash)
    }

    /// Gives a file its place, durably.
    fn settle(&self, scratch: NamedTempFile, hash: ContentHash) -> Result<(), EvidenceError> {
        scratch
            .as_file()
            .sync_all()
            .map_err(failed("flushing", scratch.path()))?;
        let path = self.path(hash);
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).map_err(failed("making", directory))?;
        reach("before evidence");
        scratch
            .persist(&path)
            .map_err(|error| failed("writing", &path)(error.error))?;
        fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("flushing", directory))?;
        reach("after evidence");
        Ok(())
    }

    /// What waits for the disk, where it keeps nobody up.
    async fn blocking(
        &self,
        work: impl FnOnce() -> Result<(), EvidenceError> + Send + 'static,
    ) -> Result<(), EvidenceError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| failed("writing in", &self.root)(io::Error::other(error)))?
    }
}

#[async_trait]
impl EvidenceStore for FileEvidence {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        cap: u64,
    ) -> Result<Stored, EvidenceError> {
        let (mut begin, mut hasher) = (Vec::new(), Sha256::new());
        (&mut *content)
            .take(SMALL.min(cap))
            .read_to_end(&mut begin)
            .await
            .map_err(EvidenceError::Content)?;
        hasher.update(&begin);
        let mut size = begin.len() as u64;
        if size < SMALL.min(cap) {
            let (this, hash) = (
                self.clone(),
                ContentHash::from_bytes(hasher.finalize().into()),
            );
            self.blocking(move || this.put_whole(hash, &begin)).await?;
            return Ok(Stored {
                hash,
                size,
                truncated: false,
            });
        }
        let scratch = self.scratch()?;
        let mut file = tokio::fs::File::from_std(
            scratch
                .reopen()
                .map_err(failed("writing", scratch.path()))?,
        );
        file.write_all(&begin)
            .await
            .map_err(failed("writing", scratch.path()))?;
        let mut buffer = vec![0; 64 * 1024];
        let truncated = loop {
            let read = content
                .read(&mut buffer)
                .await
                .map_err(EvidenceError::Content)?;
            if read == 0 {
                break false;
            }
            let room = usize::try_from(cap - size).unwrap_or(usize::MAX).min(read);
            hasher.update(&buffer[..room]);
            size += room as u64;
            file.write_all(&buffer[..room])
                .await
                .map_err(failed("writing", scratch.path()))?;
            if room < read {
                break true;
            }
        };
        file.flush()
            .await
            .map_err(failed("writing", scratch.path()))?;
        let (this, hash) = (
            self.clone(),
            ContentHash::from_bytes(hasher.finalize().into()),
        );
        self.blocking(move || this.settle(scratch, hash)).await?;
        Ok(Stored {
            hash,
            size,
            truncated,
        })
    }

    async fn open(
        &self,
        hash: ContentHash,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, EvidenceError> {
        let path = self.path(hash);
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(EvidenceError::Unknown(hash))
            }
            Err(error) => Err(failed("opening", &path)(error)),
        }
    }
}
