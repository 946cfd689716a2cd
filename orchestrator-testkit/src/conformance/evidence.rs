//! What every [`EvidenceStore`] must do.

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use orchestrator_core::{
    model::ContentHash,
    port::{EvidenceError, EvidenceStore, Stored},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::{Checked, Opener, Violation, must, polled_once, suite};

/// How stores of this kind are opened.
pub trait EvidenceFixture: Debug + Send + Sync {
    /// A new, empty store, which can be opened again and again: each call gives a handle of its own to the same contents, as
    /// another process would have.
    fn place(&self) -> Opener<dyn EvidenceStore>;
}

suite! { $ evidence_conformance in evidence: EvidenceFixture;
    /// What was put is opened by its hash, whatever is in it.
    what_was_put_can_be_opened,
    /// The hash is the SHA-256 of the bytes, and the size theirs.
    the_name_is_the_sha256,
    /// Of more than the cap, the first bytes are kept, and it is said that there was more.
    more_than_the_cap_is_cut_and_said,
    /// What is not there is typed.
    what_is_not_there_is_unknown,
    /// The same content again changes nothing.
    the_same_again_changes_nothing,
    /// Many at once, of the same and of different contents.
    many_at_once_do_not_mix,
    /// A stream that fails leaves nothing that can be opened.
    a_stream_that_fails_leaves_nothing,
    /// A call that was dropped leaves nothing that can be opened.
    a_dropped_put_leaves_nothing,
    /// Another handle sees what was put.
    another_handle_sees_what_was_put,
    /// What is larger than anybody would hold in one piece passes.
    what_is_large_passes,
}

async fn put(store: &dyn EvidenceStore, mut content: &[u8], cap: u64) -> Result<Stored, Violation> {
    Ok(store.put(&mut content, cap).await?)
}

async fn kept(store: &dyn EvidenceStore, hash: ContentHash) -> Result<Vec<u8>, Violation> {
    let mut bytes = Vec::new();
    store.open(hash).await?.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

async fn is_unknown(store: &dyn EvidenceStore, hash: ContentHash) -> Checked {
    match store.open(hash).await {
        Err(EvidenceError::Unknown(named)) if named == hash => Ok(()),
        Err(error) => must(false, || format!("opening what is not there: {error:?}")),
        Ok(_) => must(false, || format!("{hash} can be opened")),
    }
}

async fn what_was_put_can_be_opened(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let every: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for content in [&b""[..], b"text\n", b"\x00\xff", &every] {
        let stored = put(&*store, content, u64::MAX).await?;
        let read = kept(&*store, stored.hash).await?;
        must(read == content, || {
            format!(
                "of {} bytes {} came back, or others",
                content.len(),
                read.len()
            )
        })?;
    }
    Ok(())
}

async fn the_name_is_the_sha256(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let content = b"evidence";
    let stored = put(&*place(), content, u64::MAX).await?;
    let expected = Stored {
        hash: ContentHash::of(content),
        size: 8,
        truncated: false,
    };
    must(stored == expected, || {
        format!("{stored:?}, not {expected:?}")
    })
}

async fn more_than_the_cap_is_cut_and_said(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let content = vec![b'x'; 200_000];
    for (cap, truncated) in [
        (0, true),
        (1, true),
        (65_536, true),
        (199_999, true),
        (200_000, false),
        (200_001, false),
    ] {
        let stored = put(&*store, &content, cap).await?;
        let first = &content[..content.len().min(usize::try_from(cap)?)];
        let expected = Stored {
            hash: ContentHash::of(first),
            size: first.len() as u64,
            truncated,
        };
        must(stored == expected, || {
            format!("with a cap of {cap}: {stored:?}, not {expected:?}")
        })?;
        let read = kept(&*store, stored.hash).await?;
        must(read == first, || {
            format!("with a cap of {cap}, {} bytes came back", read.len())
        })?;
    }
    Ok(())
}

async fn what_is_not_there_is_unknown(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    is_unknown(&*store, ContentHash::of(b"never")).await?;
    put(&*store, b"something else", u64::MAX).await?;
    is_unknown(&*store, ContentHash::of(b"never")).await
}

async fn the_same_again_changes_nothing(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let first = put(&*store, b"twice", u64::MAX).await?;
    let reading = store.open(first.hash).await?;
    let second = put(&*store, b"twice", u64::MAX).await?;
    must(first == second, || {
        format!("first {first:?}, then {second:?}")
    })?;
    let mut bytes = Vec::new();
    { reading }.read_to_end(&mut bytes).await?;
    must(bytes == b"twice", || {
        "who was reading it meanwhile read something else".to_owned()
    })?;
    let read = kept(&*store, first.hash).await?;
    must(read == b"twice", || {
        "afterwards it is something else".to_owned()
    })
}

async fn many_at_once_do_not_mix(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let writers: Vec<_> = (0..16_u8)
        .map(|number| {
            let store = Arc::clone(&store);
            let content = vec![number % 4; 50_000 + usize::from(number % 4)];
            tokio::spawn(async move {
                put(&*store, &content, u64::MAX)
                    .await
                    .map(|stored| (stored, content))
            })
        })
        .collect();
    for writer in writers {
        let (stored, content) = writer.await??;
        must(stored.hash == ContentHash::of(&content), || {
            "one got the name of another".to_owned()
        })?;
        let read = kept(&*store, stored.hash).await?;
        must(read == content, || "one holds what another put".to_owned())?;
    }
    Ok(())
}

/// Gives some bytes, and then an error, or nothing for ever.
struct BreaksOff {
    rest: &'static [u8],
    fails: bool,
}

impl AsyncRead for BreaksOff {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return if self.fails {
                Poll::Ready(Err(io::Error::other("it broke off")))
            } else {
                Poll::Pending
            };
        }
        buffer.put_slice(self.rest);
        self.rest = &[];
        Poll::Ready(Ok(()))
    }
}

async fn a_stream_that_fails_leaves_nothing(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let failed = store
        .put(
            &mut BreaksOff {
                rest: b"half",
                fails: true,
            },
            u64::MAX,
        )
        .await;
    must(matches!(failed, Err(EvidenceError::Content(_))), || {
        format!("a stream that failed was kept as {failed:?}")
    })?;
    for content in [&b"half"[..], b""] {
        is_unknown(&*store, ContentHash::of(content)).await?;
    }
    Ok(())
}

async fn a_dropped_put_leaves_nothing(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    // A store that works in the background is given the time to do so.
    for _ in 0..3 {
        let mut stream = BreaksOff {
            rest: b"half",
            fails: false,
        };
        let waited = tokio::time::timeout(
            std::time::Duration::from_millis(100),
            store.put(&mut stream, u64::MAX),
        )
        .await;
        must(waited.is_err(), || {
            "a stream that has not ended was kept".to_owned()
        })?;
    }
    for content in [&b"half"[..], b""] {
        is_unknown(&*store, ContentHash::of(content)).await?;
    }
    let mut stream = &b"half"[..];
    polled_once(store.put(&mut stream, u64::MAX)).await;
    let stored = put(&*store, b"half", u64::MAX).await?;
    let read = kept(&*store, stored.hash).await?;
    must(read == b"half", || {
        "after a call that was dropped, the same content is something else".to_owned()
    })
}

async fn another_handle_sees_what_was_put(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let (store, other) = (place(), place());
    let stored = put(&*store, b"seen", u64::MAX).await?;
    drop(store);
    for store in [other, place()] {
        let read = kept(&*store, stored.hash).await?;
        must(read == b"seen", || {
            "another handle reads something else".to_owned()
        })?;
    }
    Ok(())
}

async fn what_is_large_passes(fixture: &dyn EvidenceFixture) -> Checked {
    let place = fixture.place();
    let store = place();
    let size = 32 << 20;
    let mut content = tokio::io::repeat(b'z').take(size);
    let stored = store.put(&mut content, u64::MAX).await?;
    must(stored.size == size && !stored.truncated, || {
        format!("of {size} bytes it kept {stored:?}")
    })?;
    let read = kept(&*store, stored.hash).await?;
    must(ContentHash::of(&read) == stored.hash, || {
        "it is not what its name says".to_owned()
    })
}
