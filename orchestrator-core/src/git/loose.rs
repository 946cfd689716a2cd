//! Objects that a worker left as files of their own (gitformat-loose(5)), read within bounds.
//!
//! gix would map such a file into memory, wherever a link leads: whoever shortens it then ends this process.

use std::{io::Read as _, os::fd::OwnedFd, path::Path};

use gix::{
    ObjectId,
    objs::{Kind, decode::loose_header},
    zlib::{Inflate, Status},
};
use rustix::fs::{Mode, openat};

use crate::untrusted::{DIRECTORY, directory, open_regular};

/// The longest header: a kind, a size, and a NUL.
const HEADER: usize = 64;

/// The objects' directory of a repository that a worker can write.
#[derive(Debug)]
pub(super) struct Loose {
    objects: OwnedFd,
}

impl Loose {
    /// Of this repository, if it has such a directory.
    pub(super) fn of(repository: &Path) -> Option<Self> {
        let repository = directory(repository).ok()?;
        Some(Self {
            objects: openat(&repository, "objects", DIRECTORY, Mode::empty()).ok()?,
        })
    }

    /// The object's content, if it is of this kind and has at most `limit` bytes. Whether it is what its id says is for the caller to check.
    pub(super) fn read(&self, id: &gix::hash::oid, kind: Kind, limit: u64) -> Option<Vec<u8>> {
        let name = id.to_string();
        let (first, rest) = name.split_at(2);
        let beneath = openat(&self.objects, first, DIRECTORY, Mode::empty()).ok()?;
        let file = open_regular(&beneath, rest).ok()?;
        // What cannot be made smaller becomes a little larger.
        let most = limit + limit / 64 + 1024;
        let mut packed = Vec::new();
        file.take(most + 1).read_to_end(&mut packed).ok()?;
        if packed.len() as u64 > most {
            return None;
        }

        let mut begin = [0; HEADER];
        let mut inflate = Inflate::default();
        let (status, taken, given) = inflate.prefix(&packed, &mut begin).ok()?;
        let (found, size, header) = loose_header(&begin[..given]).ok()?;
        if found != kind || size > limit {
            return None;
        }
        let mut content = Vec::new();
        if status == Status::StreamEnd {
            content.extend_from_slice(&begin[header..given]);
        } else {
            let size = usize::try_from(size)
                .ok()
                .filter(|size| *size >= given - header)?;
            inflate
                .rest(
                    &packed[taken..],
                    &begin[..given],
                    header,
                    &mut content,
                    size,
                )
                .ok()?;
        }
        (content.len() as u64 == size).then_some(content)
    }
}

/// Who takes something for an object of a worker's checks that it is one.
pub(super) fn is_itself(id: &ObjectId, kind: Kind, content: &[u8]) -> bool {
    gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, content).is_ok_and(|hash| hash == *id)
}
