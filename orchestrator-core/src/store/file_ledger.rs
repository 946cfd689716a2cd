//! The ledger as a text file of one line per batch.
//!
//! ```text
//! <sha256 over the line before's and this JSON> {"epoch":1,"from":1,"at":…,"records":[…]}
//! <sha256 …>                                    {"epoch":1,"from":4,"at":…,"records":[…]}
//! ```
//!
//! - A batch is a line, so it is there whole or not at all: a last line without its end was torn by a crash, and is cut.
//! - Lines are chained by hash: damage, loss or exchange anywhere is noticed. The chain detects; it does not prevent.
//! - Opening appends an empty batch of the next epoch. Appending takes the file's lock for a moment and is refused if the file
//!   is not just as long as this writer left it: so a writer that slept through another's opening cannot write.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    failpoint::reach,
    model::{ContentHash, Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, Sequence},
};

/// A ledger in one file.
#[derive(Debug, Clone)]
pub struct FileLedger {
    path: PathBuf,
    writer: Arc<Mutex<Option<Writer>>>,
    /// Where the last page that was read ended: whoever reads page by page reads each line once.
    bookmark: Arc<Mutex<Option<Tail>>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    /// Where this writer left the file.
    tail: Tail,
}

/// Where a ledger ends, or ended once: the end of a line.
#[derive(Debug, Clone, Copy)]
struct Tail {
    epoch: u64,
    next: u64,
    hash: ContentHash,
    /// Of this line, counted from 1.
    line: u64,
    /// In bytes from the beginning.
    length: u64,
}

impl Tail {
    fn beginning() -> Self {
        Self {
            epoch: 0,
            next: 1,
            hash: ContentHash::of(b""),
            line: 0,
            length: 0,
        }
    }
}

#[derive(Serialize)]
struct BatchOut<'a> {
    epoch: u64,
    from: u64,
    at: Timestamp,
    records: &'a [Record],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchIn {
    epoch: u64,
    from: u64,
    at: Timestamp,
    records: Vec<Record>,
}

/// Hexadecimal digits of a hash and the blank behind them.
const PREFIX: usize = 65;
/// So much of the file is in memory at once, in bytes, or a line that is longer.
const PIECE: u64 = 1 << 20;
/// So many lines are shared out to threads.
const WORTH_A_THREAD: usize = 64;
/// What more of them would do, the one who folds the records could not keep up with.
const MAX_THREADS: usize = 4;

impl FileLedger {
    /// The ledger in this file, which is made when it is first opened for writing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            writer: Arc::default(),
            bookmark: Arc::default(),
        }
    }

    fn io(&self) -> impl Fn(std::io::Error) -> LedgerError + '_ {
        |source| LedgerError::Io {
            path: self.path.display().to_string(),
            source,
        }
    }

    fn damaged(&self, line: u64, why: impl Into<String>) -> LedgerError {
        LedgerError::Damaged {
            path: self.path.display().to_string(),
            line,
            why: why.into(),
        }
    }

    /// Checks the lines behind `from`, and gives their batches to `each` with what is before them, as long as records are wanted: so
    /// many at first, and then as many as it says. Also where the lines end that were read, and how much is torn behind the last.
    fn scan(
        &self,
        from: Tail,
        mut wanted: usize,
        mut each: impl FnMut(Tail, BatchIn) -> usize,
    ) -> Result<(Tail, u64), LedgerError> {
        let mut tail = from;
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((tail, 0)),
            Err(error) => return Err(self.io()(error)),
        };
        file.seek(SeekFrom::Start(from.length)).map_err(self.io())?;
        let mut piece = Vec::new();
        loop {
            let more = (&file)
                .take(PIECE)
                .read_to_end(&mut piece)
                .map_err(self.io())?;
            let Some(end) = memchr::memrchr(b'\n', &piece) else {
                if more == 0 {
                    return Ok((tail, piece.len() as u64));
                }
                // A line that is longer than a piece.
                continue;
            };
            (tail, wanted) = self.lines(tail, &piece[..end], wanted, &mut each)?;
            if wanted == 0 {
                return Ok((tail, 0));
            }
            piece.drain(..=end);
        }
    }

    /// The same for these lines, and how many more records are wanted.
    fn lines(
        &self,
        from: Tail,
        text: &[u8],
        mut wanted: usize,
        each: &mut impl FnMut(Tail, BatchIn) -> usize,
    ) -> Result<(Tail, usize), LedgerError> {
        let mut begin = 0;
        let mut lines: Vec<_> = memchr::memchr_iter(b'\n', text)
            .map(|end| &text[std::mem::replace(&mut begin, end + 1)..end])
            .collect();
        lines.push(&text[begin..]);
        let (mut lines, mut tail) = (&lines[..], from);
        while wanted > 0 && !lines.is_empty() {
            // A line has a record, as a rule: what is read beyond what is wanted would be read again.
            let (some, rest) = lines.split_at(wanted.min(lines.len()));
            for (line, understood) in some.iter().zip(understand(tail.hash, some)) {
                let (hash, batch) = understood.map_err(|why| self.damaged(tail.line + 1, why))?;
                if batch.from != tail.next || batch.epoch < tail.epoch {
                    return Err(
                        self.damaged(tail.line + 1, "it does not follow the line before it")
                    );
                }
                let before = tail;
                tail = Tail {
                    epoch: batch.epoch,
                    next: batch.from + batch.records.len() as u64,
                    hash,
                    line: before.line + 1,
                    length: before.length + line.len() as u64 + 1,
                };
                wanted = each(before, batch);
                if wanted == 0 {
                    break;
                }
            }
            lines = rest;
        }
        Ok((tail, wanted))
    }

    fn bookmark(&self) -> MutexGuard<'_, Option<Tail>> {
        self.bookmark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next page, from where the last one ended or from the beginning.
    fn read_blocking(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let begin = self
            .bookmark()
            .filter(|tail| tail.next <= from.0)
            .unwrap_or_else(Tail::beginning);
        let mut entries = Vec::new();
        let mut whole = begin;
        self.scan(begin, limit, |before, batch| {
            // A batch of which only a part has room is read again with the next page.
            whole = before;
            let at = batch.at;
            let numbered = batch
                .records
                .into_iter()
                .zip(batch.from..)
                .filter(|(_, number)| *number >= from.0);
            let room = limit - entries.len();
            entries.extend(numbered.take(room).map(|(record, number)| LedgerEntry {
                sequence: Sequence(number),
                at,
                record,
            }));
            limit - entries.len()
        })?;
        *self.bookmark() = Some(whole);
        Ok(entries)
    }

    fn open_blocking(&self) -> Result<Opening, LedgerError> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory).map_err(self.io())?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(self.io())?;
        file.lock().map_err(self.io())?;
        // What this one has read was checked then. If the file has become shorter, it is another.
        let length = file.metadata().map_err(self.io())?.len();
        let begin = self
            .bookmark()
            .filter(|tail| tail.length < length)
            .unwrap_or_else(Tail::beginning);
        let (mut tail, torn) = self.scan(begin, usize::MAX, |_, _| usize::MAX)?;
        if torn > 0 {
            file.set_len(tail.length).map_err(self.io())?;
        }
        tail.epoch += 1;
        file.seek(SeekFrom::Start(tail.length)).map_err(self.io())?;
        let mut writer = Writer { file, tail };
        writer.write(Timestamp(0), &[]).map_err(self.io())?;
        // The file's own name must survive as well.
        let directory = self
            .path
            .parent()
            .map(File::open)
            .transpose()
            .map_err(self.io())?;
        directory
            .map(|directory| directory.sync_all())
            .transpose()
            .map_err(self.io())?;
        writer.file.unlock().map_err(self.io())?;
        let opening = Opening {
            epoch: Epoch(writer.tail.epoch),
            next: Sequence(writer.tail.next),
            torn: (torn > 0).then_some(torn),
        };
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(opening)
    }

    fn append_blocking(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let mut guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = guard
            .as_mut()
            .filter(|writer| writer.tail.epoch == epoch.0)
            .ok_or(LedgerError::Fenced)?;
        if expected.0 != writer.tail.next {
            return Err(LedgerError::Conflict {
                expected: expected.0,
                actual: writer.tail.next,
            });
        }
        writer.file.lock().map_err(self.io())?;
        let result = writer.file.metadata().map_err(self.io()).and_then(|meta| {
            if meta.len() != writer.tail.length {
                Err(LedgerError::Fenced)
            } else {
                writer.write(at, records).map_err(self.io())
            }
        });
        writer.file.unlock().map_err(self.io())?;
        result.map(|()| Sequence(writer.tail.next))
    }
}

/// The hash that a line bears.
fn recorded(line: &[u8]) -> Option<ContentHash> {
    let (hash, blank) = line.get(..PREFIX)?.split_at(PREFIX - 1);
    str::from_utf8(hash)
        .ok()?
        .parse()
        .ok()
        .filter(|_| blank == b" ")
}

/// Checks and reads these lines, up to the first that is not as it was written. A line is checked by the hash that the line before it
/// bears, so that any can be understood by itself: they are shared out to the processors.
fn understand(before: ContentHash, lines: &[&[u8]]) -> Vec<Result<(ContentHash, BatchIn), String>> {
    let some = |mut before: ContentHash, lines: &[&[u8]]| {
        let mut batches = Vec::with_capacity(lines.len());
        for line in lines {
            let batch = checked(before, line);
            let hash = batch.as_ref().ok().map(|(hash, _)| *hash);
            batches.push(batch);
            // Behind a fault nothing counts.
            let Some(hash) = hash else { break };
            before = hash;
        }
        batches
    };
    if lines.len() < WORTH_A_THREAD {
        return some(before, lines);
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = lines.len().div_ceil(processors.min(MAX_THREADS));
    std::thread::scope(|scope| {
        let others = (share..lines.len()).step_by(share).map(|begin| {
            // Of a line that bears no hash, who has it tells.
            let before = recorded(lines[begin - 1]).unwrap_or(before);
            let lines = &lines[begin..lines.len().min(begin + share)];
            scope.spawn(move || some(before, lines))
        });
        let others: Vec<_> = others.collect();
        let mut batches = some(before, &lines[..share]);
        for other in others {
            batches.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        batches
    })
}

/// The hash and the batch of one line.
fn checked(before: ContentHash, line: &[u8]) -> Result<(ContentHash, BatchIn), String> {
    let json = line.get(PREFIX..).ok_or("the line is too short")?;
    let hash = recorded(line).filter(|hash| *hash == chain(before, json));
    let hash = hash.ok_or("its checksum does not match: it, or a line before it, was changed")?;
    // Text that is UTF-8 as a whole need not be looked at string by string.
    let text = str::from_utf8(json).map_err(serde::de::Error::custom);
    let batch = text.and_then(serde_json::from_str);
    let batch = batch.map_err(|error: serde_json::Error| {
        format!("it cannot be read, though its checksum matches: {error}")
    })?;
    Ok((hash, batch))
}

fn chain(before: ContentHash, json: &[u8]) -> ContentHash {
    let digest = Sha256::new()
        .chain_update(before.as_bytes())
        .chain_update(json)
        .finalize();
    ContentHash::from_bytes(digest.into())
}

impl Writer {
    /// Writes one batch, durably; if that fails, the file is as long as before.
    fn write(&mut self, at: Timestamp, records: &[Record]) -> std::io::Result<()> {
        let json = serde_json::to_vec(&BatchOut {
            epoch: self.tail.epoch,
            from: self.tail.next,
            at,
            records,
        })?;
        let hash = chain(self.tail.hash, &json);
        let mut line = format!("{hash} ").into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        reach("before append");
        let written = self.file.write_all(&line);
        reach("append, not flushed");
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.tail.length)?;
            self.file.seek(SeekFrom::Start(self.tail.length))?;
            return Err(error);
        }
        reach("after append");
        self.tail.next += records.len() as u64;
        self.tail.hash = hash;
        self.tail.line += 1;
        self.tail.length += line.len() as u64;
        Ok(())
    }
}

/// File operations block: a moment for an append, longer for a whole ledger.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
    path: &Path,
) -> Result<T, LedgerError> {
    let failed = |error| LedgerError::Io {
        path: path.display().to_string(),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

#[async_trait]
impl Ledger for FileLedger {
    async fn open(&self) -> Result<Opening, LedgerError> {
        let this = self.clone();
        blocking(move || this.open_blocking(), &self.path).await
    }

    async fn append(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let (this, records) = (self.clone(), records.to_vec());
        blocking(
            move || this.append_blocking(epoch, expected, at, &records),
            &self.path,
        )
        .await
    }

    async fn read(&self, from: Sequence, limit: usize) -> Result<Vec<LedgerEntry>, LedgerError> {
        let this = self.clone();
        blocking(move || this.read_blocking(from, limit), &self.path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunMode;

    const AT: Timestamp = Timestamp(7);

    async fn filled(path: &Path) -> (FileLedger, Opening) {
        let ledger = FileLedger::new(path);
        let opening = ledger.open().await.expect("opens");
        let next = ledger
            .append(
                opening.epoch,
                opening.next,
                AT,
                &[
                    Record::ModeSet(RunMode::Drain),
                    Record::ModeSet(RunMode::Active),
                ],
            )
            .await;
        assert_eq!(next.expect("appends"), Sequence(3));
        (ledger, opening)
    }

    #[tokio::test]
    async fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        drop(filled(&path).await);
        let again = FileLedger::new(&path);
        let opening = again.open().await.expect("opens");
        assert_eq!(
            opening,
            Opening {
                epoch: Epoch(2),
                next: Sequence(3),
                torn: None
            }
        );
        let entries = again.read(Sequence(2), 10).await.expect("reads");
        assert_eq!(
            entries,
            [LedgerEntry {
                sequence: Sequence(2),
                at: AT,
                record: Record::ModeSet(RunMode::Active)
            }]
        );
    }

    #[tokio::test]
    async fn who_has_read_it_opens_it_from_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        drop(filled(&path).await);
        let whole = std::fs::read(&path).expect("reads");
        let opened = async |content: &[u8]| {
            let ledger = FileLedger::new(&path);
            std::fs::write(&path, &whole).expect("writes");
            assert_eq!(ledger.read(Sequence(1), 10).await.expect("reads").len(), 2);
            std::fs::write(&path, content).expect("writes");
            ledger.open().await
        };
        let next = Opening {
            epoch: Epoch(2),
            next: Sequence(3),
            torn: None,
        };
        assert_eq!(opened(&whole).await.expect("opens"), next);
        assert_eq!(
            opened(&[&whole[..], b"torn"].concat())
                .await
                .expect("opens"),
            Opening {
                torn: Some(4),
                ..next
            }
        );
        // Another file than was read: one line of it, and one in which the last line is another's.
        let first = whole
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a line")
            + 1;
        let shorter = opened(&whole[..first]).await.expect("opens");
        assert_eq!(
            shorter,
            Opening {
                epoch: Epoch(2),
                next: Sequence(1),
                torn: None
            }
        );
        let other = [&whole[..], &whole[first..]].concat();
        assert!(matches!(
            opened(&other).await,
            Err(LedgerError::Damaged { line: 3, .. })
        ));
    }

    #[tokio::test]
    async fn a_writer_that_was_overtaken_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        let (old, opening) = filled(&path).await;
        FileLedger::new(&path).open().await.expect("opens");
        let refused = old
            .append(
                opening.epoch,
                Sequence(3),
                AT,
                &[Record::ModeSet(RunMode::Paused)],
            )
            .await;
        assert!(matches!(refused, Err(LedgerError::Fenced)), "{refused:?}");
    }

    #[tokio::test]
    async fn a_torn_end_is_cut_and_any_other_damage_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger");
        drop(filled(&path).await);
        let whole = std::fs::read(&path).expect("reads");
        let first = whole
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a line")
            + 1;
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writes");
            let opening = FileLedger::new(&path).open().await.expect("opens");
            let torn = (length > first).then_some((length - first) as u64);
            assert_eq!(
                opening,
                Opening {
                    epoch: Epoch(2),
                    next: Sequence(1),
                    torn
                }
            );
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("writes");
            let result = FileLedger::new(&path).open().await;
            let last = at == whole.len() - 1;
            assert_eq!(
                matches!(result, Err(LedgerError::Damaged { .. })),
                !last,
                "byte {at}: {result:?}"
            );
        }
    }
}
