//! Whether the programs that the policy names are there, for whoever starts them.

use std::{collections::BTreeMap, ffi::OsStr, io, path::Path};

use super::Check;
use crate::{
    driver::{BuildError, builder::Ground, world::World},
    gate::visible_environment,
    model::{RepoPath, TreeId},
    process::can_run,
};

impl Ground {
    /// The programs of gates, of set-up, and of whoever tells a person. One that lies in the tree is looked for when that is known.
    pub(super) fn programs(&self) -> Vec<Check> {
        let environment = visible_environment(&self.policy.environment);
        let mut checks = Vec::new();
        for (name, gate) in &self.policy.gates {
            let Some(why) = missing(&gate.run, &environment) else {
                continue;
            };
            let name = format!("program of gate {name}");
            let what = format!("{why}: the gate cannot start");
            let fix = "install it, or let `[environment] allow` name the PATH that has it";
            // Nothing lands without the gates that apply by default.
            checks.push(if gate.default {
                Check::failed(name, what, Some(fix.to_owned()))
            } else {
                Check::warning(name, what, fix)
            });
        }
        for command in &self.policy.setup.run.0 {
            if let Some(why) = missing(command, &environment) {
                let what = format!("{why}: no workspace can be made");
                let fix = "install it, or change `[setup] run`".to_owned();
                checks.push(Check::failed("program of setup", what, Some(fix)));
            }
        }
        if let Some(why) = missing(&self.policy.notify.run, &environment) {
            let what = format!("{why}: nobody is told of questions");
            let fix = "install it, or change `[notify] run`";
            checks.push(Check::warning("program of notify", what, fix));
        }
        if checks.is_empty() {
            let what = "those of gates, set-up and notify are there";
            checks.push(Check::passed("programs", what));
        }
        checks
    }
}

impl World {
    /// Gates whose program is a file of the tree that the target does not have.
    pub(super) fn programs_in(&self, tree: TreeId) -> Result<Vec<Check>, BuildError> {
        let mut checks = Vec::new();
        for (name, gate) in &self.policy.gates {
            let Some(path) = gate.run.first().and_then(|program| in_tree(program)) else {
                continue;
            };
            if self.lane.trusted.objects().file(tree, &path)?.is_some() {
                continue;
            }
            let name = format!("program of gate {name}");
            let what = format!("the target has no `{path}`: the gate fails until a task adds it");
            let fix = "commit and push it, or change the gate";
            checks.push(Check::warning(name, what, fix));
        }
        Ok(checks)
    }
}

/// The path of a program that is named relative to the tree.
fn in_tree(program: &str) -> Option<RepoPath> {
    if program.starts_with('/') || !program.contains('/') {
        return None;
    }
    program.strip_prefix("./").unwrap_or(program).parse().ok()
}

/// Why a command that lies in no tree cannot be started, if it cannot.
fn missing(command: &[String], environment: &BTreeMap<String, String>) -> Option<String> {
    let program = command.first()?;
    if program.contains('/') && !program.starts_with('/') {
        return None;
    }
    let path = environment.get("PATH").map(OsStr::new);
    let error = can_run(OsStr::new(program), Path::new("/"), path).err()?;
    Some(match error.kind() {
        io::ErrorKind::PermissionDenied => format!("`{program}` may not be run"),
        _ if program.starts_with('/') => format!("`{program}` is not there"),
        _ => format!("`{program}` is not on the PATH that it would be started with"),
    })
}
