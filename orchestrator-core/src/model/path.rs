//! Paths inside a repository: bytes, as git keeps them.

use std::{fmt, path::Path, str::FromStr};

use thiserror::Error;

use super::text::{is_hidden, text_form};

/// A path inside a repository, relative to its root, `/` between components. Bytes, because git's paths are bytes.
///
/// Text form: UTF-8 as it is; a backslash is doubled and any other byte, control and invisible characters included, is `\xNN`, so
/// that the form is printable and reversible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Box<[u8]>);

/// A text is no path inside a repository.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is no path inside the repository: {why}")]
pub struct InvalidPath {
    /// The text as given, printable.
    pub value: String,
    why: &'static str,
}

impl RepoPath {
    /// Takes the bytes as git gives them.
    ///
    /// # Errors
    /// [`InvalidPath`] for a path that is empty, absolute, holds a NUL, or has an empty, `.` or `..` component.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPath> {
        let fail = |why| {
            Err(InvalidPath {
                value: Self(bytes.into()).to_string(),
                why,
            })
        };
        if bytes.is_empty() || bytes[0] == b'/' {
            return fail("it must be relative to the repository's root");
        }
        if bytes.contains(&0) {
            return fail("it may not hold a NUL");
        }
        if bytes
            .split(|b| *b == b'/')
            .any(|part| matches!(part, b"" | b"." | b".."))
        {
            return fail("no component may be empty, `.` or `..`");
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes, as git keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is this path, or lies in the directory of this path.
    #[must_use]
    pub fn is_at_or_beneath(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(other.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// A path that is given from this directory.
    #[must_use]
    pub fn join(&self, path: &Self) -> Self {
        Self([self.as_bytes(), path.as_bytes()].join(&b'/').into())
    }

    /// As a path of this system.
    #[must_use]
    pub fn to_path(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt as _;
        Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_control() || is_hidden(c) => {
                        c.encode_utf8(&mut [0; 4])
                            .bytes()
                            .try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                    }
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            chunk
                .invalid()
                .iter()
                .try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl FromStr for RepoPath {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let fail = || InvalidPath {
            value: text.to_owned(),
            why: "a backslash must be `\\\\` or begin `\\xNN`",
        };
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((plain, escaped)) = rest.split_once('\\') {
            bytes.extend_from_slice(plain.as_bytes());
            rest = if let Some(rest) = escaped.strip_prefix('\\') {
                bytes.push(b'\\');
                rest
            } else {
                let digits = escaped
                    .strip_prefix('x')
                    .and_then(|hex| hex.get(..2))
                    .ok_or_else(fail)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| fail())?);
                &escaped[3..]
            };
        }
        bytes.extend_from_slice(rest.as_bytes());
        Self::from_bytes(&bytes)
    }
}

text_form!(RepoPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_git_can_hold_survives_its_text_form() {
        for bytes in [
            &b"src/a.rs"[..],
            "dir/\u{e9}\u{df}.txt".as_bytes(),
            b"a\\b",
            b"a\nb\x1b[31m",
            b"\xff\xfe/x",
            b"\\x41",
        ] {
            let path = RepoPath::from_bytes(bytes).expect("valid");
            let text = path.to_string();
            assert!(!text.chars().any(char::is_control), "{text}");
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn a_path_never_leaves_the_repository() {
        for bad in ["", "/etc", "../x", "a/../b", "a//b", "./a", "a/"] {
            assert!(bad.parse::<RepoPath>().is_err(), "{bad}");
        }
    }
}
