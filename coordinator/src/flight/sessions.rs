//! Sessions of Flight SQL clients, and how a call finds its own.
//!
//! | the call carries | session |
//! |---|---|
//! | `authorization: Bearer T`, T from Handshake | the session of T: settings and transactions stay |
//! | a transaction id from BeginTransaction | the session of that transaction |
//! | `authorization: Basic ..`, or nothing where that is trusted | one for this call alone |
//!
//! A session ends when its client says so (CloseSession, EndTransaction, an idle hour), when it is
//! terminated, and [`GRACE`] after the last connection that used it has ended: what it left open is
//! rolled back, its locks are free.
//!
//! A session runs one statement at a time; a call that finds it busy waits a while, then fails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use parking_lot::Mutex;
use satsuma_common::{SqlError, SqlResult, SqlState};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;

use super::connections::Connections;
use crate::auth::{Authenticator, wrong_password};
use crate::pgwire::{Registration, Registry, too_many_clients};
use crate::session_api::{ConnectInfo, Session, SessionFactory, Via, shutting_down};

/// A session without calls for this long is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a session outlives its last connection: gRPC clients connect again by themselves.
const GRACE: Duration = Duration::from_secs(2);
/// How long a call waits for its session's running statement.
const BUSY: Duration = Duration::from_secs(10);
/// Header that names the database.
pub const DATABASE_HEADER: &str = "database";

type SessionGuard = OwnedMutexGuard<Box<dyn Session>>;

/// A session that calls share.
pub struct Cell {
    session: Arc<tokio::sync::Mutex<Box<dyn Session>>>,
    user: String,
    /// The token under which it was opened.
    token: Option<String>,
    last_used: Mutex<Instant>,
    clients: Mutex<Clients>,
    /// Cancelled when the session is to end.
    terminate: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _registration: Registration,
}

/// The connections that have used a session.
#[derive(Default)]
struct Clients {
    open: BTreeSet<SocketAddr>,
    /// When the last of them ended.
    deserted: Option<Instant>,
}

impl Drop for Cell {
    /// Nobody needs to wait for its termination any more.
    fn drop(&mut self) {
        self.terminate.cancel();
    }
}

/// A cell with its session taken for one statement.
pub struct Taken {
    pub session: SessionGuard,
    /// Keeps the session's place in the house while it works.
    _cell: Arc<Cell>,
}

impl Cell {
    /// The connection has ended. Whether it was the last one.
    fn leave(&self, client: SocketAddr) -> bool {
        let mut clients = self.clients.lock();
        let deserted = clients.open.remove(&client) && clients.open.is_empty();
        if deserted {
            clients.deserted = Some(Instant::now());
        }
        deserted
    }

    fn is_live(&self) -> bool {
        let deserted = self.clients.lock().deserted;
        let is_idle = || self.last_used.lock().elapsed() >= IDLE && self.session.try_lock().is_ok();
        !self.terminate.is_cancelled()
            && deserted.is_none_or(|since| since.elapsed() < GRACE)
            && !is_idle()
    }

    pub async fn take(self: Arc<Self>) -> SqlResult<Taken> {
        *self.last_used.lock() = Instant::now();
        if self.terminate.is_cancelled() {
            return Err(shutting_down());
        }
        let lock = self.session.clone().lock_owned();
        match tokio::time::timeout(BUSY, lock).await {
            Ok(session) => Ok(Taken { session, _cell: self }),
            Err(_) => Err(SqlError::new(
                SqlState::OBJECT_IN_USE,
                "the session is busy with another statement",
            )),
        }
    }
}

/// Who calls, as far as it is proved.
struct Caller {
    user: String,
    database: String,
    client_addr: Option<SocketAddr>,
    cell: Option<Arc<Cell>>,
    token: Option<String>,
}

pub struct Sessions {
    factory: Arc<dyn SessionFactory>,
    authenticator: Arc<Authenticator>,
    registry: Registry,
    permits: Arc<Semaphore>,
    superuser: String,
    database: String,
    by_token: Mutex<BTreeMap<String, Arc<Cell>>>,
    by_transaction: Mutex<BTreeMap<Vec<u8>, Arc<Cell>>>,
    connections: Connections,
}

impl Sessions {
    pub fn new(
        factory: Arc<dyn SessionFactory>,
        authenticator: Arc<Authenticator>,
        registry: Registry,
        permits: Arc<Semaphore>,
        superuser: &str,
        database: &str,
        connections: Connections,
    ) -> Arc<Self> {
        let sessions = Arc::new(Self {
            factory,
            authenticator,
            registry,
            permits,
            superuser: superuser.to_owned(),
            database: database.to_owned(),
            by_token: Mutex::default(),
            by_transaction: Mutex::default(),
            connections: connections.clone(),
        });
        let listener = Arc::downgrade(&sessions);
        connections.on_close(move |client| {
            if let Some(sessions) = listener.upgrade() {
                sessions.disconnected(client);
            }
        });
        sessions
    }

    /// Whether a client's connection has not ended.
    pub fn is_open(&self, client: SocketAddr) -> bool {
        self.connections.is_open(client)
    }

    /// Makes a session for who shows the right password; answers with its token.
    pub async fn handshake(
        self: &Arc<Self>,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
    ) -> SqlResult<String> {
        let caller = self.caller(headers, client).await?;
        let cell = self.connect(&caller).await?;
        let token = STANDARD.encode(rand::random::<[u8; 24]>());
        self.sweep();
        self.by_token.lock().insert(token.clone(), cell.clone());
        self.watch(&cell, client);
        Ok(token)
    }

    /// The session for a call, ready to run one statement.
    pub async fn take(
        self: &Arc<Self>,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
        transaction: Option<&[u8]>,
    ) -> SqlResult<Taken> {
        let caller = self.caller(headers, client).await?;
        let cell = match (transaction, &caller.cell) {
            (Some(id), _) if !id.is_empty() => self.transaction(id, &caller.user)?,
            (_, Some(cell)) => cell.clone(),
            (_, None) => self.connect(&caller).await?,
        };
        self.used(&cell, client);
        cell.take().await
    }

    /// Opens a session of its own for a transaction.
    pub async fn begin(
        self: &Arc<Self>,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
    ) -> SqlResult<(Vec<u8>, Taken)> {
        let caller = self.caller(headers, client).await?;
        let cell = self.connect(&caller).await?;
        let id = rand::random::<[u8; 16]>().to_vec();
        self.sweep();
        self.by_transaction.lock().insert(id.clone(), cell.clone());
        self.watch(&cell, client);
        Ok((id, cell.take().await?))
    }

    /// The transaction has ended: its session closes with the last call.
    pub fn end(&self, transaction: &[u8]) {
        self.by_transaction.lock().remove(transaction);
    }

    /// The client says goodbye: ends the session of its token with the transactions begun under
    /// it; without a token, the transactions that nobody but this connection has used.
    pub async fn close(&self, headers: &MetadataMap, client: Option<SocketAddr>) -> SqlResult<()> {
        if let Some(Credentials::Bearer(token)) = credentials(headers) {
            let ended = self.by_token.lock().remove(&token);
            drop(ended);
            let token = Some(token);
            self.forget_transactions(|cell| cell.token == token);
            return Ok(());
        }
        let user = self.caller(headers, client).await?.user;
        let alone = client.map(|client| BTreeSet::from([client]));
        self.forget_transactions(|cell| {
            cell.token.is_none()
                && cell.user == user
                && alone.as_ref().is_some_and(|alone| cell.clients.lock().open == *alone)
        });
        Ok(())
    }

    fn forget_transactions(&self, ends: impl Fn(&Cell) -> bool) {
        let mut ended = Vec::new();
        self.by_transaction.lock().retain(|_, cell| {
            let ends = ends(cell);
            if ends {
                ended.push(cell.clone());
            }
            !ends
        });
    }

    /// Whether the caller is who it says.
    pub async fn check(&self, headers: &MetadataMap, client: Option<SocketAddr>) -> SqlResult<()> {
        self.caller(headers, client).await.map(drop)
    }

    /// The transaction that the caller has open on a connection; empty where there is none.
    pub async fn open_transaction(
        &self,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
    ) -> SqlResult<Vec<u8>> {
        let Some(address) = client else { return Ok(Vec::new()) };
        let caller = self.caller(headers, client).await?;
        let transactions = self.by_transaction.lock();
        let is_callers = |cell: &Cell| cell.user == caller.user && cell.token == caller.token;
        let mut open = transactions
            .iter()
            .filter(|(_, cell)| is_callers(cell) && cell.clients.lock().open.contains(&address))
            .map(|(id, _)| id.clone());
        match (open.next(), open.next()) {
            (id, None) => Ok(id.unwrap_or_default()),
            (_, Some(_)) => Err(SqlError::new(
                SqlState::INVALID_TRANSACTION_STATE,
                "the call names no transaction of its own, and several are open",
            )
            .hint("Prepare a statement anew within the transaction that it is meant for.")),
        }
    }

    /// A call on this connection uses the session.
    fn used(self: &Arc<Self>, cell: &Arc<Cell>, client: Option<SocketAddr>) {
        let Some(client) = client else { return };
        {
            let mut clients = cell.clients.lock();
            clients.open.insert(client);
            clients.deserted = None;
        }
        // It may have ended meanwhile, unheard.
        if !self.connections.is_open(client) {
            self.disconnected(client);
        }
    }

    /// Sees to it that the session ends when it is terminated, and when its client is gone.
    fn watch(self: &Arc<Self>, cell: &Arc<Cell>, client: Option<SocketAddr>) {
        self.used(cell, client);
        let (terminate, sessions) = (cell.terminate.clone(), Arc::downgrade(self));
        tokio::spawn(async move {
            terminate.cancelled().await;
            if let Some(sessions) = sessions.upgrade() {
                sessions.sweep();
            }
        });
    }

    /// A connection has ended: so will soon the sessions that it alone has used.
    fn disconnected(self: &Arc<Self>, client: SocketAddr) {
        let left = |cell: &Arc<Cell>| usize::from(cell.leave(client));
        let deserted: usize = self.by_token.lock().values().map(left).sum::<usize>()
            + self.by_transaction.lock().values().map(left).sum::<usize>();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if deserted > 0 {
            let sessions = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                if let Some(sessions) = sessions.upgrade() {
                    sessions.sweep();
                }
            });
        }
    }

    fn transaction(&self, id: &[u8], user: &str) -> SqlResult<Arc<Cell>> {
        let cell = self.by_transaction.lock().get(id).cloned();
        cell.filter(|cell| cell.user == user).ok_or_else(|| {
            SqlError::new(SqlState::INVALID_TRANSACTION_STATE, "there is no such transaction")
        })
    }

    async fn caller(
        &self,
        headers: &MetadataMap,
        client_addr: Option<SocketAddr>,
    ) -> SqlResult<Caller> {
        let ip: Option<IpAddr> = client_addr.map(|address| address.ip());
        let database = headers
            .get(DATABASE_HEADER)
            .and_then(|value| value.to_str().ok())
            .filter(|name| !name.is_empty())
            .unwrap_or(&self.database)
            .to_owned();
        let mut token = None;
        let (user, cell) = match credentials(headers) {
            Some(Credentials::Bearer(given)) => {
                let cell = self.by_token.lock().get(&given).cloned().ok_or_else(|| {
                    SqlError::new(
                        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                        "the session has ended or never was",
                    )
                })?;
                token = Some(given);
                (cell.user.clone(), Some(cell))
            }
            Some(Credentials::Basic { user, password }) => {
                // Drivers that are given no name send an empty one.
                let user = if user.is_empty() { self.superuser.clone() } else { user };
                self.authenticator.check_password(&user, Some(&password), ip).await?;
                (user, None)
            }
            Some(Credentials::Malformed) => return Err(wrong_password("")),
            None => {
                self.authenticator.check_password(&self.superuser, None, ip).await?;
                (self.superuser.clone(), None)
            }
        };
        Ok(Caller { user, database, client_addr, cell, token })
    }

    async fn connect(&self, caller: &Caller) -> SqlResult<Arc<Cell>> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| too_many_clients())?;
        let registration = self.registry.register();
        let terminate = CancellationToken::new();
        let info = ConnectInfo {
            user: caller.user.clone(),
            database: caller.database.clone(),
            settings: Vec::new(),
            client_addr: caller.client_addr,
            server_addr: None,
            via: Via::Flight,
            tls: caller.client_addr.and_then(|client| self.connections.encryption(client)),
            process_id: registration.id,
            terminate: terminate.clone(),
        };
        let session = self.factory.connect(info).await?;
        Ok(Arc::new(Cell {
            session: Arc::new(tokio::sync::Mutex::new(session)),
            user: caller.user.clone(),
            token: caller.token.clone(),
            last_used: Mutex::new(Instant::now()),
            clients: Mutex::default(),
            _permit: permit,
            terminate,
            _registration: registration,
        }))
    }

    /// Forgets sessions that were terminated or deserted, or that nobody has used for long.
    fn sweep(&self) {
        let mut ended = Vec::new();
        self.by_token.lock().retain(|_, cell| keep(cell, &mut ended));
        self.by_transaction.lock().retain(|_, cell| keep(cell, &mut ended));
    }
}

/// Sessions end outside of the locks: their end is work.
fn keep(cell: &Arc<Cell>, ended: &mut Vec<Arc<Cell>>) -> bool {
    let is_live = cell.is_live();
    if !is_live {
        ended.push(cell.clone());
    }
    is_live
}

enum Credentials {
    Bearer(String),
    Basic { user: String, password: String },
    Malformed,
}

fn credentials(headers: &MetadataMap) -> Option<Credentials> {
    let value = headers.get("authorization")?;
    Some(parse_credentials(value.to_str().ok()).unwrap_or(Credentials::Malformed))
}

fn parse_credentials(value: Option<&str>) -> Option<Credentials> {
    let (scheme, rest) = value?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Bearer(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // Arrow's Go client, which ADBC is made of, leaves out the padding.
    let encoded = rest.trim().trim_end_matches('=');
    let decoded = String::from_utf8(STANDARD_NO_PAD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

/// The value of an `authorization` header.
pub fn basic_credentials(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
