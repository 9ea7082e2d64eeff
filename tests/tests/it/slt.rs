//! sqllogictest files, on one embedded process and on separate ones.

use std::path::{Path, PathBuf};

use satsuma_tests::cluster::{Cluster, Layout};
use satsuma_tests::slt::Database;
use satsuma_tests::tests_path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_pass_on_up() {
    all_files(&Layout::up().start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_pass_on_separate_processes() {
    all_files(&Layout::processes(1, 2).start()).await;
}

async fn all_files(cluster: &Cluster) {
    let mut files = Vec::new();
    collect(&tests_path("slt"), &mut files);
    files.sort();
    assert!(!files.is_empty(), "there are slt files");
    let mut problems = Vec::new();
    for file in files {
        let address = cluster.address();
        let mut runner = sqllogictest::Runner::new(|| Database::connect(address.clone()));
        if let Err(error) = runner.run_file_async(&file).await {
            problems.push(error.to_string());
        }
    }
    assert!(problems.is_empty(), "{} files fail:\n{}", problems.len(), problems.join("\n"));
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}
