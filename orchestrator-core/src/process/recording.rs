//! What a program wrote, byte by byte, in a file that cannot fill the disk.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::Captured;
use crate::untrusted::create;

/// Of each stream, so much is kept from its beginning, and as much from its end, in bytes.
const KEPT: usize = 4 << 20;

/// A stream that is read and recorded at once: the beginning goes to the file as it comes, so that it survives whatever
/// happens to us; the end, where there is more, when the recording is dropped.
#[derive(Debug)]
pub struct StreamRecorder<R> {
    from: R,
    /// `None` where nothing is recorded, or where the disk did not take it: an agent is not stopped for that.
    file: Option<File>,
    room: usize,
    rest: Captured,
}

impl<R> StreamRecorder<R> {
    /// Records into the file `name` of a directory, made anew; without a directory, nothing is recorded.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(from: R, directory: Option<&Path>, name: &str) -> io::Result<Self> {
        let file = directory
            .map(|directory| create(&directory.join(name)))
            .transpose()?;
        Ok(Self {
            from,
            file,
            room: KEPT,
            rest: Captured::new(0, KEPT),
        })
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let (head, rest) = bytes.split_at(self.room.min(bytes.len()));
        self.room -= head.len();
        if file.write_all(head).is_err() {
            self.file = None;
        }
        self.rest.push(rest);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for StreamRecorder<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(cx, buffer))?;
        self.take(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<R> Drop for StreamRecorder<R> {
    fn drop(&mut self) {
        if let Some(file) = &mut self.file {
            // Nobody is left to be told.
            drop(file.write_all(&std::mem::take(&mut self.rest).into_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn all_is_read_and_head_and_tail_are_recorded() {
        let dir = tempfile::tempdir().expect("a directory");
        let (long, short) = (
            [vec![b'a'; KEPT], vec![b'b'; 9], vec![b'c'; KEPT]].concat(),
            b"short".to_vec(),
        );
        for (name, content) in [("long", &long), ("short", &short)] {
            let mut recording =
                StreamRecorder::new(&content[..], Some(dir.path()), name).expect("is made");
            let mut read = Vec::new();
            recording.read_to_end(&mut read).await.expect("reads");
            assert_eq!(&read, content);
        }
        assert_eq!(
            std::fs::read(dir.path().join("short")).expect("is there"),
            short
        );
        let kept = std::fs::read(dir.path().join("long")).expect("is there");
        let expected = [
            vec![b'a'; KEPT],
            b"\n[... 9 bytes left out ...]\n".to_vec(),
            vec![b'c'; KEPT],
        ]
        .concat();
        assert!(kept == expected, "{} bytes", kept.len());
    }
}
