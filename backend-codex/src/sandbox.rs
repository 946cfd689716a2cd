//! What a worker's commands may write, in Codex's own sandbox.

use std::{io, path::Path};

use orchestrator_core::{
    agent::{make_beneath, read_small, touch},
    model::AttemptId,
};

use crate::settings::CodexSandbox;

/// The places of one attempt that matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) workspace: &'a Path,
    pub(crate) repository: &'a Path,
    /// Where the worker leaves its handoff and its artifacts.
    pub(crate) out: &'a Path,
    pub(crate) attempt: &'a AttemptId,
}

impl Places<'_> {
    /// The directory of the attempt's branch, beneath `refs` or `logs/refs`.
    fn branch_directory(&self) -> String {
        let branch = self.attempt.branch();
        branch
            .full()
            .rsplit_once('/')
            .map_or_else(String::new, |(directory, _)| directory.to_owned())
    }

    /// The name of the one linked worktree.
    fn worktree(&self) -> String {
        let link = read_small(&self.workspace.join(".git")).unwrap_or_default();
        let link = String::from_utf8_lossy(&link);
        link.trim()
            .rsplit_once('/')
            .map_or_else(|| "tree".to_owned(), |(_, name)| name.to_owned())
    }

    /// Makes what the profile names: a rule about a path that is not there means nothing.
    pub(crate) fn make(&self) -> io::Result<()> {
        let branch = self.branch_directory();
        for directory in ["hooks", "info", "refs", &branch, &format!("logs/{branch}")] {
            make_beneath(
                self.repository,
                &directory.parse().map_err(io::Error::other)?,
            )?;
        }
        touch(&self.repository.join("packed-refs"))
    }
}

/// The name of our permission profile.
pub(crate) const PROFILE: &str = "worker";

/// As TOML writes a string; JSON's escapes are among its own.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Settings of the older flags, in both commands.
const NARROW: [&str; 2] = [
    "sandbox_workspace_write.network_access=false",
    "sandbox_workspace_write.exclude_slash_tmp=true",
];

/// The arguments of `codex exec`. A reader writes nothing, unless no sandbox can be had.
pub(crate) fn flags(sandbox: CodexSandbox, places: &Places<'_>, read_only: bool) -> Vec<String> {
    match sandbox {
        CodexSandbox::Off => vec!["--sandbox".to_owned(), "danger-full-access".to_owned()],
        _ if read_only => vec!["--sandbox".to_owned(), "read-only".to_owned()],
        CodexSandbox::Profile => {
            vec![
                "-c".to_owned(),
                format!("default_permissions={}", quoted(PROFILE)),
                "-c".to_owned(),
                profile(places),
            ]
        }
        CodexSandbox::Narrow => {
            let mode = ["--sandbox", "workspace-write"].map(str::to_owned);
            let settings = NARROW.map(|setting| ["-c".to_owned(), setting.to_owned()]);
            let added = narrow_roots(places).map(|path| ["--add-dir".to_owned(), path]);
            mode.into_iter()
                .chain(settings.into_iter().flatten())
                .chain(added.into_iter().flatten())
                .collect()
        }
    }
}

/// The arguments of `codex sandbox` by which a command runs as one of a turn with those [`flags`] does. The workspace is the directory
/// in which it is run: without a profile, none can be named.
pub(crate) fn trial_flags(
    sandbox: CodexSandbox,
    places: &Places<'_>,
    read_only: bool,
) -> Vec<String> {
    let setting = |setting: String| ["-c".to_owned(), setting];
    if read_only {
        return setting("sandbox_mode=\"read-only\"".to_owned()).to_vec();
    }
    match sandbox {
        CodexSandbox::Off => setting("sandbox_mode=\"danger-full-access\"".to_owned()).to_vec(),
        CodexSandbox::Profile => {
            let workspace = places.workspace.to_string_lossy().into_owned();
            let named = ["-P", PROFILE, "-C", &workspace].map(str::to_owned);
            setting(profile(places)).into_iter().chain(named).collect()
        }
        CodexSandbox::Narrow => {
            let settings = narrow_settings(places).into_iter();
            settings.flat_map(setting).collect()
        }
    }
}

/// The older flags as settings of the configuration, for commands that do not have them.
pub(crate) fn narrow_settings(places: &Places<'_>) -> [String; 4] {
    let roots = narrow_roots(places).map(|path| quoted(&path)).join(",");
    let [network, temporary] = NARROW.map(str::to_owned);
    [
        "sandbox_mode=\"workspace-write\"".to_owned(),
        format!("sandbox_workspace_write.writable_roots=[{roots}]"),
        network,
        temporary,
    ]
}

/// What the older flags let a worker write beside the workspace.
fn narrow_roots(places: &Places<'_>) -> [String; 5] {
    let worktree = format!("worktrees/{}", places.worktree());
    let out = places.out.to_string_lossy().into_owned();
    let inside = |path: &str| places.repository.join(path).to_string_lossy().into_owned();
    [
        inside("objects"),
        inside("refs"),
        inside("logs"),
        inside(&worktree),
        out,
    ]
}

/// What can be written: the workspace (by what it extends), what the worker leaves, the objects, and one branch with its log.
pub(crate) fn profile(places: &Places<'_>) -> String {
    let (branch, worktree) = (
        places.branch_directory(),
        format!("worktrees/{}", places.worktree()),
    );
    let inside = [
        ("", "write"),
        ("hooks", "read"),
        ("config", "read"),
        ("HEAD", "read"),
        ("info", "read"),
        ("packed-refs", "read"),
        ("refs", "read"),
        (&branch, "write"),
        ("logs", "read"),
        (&format!("logs/{branch}"), "write"),
        ("worktrees", "read"),
        (&worktree, "write"),
        (&format!("{worktree}/commondir"), "read"),
        (&format!("{worktree}/gitdir"), "read"),
    ];
    let rule = |path: &Path, access: &str| {
        format!(
            "{}={}",
            quoted(path.to_string_lossy().trim_end_matches('/')),
            quoted(access)
        )
    };
    let rules = inside
        .iter()
        .map(|(path, access)| rule(&places.repository.join(path), access));
    let rules: Vec<_> = [
        rule(Path::new(":slash_tmp"), "read"),
        rule(places.out, "write"),
    ]
    .into_iter()
    .chain(rules)
    .collect();
    format!(
        "permissions.{PROFILE}={{extends=\":workspace\",filesystem={{{}}}}}",
        rules.join(",")
    )
}
