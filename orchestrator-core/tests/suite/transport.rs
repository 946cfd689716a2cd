//! Remotes that say nothing, say little, or go away before their answer came: what was done is found out, and nothing is done twice.
//!
//! The remote is a real one behind a server of the test's own, which passes on what it likes of a connection (`git://`).

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use orchestrator_core::{
    git::{Git, GitError, Trusted, UserRepository},
    model::{EndReason, Landing, LandingOutcome, Policy, Push, Record, RefusalCause},
};
use orchestrator_testkit::{Sandbox, git, run_checked};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::common::{self, WORK, builder, make_fifo, program, sandbox, turns};

/// Long enough for what a test has to wait for, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection of git's own protocol, whose first line was read.
struct Connection {
    /// Counted from 0.
    number: usize,
    stream: TcpStream,
    /// `git-upload-pack` or `git-receive-pack`.
    service: String,
    repository: PathBuf,
}

impl Connection {
    /// Who asks is answered by git itself.
    fn git(&self) -> Child {
        let service = self
            .service
            .strip_prefix("git-")
            .expect("a service of git's");
        let mut git = Command::new("git");
        git.arg(service)
            .arg(&self.repository)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        git.env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .spawn()
            .expect("git can be run")
    }

    /// Passes on what the client sends, beside the caller.
    fn pass_on_to(&self, git: &mut Child) {
        let (mut from, mut to) = (
            self.stream.try_clone().expect("a stream"),
            git.stdin.take().expect("is piped"),
        );
        thread::spawn(move || copy(&mut from, &mut to));
    }

    /// Passes everything on, to the end.
    fn pass_on(mut self) {
        let mut git = self.git();
        self.pass_on_to(&mut git);
        drop(copy(
            &mut git.stdout.take().expect("is piped"),
            &mut self.stream,
        ));
        drop(git.wait());
        drop(self.stream.shutdown(Shutdown::Both));
    }

    /// Passes on what the remote has, and what the client sends, and nothing more: the remote does what it is told, and the client does
    /// not hear of it.
    fn keep_the_answer(&mut self) {
        let mut git = self.git();
        self.pass_on_to(&mut git);
        let mut said = git.stdout.take().expect("is piped");
        self.stream
            .write_all(&advertisement(&mut said))
            .expect("listens");
        drop(copy(&mut said, &mut io::sink()));
        drop(git.wait());
    }
}

/// Passes on each piece as it comes, which `io::copy` between a connection and a pipe does not always do.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&piece[..read])?;
    }
}

/// The lines with which git begins, up to the first flush.
fn advertisement(from: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let line = packet(from);
        all.extend_from_slice(&line);
        if line == b"0000" {
            return all;
        }
    }
}

/// A line of gitprotocol-common(5), its length included.
fn packet(from: &mut impl Read) -> Vec<u8> {
    let mut line = vec![0; 4];
    from.read_exact(&mut line).expect("a length");
    let length = std::str::from_utf8(&line)
        .ok()
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .expect("a number");
    line.resize(length.max(4), 0);
    from.read_exact(&mut line[4..]).expect("a line");
    line
}

/// Serves what lies beneath a directory, each connection in a thread of its own; returns its address.
fn serve(root: &Path, handle: impl Fn(Connection) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // What is not taken yet waits with the sender, as behind a slow line.
    set_socket_recv_buffer_size(&listener, 16 << 10).expect("sets it");
    let address = format!("git://{}", listener.local_addr().expect("an address"));
    let (root, handle) = (root.to_owned(), Arc::new(handle));
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let (root, handle) = (root.clone(), Arc::clone(&handle));
            thread::spawn(move || {
                let asked = String::from_utf8_lossy(&packet(&mut stream)[4..]).into_owned();
                let (service, rest) = asked.split_once(" /").expect("a service and a path");
                let repository = root.join(rest.split('\0').next().expect("a path"));
                handle(Connection {
                    number,
                    stream,
                    service: service.to_owned(),
                    repository,
                });
            });
        }
    });
    address
}

/// A server that takes every connection, and says nothing on any; returns its port.
fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// A repository of ours with the sandbox's remote at this address; a remote may be silent for so long.
async fn trusted(
    sandbox: &Sandbox,
    program: Option<&Path>,
    fetch: &str,
    push: &str,
    silence: &str,
) -> Trusted {
    git(&sandbox.repo(), &["remote", "set-url", "origin", fetch]);
    git(
        &sandbox.repo(),
        &["remote", "set-url", "--push", "origin", push],
    );
    let policy =
        Policy::parse(&format!("limits.remote_silence = \"{silence}\"")).expect("a valid policy");
    let program = Git::at(program.unwrap_or(Path::new("git")))
        .await
        .expect("git is there")
        .under(&policy);
    let user = UserRepository::open(program.clone(), &sandbox.repo())
        .await
        .expect("opens");
    let destination = user
        .destination(&Push::Remote("origin".to_owned()))
        .await
        .expect("is there");
    let (target, dir) = (
        "main".parse().expect("a name"),
        sandbox.path().join("trusted.git"),
    );
    Trusted::open(user, program, dir, target, destination, &BTreeMap::new())
        .await
        .expect("opens")
}

/// The target's own tree, on its tip.
async fn landing(sandbox: &Sandbox, trusted: &Trusted) -> Landing {
    let tip = trusted.fetch_target().await.expect("fetches");
    let head = git(&sandbox.repo(), &["rev-parse", "main"])
        .parse()
        .expect("an id");
    common::landing(head, tip, trusted.tree_of(tip).expect("a tree"))
}

/// A git whose ssh is this script.
fn git_with_ssh(sandbox: &Sandbox, script: &str) -> PathBuf {
    let ssh = program(&sandbox.path().join("ssh"), script);
    let line = format!(
        "GIT_SSH_VARIANT=simple GIT_SSH_COMMAND='{}' exec git \"$@\"",
        ssh.display()
    );
    program(&sandbox.path().join("git-with-ssh"), &line)
}

/// Addresses at which nobody says anything, each with the git that speaks there.
fn silences(sandbox: &Sandbox) -> [(String, Option<PathBuf>); 3] {
    let port = silent();
    let never = git_with_ssh(
        sandbox,
        &format!(
            "echo $$ >> '{}'; exec sleep 1000",
            sandbox.path().join("pids").display()
        ),
    );
    [
        (format!("http://127.0.0.1:{port}/remote.git"), None),
        (format!("git://127.0.0.1:{port}/remote.git"), None),
        ("somebody@127.0.0.1:remote.git".to_owned(), Some(never)),
    ]
}

#[tokio::test]
async fn a_remote_that_says_nothing_is_given_up_by_every_transport() {
    let sandbox = sandbox(&[]);
    for (address, program) in silences(&sandbox) {
        let trusted = trusted(&sandbox, program.as_deref(), &address, &address, "1s").await;
        let began = Instant::now();
        let error = trusted.fetch_target().await.expect_err(&address);
        let GitError::Unreachable { why, .. } = error else {
            panic!("{address}: {error:?}")
        };
        assert_eq!(
            why, "`git fetch` moved not a byte for 1 s, and was stopped",
            "{address}"
        );
        assert!(began.elapsed() < PATIENCE, "{address}");
    }
    let pids = fs::read_to_string(sandbox.path().join("pids")).expect("ssh was run");
    // Who has ended may wait for a parent that does not care.
    let alive = pids
        .lines()
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()));
    assert_eq!(alive.count(), 0, "what spoke for git is gone with it");
}

#[tokio::test]
async fn a_push_that_nobody_answers_is_due_again_until_a_person_is_asked() {
    let sandbox = sandbox(&[]);
    let here = sandbox.remote().display().to_string();
    for (address, program) in silences(&sandbox) {
        let trusted = trusted(&sandbox, program.as_deref(), &here, &address, "300ms").await;
        let landing = landing(&sandbox, &trusted).await;
        for _ in 0..4 {
            let outcome = trusted.land(&landing).await.expect("can be tried");
            let LandingOutcome::Unreachable { reason } = outcome else {
                panic!("{address}: {outcome:?}")
            };
            assert_eq!(
                reason, "`git push` moved not a byte for 0.3 s, and was stopped",
                "{address}"
            );
        }
        let outcome = trusted.land(&landing).await.expect("can be tried");
        assert!(
            matches!(&outcome, LandingOutcome::Refused(refusal) if refusal.cause == RefusalCause::Unanswered { tries: 5 }),
            "{outcome:?}"
        );
    }
}

/// Passes on what the remote says byte by byte, for at least so long, and then everything.
fn trickle(mut connection: Connection, least: Duration) {
    let mut git = connection.git();
    connection.pass_on_to(&mut git);
    let mut said = git.stdout.take().expect("is piped");
    let began = Instant::now();
    let mut byte = [0];
    while began.elapsed() < least && said.read(&mut byte).is_ok_and(|read| read > 0) {
        connection.stream.write_all(&byte).expect("listens");
        thread::sleep(least / 12);
    }
    drop(copy(&mut said, &mut connection.stream));
    drop(git.wait());
    drop(connection.stream.shutdown(Shutdown::Both));
}

#[tokio::test]
async fn a_transfer_that_moves_a_byte_now_and_then_is_not_cut() {
    let sandbox = sandbox(&[]);
    let slow = Duration::from_secs(4);
    let server = serve(sandbox.path(), move |connection| trickle(connection, slow));
    let address = format!("{server}/remote.git");
    let trusted = trusted(&sandbox, None, &address, &address, "1s").await;
    let began = Instant::now();
    let landing = landing(&sandbox, &trusted).await;
    assert!(began.elapsed() >= slow, "it took longer than a silence may");
    let outcome = trusted.land(&landing).await.expect("can be tried");
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
    assert!(began.elapsed() >= 2 * slow);
}

/// Takes what the client sends, so slowly at first that it waits for room all the time.
fn sip(connection: &Connection, least: Duration) {
    let mut git = connection.git();
    let (mut from, mut to) = (
        connection.stream.try_clone().expect("a stream"),
        git.stdin.take().expect("is piped"),
    );
    let mut said = git.stdout.take().expect("is piped");
    let mut answer = connection.stream.try_clone().expect("a stream");
    let answers = thread::spawn(move || copy(&mut said, &mut answer));
    let began = Instant::now();
    let mut some = vec![0; 4096];
    while began.elapsed() < least {
        let read = from.read(&mut some).expect("sends");
        to.write_all(&some[..read]).expect("takes it");
        thread::sleep(Duration::from_millis(50));
    }
    drop(copy(&mut from, &mut to));
    drop(to);
    drop(answers.join());
    drop(git.wait());
    drop(connection.stream.shutdown(Shutdown::Both));
}

/// Text of which git cannot make much less.
fn incompressible(length: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn a_push_that_waits_for_room_in_a_large_buffer_is_not_cut() {
    let sandbox = sandbox(&[]);
    let server = serve(sandbox.path(), |connection| match &*connection.service {
        "git-receive-pack" => sip(&connection, Duration::from_secs(7)),
        _ => connection.pass_on(),
    });
    // While the remote unpacks it, that is said often enough.
    git(&sandbox.remote(), &["config", "receive.keepAlive", "1"]);
    sandbox.commit(&[("large.txt", &incompressible(8 << 20))], "large");
    let address = format!("{server}/remote.git");
    let trusted = trusted(&sandbox, None, &address, &address, "3s").await;
    let landing = landing(&sandbox, &trusted).await;
    let outcome = trusted.land(&landing).await.expect("can be tried");
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
}

/// How often the target was landed on, above the first commits of the sandbox.
fn landed(sandbox: &Sandbox) -> usize {
    sandbox
        .remote_subjects()
        .iter()
        .filter(|subject| *subject == "A: anything")
        .count()
}

/// Lands by a push whose answer is lost, and checks that it was done once.
async fn lands_without_an_answer(
    sandbox: &Sandbox,
    program: Option<&Path>,
    fetch: &str,
    push: &str,
) {
    let trusted = trusted(sandbox, program, fetch, push, "2s").await;
    let landing = landing(sandbox, &trusted).await;
    let outcome = trusted.land(&landing).await.expect("can be tried");
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{push}: {outcome:?}"
    );
    assert_eq!(
        trusted.land(&landing).await.expect("can be tried"),
        outcome,
        "{push}"
    );
    assert_eq!(landed(sandbox), 1, "{push}");
}

#[tokio::test]
async fn a_push_whose_answer_never_comes_is_known_by_what_the_remote_has() {
    for hangs_up in [true, false] {
        let sandbox = sandbox(&[]);
        let server = serve(sandbox.path(), move |mut connection| {
            if connection.service == "git-upload-pack" || connection.number > 1 {
                return connection.pass_on();
            }
            connection.keep_the_answer();
            if !hangs_up {
                // Until the client has had enough of it.
                drop(connection.stream.set_read_timeout(Some(PATIENCE)));
                drop(connection.stream.read(&mut [0]));
            }
        });
        let address = format!("{server}/remote.git");
        lands_without_an_answer(&sandbox, None, &address, &address).await;
    }
}

/// Makes a hook of the remote.
fn hook(sandbox: &Sandbox, name: &str, script: &str) {
    let hooks = sandbox.remote().join("hooks");
    fs::create_dir_all(&hooks).expect("makes");
    program(&hooks.join(name), script);
}

#[tokio::test]
async fn a_push_whose_helper_is_killed_is_known_by_what_the_remote_has() {
    // The hook's parent is git-receive-pack, and that one's parent the program that speaks for the client.
    let once = "[ \"$1\" = committed ] && [ ! -e \"$0.done\" ] || exit 0; : > \"$0.done\"";
    let ssh = "for last; do :; done; cd \"$(dirname \"$0\")\" || exit; eval \"$last\"; exit 3";
    for (victim, over_ssh) in [
        ("$PPID", false),
        ("$PPID", true),
        ("$(ps -o ppid= -p $PPID)", true),
    ] {
        let sandbox = sandbox(&[]);
        hook(
            &sandbox,
            "reference-transaction",
            &format!("{once}; kill -9 {victim}"),
        );
        let here = sandbox.remote().display().to_string();
        if over_ssh {
            let program = git_with_ssh(&sandbox, ssh);
            lands_without_an_answer(
                &sandbox,
                Some(&program),
                &here,
                "somebody@127.0.0.1:remote.git",
            )
            .await;
        } else {
            lands_without_an_answer(&sandbox, None, &here, &here).await;
        }
    }
}

#[tokio::test]
async fn a_push_that_a_hook_holds_back_is_due_again_and_recognised_when_it_was_done() {
    let sandbox = sandbox(&[]);
    let fifo = sandbox.path().join("go");
    make_fifo(&fifo);
    // Nothing is heard of it, and it does not care whether the client is there.
    git(&sandbox.remote(), &["config", "receive.keepAlive", "0"]);
    hook(
        &sandbox,
        "pre-receive",
        &format!("exec cat '{}'", fifo.display()),
    );
    let done = Arc::new(AtomicUsize::new(0));
    let ended = Arc::clone(&done);
    let server = serve(sandbox.path(), move |connection| {
        connection.pass_on();
        ended.fetch_add(1, Ordering::Relaxed);
    });
    let here = sandbox.remote().display().to_string();
    let trusted = trusted(
        &sandbox,
        None,
        &here,
        &format!("{server}/remote.git"),
        "500ms",
    )
    .await;
    let landing = landing(&sandbox, &trusted).await;
    let outcome = trusted.land(&landing).await.expect("can be tried");
    assert!(
        matches!(outcome, LandingOutcome::Unreachable { .. }),
        "the remote may yet do it: {outcome:?}"
    );
    common::let_go(&fifo).await;
    let until = Instant::now() + PATIENCE;
    while done.load(Ordering::Relaxed) == 0 && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    fs::remove_file(sandbox.remote().join("hooks/pre-receive")).expect("removes");
    let outcome = trusted.land(&landing).await.expect("can be tried");
    assert!(
        matches!(outcome, LandingOutcome::Landed { .. }),
        "{outcome:?}"
    );
    assert_eq!(landed(&sandbox), 1);
}

#[tokio::test]
async fn a_remote_that_takes_a_push_and_is_away_then_has_it_once_and_nobody_is_asked() {
    let sandbox = sandbox(&[("A", "")]);
    // Its answer is lost, and so is every connection after it, for a while.
    let pushed = Arc::new(AtomicUsize::new(usize::MAX));
    let server = serve(sandbox.path(), move |mut connection| {
        match pushed.load(Ordering::Relaxed) {
            usize::MAX if connection.service == "git-receive-pack" => {
                pushed.store(connection.number, Ordering::Relaxed);
                connection.keep_the_answer();
            }
            usize::MAX => connection.pass_on(),
            push if connection.number <= push + 4 => drop(connection),
            _ => connection.pass_on(),
        }
    });
    git(
        &sandbox.repo(),
        &[
            "remote",
            "set-url",
            "origin",
            &format!("{server}/remote.git"),
        ],
    );
    let outcome = run_checked(&sandbox, builder(&sandbox, WORK, "")).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    assert_eq!(sandbox.remote_subjects(), ["A: Task A", "roadmap", "begin"]);
    assert_eq!(turns(&outcome), 1);
    assert!(
        outcome
            .records()
            .any(|record| matches!(record, Record::RemoteAway { .. }))
    );
    assert!(
        outcome
            .records()
            .all(|record| !matches!(record, Record::HoldOpened { .. })),
        "nobody was asked"
    );
}
