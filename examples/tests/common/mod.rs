//! What the tests of the examples share.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// An example's binary. `cargo test` builds examples beside the tests of their package, unless it is told to run one test
/// only: then they are built here.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let own = std::env::current_exe().expect("has a path");
        let profile = own
            .parent()
            .and_then(Path::parent)
            .expect("target/PROFILE/deps/TEST");
        let examples = profile.join("examples");
        if !examples.join("supervise").exists() || !examples.join("embed").exists() {
            let build = ["build", "--quiet", "--package", "examples", "--examples"];
            let status = Command::new(env!("CARGO"))
                .args(build)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(
                status.expect("cargo can be run").success(),
                "the examples can be built"
            );
        }
        examples
    };
    BUILT.get_or_init(build).join(name)
}
