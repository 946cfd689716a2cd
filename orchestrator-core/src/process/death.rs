//! Children that do not outlive this process, where util-linux's `setpriv` can arrange that.
//!
//! The kernel sends the signal when the *thread* ends that made the child (`PR_SET_PDEATHSIG` in prctl(2)), and threads of a runtime end when
//! it likes. So all such children are made by one thread, which never ends.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::runtime::Handle;

/// `setpriv`, if it can do that here: tried once, since there are others of that name which cannot.
pub(super) fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<&'static Path>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let works = |program: &&Path| {
            let mut try_it = Command::new(program);
            try_it
                .args(["--pdeathsig", "INT", "/bin/sh", "-c", ":"])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            try_it.status().is_ok_and(|status| status.success())
        };
        [Path::new("/usr/bin/setpriv"), Path::new("/bin/setpriv")]
            .into_iter()
            .find(works)
    })
}

type Job = Box<dyn FnOnce() + Send>;

/// Does this on the thread that never ends, within the runtime of the caller.
pub(super) fn on_lasting_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    static JOBS: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name("children".to_owned());
        thread
            .spawn(move || jobs.into_iter().for_each(|job| job()))
            .ok()
            .map(|_| sender)
    });
    let gone = || io::Error::other("the thread that makes children is not there");
    let (runtime, (answer, done)) = (
        Handle::try_current().map_err(io::Error::other)?,
        mpsc::channel(),
    );
    let job = Box::new(move || {
        let _within = runtime.enter();
        // Who asked waits.
        answer.send(work()).ok();
    });
    jobs.as_ref()
        .ok_or_else(gone)?
        .send(job)
        .map_err(|_| gone())?;
    done.recv().map_err(|_| gone())?
}
