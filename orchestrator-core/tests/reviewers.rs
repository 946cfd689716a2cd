//! What the reviewers in the box find in careless work: each case is a worker, and its findings are a snapshot, to be read in review.

mod common;

use std::fmt::Write as _;

use common::policy;
use orchestrator_core::{
    driver::Orchestrator,
    model::{Opinion, Record},
};
use orchestrator_testkit::{Sandbox, run_checked, shell_worker};

const CASES: [(&str, &str); 11] = [
    ("nothing is wrong", "echo a > A.txt"),
    ("a conflict that was not resolved", "printf 'a\\n<<<<<<< HEAD\\nb\\n=======\\nc\\n>>>>>>> x\\n' > A.txt"),
    ("markers that were there before, and a change elsewhere", "printf 'more\\n' >> marked.txt"),
    ("a private key", "{ echo x; echo '-----BEGIN RSA PRIVATE' KEY-----; } > key.pem"),
    (
        "a token in the middle of a file",
        "printf 'one\\ntwo\\nthree ghp_%s\\n' 0123456789012345678901234567890123456789 > config.ini",
    ),
    ("a file that nobody can review", "head -c 11000000 /dev/zero > big.bin"),
    ("what a tool has made", "mkdir -p node_modules/x; echo x > node_modules/x/index.js; echo y > a.pyc"),
    ("a name that differs only in case", "echo x > Readme.md"),
    ("two new names that differ only in case", "mkdir -p src; echo x > src/Aa.txt; echo y > src/aA.txt"),
    ("a link that leaves the repository", "ln -s ../../secret link; ln -s A.txt fine; echo a > A.txt"),
    ("a submodule", "git clone -q . sub 2>/dev/null; git -c advice.addEmbeddedRepo=false add sub"),
];

#[tokio::test]
async fn each_careless_change_is_found_with_its_place() {
    let mut text = String::new();
    for (case, script) in CASES {
        let sandbox = Sandbox::new();
        let marked = "<<<<<<< this\nis how a conflict looks\n";
        sandbox.publish(&[("ROADMAP.md", "- [ ] **A** Anything\n"), ("marked.txt", marked)], "roadmap");
        let worker = shell_worker(sandbox.path(), "worker", &format!("{script}\ncommit work; handoff done"));
        let mut policy = policy(&worker, "");
        (policy.limits.attempts, policy.limits.turns) = (1, 1);
        let outcome = run_checked(&sandbox, Orchestrator::builder().policy(policy)).await;
        let _ = writeln!(text, "## {case}");
        let reviews = outcome.records().filter_map(|record| match record {
            Record::Reviewed { reviews, .. } => Some(reviews),
            _ => None,
        });
        for review in reviews.flatten() {
            match &review.opinion {
                Opinion::Looked { findings } => {
                    for finding in findings {
                        let _ = writeln!(text, "{}: {:?} {finding}", review.reviewer, finding.severity);
                    }
                }
                Opinion::Unavailable { reason } => panic!("{case}: {} could not look: {reason}", review.reviewer),
            }
        }
        let _ = writeln!(text, "=> {}\n", outcome.task("A").state);
    }
    insta::assert_snapshot!(text);
}
