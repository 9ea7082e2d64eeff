//! The programs under test, built once with the profile of the tests themselves.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::workspace;

/// The path of one of the workspace's binaries.
///
/// `SATSUMA_BIN_DIR` names a directory of ready binaries (a release build, say); otherwise cargo
/// brings them up to date, which takes no time when `cargo test --workspace` has built them.
///
/// # Panics
/// When they cannot be built or the binary is not there: no test makes sense then.
pub fn binary(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| match std::env::var_os("SATSUMA_BIN_DIR") {
        Some(directory) => directory.into(),
        None => build(),
    });
    let path = directory.join(name);
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

fn build() -> PathBuf {
    let directory = target_directory();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--workspace", "--bins", "--quiet"]);
    // `debug` is where the dev profile builds to, every other directory has its profile's name.
    match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    if let Some(target) = directory.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "cargo build --workspace --bins: {status}");
    directory
}

/// `target/debug` for a test executable in `target/debug/deps`.
fn target_directory() -> PathBuf {
    let mut path = std::env::current_exe().expect("the test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}
