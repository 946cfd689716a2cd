//! What a program that failed printed last is shown whole: both streams, by lines.

use orchestrator_testkit::run_checked;

use crate::common::{self, builder, sandbox};

#[tokio::test]
async fn agent_that_fails_shows_the_end_of_both_streams() {
    let sandbox = sandbox(&[("A", "")]);
    let script = "seq -f 'read file %g' 1 300; echo 'no API key' >&2; exit 1";
    let outcome = run_checked(&sandbox, builder(&sandbox, script, "")).await;
    let [first, ..] = &common::ends(&outcome)[..] else {
        panic!("no attempt ended")
    };
    let lines: Vec<_> = first.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "the agent failed: exit status 1; stderr: no API key",
            "stdout:"
        ]
    );
    let mark = lines[2];
    assert!(
        mark.starts_with("[... 2") && mark.ends_with(" lines left out ...]"),
        "{mark}"
    );
    assert!(lines[3].starts_with("read file 2"), "{}", lines[3]);
    assert_eq!(lines.last(), Some(&"read file 300"));
}

#[tokio::test]
async fn agent_that_says_nothing_shows_no_stream() {
    let sandbox = sandbox(&[("A", "")]);
    let outcome = run_checked(&sandbox, builder(&sandbox, "exit 1", "")).await;
    let ends = common::ends(&outcome);
    assert_eq!(ends[0], "the agent failed: exit status 1");
}

#[tokio::test]
async fn gate_that_fails_shows_whole_lines() {
    let sandbox = sandbox(&[("A", "")]);
    let policy = "[gates.unit]\ndefault = true\nrun = [\"sh\", \"-c\", \"seq -f 'test %g of the ünit passes' 1 500; \
                  test ! -e A.txt\"]\n";
    let outcome = run_checked(&sandbox, builder(&sandbox, common::WORK, policy)).await;
    let finding = outcome.task("A").findings.join("\n");
    let tail: Vec<_> = finding.lines().skip(1).collect();
    assert!(
        tail[0].starts_with("[... 4") && tail[0].ends_with(" lines left out ...]"),
        "{finding}"
    );
    for line in &tail[1..] {
        assert!(
            line.starts_with("test ") && line.ends_with(" of the ünit passes"),
            "{line}"
        );
    }
}
