//! `cargo bench -p benches` prints the figures as a table; `-- --quick` takes fewer rounds, and `--bench figures -- stream` one figure.

mod heartbeat;
mod landing;
mod machine;
mod sessions;
mod stream;

use std::fs;

use orchestrator_testkit::Sandbox;
use tokio::runtime::Runtime;

/// Its name, and what prints it.
type Figure = (&'static str, fn(&Runtime));

fn main() {
    if sessions::be_one() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    println!("medians; the ratio is the first time divided by the second\n");
    let figures: [Figure; 9] = [
        // First, while this process has used little memory.
        ("sessions", sessions::sessions),
        ("heartbeat", heartbeat::heartbeat),
        ("dispatch", machine::dispatch),
        ("machine", machine::transitions),
        ("ledger", machine::ledger),
        ("stream", stream::stream),
        ("task", landing::one_task),
        ("tasks", landing::many_tasks),
        ("handoffs", landing::handoffs),
    ];
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (_, figure) in figures.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        figure(&runtime);
    }
}

/// Who commits where bare git does.
const COMMITTER: [(&str, &str); 4] =
    [("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@b"), ("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@b")];

/// A repository with so many small files.
fn repository(files: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 0..files {
        let path = sandbox.repo().join(format!("dir{}/file{number}.txt", number % 20));
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes");
        fs::write(path, format!("line one\nline {number}\n")).expect("writes");
    }
    sandbox.publish(&[("ROADMAP.md", "- [ ] **T1** Do it\n")], "files");
    sandbox
}
