//! The lines of a ledger in a file: what is in them, and how they are chained.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::model::{ContentHash, LedgerId, Record, Timestamp};

/// The version of the format that is written and read.
pub(super) const VERSION: u32 = 2;
/// Hexadecimal digits of a hash and the blank behind them.
const PREFIX: usize = 65;
/// So many lines are shared out to threads.
const WORTH_A_THREAD: usize = 64;
/// What more of them would do, the one who folds the records could not keep up with.
const MAX_THREADS: usize = 4;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    ledger: LedgerId,
}

/// What a first line of any version says; the first version had no header.
#[derive(Deserialize)]
struct AnyHeader {
    version: Option<u32>,
}

/// Every other line, as it is written.
#[derive(Serialize)]
pub(super) struct BatchOut<'a> {
    pub(super) epoch: u64,
    pub(super) from: u64,
    pub(super) at: Timestamp,
    pub(super) records: &'a [Record],
}

/// The same as it is read: with its records, or with their number alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchIn<R> {
    pub(super) epoch: u64,
    pub(super) from: u64,
    pub(super) at: Timestamp,
    pub(super) records: Vec<R>,
}

/// What is wrong with a first line.
pub(super) enum HeaderFault {
    /// It is of another version.
    Version(u32),
    /// It is not as it was written.
    Damaged(String),
}

/// What the first line is chained to.
pub(super) fn origin() -> ContentHash {
    ContentHash::of(b"")
}

/// The JSON of a first line.
pub(super) fn header_json(ledger: &LedgerId) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Header {
        version: VERSION,
        ledger: ledger.clone(),
    })
}

/// The hash of a first line, and the ledger's id.
pub(super) fn read_header(line: &[u8]) -> Result<(ContentHash, LedgerId), HeaderFault> {
    let (hash, any) = checked::<AnyHeader>(origin(), line).map_err(HeaderFault::Damaged)?;
    let version = any.version.unwrap_or(1);
    if version != VERSION {
        return Err(HeaderFault::Version(version));
    }
    let (_, header) = checked::<Header>(origin(), line).map_err(HeaderFault::Damaged)?;
    Ok((hash, header.ledger))
}

/// A line behind one with this hash: its own hash, and its text with the end.
pub(super) fn chained(before: ContentHash, json: &[u8]) -> (ContentHash, Vec<u8>) {
    let hash = chain(before, json);
    let mut line = format!("{hash} ").into_bytes();
    line.extend_from_slice(json);
    line.push(b'\n');
    (hash, line)
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
pub(super) fn understand<R: DeserializeOwned + Send>(
    before: ContentHash,
    lines: &[&[u8]],
) -> Vec<Result<(ContentHash, BatchIn<R>), String>> {
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

/// The hash of one line, and what its JSON says.
fn checked<T: DeserializeOwned>(
    before: ContentHash,
    line: &[u8],
) -> Result<(ContentHash, T), String> {
    let json = line.get(PREFIX..).ok_or("the line is too short")?;
    let hash = recorded(line).filter(|hash| *hash == chain(before, json));
    let hash = hash.ok_or("its checksum does not match: it, or a line before it, was changed")?;
    // Text that is UTF-8 as a whole need not be looked at string by string.
    let text = str::from_utf8(json).map_err(serde::de::Error::custom);
    let said = text.and_then(serde_json::from_str);
    let said = said.map_err(|error: serde_json::Error| {
        format!("it cannot be read, though its checksum matches: {error}")
    })?;
    Ok((hash, said))
}

fn chain(before: ContentHash, json: &[u8]) -> ContentHash {
    let digest = Sha256::new()
        .chain_update(before.as_bytes())
        .chain_update(json)
        .finalize();
    ContentHash::from_bytes(digest.into())
}
