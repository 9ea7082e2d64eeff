//! A network that can be cut: every node is reached through a proxy in the test itself.
//!
//! ```text
//!   node a --connects to the advertised port--> proxy of b --> port that b listens on
//!                                                 |  who connects? the owner of the socket
//!                                                 v
//!                       per direction: deliver, lose, hold back
//! ```
//!
//! Nodes are told the proxies' ports as each other's addresses. Who is at the other end of a
//! connection tells `/proc`; connections of others (the test, the command line) are never cut.
//! Clients of the database connect to the nodes themselves.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cluster::free_port;

/// What becomes of bytes that would cross a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// They are lost, and the connection that lost some never delivers anything again, also after
    /// the cut: as when whoever keeps track of connections on the way has forgotten it.
    Silent,
    /// They arrive after the cut: TCP sends again what was not acknowledged.
    Delayed,
    /// Connections break at once, and new ones are refused. Always both ways.
    Refused,
}

/// From one node to another.
type Way = (String, String);

/// The proxies of a cluster; they end when this is dropped.
#[derive(Default)]
pub struct Network(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    healed: Condvar,
    over: AtomicBool,
    lost_bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    cuts: BTreeMap<Way, Cut>,
    /// Names of running nodes by process id.
    nodes: BTreeMap<u32, String>,
    open: Vec<Arc<Connection>>,
    proxies: Vec<u16>,
}

struct Connection {
    /// `None`: not a node.
    from: Option<String>,
    to: String,
    near: TcpStream,
    far: TcpStream,
}

impl Network {
    /// A proxy for a node that listens on a port of this machine; answers with the port to
    /// advertise.
    ///
    /// # Panics
    /// When the proxy cannot listen.
    pub fn proxy(&self, node: &str, listens_on: u16) -> u16 {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port for the proxy");
        self.0.state().proxies.push(port);
        let (shared, node) = (self.0.clone(), node.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if shared.over.load(Ordering::Acquire) {
                    return;
                }
                let (shared, node) = (shared.clone(), node.clone());
                std::thread::spawn(move || shared.serve(near, port, &node, listens_on));
            }
        });
        port
    }

    /// To be called when a node has been started: its connections are known by its process.
    pub fn started(&self, node: &str, pid: u32) {
        let mut state = self.0.state();
        state.nodes.retain(|_, known| known != node);
        state.nodes.insert(pid, node.to_owned());
    }

    /// Cuts two nodes off from each other.
    pub fn cut(&self, one: &str, other: &str, how: Cut) {
        self.cut_one_way(one, other, how);
        self.cut_one_way(other, one, how);
    }

    /// What `from` sends does not reach `to`, whoever opened the connection.
    pub fn cut_one_way(&self, from: &str, to: &str, how: Cut) {
        let mut state = self.0.state();
        state.cuts.insert((from.into(), to.into()), how);
        if how == Cut::Refused {
            state.cuts.insert((to.into(), from.into()), how);
            let broken = state.open.iter().filter(|open| open.is_between(from, to));
            broken.for_each(|open| open.shut());
        }
    }

    /// No cut any more.
    pub fn heal(&self) {
        self.0.state().cuts.clear();
        self.0.healed.notify_all();
    }

    /// How many bytes were lost on the way: none means that no cut has hit anything.
    pub fn lost_bytes(&self) -> u64 {
        self.0.lost_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        self.heal();
        let mut state = self.0.state();
        state.open.drain(..).for_each(|open| open.shut());
        // The listeners look up.
        let proxies = std::mem::take(&mut state.proxies);
        drop(state);
        proxies.into_iter().for_each(|port| drop(TcpStream::connect(("127.0.0.1", port))));
    }
}

impl Connection {
    fn is_between(&self, one: &str, other: &str) -> bool {
        let from = self.from.as_deref();
        (from == Some(one) && self.to == other) || (from == Some(other) && self.to == one)
    }

    fn shut(&self) {
        let _ = self.near.shutdown(Shutdown::Both);
        let _ = self.far.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries one connection until it ends.
    fn serve(self: &Arc<Self>, near: TcpStream, proxy: u16, to: &str, listens_on: u16) {
        let nodes = self.state().nodes.clone();
        let peer = near.peer_addr().map(|address| address.port());
        let from = peer.ok().and_then(|port| owner(port, proxy, &nodes));
        let is_refused = from.as_ref().is_some_and(|from| {
            self.state().cuts.get(&(from.clone(), to.to_owned())) == Some(&Cut::Refused)
        });
        if is_refused {
            return;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", listens_on)) else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let connection = Arc::new(Connection { from, to: to.to_owned(), near, far });
        {
            let mut state = self.state();
            state.open.retain(|open| Arc::strong_count(open) > 1);
            state.open.push(connection.clone());
        }
        let back = {
            let (shared, connection) = (self.clone(), connection.clone());
            std::thread::spawn(move || shared.pump(&connection, false))
        };
        self.pump(&connection, true);
        let _ = back.join();
    }

    /// One direction of a connection.
    fn pump(&self, connection: &Connection, forth: bool) {
        let (mut source, mut sink) = match forth {
            true => (&connection.near, &connection.far),
            false => (&connection.far, &connection.near),
        };
        let way = connection.from.clone().map(|from| match forth {
            true => (from, connection.to.clone()),
            false => (connection.to.clone(), from),
        });
        let mut is_deaf = false;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = source.read(&mut buffer).unwrap_or(0);
            is_deaf |= way.as_ref().is_some_and(|way| !self.may_pass(way));
            if is_deaf {
                self.lost_bytes.fetch_add(count as u64, Ordering::Relaxed);
            }
            match count {
                // The other end does not hear of it.
                0 if is_deaf => return,
                0 => break,
                _ if is_deaf => {}
                _ => {
                    if sink.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            }
        }
        connection.shut();
    }

    /// Whether bytes arrive; waits for the end of a cut after which they do.
    fn may_pass(&self, way: &Way) -> bool {
        let mut state = self.state();
        while state.cuts.get(way) == Some(&Cut::Delayed) {
            state = self.healed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.cuts.get(way) != Some(&Cut::Silent)
    }
}

/// The node that opened the connection from `port` to the proxy.
fn owner(port: u16, proxy: u16, nodes: &BTreeMap<u32, String>) -> Option<String> {
    let socket = format!("socket:[{}]", inode(port, proxy)?);
    let has = |pid: &&u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|at| at == Path::new(&socket))
    };
    nodes.keys().find(has).and_then(|pid| nodes.get(pid)).cloned()
}

/// Of a socket between two ports of 127.0.0.1.
fn inode(local: u16, remote: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let ends = [format!("0100007F:{local:04X}"), format!("0100007F:{remote:04X}")];
    let line = table.lines().find(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&ends[0]) && fields.next() == Some(&ends[1])
    })?;
    line.split_whitespace().nth(9).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A node that sends back what it receives, and a connection to it through a proxy; this
    /// process is node `a`.
    fn echo(network: &Network) -> impl Fn() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        network.started("a", std::process::id());
        let proxy = network.proxy("b", port);
        move || {
            let stream = TcpStream::connect(("127.0.0.1", proxy)).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            stream
        }
    }

    fn comes_back(mut stream: &TcpStream) -> bool {
        let mut answer = [0; 4];
        stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    #[test]
    fn what_is_lost_stays_lost_and_new_connections_work() {
        let network = Network::default();
        let connect = echo(&network);
        let before = connect();
        assert!(comes_back(&before));
        network.cut_one_way("a", "b", Cut::Silent);
        assert!(!comes_back(&before));
        assert!(!comes_back(&connect()));
        network.heal();
        assert!(!comes_back(&before));
        assert!(comes_back(&connect()));
        assert!(network.lost_bytes() > 0);
    }

    #[test]
    fn what_is_delayed_arrives() {
        let network = Network::default();
        let connect = echo(&network);
        let stream = connect();
        network.cut_one_way("b", "a", Cut::Delayed);
        assert!(!comes_back(&stream));
        network.heal();
        let mut answer = [0; 4];
        (&stream).read_exact(&mut answer).unwrap();
        assert!(comes_back(&stream));
    }

    #[test]
    fn what_is_refused_breaks() {
        let network = Network::default();
        let connect = echo(&network);
        let stream = connect();
        assert!(comes_back(&stream));
        network.cut("c", "b", Cut::Refused);
        assert!(comes_back(&stream), "others go on");
        network.cut("b", "a", Cut::Refused);
        assert!(!comes_back(&stream) && !comes_back(&connect()));
        network.heal();
        assert!(comes_back(&connect()));
    }
}
