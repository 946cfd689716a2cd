//! Our own store of objects.
//!
//! It lies where git-lfs looks for it in `trusted.git`, and beside the objects that attempts
//! borrow: so a worker's git-lfs finds it too. Measured with 3.3.0: `LocalReferenceDirs` of a
//! repository is `<alternate>/../lfs/objects`, and git-lfs makes hard links of what it takes from
//! there. It does the same with a remote that is a directory. So a file of ours may have other
//! names, and is verified again whenever its inode has changed.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, Metadata, Permissions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use gix::ObjectId;
use rustix::fs::CWD;
use sha2::{Digest as _, Sha256};

use super::pointer::{Pointer, Pointers};
use crate::{
    model::{ContentHash, TreeId},
    untrusted::{open_regular, remove},
};

/// So much is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// What is known of LFS in one repository of ours.
#[derive(Debug)]
pub(in super::super) struct Lfs {
    store: PathBuf,
    /// Objects that were verified, each with how its file was then.
    verified: Mutex<HashMap<ContentHash, Stamp>>,
    /// Objects that are not looked for: the person's settings leave them out, or they only look
    /// like some.
    excluded: Mutex<HashSet<ContentHash>>,
    pub(super) known: Mutex<Known>,
}

/// What was found out about trees, which never change.
#[derive(Debug, Default)]
pub(in super::super) struct Known {
    /// Trees without attributes that name the filter, in them or in what they contain.
    pub(super) plain: HashSet<ObjectId>,
    pub(super) pointers: HashMap<TreeId, Pointers>,
}

/// How a file was. Nobody without privileges can set the time of the last change of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What a store has under the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// The object, with the hash and the size that the pointer says.
    Whole,
    /// An object with this hash, which has so many bytes and not as many as the pointer says.
    OtherSize(u64),
    /// Nothing, or what is not the object.
    Nothing,
}

/// What became of an object that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is in the store.
    Taken,
    /// What was offered is not what the pointer names.
    Differs,
}

impl Lfs {
    /// The store of this git directory.
    pub(in super::super) fn of(git_dir: &Path) -> Self {
        Self {
            store: git_dir.join("lfs"),
            verified: Mutex::default(),
            excluded: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Its directory, as `lfs.storage` names it.
    pub(in super::super) fn store(&self) -> &Path {
        &self.store
    }

    /// Where an object is, or would be.
    pub(super) fn file(&self, pointer: &Pointer) -> PathBuf {
        self.store.join(pointer.place())
    }

    /// What is there of an object. Reads it, unless it was read before and has not changed since;
    /// what is there and damaged is removed. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn holds(&self, pointer: &Pointer) -> io::Result<Held> {
        let path = self.file(pointer);
        let file = match open_regular(CWD, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::Nothing),
            opened => opened?,
        };
        let stamp = Stamp::of(&file.metadata()?);
        if self.verified().get(&pointer.oid) != Some(&stamp) {
            let (hash, _) = copied(file, u64::MAX, &mut io::sink())?;
            if hash != pointer.oid {
                tracing::warn!(path = %path.display(), "an LFS object was damaged, and is removed");
                remove(&path)?;
                return Ok(Held::Nothing);
            }
            self.verified().insert(pointer.oid, stamp);
        }
        Ok(if stamp.size == pointer.size {
            Held::Whole
        } else {
            Held::OtherSize(stamp.size)
        })
    }

    /// Takes an object in, durably, if it is what the pointer names. Reads no more than that has.
    /// Blocks.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(super) fn offer(&self, pointer: &Pointer, from: File) -> io::Result<Offered> {
        if from.metadata()?.len() != pointer.size {
            return Ok(Offered::Differs);
        }
        let offered = put(&self.store, pointer, from)?;
        // Read again when it is needed: what was written is not yet what is on the disk.
        self.verified().remove(&pointer.oid);
        Ok(offered)
    }

    /// Objects that are not looked for, since their files stay as they are.
    pub(super) fn excluded(&self) -> std::sync::MutexGuard<'_, HashSet<ContentHash>> {
        self.excluded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, HashMap<ContentHash, Stamp>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an object into a store, if it is what the pointer names: beside its place first, and
/// under its name when it is whole and on the disk.
pub(super) fn put(store: &Path, pointer: &Pointer, from: File) -> io::Result<Offered> {
    let place = store.join(pointer.place());
    let directory = place.parent().unwrap_or(store);
    // git-lfs has its own there, and clears away what is old.
    let scratch = store.join("tmp");
    fs::create_dir_all(directory)?;
    fs::create_dir_all(&scratch)?;
    // Nobody writes to an object: who tries by mistake is refused.
    let mut beside = tempfile::Builder::new()
        .prefix("incoming-")
        .permissions(Permissions::from_mode(0o444))
        .tempfile_in(&scratch)?;
    let (hash, size) = copied(from, pointer.size.saturating_add(1), beside.as_file_mut())?;
    if hash != pointer.oid || size != pointer.size {
        return Ok(Offered::Differs);
    }
    beside.as_file().sync_all()?;
    beside.persist(&place).map_err(|failed| failed.error)?;
    File::open(directory)?.sync_all()?;
    Ok(Offered::Taken)
}

/// Copies at most so many bytes; their SHA-256, and how many they are.
fn copied(from: File, most: u64, to: &mut dyn io::Write) -> io::Result<(ContentHash, u64)> {
    let mut from = from.take(most);
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        size += read as u64;
    }
    Ok((ContentHash::from_bytes(hasher.finalize().into()), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(content: &[u8]) -> Pointer {
        Pointer {
            oid: ContentHash::of(content),
            size: content.len() as u64,
        }
    }

    fn file(directory: &Path, content: &[u8]) -> File {
        let path = directory.join("offered");
        fs::write(&path, content).expect("writes");
        File::open(path).expect("opens")
    }

    #[test]
    fn store_takes_only_what_the_pointer_names() {
        let top = tempfile::tempdir().expect("a directory");
        let lfs = Lfs::of(top.path());
        let named = pointer(b"large");
        for wrong in [&b"larg"[..], b"large and more", b"small"] {
            let offered = lfs.offer(&named, file(top.path(), wrong)).expect("reads");
            assert_eq!(offered, Offered::Differs);
            assert_eq!(lfs.holds(&named).expect("reads"), Held::Nothing);
        }
        let offered = lfs
            .offer(&named, file(top.path(), b"large"))
            .expect("reads");
        assert_eq!(offered, Offered::Taken);
        assert_eq!(lfs.holds(&named).expect("reads"), Held::Whole);
        let wrong = Pointer { size: 6, ..named };
        assert_eq!(lfs.holds(&wrong).expect("reads"), Held::OtherSize(5));
    }

    #[test]
    fn damaged_object_is_no_object_however_its_times_are_set() {
        let top = tempfile::tempdir().expect("a directory");
        let lfs = Lfs::of(top.path());
        let named = pointer(b"large");
        lfs.offer(&named, file(top.path(), b"large"))
            .expect("reads");
        assert_eq!(lfs.holds(&named).expect("reads"), Held::Whole);
        let place = lfs.file(&named);
        let times = fs::metadata(&place)
            .expect("is there")
            .modified()
            .expect("has one");
        fs::set_permissions(&place, Permissions::from_mode(0o644)).expect("sets them");
        fs::write(&place, "LARGE").expect("writes");
        let damaged = File::options().write(true).open(&place).expect("opens");
        damaged.set_modified(times).expect("sets it");
        assert_eq!(lfs.holds(&named).expect("reads"), Held::Nothing);
        assert!(!place.exists());
    }
}
