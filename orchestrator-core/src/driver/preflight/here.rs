//! What is known without a network: the person's repository, who commits and signs, the machine.

use std::path::Path;

use rustix::{
    fs::{Access, access, statvfs},
    process::{Resource, getrlimit},
};

use super::{Check, Found};
use crate::{
    driver::{
        BuildError,
        builder::{Ground, check_bring},
        clock::now,
    },
    git::{Destination, GitError, Signing},
    model::Checkout,
};

/// With less room a run is likely to end for want of it, in bytes.
const LITTLE_ROOM: u64 = 1 << 30;
/// With fewer open files than this a run is likely to fail: each session takes some.
const FEW_FILES: u64 = 256;
/// No clock shows an earlier time: 2025-01-01, in milliseconds.
const NOT_BEFORE: u64 = 1_735_689_600_000;

impl Ground {
    /// Looks at all that is here.
    pub(in crate::driver) async fn look_here(
        &self,
        state_dir: &Path,
        found: &mut Found,
    ) -> Result<(), BuildError> {
        found.add("repository", self.repository().await).await?;
        found.add("identity", self.identity().await).await?;
        found.add("brought files", self.brought().await).await?;
        let place = self.state_directory(state_dir).await;
        found.add("state directory", place).await?;
        found.add("room", Ok(room(state_dir))).await?;
        found.add("checkout", self.checkout().await).await?;
        found.add("hooks", self.hooks_here().await).await?;
        for check in self.programs() {
            found.add("programs", Ok(check)).await?;
        }
        found.add("open files", Ok(open_files())).await?;
        found.add("clock", Ok(clock())).await?;
        found.add("signing", self.signing().await).await?;
        Ok(())
    }

    async fn repository(&self) -> Result<Check, BuildError> {
        let target = &self.target;
        let goes = match &self.destination {
            Destination::Local => {
                self.user.tip(target).await?;
                self.user.complete().await?;
                "and pushes nothing".to_owned()
            }
            Destination::Remote { name, .. } => format!("of the remote `{name}`"),
        };
        let what = format!(
            "{}, git {}; lands on `{target}` {goes}",
            self.user.base().display(),
            self.git.version()
        );
        Ok(Check::passed("repository", what))
    }

    async fn identity(&self) -> Result<Check, BuildError> {
        let identity = self.user.identity().await?;
        let who = &identity.committer;
        let author = identity
            .author
            .as_ref()
            .map(|author| format!(", for {} <{}>", author.name, author.email));
        let what = format!("{} <{}>{}", who.name, who.email, author.unwrap_or_default());
        Ok(Check::passed("identity", what))
    }

    async fn brought(&self) -> Result<Check, BuildError> {
        check_bring(&self.policy, &self.user).await?;
        let what = match self.policy.setup.bring.len() {
            0 => "none".to_owned(),
            count => format!("all {count} are there, and git ignores them"),
        };
        Ok(Check::passed("brought files", what))
    }

    async fn state_directory(&self, path: &Path) -> Result<Check, BuildError> {
        self.user.keeps_out(path).await?;
        let there = existing(path);
        let obstacle = if !there.is_dir() {
            Some("is no directory")
        } else if access(there, Access::WRITE_OK).is_err() {
            Some("cannot be written")
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            let why = format!(
                "it cannot be made: {} {obstacle}: give another --state-dir",
                there.display()
            );
            let path = path.to_owned();
            return Err(BuildError::StateDir { path, why });
        }
        let what = path.display().to_string();
        Ok(Check::passed("state directory", what))
    }

    /// Where the person's own checkout is fast-forwarded, it must be clean by then.
    async fn checkout(&self) -> Result<Check, BuildError> {
        if self.destination != Destination::Local {
            let what = "the person's checkout is left alone";
            return Ok(Check::passed("checkout", what));
        }
        let waits = "landings wait for it";
        if let Some((operation, place)) = self.user.operation(&self.target).await? {
            let place = place.display();
            let what = format!("{operation} is under way in the checkout {place}: {waits}");
            let fix = format!("end it there with {}", operation.ends_with());
            return Ok(Check::warning("checkout", what, fix));
        }
        Ok(match self.user.checkout(&self.target).await? {
            Checkout::Dirty { paths } => {
                let paths: Vec<_> = paths.iter().take(5).map(ToString::to_string).collect();
                let what = format!(
                    "the checkout of `{}` has uncommitted changes ({}): {waits}",
                    self.target,
                    paths.join(", ")
                );
                Check::warning("checkout", what, "commit or stash them")
            }
            Checkout::Clean => Check::passed("checkout", "clean: it is fast-forwarded"),
            Checkout::Untouched => {
                let what = format!("`{}` is checked out nowhere", self.target);
                Check::passed("checkout", what)
            }
        })
    }

    async fn signing(&self) -> Result<Check, BuildError> {
        let failed = |why: String| {
            let fix = "make `git commit -S` work here, or set `git config commit.gpgSign false`";
            let what = format!("a commit cannot be signed: {why}");
            Check::failed("signing", what, Some(fix.to_owned()))
        };
        Ok(match self.user.try_to_sign().await {
            Ok(Signing::Off) => Check::passed("signing", "commits are not signed here"),
            Ok(Signing::Signed) => Check::passed("signing", "a commit can be signed"),
            Ok(Signing::Failed { why }) => failed(why),
            Err(error @ GitError::TimedOut { .. }) => failed(error.to_string()),
            Err(error) => return Err(error.into()),
        })
    }
}

/// The path itself, or what there is of it.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|path| path.exists());
    there.unwrap_or(Path::new("/"))
}

/// How much room there is where the state directory is, or will be.
fn room(state_dir: &Path) -> Check {
    let Ok(found) = statvfs(existing(state_dir)) else {
        return Check::skipped("room", "the file system does not say");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let what = format!("{} MiB are free at the state directory", free >> 20);
    if free < LITTLE_ROOM {
        return Check::warning("room", what, "make room, or give another --state-dir");
    }
    Check::passed("room", what)
}

fn open_files() -> Check {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Check::passed("open files", "without a limit");
    };
    let what = format!("{limit} at once");
    if limit < FEW_FILES {
        return Check::warning("open files", what, format!("ulimit -n {}", 4 * FEW_FILES));
    }
    Check::passed("open files", what)
}

fn clock() -> Check {
    if now().0 < NOT_BEFORE {
        let what = "the clock shows a time before 2025: commits and records would bear it";
        return Check::warning("clock", what, "set the clock");
    }
    Check::passed("clock", "plausible")
}
