//! `cargo bench -p benches` prints the figures as a table; `-- --quick` takes fewer rounds, and `--bench figures -- stream` one figure.

mod growth;
mod heartbeat;
mod landing;
mod machine;
mod sessions;
mod stream;

use std::{fs, sync::Mutex};

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
    if cfg!(debug_assertions) {
        println!(
            "built without optimisation, and with checks of its own: this shows that it runs, not how fast\n"
        );
    }
    let figures: [Figure; 11] = [
        // First, while this process has used little memory.
        ("sessions", sessions::sessions),
        ("dispatch", machine::dispatch),
        ("machine", machine::transitions),
        ("ledger", machine::ledger),
        ("stream", stream::stream),
        // Before those that leave most files behind.
        ("handoffs", landing::handoffs),
        ("task", landing::one_task),
        ("tasks", landing::many_tasks),
        ("roadmaps", growth::roadmaps),
        ("histories", growth::histories),
        ("heartbeat", heartbeat::heartbeat),
    ];
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    for (_, figure) in figures
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name))
    {
        figure(&runtime);
    }
    USED.lock().expect("nothing panics with it").clear();
}

/// What readers of JSON are held against.
const VALUES: &str = "a JSON value for each line";

/// Who commits where bare git does.
const COMMITTER: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "A"),
    ("GIT_AUTHOR_EMAIL", "a@b"),
    ("GIT_COMMITTER_NAME", "A"),
    ("GIT_COMMITTER_EMAIL", "a@b"),
];

/// Sandboxes that were used. For minutes after many files were removed, ext4 makes new ones several times more slowly, since it passes
/// over every inode that was freed: what one figure tidies up, the next would pay for. So all is removed at the end.
static USED: Mutex<Vec<Sandbox>> = Mutex::new(Vec::new());

fn used(sandbox: Sandbox) {
    USED.lock().expect("nothing panics with it").push(sandbox);
}

/// A repository with so many small files.
fn repository(files: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    for number in 0..files {
        let path = sandbox
            .repo()
            .join(format!("dir{}/file{number}.txt", number % 20));
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes");
        fs::write(path, format!("line one\nline {number}\n")).expect("writes");
    }
    sandbox.publish(&[("ROADMAP.md", "- [ ] **T1** Do it\n")], "files");
    sandbox
}

/// All of it, by two threads.
fn two_at_a_time<T: Sync>(all: &[T], work: impl Fn(&T) + Copy + Send) {
    let (one, other) = all.split_at(all.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(move || one.iter().for_each(work));
        other.iter().for_each(work);
    });
}
