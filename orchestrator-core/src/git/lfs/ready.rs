//! Objects of a tree, gathered before it is laid out.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use rustix::fs::CWD;

use super::{
    LfsError,
    pointer::Named,
    program::{PROGRAM, is_installed},
    store::{Held, Offered},
};
use crate::{
    git::{GitError, Trusted, cli::Call, error::io_error},
    model::{CommitId, TreeId},
    process::{Exit, can_run},
    untrusted::open_regular,
};

/// What could not be gathered.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    pub(super) files: Vec<Named>,
    /// Why the remote did not give them.
    pub(super) why: String,
}

/// A call that reads or writes files of a tree, in which git-lfs finds all objects in this store,
/// and speaks to nobody: a worker may have written the `.lfsconfig` that it reads there.
///
/// Measured with git-lfs 3.3.0: `GIT_LFS_SKIP_SMUDGE` is of no use, since objects that are in the
/// store are then not smudged either. An endpoint that is no address makes a file fail of which the
/// object is not there.
pub(in super::super) fn laying_out<'a>(call: Call<'a>, store: &Path) -> Call<'a> {
    let mut storage = std::ffi::OsString::from("lfs.storage=");
    storage.push(store);
    call.args(["-c", "lfs.url=none"])
        .args([OsStr::new("-c"), &storage])
}

impl Trusted {
    /// Whether files of Git LFS in this commit can be worked on: `git-lfs` is there for us, and on
    /// the `PATH` of workers. Gathers nothing.
    ///
    /// # Errors
    /// [`GitError::Lfs`] with what is wrong.
    pub async fn check_lfs(
        &self,
        commit: CommitId,
        workers_path: Option<&OsStr>,
    ) -> Result<(), GitError> {
        let tree = self.tree_of(commit)?;
        let lfs = self.lfs.clone();
        if !self.look(move |objects| lfs.is_used(objects, tree)).await? {
            return Ok(());
        }
        if !self.filters.has("lfs") {
            return Err(LfsError::NotInstalled.into());
        }
        // Another program may be named in the policy; then nothing is known of it.
        if !self.filters.runs("lfs", PROGRAM) {
            return Ok(());
        }
        let version = self.git.call(Path::new("/")).args(["lfs", "version"]);
        let answer = version.answer().await?;
        if answer.exit != Exit::Code(0) {
            // The system's configuration may name its filter where the program is gone.
            return Err(if is_installed(self.git.path()) {
                LfsError::Broken { why: answer.stderr }.into()
            } else {
                LfsError::NotInstalled.into()
            });
        }
        can_run(OsStr::new(PROGRAM), Path::new("/"), workers_path)
            .map_err(|_| LfsError::NotForWorkers.into())
    }

    /// Gathers the objects of all files of Git LFS in a tree, from the person's stores and from
    /// their remote, and verifies those that are here. Files that the person's settings leave out
    /// stay pointers.
    ///
    /// # Errors
    /// [`GitError::Lfs`] with the files whose objects are nowhere.
    pub async fn gather_lfs(&self, tree: TreeId) -> Result<(), GitError> {
        let lfs = self.lfs.clone();
        let pointers = self
            .look(move |objects| lfs.pointers(objects, tree))
            .await?;
        if pointers.is_empty() {
            return Ok(());
        }
        if !self.filters.has("lfs") {
            return Err(LfsError::NotInstalled.into());
        }
        let mut lacking = self.gather(pointers.to_vec()).await?;
        self.keep_filtered(tree, &mut lacking.files).await?;
        let given = lacking.files.into_iter().map(|named| named.path);
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            return Ok(());
        }
        Err(LfsError::missing(given, lacking.why).into())
    }

    /// Takes those off a list that the attributes of a tree do not give to the filter: they are
    /// texts that look like pointers, and are not looked for again.
    pub(super) async fn keep_filtered(
        &self,
        tree: TreeId,
        files: &mut Vec<Named>,
    ) -> Result<(), GitError> {
        let paths: Vec<_> = files.iter().map(|named| named.path.clone()).collect();
        let given = self.given_to_lfs(tree, &paths).await?;
        let mut excluded = self.lfs.excluded();
        files.retain(|named| {
            let is_given = given.contains(&named.path);
            if !is_given {
                excluded.insert(named.pointer.oid);
            }
            is_given
        });
        Ok(())
    }

    /// Gathers objects of files; those that are nowhere.
    pub(super) async fn gather(&self, wanted: Vec<Named>) -> Result<Lacking, GitError> {
        let lacking = self.not_here(wanted).await?;
        if lacking.is_empty() {
            return Ok(Lacking::default());
        }
        let stores = self.persons_stores().await?;
        let tops = stores.all().map(Path::to_owned).collect();
        let lacking = self.take_from(tops, lacking).await?;
        if lacking.is_empty() {
            return Ok(Lacking::default());
        }
        let lfsconfig = self.tip()?.map(|tip| self.tree_of(tip)).transpose()?;
        let exchange = self.exchange(lfsconfig).await?;
        let fetched = exchange.fetch(&lacking).await?;
        let mut files = self.not_here(lacking).await?;
        let Err(why) = fetched else {
            // It got all that it was to get: what it did not ask for, the person's settings leave
            // out.
            self.exclude(&mut files);
            return Ok(Lacking {
                files,
                why: "the object has another size than its pointer says".to_owned(),
            });
        };
        Ok(Lacking { files, why })
    }

    /// Those of these files of which the objects are not in our store, and are not left out.
    async fn not_here(&self, wanted: Vec<Named>) -> Result<Vec<Named>, GitError> {
        let lfs = self.lfs.clone();
        self.look(move |_| {
            let mut lacking = Vec::new();
            for named in wanted {
                let pointer = named.pointer;
                if lfs.excluded().contains(&pointer.oid) {
                    continue;
                }
                let held = lfs.holds(&pointer).map_err(io_error(&lfs.file(&pointer)))?;
                if held != Held::Whole {
                    lacking.push(named);
                }
            }
            Ok(lacking)
        })
        .await
    }

    /// Takes objects from other stores; what they do not have.
    async fn take_from(
        &self,
        stores: Vec<PathBuf>,
        wanted: Vec<Named>,
    ) -> Result<Vec<Named>, GitError> {
        let lfs = self.lfs.clone();
        self.look(move |_| {
            let mut lacking = Vec::new();
            for named in wanted {
                let pointer = named.pointer;
                let mut taken = false;
                for store in &stores {
                    let Ok(file) = open_regular(CWD, store.join(pointer.place())) else {
                        continue;
                    };
                    let offered = lfs.offer(&pointer, file);
                    let offered = offered.map_err(io_error(&lfs.file(&pointer)))?;
                    taken = offered == Offered::Taken;
                    if taken {
                        break;
                    }
                }
                if !taken {
                    lacking.push(named);
                }
            }
            Ok(lacking)
        })
        .await
    }

    /// Remembers objects that are not to be gathered, and takes them off the list.
    fn exclude(&self, files: &mut Vec<Named>) {
        let mut excluded = self.lfs.excluded();
        files.retain(|named| {
            let pointer = &named.pointer;
            let is_absent = matches!(self.lfs.holds(pointer), Ok(Held::Nothing) | Err(_));
            if is_absent {
                excluded.insert(pointer.oid);
            }
            !is_absent
        });
    }
}
