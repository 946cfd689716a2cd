//! The guide's recipes as they stand there: each lands a roadmap of six tasks with `supervise`, without a person.

mod common;
#[path = "common/recipe.rs"]
mod recipe;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use common::example;
use orchestrator_core::{
    model::{GateReport, Record},
    port::{Ledger as _, Sequence},
    store::FileLedger,
};
use orchestrator_testkit::{Sandbox, block_on_within, git, shell_worker, tool_main};
use recipe::{TASKS, policy_of};

fn main() -> ExitCode {
    tool_main(&[
        ("javascript_lands", &["node", "npm"], javascript_lands),
        ("python_lands", &["python3"], python_lands),
        ("rust_lands", &["cargo"], rust_lands),
        ("submodules_land", &["git"], submodules_land),
    ])
}

/// A project, and what a recipe does with it.
struct Stage {
    sandbox: Sandbox,
    /// The only home that anything here sees.
    home: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Stage {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let home = sandbox.path().join("home");
        fs::create_dir(&home).expect("makes");
        Self {
            sandbox,
            home,
            variables: Vec::new(),
        }
    }

    /// Runs a command as the person does, in their checkout.
    fn person(&self, directory: &Path, command: &[&str]) {
        let output = Command::new(command[0])
            .args(&command[1..])
            .current_dir(directory)
            .env("HOME", &self.home)
            .output()
            .expect("can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }

    /// Publishes the project with a roadmap of six tasks, each of which may change these paths (`{}` is its name).
    fn publish(&self, files: &[(&str, &str)], allow: &[&str]) {
        let item = |task: &&str| {
            let allow: Vec<_> = allow.iter().map(|path| path.replace("{}", task)).collect();
            format!("- [ ] **{task}** Do {task}.\n  ```toml\n  allow = {allow:?}\n  ```\n")
        };
        let roadmap: String = TASKS.iter().map(item).collect();
        let files = [files, &[("ROADMAP.md", roadmap.as_str())]].concat();
        self.sandbox.publish(&files, "project");
    }

    /// Runs the roadmap with the recipe's own policy, and with workers that run this script. Everything lands, and each worker
    /// was needed once.
    fn lands(&self, recipe: &str, script: &str) {
        let policy = self.sandbox.path().join("policy.toml");
        fs::write(&policy, policy_of(recipe)).expect("writes");
        let worker = shell_worker(self.sandbox.path(), "worker", script).join(" ");
        let output = Command::new(example("supervise"))
            .args(["run", "--roadmap", "ROADMAP.md", "--agent-command", &worker])
            .arg("--repo")
            .arg(self.sandbox.repo())
            .arg("--state-dir")
            .arg(self.sandbox.state())
            .arg("--policy")
            .arg(policy)
            .env("HOME", &self.home)
            .envs(self.variables.clone())
            .current_dir(self.sandbox.path())
            .output()
            .expect("can be run");
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert_eq!(output.status.code(), Some(0), "{}\n{}", said[0], said[1]);
        let landed = self.sandbox.remote_subjects();
        let landed = landed.iter().filter(|subject| subject.contains(": Do "));
        assert_eq!(landed.count(), TASKS.len());
        let records = self.records();
        let turns = records
            .iter()
            .filter(|record| matches!(record, Record::TurnEnded { .. }));
        assert_eq!(turns.count(), TASKS.len(), "nobody was sent back");
    }

    fn records(&self) -> Vec<Record> {
        block_on_within(std::time::Duration::from_secs(60), async {
            let ledger = FileLedger::new(self.sandbox.state().join("ledger"));
            let entries = ledger
                .read(Sequence(0), usize::MAX)
                .await
                .expect("can be read");
            entries.into_iter().map(|entry| entry.record).collect()
        })
        .expect("is quick")
    }

    fn reports(&self) -> Vec<GateReport> {
        let report = |record: Record| match record {
            Record::GateReported { report, .. } => Some(*report),
            _ => None,
        };
        self.records().into_iter().filter_map(report).collect()
    }
}

fn javascript_lands() {
    let stage = Stage::new();
    // Nothing here asks a registry, or for news of npm.
    let settings = "offline=true\nupdate-notifier=false\n";
    fs::write(stage.home.join(".npmrc"), settings).expect("writes");
    let repo = stage.sandbox.repo();
    for name in ["greet", "other"] {
        let package = stage.sandbox.path().join(name);
        fs::create_dir(&package).expect("makes");
        let manifest = format!("{{\"name\":\"{name}\",\"version\":\"1.0.0\",\"bin\":\"bin.js\"}}");
        fs::write(package.join("package.json"), manifest).expect("writes");
        fs::write(
            package.join("index.js"),
            format!("module.exports = '{name}';\n"),
        )
        .expect("writes");
        let program = "#!/usr/bin/env node\nconsole.log(require('./index.js'));\n";
        fs::write(package.join("bin.js"), program).expect("writes");
        let vendor = repo.join("vendor");
        fs::create_dir_all(&vendor).expect("makes");
        let to = vendor.to_string_lossy().into_owned();
        stage.person(
            &package,
            &["npm", "pack", "--silent", "--pack-destination", &to],
        );
    }
    let manifest = "{\"name\":\"project\",\"private\":true,\"scripts\":{\"test\":\"node --test\"},\
                    \"dependencies\":{\"greet\":\"file:vendor/greet-1.0.0.tgz\"}}\n";
    stage.sandbox.write(&[
        ("package.json", manifest),
        (".gitignore", "node_modules/\n"),
    ]);
    stage.person(&repo, &["npm", "install", "--no-audit", "--no-fund"]);
    let links = repo.join("node_modules/.bin/greet");
    assert!(links.symlink_metadata().expect("npm links it").is_symlink());
    let allow = [
        "src/{}.js",
        "test/{}.test.js",
        "package.json",
        "package-lock.json",
    ];
    stage.publish(
        &[("src/base.js", "module.exports = require('greet');\n")],
        &allow,
    );
    // Each builds on what is installed, and the last installs something itself.
    stage.lands(
        include_str!("../../orchestrator-core/src/guide/recipes/javascript.md"),
        "t=$ORCHESTRATOR_TASK\nneeds=greet\ntest \"$(node_modules/.bin/greet)\" = greet\n\
         if [ $t = six ]; then npm install --silent ./vendor/other-1.0.0.tgz; needs=other; fi\n\
         mkdir -p src test\n\
         echo \"module.exports = require('$needs') + process.env.ORCHESTRATOR_PORT_BASE;\" > src/$t.js\n\
         echo \"require('node:test')('$t', () => require('node:assert').match(require('../src/$t.js'), /^$needs[0-9]+$/));\" \
         > test/$t.test.js\n\
         npm test --silent > /dev/null\ncommit $t\nhandoff done",
    );
}

/// Writes a wheel with one module, as pip installs it.
const WHEEL: &str = "import zipfile\n\
with zipfile.ZipFile('vendor/greet-1.0-py3-none-any.whl', 'w') as wheel:\n    \
    wheel.writestr('greet.py', 'WORD = \"greet\"\\n')\n    \
    wheel.writestr('greet-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: greet\\nVersion: 1.0\\n')\n    \
    wheel.writestr('greet-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
    wheel.writestr('greet-1.0.dist-info/RECORD', '')\n";

fn python_lands() {
    let stage = Stage::new();
    let repo = stage.sandbox.repo();
    stage.sandbox.write(&[("vendor/README", "wheels\n")]);
    stage.person(&repo, &["python3", "-c", WHEEL]);
    let needs = "--no-index\n--find-links vendor\ngreet==1.0\n";
    let test = "import unittest\nimport greet\n\n\nclass Base(unittest.TestCase):\n    def test(self):\n        self.assertEqual(greet.WORD, 'greet')\n";
    let files = [
        ("requirements.txt", needs),
        (".gitignore", ".venv/\n__pycache__/\n"),
        ("tests/test_base.py", test),
    ];
    stage.publish(&files, &["tests/test_{}.py", "requirements.txt"]);
    stage.lands(
        include_str!("../../orchestrator-core/src/guide/recipes/python.md"),
        "t=$ORCHESTRATOR_TASK\nsed s/Base/Of$t/ tests/test_base.py > tests/test_$t.py\n\
         .venv/bin/python -m unittest discover --start-directory tests 2> /dev/null\ncommit $t\nhandoff done",
    );
}

fn rust_lands() {
    let mut stage = Stage::new();
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    for (name, beneath) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        let set = std::env::var_os(name).map(PathBuf::from);
        stage
            .variables
            .push((name, set.unwrap_or_else(|| home.join(beneath))));
    }
    let shared = stage.sandbox.path().join("workers");
    stage.variables.push(("CARGO_TARGET_DIR", shared.clone()));
    let member = |name: &str, needs: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{needs}"
        )
    };
    let base = member("base", "");
    let app = member("app", "base = { path = \"../base\" }\n");
    let lock = "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"base\",\n]\n\n\
                [[package]]\nname = \"base\"\nversion = \"0.1.0\"\n";
    let files = [
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"2\"\nmembers = [\"base\", \"app\"]\n",
        ),
        ("Cargo.lock", lock),
        (".gitignore", "target/\n"),
        ("base/Cargo.toml", base.as_str()),
        (
            "base/src/lib.rs",
            "pub fn word() -> &'static str {\n    \"greet\"\n}\n",
        ),
        ("app/Cargo.toml", app.as_str()),
        ("app/src/lib.rs", ""),
    ];
    stage.publish(&files, &["app/tests/{}.rs"]);
    stage.lands(
        include_str!("../../orchestrator-core/src/guide/recipes/rust.md"),
        "t=$ORCHESTRATOR_TASK\nmkdir -p app/tests\n\
         printf '#[test]\\nfn %s() {\\n    assert_eq!(base::word(), \"greet\");\\n}\\n' $t > app/tests/$t.rs\n\
         cargo test --quiet --locked --offline > /dev/null 2>&1\ncommit $t\nhandoff done",
    );
    assert!(
        shared.join("debug").is_dir(),
        "workers build in a directory of their own"
    );
    let builds = stage.reports();
    let builds = builds
        .iter()
        .filter(|report| report.tail.contains("Compiling base"));
    assert_eq!(builds.count(), 1, "what no task touches is built once");
}

fn submodules_land() {
    let stage = Stage::new();
    let top = stage.sandbox.path();
    git(
        top,
        &[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            "lib.git",
        ],
    );
    git(top, &["clone", "--quiet", "lib.git", "lib"]);
    let lib = top.join("lib");
    let release = |word: &str| {
        fs::write(lib.join("word.txt"), word).expect("writes");
        git(&lib, &["add", "--all"]);
        git(&lib, &["commit", "--quiet", "--message", word]);
        git(&lib, &["push", "--quiet", "origin", "HEAD:main"]);
        git(&lib, &["rev-parse", "HEAD"])
    };
    release("one\n");
    let repo = stage.sandbox.repo();
    let url = format!("file://{}", top.join("lib.git").display());
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &url,
        "vendor/lib",
    ];
    git(&repo, &add);
    let second = release("two\n");
    let test = "set -eu\nfor file in tests/*.txt; do cmp -s $file vendor/lib/word.txt || grep -q . vendor/lib/word.txt; done\n";
    let files = [("tests/run.sh", test), ("tests/base.txt", "one\n")];
    stage.publish(&files, &["tests/{}.txt", "vendor/lib"]);
    // The third moves the submodule; whoever comes after it finds it moved.
    stage.lands(
        include_str!("../../orchestrator-core/src/guide/recipes/submodules.md"),
        "t=$ORCHESTRATOR_TASK\ngit -C vendor/lib log --oneline | grep -q one\n\
         if [ $t = three ]; then git -C vendor/lib fetch -q; git -C vendor/lib checkout -q origin/main; fi\n\
         cp vendor/lib/word.txt tests/$t.txt\nsh tests/run.sh\ncommit $t\nhandoff done",
    );
    let remote = stage.sandbox.remote();
    assert_eq!(git(&remote, &["rev-parse", "main:vendor/lib"]), second);
    let states =
        ["three", "four"].map(|task| stage.sandbox.remote_file(&format!("tests/{task}.txt")));
    assert_eq!(states, ["two", "two"]);
    let kept = fs::read_dir(stage.sandbox.state().join("attempts")).expect("is there");
    assert_eq!(kept.count(), 0, "no workspace had to stay");
}
