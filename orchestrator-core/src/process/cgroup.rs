//! A control group for each marked child, where this process may make them (cgroup v2, delegated or as root).
//!
//! A process can clear its environment and leave its session, and is not found by either any more; its group it leaves only by
//! an act of its own. The group's name is the marker, so that survivors of a dead orchestrator are found by it as well.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::fs::{Access, access};

/// What the names of our groups begin with; the marker follows.
const PREFIX: &str = "orchestrator-";

/// Joins the group (its first argument), and becomes the program. A child that joined by its own hand has started nobody before.
pub(super) const JOIN: &str = r#"echo $$ > "$0/cgroup.procs" 2> /dev/null; exec "$@""#;

/// Whether groups can be made here. Where not, a process that clears its environment and leaves its session is out of reach.
#[must_use]
pub fn has_cgroups() -> bool {
    own().is_some()
}

/// The directory of this process's own group, if groups can be made in it.
fn own() -> Option<&'static Path> {
    static OWN: OnceLock<Option<PathBuf>> = OnceLock::new();
    OWN.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        // Id, parent, device, root, mount point, ...; behind a lone hyphen the kind (proc_pid_mountinfo(5)).
        let mount = mounts.lines().find(|line| {
            line.split_once(" - ")
                .is_some_and(|(_, kind)| kind.starts_with("cgroup2 "))
        })?;
        let fields: Vec<_> = mount.split(' ').collect();
        let (root, point) = (fields.get(3)?, fields.get(4)?);
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
        let own = Path::new(point).join(group.strip_prefix(root).ok()?);
        may_join(&own).then_some(own)
    })
    .as_deref()
}

/// Whether a group can be made in this one, and joined: tried once, since the kernel has more reasons to refuse than can be read
/// anywhere.
fn may_join(own: &Path) -> bool {
    let group = own.join(format!("{PREFIX}probe-{}", std::process::id()));
    if access(own, Access::WRITE_OK).is_err() || fs::create_dir(&group).is_err() {
        return false;
    }
    let mut join = Command::new("/bin/sh");
    join.args(["-c", "echo $$ > \"$0/cgroup.procs\""])
        .arg(&group)
        .env_clear()
        .stderr(Stdio::null());
    let joined = join.status();
    let removed = fs::remove_dir(&group);
    joined.is_ok_and(|status| status.success()) && removed.is_ok()
}

/// Makes the group of a marker; `None` where that cannot be had.
pub(super) fn make(mark: &str) -> Option<PathBuf> {
    let group = group(mark)?;
    match fs::create_dir(&group) {
        Ok(()) => Some(group),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Some(group),
        Err(error) => {
            tracing::debug!(%error, "no cgroup could be made");
            None
        }
    }
}

/// Where the group of a marker is, if it can be had.
fn group(mark: &str) -> Option<PathBuf> {
    let plain = mark
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    Some(own().filter(|_| plain)?.join(format!("{PREFIX}{mark}")))
}

/// Whether a process is in the group of a marker: of this one, or of one that begins so.
pub(super) fn holds(pid: i32, mark: &str, whole: bool) -> bool {
    if own().is_none() {
        return false;
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else {
        return false;
    };
    group.split('/').any(|name| is_named(name, mark, whole))
}

/// Who is in the groups of a marker, and in those that were made beneath them; `None` if one of them does not tell.
pub(super) fn members(mark: &str, whole: bool) -> Option<HashSet<i32>> {
    let mut members = HashSet::new();
    groups(mark, whole)
        .iter()
        .try_for_each(|group| list(group, &mut members))
        .ok()?;
    Some(members)
}

fn list(group: &Path, into: &mut HashSet<i32>) -> io::Result<()> {
    let gone = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    };
    match fs::read_to_string(group.join("cgroup.procs")) {
        Ok(pids) => into.extend(pids.lines().filter_map(|pid| pid.parse::<i32>().ok())),
        Err(error) => return gone(error),
    }
    let beneath = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) => return gone(error),
    };
    let directories = beneath
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories
        .map(|entry| entry.path())
        .try_for_each(|group| list(&group, into))
}

/// Removes the groups of a marker. Those in which somebody lives stay.
pub(super) fn remove(mark: &str, whole: bool) {
    groups(mark, whole)
        .iter()
        .for_each(|group| remove_tree(group));
}

/// The groups of a marker, or of all that begin so.
fn groups(mark: &str, whole: bool) -> Vec<PathBuf> {
    if whole {
        return group(mark).into_iter().collect();
    }
    let Some(own) = own() else { return Vec::new() };
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| is_named(name, mark, whole))
    });
    named.map(|entry| entry.path()).collect()
}

/// Whether a group's name is that of a marker, or of one that begins so.
fn is_named(name: &str, mark: &str, whole: bool) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|found| {
        if whole {
            found == mark
        } else {
            found.starts_with(mark)
        }
    })
}

/// A worker may have made groups of its own beneath.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(%error, ?group, "a cgroup stays");
        }
        Ok(()) | Err(_) => {}
    }
}
