//! Lines from a stream that may hold anything.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, at most as many as the reader's limit.
    pub bytes: Vec<u8>,
    /// Whether it was longer.
    pub cut: bool,
}

/// What one read has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The end of a line, or of the stream's last one.
    Line(Line),
    /// More of a line that goes on.
    Part,
}

/// Reads lines of any length and content. A line over the limit is cut, and the stream goes on behind it.
#[derive(Debug)]
pub struct LineReader<R> {
    from: BufReader<R>,
    limit: usize,
    line: Line,
    /// Memory of a line that was read before.
    spare: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads from `from`, and keeps at most `limit` bytes of a line.
    pub fn new(from: R, limit: usize) -> Self {
        Self {
            from: BufReader::with_capacity(BUFFER, from),
            limit,
            line: Line {
                bytes: Vec::new(),
                cut: false,
            },
            spare: Vec::new(),
        }
    }

    /// The next line; `None` at the end of the stream. A last line without its end counts. Cancel-safe.
    ///
    /// # Errors
    /// As reading from the stream.
    pub async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            match self.read().await? {
                Some(Read::Line(line)) => return Ok(Some(line)),
                Some(Read::Part) => {}
                None => return Ok(None),
            }
        }
    }

    /// The same read by read, for who wants to know that something comes before a line is whole.
    ///
    /// # Errors
    /// As reading from the stream.
    pub async fn read(&mut self) -> std::io::Result<Option<Read>> {
        let buffer = self.from.fill_buf().await?;
        if buffer.is_empty() {
            let line = self.take();
            return Ok((line.cut || !line.bytes.is_empty()).then_some(Read::Line(line)));
        }
        let end = memchr::memchr(b'\n', buffer);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = self
            .limit
            .saturating_sub(self.line.bytes.len())
            .min(part.len());
        self.line.bytes.extend_from_slice(&part[..room]);
        self.line.cut |= room < part.len();
        let used = end.map_or(buffer.len(), |end| end + 1);
        self.from.consume(used);
        Ok(Some(if end.is_some() {
            Read::Line(self.take())
        } else {
            Read::Part
        }))
    }

    /// Takes a line back whose bytes are no longer needed: the next ones are read into its memory. That of a long line is given up.
    pub fn reuse(&mut self, line: Line) {
        if line.bytes.capacity() <= BUFFER {
            self.spare = line.bytes;
            self.spare.clear();
        }
    }

    fn take(&mut self) -> Line {
        std::mem::replace(
            &mut self.line,
            Line {
                bytes: std::mem::take(&mut self.spare),
                cut: false,
            },
        )
    }
}

/// What is read at once at the most, in bytes: as much as a pipe holds.
const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_any_length_and_content_are_read() {
        let mut lines = LineReader::new(&b"one\n\n0123456789\n\xff\xfe\nlast"[..], 4);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.expect("reads") {
            seen.push((line.bytes, line.cut));
        }
        let expected: [(&[u8], bool); 5] = [
            (b"one", false),
            (b"", false),
            (b"0123", true),
            (b"\xff\xfe", false),
            (b"last", false),
        ];
        assert_eq!(seen, expected.map(|(bytes, cut)| (bytes.to_vec(), cut)));
    }
}
