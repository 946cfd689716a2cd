//! What a repository has in the place of a large file.

use std::sync::Arc;

use crate::model::{BlobId, ContentHash, RepoPath};

/// A pointer has fewer bytes than this: what is larger, git-lfs takes for content.
pub(super) const MAX_POINTER: u64 = 1024;

/// What the first line of a pointer says: the present form, and two older ones that git-lfs still
/// reads.
const VERSIONS: [&str; 3] = [
    "version https://git-lfs.github.com/spec/v1",
    "version https://hawser.github.com/spec/v1",
    "version http://git-media.io/v/2",
];

/// A pointer to an object (git-lfs/docs/spec.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pointer {
    /// The SHA-256 of the object.
    pub(super) oid: ContentHash,
    /// How many bytes it has.
    pub(super) size: u64,
}

/// A file that is a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub(super) path: RepoPath,
    pub(super) blob: BlobId,
    pub(super) pointer: Pointer,
}

/// The files of a tree that are pointers.
pub(super) type Pointers = Arc<Vec<Named>>;

impl Pointer {
    /// Reads a file's content, as git-lfs does; `None` if it is no pointer.
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        if content.len() as u64 >= MAX_POINTER {
            return None;
        }
        let mut lines = std::str::from_utf8(content).ok()?.trim().lines();
        if !VERSIONS.contains(&lines.next()?) {
            return None;
        }
        let mut oid = None;
        let mut size = None;
        for line in lines {
            match line.split_once(' ')? {
                ("oid", value) => oid = Some(value.strip_prefix("sha256:")?.parse().ok()?),
                ("size", value) => size = Some(value.parse().ok()?),
                (key, _) if key.starts_with("ext-") => {}
                _ => return None,
            }
        }
        Some(Self {
            oid: oid?,
            size: size?,
        })
    }

    /// Where an object is in a store of git-lfs, from the store's top.
    pub(super) fn place(&self) -> String {
        let name = self.oid.to_string();
        format!("objects/{}/{}/{name}", &name[..2], &name[2..4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_is_read_in_each_version_and_nothing_else_is() {
        let oid = ContentHash::of(b"large");
        let text = |version: &str| format!("{version}\noid sha256:{oid}\nsize 5\n");
        let pointer = Some(Pointer { oid, size: 5 });
        for version in VERSIONS {
            assert_eq!(Pointer::parse(text(version).as_bytes()), pointer);
        }
        let extended = text("version https://git-lfs.github.com/spec/v1")
            .replace("oid", "ext-0-foo sha256:0\noid");
        assert_eq!(Pointer::parse(extended.as_bytes()), pointer);
        let hash = oid.to_string();
        let wrong = [
            String::new(),
            "large".to_owned(),
            text("version 9"),
            text(VERSIONS[0]).replace("size 5", "size five"),
            text(VERSIONS[0]).replace("size 5\n", ""),
            text(VERSIONS[0]).replace(&hash, "../../etc/passwd"),
            text(VERSIONS[0]) + &"more \n".repeat(200),
        ];
        for text in wrong {
            assert_eq!(Pointer::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn place_of_an_object_has_two_directories() {
        let oid = ContentHash::of(b"");
        let place = Pointer { oid, size: 0 }.place();
        assert_eq!(place, format!("objects/e3/b0/{oid}"));
    }
}
