//! The binaries as people and scripts start them: settings, and mistakes told in one line.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use satsuma_tests::binaries::binary;
use satsuma_tests::cluster::{Address, Cluster, Layout, free_port};
use satsuma_tests::process::Process;
use satsuma_tests::wire::WireError;

/// Runs a binary that is expected to end soon.
fn run(program: &str, arguments: &[&str], directory: &Path) -> Output {
    let mut child = Command::new(binary(program))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().expect("a status").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{program} {arguments:?} goes on instead of failing");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("its output")
}

/// It fails, and says why in a line that has these words.
fn fails(program: &str, arguments: &[&str], directory: &Path, words: &[&str]) {
    let output = run(program, arguments, directory);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{program} {arguments:?} succeeds");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let line = stderr.lines().find(|line| words.iter().all(|word| line.contains(word)));
    assert!(line.is_some(), "{program} {arguments:?}: no line with {words:?} in\n{stderr}");
}

#[test]
fn every_binary_explains_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    for program in ["satsuma", "coordinator", "worker"] {
        let help = run(program, &["--help"], directory.path());
        assert!(help.status.success(), "{program} --help");
        assert!(String::from_utf8_lossy(&help.stdout).contains("--"), "{program} --help");
        let version = run(program, &["--version"], directory.path());
        assert!(version.status.success(), "{program} --version");
    }
}

#[test]
fn mistakes_end_with_one_clear_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    fails("satsuma", &["up", "--no-such-flag"], at, &["--no-such-flag"]);
    fails("satsuma", &["up", "--workers", "many"], at, &["many"]);
    fails("worker", &["--data-dir", "w", "--grpc-listen", "nonsense"], at, &["nonsense"]);

    std::fs::write(at.join("a_file"), "not a directory").expect("a file");
    let port = free_port().to_string();
    let grpc = free_port().to_string();
    fails(
        "satsuma",
        &["up", "--data-dir", "a_file", "--pg-port", &port, "--grpc-port", &grpc],
        at,
        &["a_file"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    fails(
        "satsuma",
        &["up", "--data-dir", "d", "--pg-port", &port, "--grpc-port", &grpc],
        at,
        &[&port],
    );
    let listen = format!("127.0.0.1:{port}");
    fails("worker", &["--data-dir", "w", "--grpc-listen", &listen], at, &[&port]);
    let coordinator = ["--data-dir", "w", "--grpc-listen", "127.0.0.1:0", "--coordinator"];
    for nonsense in ["nonsense", "host:", ":7432", "host:99999"] {
        let arguments = [&coordinator[..], &[nonsense]].concat();
        fails("worker", &arguments, at, &["--coordinator", nonsense]);
    }
    let everywhere = ["--data-dir", "w", "--grpc-listen", "0.0.0.0:0", "--coordinator", "c:7432"];
    fails("worker", &everywhere, at, &["--advertise"]);
    let limit = ["--data-dir", "w", "--memory-limit", "0"];
    fails("worker", &limit, at, &["--memory-limit"]);
    for (flag, value) in [
        ("--shard-count", "0"),
        ("--shard-count", "100000"),
        ("--superuser", ""),
        ("--database", ""),
        ("--memory-limit", "0"),
    ] {
        fails("satsuma", &["up", "--data-dir", "never", flag, value], at, &[flag]);
        fails("coordinator", &["--data-dir", "never", flag, value], at, &[flag]);
    }
    assert!(!at.join("never").exists(), "a refused start leaves nothing behind");
}

#[test]
fn wrong_certificates_end_with_one_clear_line() {
    let mut cluster = Layout::up().start();
    cluster.stop_all();
    let at = cluster.directory();
    let mut made = Vec::new();
    find(at, "server.crt", &mut made);
    let certificate = made.pop().expect("a certificate was made at the start");
    let key = certificate.with_file_name("server.key");
    let (certificate, key) = (path(&certificate), path(&key));
    std::fs::write(at.join("other.key"), OTHER_KEY).expect("a key");
    for (certificate, key, word) in [
        ("missing.crt", key.as_str(), "missing.crt"),
        (&key, &key, "no certificate"),
        (&certificate, &certificate, "no private key"),
        (&certificate, "other.key", "do not fit"),
    ] {
        let (pg, grpc) = (free_port().to_string(), free_port().to_string());
        let arguments = [
            "up",
            "--data-dir",
            "tls",
            "--pg-port",
            &pg,
            "--grpc-port",
            &grpc,
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        let output = run("satsuma", &arguments, at);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(word), "{word}: {stderr}");
    }
}

/// A key that belongs to no certificate here.
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoIVbwTJ3y9CJaPOK
SCKf/IKGvzPW7PAXpA5AR6JFTPehRANCAAQAIvgbXjfs+5FVnAYcoJJAji10ARaL
AdahOuNKhLff1jpZdxFJ+bkx5QWIeS8iww3ETmXzhLJ94jpzLKrTvZQU
-----END PRIVATE KEY-----
";

fn path(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

fn find(directory: &Path, name: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, name, found);
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
}

#[test]
fn a_data_directory_keeps_its_names() {
    let mut cluster = Layout::up().start();
    cluster.stop_all();
    let at = cluster.directory();
    let mut data = Vec::new();
    find(at, "server.crt", &mut data);
    let data = data.pop().expect("a data directory");
    let data = path(data.parent().and_then(Path::parent).expect("its parent"));
    for (flag, value) in [("--database", "app"), ("--superuser", "adm")] {
        let (pg, grpc) = (free_port().to_string(), free_port().to_string());
        let arguments =
            ["up", "--data-dir", &data, "--pg-port", &pg, "--grpc-port", &grpc, flag, value];
        fails("satsuma", &arguments, at, &[&flag[2..], value, "\"satsuma\""]);
    }
}

#[test]
fn a_data_directory_has_one_owner() {
    let cluster = Layout::processes(1, 1).start();
    let (pg, grpc) = (free_port().to_string(), free_port().to_string());
    let at = cluster.directory();
    let (pg, grpc) = (format!("127.0.0.1:{pg}"), format!("127.0.0.1:{grpc}"));
    let second = [
        "--node-id",
        "1",
        "--data-dir",
        "coordinator-1",
        "--pg-listen",
        &pg,
        "--grpc-listen",
        &grpc,
    ];
    fails("coordinator", &second, at, &["coordinator-1"]);
    fails("worker", &["--data-dir", "worker-1", "--grpc-listen", &grpc], at, &["worker-1"]);
    // Neither a worker on a coordinator's data nor another node on this one's.
    fails(
        "worker",
        &["--data-dir", "coordinator-1", "--grpc-listen", &grpc],
        at,
        &["coordinator-1"],
    );
}

#[test]
fn programs_keep_out_of_each_others_directories() {
    let mut up = Layout::up().start();
    up.stop_all();
    let mut cluster = Layout::processes(1, 1).start();
    let (pg, grpc) = (free_port().to_string(), free_port().to_string());
    let (pg_listen, listen) = (format!("127.0.0.1:{pg}"), format!("127.0.0.1:{grpc}"));
    let at = cluster.directory();
    let ups = up.directory().join("data");
    let ups = ups.to_str().expect("a path");
    let coordinator = |directory: &str| {
        let arguments =
            ["--data-dir", directory, "--pg-listen", &pg_listen, "--grpc-listen", &listen];
        fails("coordinator", &arguments, at, &[directory, "belongs to"]);
    };
    coordinator("worker-1");
    coordinator(ups);
    fails("worker", &["--data-dir", ups, "--grpc-listen", &listen], at, &[ups, "belongs to"]);
    for directory in ["worker-1", "coordinator-1"] {
        let arguments = ["up", "--data-dir", directory, "--pg-port", &pg, "--grpc-port", &grpc];
        fails("satsuma", &arguments, at, &[directory, "belongs to"]);
    }
    // They go on as before.
    cluster.stop_all();
    cluster.start_all();
}

#[test]
fn a_worker_of_another_cluster_is_refused() {
    let mut other = Layout::processes(1, 1).start();
    other.stop_all();
    let cluster = Layout::processes(1, 1).start();
    let listen = format!("127.0.0.1:{}", free_port());
    let theirs = other.directory().join("worker-1");
    let coordinator = cluster.grpc_url(0).replace("grpc://", "");
    let arguments = [
        "--data-dir",
        theirs.to_str().expect("a path"),
        "--grpc-listen",
        &listen,
        "--coordinator",
        &coordinator,
    ];
    fails("worker", &arguments, cluster.directory(), &["belongs to another cluster"]);
    let nodes = cluster.client().value("SELECT count(*) FROM pg_dist_node WHERE groupid > 0");
    assert_eq!(nodes.expect("an answer").as_deref(), Some("1"));
}

/// A worker is its directory, wherever it listens.
#[test]
fn workers_may_exchange_their_addresses() {
    let mut cluster = Layout::processes(1, 2).start();
    cluster.client().must(
        "CREATE TABLE kept (id int PRIMARY KEY);
         SELECT create_distributed_table('kept', 'id');
         INSERT INTO kept SELECT generate_series(1, 1000);",
    );
    let count = |cluster: &Cluster| {
        let mut client = cluster.client();
        client.must("SET statement_timeout = '5s'");
        client.value("SELECT count(*) || ' ' || sum(id) FROM kept")
    };
    let all_are_there = |cluster: &Cluster| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while count(cluster).ok().flatten().as_deref() != Some("1000 500500") {
            assert!(Instant::now() < deadline, "{:?}", count(cluster));
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let stop = |cluster: &mut Cluster| {
        for worker in &mut cluster.workers {
            worker.terminate();
        }
    };
    // One at the other's address, and nobody at its own: it loses nothing that the other has not.
    stop(&mut cluster);
    cluster.exchange_addresses(0, 1);
    cluster.workers[1].start().expect("a worker");
    std::thread::sleep(Duration::from_secs(4));
    cluster.workers[0].start().expect("a worker");
    all_are_there(&cluster);
    // And back, both at once.
    stop(&mut cluster);
    cluster.exchange_addresses(0, 1);
    cluster.start_all();
    all_are_there(&cluster);
}

#[test]
fn another_nodes_data_is_refused() {
    let mut cluster = Layout::processes(1, 1).start();
    cluster.stop_all();
    let (pg, grpc) = (free_port().to_string(), free_port().to_string());
    let (pg, grpc) = (format!("127.0.0.1:{pg}"), format!("127.0.0.1:{grpc}"));
    let at = cluster.directory();
    let other = [
        "--node-id",
        "2",
        "--data-dir",
        "coordinator-1",
        "--pg-listen",
        &pg,
        "--grpc-listen",
        &grpc,
    ];
    fails("coordinator", &other, at, &["coordinator-1"]);
    fails(
        "worker",
        &["--data-dir", "coordinator-1", "--grpc-listen", &grpc],
        at,
        &["coordinator-1"],
    );
}

#[test]
fn names_of_user_and_database_can_be_chosen() {
    let layout = Layout {
        database: Some("shop".into()),
        superuser: Some("owner".into()),
        flags: vec!["--shard-count".into(), "8".into()],
        ..Layout::up()
    };
    let cluster = layout.start();
    let mut client = cluster.client();
    let names = client.must("SELECT current_user::text, current_database()::text");
    assert_eq!(names.rows(), [[Some("owner".into()), Some("shop".into())]]);
    client.must("CREATE TABLE t (id int); SELECT create_distributed_table('t', 'id')");
    let shards = client.value("SELECT count(*) FROM pg_dist_shard").expect("a count");
    assert_eq!(shards.as_deref(), Some("8"));
}

#[test]
fn settings_come_from_the_environment_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let (pg, grpc) = (free_port(), free_port());
    let script = format!(
        "SATSUMA_PG_PORT={pg} SATSUMA_GRPC_PORT={grpc} SATSUMA_DATA_DIR={}/d SATSUMA_WORKERS=1 exec {} up",
        directory.path().display(),
        binary("satsuma").display()
    );
    let mut up = Process::new("up", "sh".into(), vec!["-c".into(), script], directory.path());
    up.start().unwrap_or_else(|error| panic!("{error}"));
    let address = Address::local(pg, "satsuma", "satsuma");
    let workers = address.client().and_then(|mut client| {
        client.value("SELECT count(*) FROM pg_dist_node WHERE isactive AND groupid > 0")
    });
    assert_eq!(workers.expect("an answer").as_deref(), Some("1"));
    let status = up.terminate().expect("it was running");
    assert!(status.success(), "SIGTERM ends it with {status}");
}

#[test]
fn a_worker_is_added_by_hand() {
    let mut cluster = Layout::processes(1, 1).start();
    let port = free_port();
    let arguments = ["--data-dir", "by-hand", "--grpc-listen", &format!("127.0.0.1:{port}")];
    let arguments = arguments.map(str::to_owned).to_vec();
    // Arguments are relative to the directory the test runs in: make the path absolute.
    let mut arguments = arguments;
    arguments[1] = cluster.directory().join("by-hand").display().to_string();
    let mut worker = Process::new("by-hand", binary("worker"), arguments, cluster.directory());
    worker.start().unwrap_or_else(|error| panic!("{error}"));
    let mut client = cluster.client();
    let id = client.value(&format!("SELECT citus_add_node('127.0.0.1', {port})"));
    assert!(id.expect("it is added").is_some());
    client.must("CREATE TABLE spread (id int); SELECT create_distributed_table('spread', 'id')");
    let nodes = client.value("SELECT count(DISTINCT nodeport) FROM citus_shards");
    assert_eq!(nodes.expect("a count").as_deref(), Some("2"));
    cluster.kill_all();
}

#[test]
fn settings_come_from_a_toml_file_and_flags_win() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let (pg, grpc) = (free_port(), free_port());
    let file = at.join("satsuma.toml");
    let settings = format!(
        "workers = 3\ngrpc-port = {grpc}\ndatabase = \"from_file\"\nsuperuser = \"from_file\"\n"
    );
    std::fs::write(&file, settings).expect("a file");
    let arguments = [
        "up",
        "--config",
        &file.display().to_string(),
        "--data-dir",
        &at.join("data").display().to_string(),
        "--pg-port",
        &pg.to_string(),
        "--database",
        "from_flag",
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let mut up = Process::new("up", binary("satsuma"), arguments, at);
    up.start().unwrap_or_else(|error| panic!("{error}"));
    let mut client = Address::local(pg, "from_file", "from_flag").client().expect("a connection");
    let workers = client.value("SELECT count(*) FROM pg_dist_node WHERE isactive AND groupid > 0");
    assert_eq!(workers.expect("a count").as_deref(), Some("3"));
    drop((client, up));

    std::fs::write(&file, "no-such-key = 1\n").expect("a file");
    fails("satsuma", &["up", "--config", "satsuma.toml"], at, &["no-such-key"]);
    std::fs::write(&file, "workers = 2\npg-port = true\n").expect("a file");
    fails("satsuma", &["up", "--config", "satsuma.toml"], at, &["satsuma.toml", "pg-port: "]);
    std::fs::write(&file, "workers = \n").expect("a file");
    fails("satsuma", &["up", "--config", "satsuma.toml"], at, &["satsuma.toml", "line 1"]);
    fails("satsuma", &["up", "--config", "missing.toml"], at, &["missing.toml"]);
}

#[test]
fn there_is_a_limit_of_connections() {
    let flags = vec!["--max-connections".into(), "4".into()];
    let cluster = Layout { flags, ..Layout::up() }.start();
    let address = cluster.address();
    let mut held = Vec::new();
    let error = loop {
        match address.client() {
            Ok(client) => held.push(client),
            Err(WireError::Server(fields)) => break fields,
            Err(error) => panic!("{error}"),
        }
        assert!(held.len() <= 4, "more connections than allowed");
    };
    assert_eq!(error.code(), "53300");
    assert_eq!(error.get('S'), "FATAL");
    let mut one = held.pop().expect("a connection");
    one.must("SELECT 1");
    drop((one, held));
    // Places come free again.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = address.client() {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
