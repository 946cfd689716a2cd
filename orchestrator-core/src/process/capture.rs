//! Output that is kept within bounds.

use std::collections::VecDeque;

/// The head and the tail of a stream: whatever was between them is counted and gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_cap: usize,
    tail_cap: usize,
    dropped: u64,
}

impl Captured {
    /// Keeps the first `head` and the last `tail` bytes.
    #[must_use]
    pub fn new(head: usize, tail: usize) -> Self {
        Self {
            head_cap: head,
            tail_cap: tail,
            ..Self::default()
        }
    }

    /// Takes some output in.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = (self.head_cap - self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        let keep = &rest[rest.len().saturating_sub(self.tail_cap)..];
        self.dropped += (rest.len() - keep.len()) as u64;
        self.tail.extend(keep);
        let over = self.tail.len().saturating_sub(self.tail_cap);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// How many bytes were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What was kept, with a line in between that says what was not.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head;
        if self.dropped > 0 {
            bytes.extend_from_slice(
                format!("\n[... {} bytes left out ...]\n", self.dropped).as_bytes(),
            );
        }
        bytes.extend(self.tail);
        bytes
    }

    /// The end of what was kept, as text: at most `chars` characters, control characters removed.
    #[must_use]
    pub fn end(&self, chars: usize) -> String {
        let skip = (self.head.len() + self.tail.len()).saturating_sub(chars * 4);
        let bytes: Vec<u8> = self
            .head
            .iter()
            .chain(&self.tail)
            .skip(skip)
            .copied()
            .collect();
        let text = crate::model::clean(&String::from_utf8_lossy(&bytes));
        let skip = text.chars().count().saturating_sub(chars);
        text.chars()
            .skip(skip)
            .collect::<String>()
            .trim()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_and_the_rest_is_counted() {
        let mut captured = Captured::new(4, 3);
        for chunk in ["ab", "cdef", "", "ghij"] {
            captured.push(chunk.as_bytes());
        }
        assert_eq!(captured.dropped(), 3);
        assert_eq!(captured.end(3), "hij");
        assert_eq!(
            String::from_utf8_lossy(&captured.into_bytes()),
            "abcd\n[... 3 bytes left out ...]\nhij"
        );
    }
}
