//! What a worker's commands may write, in Codex's own sandbox, and whether that works here.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use orchestrator_core::{
    agent::{make_beneath, read_small, touch},
    model::{AttemptId, CodexSandbox},
    port::AgentError,
    process::{Exit, OutputLimits, Spawn, run_to_end},
};
use tokio::process::Command;

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

    /// What can be written besides the workspace, where no profile says it.
    pub(crate) fn writable(&self) -> Vec<PathBuf> {
        let worktree = format!("worktrees/{}", self.worktree());
        ["objects", "refs", "logs", &worktree]
            .map(|path| self.repository.join(path))
            .into_iter()
            .chain([self.out.to_owned()])
            .collect()
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

/// The arguments of `codex exec`.
pub(crate) fn flags(sandbox: CodexSandbox, places: &Places<'_>, read_only: bool) -> Vec<String> {
    match sandbox {
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
            let mode = ["--sandbox", "workspace-write"]
                .map(str::to_owned)
                .into_iter();
            let settings = ["network_access=false", "exclude_slash_tmp=true"];
            let settings = settings.into_iter().flat_map(|setting| {
                [
                    "-c".to_owned(),
                    format!("sandbox_workspace_write.{setting}"),
                ]
            });
            let added = places
                .writable()
                .into_iter()
                .map(|path| path.to_string_lossy().into_owned());
            mode.chain(settings)
                .chain(added.flat_map(|path| ["--add-dir".to_owned(), path]))
                .collect()
        }
        CodexSandbox::Off => vec!["--sandbox".to_owned(), "danger-full-access".to_owned()],
    }
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

/// How long the preflight may take; measured are 0.2 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commits in a throwaway repository of the same shape, in the sandbox, with no model: what a worker will have to do. What works is what is
/// used: the profile, or else the older flags.
pub(crate) async fn preflight(
    program: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<CodexSandbox, AgentError> {
    let failed = |reason: String| AgentError::Unavailable {
        reason,
        retry_at: None,
    };
    let directory = tempfile::tempdir().map_err(AgentError::Spawn)?;
    let (repository, tree, out) = (
        directory.path().join("repo.git"),
        directory.path().join("tree"),
        directory.path().join("out"),
    );
    fs::create_dir(&out).map_err(AgentError::Spawn)?;
    let attempt = AttemptId {
        task: "preflight"
            .parse()
            .map_err(|error| failed(format!("{error}")))?,
        number: 1,
    };
    let script = "git init --quiet --bare --template= repo.git && cd repo.git && empty=$(git hash-object -t tree -w /dev/null) && \
                  commit=$(git commit-tree -m begin $empty) && git update-ref \"$0\" $commit && git worktree add --quiet ../tree \"$1\"";
    let person = ["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
        [
            (format!("GIT_{who}_NAME"), "Preflight"),
            (format!("GIT_{who}_EMAIL"), "preflight@localhost"),
        ]
    });
    let branch = attempt.branch();
    let mut made = Command::new("/bin/sh");
    made.args(["-ec", script, branch.full().as_str(), branch.short()])
        .current_dir(directory.path())
        .env_clear()
        .envs(environment);
    made.envs([
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ])
    .envs(person.clone())
    .stdin(Stdio::null());
    let made = made.output().await.map_err(AgentError::Spawn)?;
    if !made.status.success() {
        return Err(failed(format!(
            "a repository to try the sandbox in cannot be made: {}",
            String::from_utf8_lossy(&made.stderr)
        )));
    }
    let places = Places {
        workspace: &tree,
        repository: &repository,
        out: &out,
        attempt: &attempt,
    };
    places.make().map_err(AgentError::Spawn)?;
    // The older flags are settings of the configuration as well, and the sandbox is asked for by them.
    let roots = [
        "repo.git/objects",
        "repo.git/refs",
        "repo.git/logs",
        "repo.git/worktrees/tree",
    ]
    .map(|path| directory.path().join(path));
    let roots: Vec<_> = roots
        .iter()
        .map(|path| quoted(&path.to_string_lossy()))
        .collect();
    let narrow = format!(
        "sandbox_workspace_write.writable_roots=[{}]",
        roots.join(",")
    );
    let profile = vec![
        "-c".to_owned(),
        profile(&places),
        "-P".to_owned(),
        PROFILE.to_owned(),
    ];
    let narrow = vec![
        "-c".to_owned(),
        "sandbox_mode=\"workspace-write\"".to_owned(),
        "-c".to_owned(),
        narrow,
    ];
    let mut why = String::new();
    for (sandbox, arguments) in [
        (CodexSandbox::Profile, profile),
        (CodexSandbox::Narrow, narrow),
    ] {
        let spawn = Spawn::new(program, &tree)
            .args(["sandbox"])
            .args(arguments)
            .args(["-C"])
            .args([&tree]);
        let spawn = spawn.args([
            "--",
            "git",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "try",
        ]);
        let limits = OutputLimits {
            head: 0,
            tail: 2000,
        };
        let spawn = spawn.envs(environment).envs(person.clone());
        let ran = run_to_end(spawn, &[], PATIENCE, limits)
            .await
            .map_err(AgentError::Spawn)?;
        if ran.exit == Some(Exit::Code(0)) {
            return Ok(sandbox);
        }
        why += &format!("\n{sandbox:?}: {}", ran.stderr.end(400));
    }
    Err(failed(format!(
        "its sandbox does not let a worker commit:{why}"
    )))
}
