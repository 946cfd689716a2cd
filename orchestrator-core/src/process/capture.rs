//! Output that is kept within bounds.

use std::collections::VecDeque;

use crate::model::end_after;

/// The head and the tail of a stream: whatever was between them is counted and gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_cap: usize,
    tail_cap: usize,
    dropped: u64,
    /// How many lines ended in what was dropped.
    dropped_lines: u64,
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
        let passed = &rest[..rest.len() - keep.len()];
        self.dropped += passed.len() as u64;
        self.dropped_lines += newlines(passed.iter().copied());
        self.tail.extend(keep);
        let over = self.tail.len().saturating_sub(self.tail_cap);
        self.dropped_lines += newlines(self.tail.drain(..over));
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

    /// The end of what was kept, as text for people: at most `chars` characters, cleaned, cut between lines, with a
    /// mark that says how many lines are missing.
    #[must_use]
    pub fn end(&self, chars: usize) -> String {
        // What was dropped in between does not join what is on its two sides.
        let is_cut = self.dropped > 0 && !self.tail.is_empty();
        let head = if is_cut { &[][..] } else { &self.head };
        let kept = || head.iter().chain(&self.tail).copied();
        let skip = (head.len() + self.tail.len()).saturating_sub(chars * 4);
        let mut before = newlines(kept().take(skip));
        if is_cut {
            before += self.dropped_lines + newlines(self.head.iter().copied());
        }
        let bytes: Vec<u8> = kept().skip(skip).collect();
        let bytes = match bytes.iter().position(|byte| *byte == b'\n') {
            // The first line may have lost its beginning.
            Some(at) if (is_cut || skip > 0) && at + 1 < bytes.len() => {
                before += 1;
                &bytes[at + 1..]
            }
            _ => &bytes[..],
        };
        let text = crate::model::clean(&String::from_utf8_lossy(bytes));
        let text = text.trim();
        if text.is_empty() {
            return String::new();
        }
        end_after(text, chars, before)
    }
}

fn newlines(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.filter(|byte| *byte == b'\n').count() as u64
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

    #[test]
    fn end_is_cut_between_lines_and_counts_those_that_are_missing() {
        let mut captured = Captured::new(10, 200);
        for number in 0..100 {
            captured.push(format!("line {number} é\n").as_bytes());
        }
        assert_eq!(
            captured.end(20),
            "[... 98 lines left out ...]\nline 98 é\nline 99 é"
        );
    }
}
