//! The histories are what they say: git itself merges them, or does not.

use std::process::Command;

use orchestrator_testkit::{HISTORIES, Sandbox, git};

#[test]
fn each_history_is_merged_as_it_says() {
    let mut told = String::new();
    for (name, make, merges) in HISTORIES {
        let sandbox = Sandbox::new();
        let fork = make(&sandbox);
        let base = git(&sandbox.repo(), &["merge-base", &fork.ours, &fork.theirs]);
        assert_eq!(base, fork.base, "{name}");
        assert_eq!(
            git(&sandbox.repo(), &["status", "--porcelain"]),
            "",
            "{name}"
        );
        let merged = Command::new("git")
            .args(["merge-tree", "--write-tree", &fork.ours, &fork.theirs])
            .current_dir(sandbox.repo())
            .output();
        let merged = merged.expect("git can be run");
        assert_eq!(
            merged.status.success(),
            *merges,
            "{name}: {}",
            String::from_utf8_lossy(&merged.stdout)
        );
        // What git writes into a conflict has the commits' ids in it, which are others each time.
        let tree = String::from_utf8_lossy(&merged.stdout)
            .lines()
            .next()
            .filter(|_| *merges)
            .map(str::to_owned);
        let listed = tree.map_or("a conflict".to_owned(), |tree| {
            git(&sandbox.repo(), &["ls-tree", "-r", &tree])
        });
        told += &format!("== {name}\n{listed}\n\n");
    }
    insta::assert_snapshot!(told);
}
