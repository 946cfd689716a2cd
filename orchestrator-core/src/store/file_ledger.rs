//! The ledger as a text file of one line per batch, after a first one that says which ledger it is.
//!
//! ```text
//! <sha256 over the line before's and this JSON> {"version":2,"ledger":"…"}
//! <sha256 …>                                    {"epoch":1,"from":1,"at":…,"records":[…]}
//! <sha256 …>                                    {"epoch":1,"from":4,"at":…,"records":[…]}
//! ```
//!
//! - A batch is a line, so it is there whole or not at all: a last line without its end was torn by a crash, and is cut.
//! - Lines are chained by hash: damage, loss or exchange anywhere is noticed. The chain detects; it does not prevent.
//! - Opening appends an empty batch of the next epoch. Appending takes the file's lock for a moment and is refused if the file
//!   is not just as long as this writer left it: so a writer that slept through another's opening cannot write.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::ledger_lines::{
    BatchIn, BatchOut, HeaderFault, VERSION, chained, header_json, origin, read_header, understand,
};
use crate::{
    failpoint::reach,
    model::{ContentHash, LedgerId, Record, Timestamp},
    port::{Epoch, Ledger, LedgerEntry, LedgerError, Opening, PortFailure, Sequence},
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
            hash: origin(),
            line: 0,
            length: 0,
        }
    }
}

/// So much of the file is in memory at once, in bytes, or a line that is longer.
const PIECE: u64 = 1 << 20;
/// A first line is never longer, in bytes.
const MAX_HEADER: u64 = 4096;

/// What stands at the beginning of the file.
enum Head {
    /// The first line, and where it ends.
    Whole(LedgerId, Tail),
    /// No whole line: nothing, or so many bytes of the first.
    None(u64),
}

impl FileLedger {
    /// The ledger in this file, which is made when it is first opened for writing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            writer: Arc::default(),
            bookmark: Arc::default(),
        }
    }

    fn failed(&self, source: io::Error) -> LedgerError {
        failed(&self.path, source)
    }

    fn damaged(&self, line: u64, why: impl Into<String>) -> LedgerError {
        LedgerError::Damaged {
            place: format!("{}:{line}", self.path.display()),
            why: why.into(),
        }
    }

    /// Reads the first line.
    fn head(&self, file: &File) -> Result<Head, LedgerError> {
        let mut line = Vec::new();
        BufReader::new(file)
            .take(MAX_HEADER)
            .read_until(b'\n', &mut line)
            .map_err(|source| self.failed(source))?;
        let length = line.len() as u64;
        if line.pop_if(|last| *last == b'\n').is_none() {
            if length == MAX_HEADER {
                return Err(self.damaged(1, "the line is too long"));
            }
            return Ok(Head::None(length));
        }
        let (hash, ledger) = read_header(&line).map_err(|fault| match fault {
            HeaderFault::Damaged(why) => self.damaged(1, why),
            HeaderFault::Version(found) => LedgerError::Version {
                place: self.path.display().to_string(),
                found,
                reads: VERSION,
            },
        })?;
        let tail = Tail {
            epoch: 0,
            next: 1,
            hash,
            line: 1,
            length,
        };
        Ok(Head::Whole(ledger, tail))
    }

    /// Checks the lines behind `from`, and gives their batches to `each` with what is before them, as long as records are wanted: so
    /// many at first, and then as many as it says. Also where the lines end that were read, and how much is torn behind the last.
    fn scan<R: DeserializeOwned + Send>(
        &self,
        mut file: &File,
        from: Tail,
        mut wanted: usize,
        mut each: impl FnMut(Tail, BatchIn<R>) -> usize,
    ) -> Result<(Tail, u64), LedgerError> {
        let mut tail = from;
        file.seek(SeekFrom::Start(from.length))
            .map_err(|source| self.failed(source))?;
        let mut piece = Vec::new();
        loop {
            let more = file
                .take(PIECE)
                .read_to_end(&mut piece)
                .map_err(|source| self.failed(source))?;
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
    fn lines<R: DeserializeOwned + Send>(
        &self,
        from: Tail,
        text: &[u8],
        mut wanted: usize,
        each: &mut impl FnMut(Tail, BatchIn<R>) -> usize,
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
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let bookmark = *self.bookmark();
        let begin = match bookmark.filter(|tail| tail.next <= from.0) {
            Some(tail) => tail,
            None => match self.head(&file)? {
                Head::Whole(_, tail) => tail,
                Head::None(_) => return Ok(Vec::new()),
            },
        };
        let mut entries = Vec::new();
        let mut whole = begin;
        self.scan(&file, begin, limit, |before, batch: BatchIn<Record>| {
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
        let file = self.locked().map_err(|source| self.failed(source))?;
        let (known, tail, torn) = match self.head(&file)? {
            Head::None(torn) => (None, Tail::beginning(), torn),
            Head::Whole(ledger, tail) => {
                // Records are understood when they are read: here it counts that all are there.
                let all = |_, _: BatchIn<IgnoredAny>| usize::MAX;
                let (tail, torn) = self.scan(&file, tail, usize::MAX, all)?;
                (Some(ledger), tail, torn)
            }
        };
        let mut writer = Writer { file, tail };
        let ledger = writer
            .take_over(known, torn)
            .and_then(|ledger| self.settle(&writer).map(|()| ledger))
            .map_err(|source| self.failed(source))?;
        let mended = format!("a batch of {torn} bytes at its end was torn by a crash, and was cut");
        let opening = Opening::new(ledger, Epoch(writer.tail.epoch), Sequence(writer.tail.next));
        *self.writer() = Some(writer);
        Ok(opening.with_mended((torn > 0).then_some(mended)))
    }

    /// The file, made where it was not there, with its lock.
    fn locked(&self) -> io::Result<File> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)?;
        file.lock()?;
        Ok(file)
    }

    /// Makes the file's own name durable as well, and lets others have the lock.
    fn settle(&self, writer: &Writer) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        writer.file.unlock()
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_blocking(
        &self,
        epoch: Epoch,
        expected: Sequence,
        at: Timestamp,
        records: &[Record],
    ) -> Result<Sequence, LedgerError> {
        let mut guard = self.writer();
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
        writer
            .file
            .lock()
            .map_err(|source| failed(&self.path, source))?;
        let appended = writer.append(at, records);
        writer
            .file
            .unlock()
            .map_err(|source| failed(&self.path, source))?;
        match appended.map_err(|source| failed(&self.path, source))? {
            Appended::Done => Ok(Sequence(writer.tail.next)),
            Appended::Overtaken => Err(LedgerError::Fenced),
        }
    }
}

/// What became of an append that did not fail.
enum Appended {
    Done,
    /// The file is not as this writer left it.
    Overtaken,
}

fn failed(path: &Path, source: io::Error) -> LedgerError {
    let what = format!("the ledger at {} cannot be used", path.display());
    PortFailure::io(what, source).into()
}

impl Writer {
    /// Cuts what is torn, and begins the next epoch; a ledger that is new is given its id.
    fn take_over(&mut self, known: Option<LedgerId>, torn: u64) -> io::Result<LedgerId> {
        if torn > 0 {
            self.file.set_len(self.tail.length)?;
        }
        self.file.seek(SeekFrom::Start(self.tail.length))?;
        let ledger = match known {
            Some(ledger) => ledger,
            None => {
                let ledger = LedgerId::random();
                self.put(&header_json(&ledger)?)?;
                ledger
            }
        };
        self.tail.epoch += 1;
        self.put_batch(Timestamp(0), &[])?;
        Ok(ledger)
    }

    /// Appends one batch, durably, if nobody else has written since.
    fn append(&mut self, at: Timestamp, records: &[Record]) -> io::Result<Appended> {
        if self.file.metadata()?.len() != self.tail.length {
            return Ok(Appended::Overtaken);
        }
        self.put_batch(at, records)?;
        self.tail.next += records.len() as u64;
        Ok(Appended::Done)
    }

    fn put_batch(&mut self, at: Timestamp, records: &[Record]) -> io::Result<()> {
        let json = serde_json::to_vec(&BatchOut {
            epoch: self.tail.epoch,
            from: self.tail.next,
            at,
            records,
        })?;
        self.put(&json)
    }

    /// Writes one line, durably; if that fails, the file is as long as before.
    fn put(&mut self, json: &[u8]) -> io::Result<()> {
        let (hash, line) = chained(self.tail.hash, json);
        reach("before append");
        let written = self.file.write_all(&line);
        reach("append, not flushed");
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.tail.length)?;
            self.file.seek(SeekFrom::Start(self.tail.length))?;
            return Err(error);
        }
        reach("after append");
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
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed(path, io::Error::other(error)))?
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
        let (_, first) = filled(&path).await;
        let again = FileLedger::new(&path);
        let opening = again.open().await.expect("opens");
        assert_eq!(opening, Opening::new(first.ledger, Epoch(2), Sequence(3)));
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
        let (_, first) = filled(&path).await;
        let whole = std::fs::read(&path).expect("reads");
        let ends: Vec<_> = memchr::memchr_iter(b'\n', &whole).collect();
        let [header, epoch, _] = ends[..] else {
            panic!("three lines, and not {ends:?}")
        };
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writes");
            let opening = FileLedger::new(&path).open().await.expect("opens");
            let kept = [epoch, header].into_iter().find(|end| *end < length);
            let torn = length - kept.map_or(0, |end| end + 1);
            let is_torn = |said: &String| said.contains(&format!(" {torn} bytes "));
            assert!(
                opening.mended.as_ref().map_or(torn == 0, is_torn),
                "cut at {length}: {opening:?}"
            );
            assert_eq!(opening.next, Sequence(1));
            assert_eq!(opening.epoch, Epoch(1 + u64::from(kept == Some(epoch))));
            assert_eq!(opening.ledger == first.ledger, kept.is_some());
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
