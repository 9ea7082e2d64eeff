//! Sessions of Flight SQL clients, and how a call finds its own.
//!
//! | the call carries | session |
//! |---|---|
//! | `authorization: Bearer T`, T from Handshake | the session of T: settings and transactions stay |
//! | a transaction id from BeginTransaction | the session of that transaction |
//! | `authorization: Basic ..`, or nothing where that is trusted | one for this call alone |
//!
//! A session runs one statement at a time; a call that finds it busy waits a while, then fails.

use std::collections::BTreeMap;
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

use crate::auth::{Authenticator, wrong_password};
use crate::pgwire::{Registration, Registry, too_many_clients};
use crate::session_api::{ConnectInfo, Session, SessionFactory, Via, shutting_down};

/// A session without calls for this long is closed.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a call waits for its session's running statement.
const BUSY: Duration = Duration::from_secs(10);
/// Header that names the database.
pub const DATABASE_HEADER: &str = "database";

type SessionGuard = OwnedMutexGuard<Box<dyn Session>>;

/// A session that calls share.
pub struct Cell {
    session: Arc<tokio::sync::Mutex<Box<dyn Session>>>,
    user: String,
    last_used: Mutex<Instant>,
    /// Cancelled when the session is to end.
    terminate: CancellationToken,
    _permit: OwnedSemaphorePermit,
    _registration: Registration,
}

/// A cell with its session taken for one statement.
pub struct Taken {
    pub session: SessionGuard,
    /// Keeps the session's place in the house while it works.
    _cell: Arc<Cell>,
}

impl Cell {
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
}

impl Sessions {
    pub fn new(
        factory: Arc<dyn SessionFactory>,
        authenticator: Arc<Authenticator>,
        registry: Registry,
        permits: Arc<Semaphore>,
        superuser: &str,
        database: &str,
    ) -> Self {
        Self {
            factory,
            authenticator,
            registry,
            permits,
            superuser: superuser.to_owned(),
            database: database.to_owned(),
            by_token: Mutex::default(),
            by_transaction: Mutex::default(),
        }
    }

    /// Makes a session for who shows the right password; answers with its token.
    pub async fn handshake(
        &self,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
    ) -> SqlResult<String> {
        let caller = self.caller(headers, client).await?;
        let cell = self.connect(&caller).await?;
        let token = STANDARD.encode(rand::random::<[u8; 24]>());
        self.sweep();
        self.by_token.lock().insert(token.clone(), cell);
        Ok(token)
    }

    /// The session for a call, ready to run one statement.
    pub async fn take(
        &self,
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
        cell.take().await
    }

    /// Opens a session of its own for a transaction.
    pub async fn begin(
        &self,
        headers: &MetadataMap,
        client: Option<SocketAddr>,
    ) -> SqlResult<(Vec<u8>, Taken)> {
        let caller = self.caller(headers, client).await?;
        let cell = self.connect(&caller).await?;
        let id = rand::random::<[u8; 16]>().to_vec();
        self.sweep();
        self.by_transaction.lock().insert(id.clone(), cell.clone());
        Ok((id, cell.take().await?))
    }

    /// The transaction has ended: its session closes with the last call.
    pub fn end(&self, transaction: &[u8]) {
        self.by_transaction.lock().remove(transaction);
    }

    /// Closes the session of a token.
    pub fn close(&self, headers: &MetadataMap) {
        if let Some(Credentials::Bearer(token)) = credentials(headers) {
            self.by_token.lock().remove(&token);
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
        let (user, cell) = match credentials(headers) {
            Some(Credentials::Bearer(token)) => {
                let cell = self.by_token.lock().get(&token).cloned().ok_or_else(|| {
                    SqlError::new(
                        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                        "the session has ended or never was",
                    )
                })?;
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
        Ok(Caller { user, database, client_addr, cell })
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
            via: Via::Flight,
            tls: false,
            process_id: registration.id,
            terminate: terminate.clone(),
        };
        let session = self.factory.connect(info).await?;
        Ok(Arc::new(Cell {
            session: Arc::new(tokio::sync::Mutex::new(session)),
            user: caller.user.clone(),
            last_used: Mutex::new(Instant::now()),
            _permit: permit,
            terminate,
            _registration: registration,
        }))
    }

    /// Forgets sessions that nobody has used for long.
    fn sweep(&self) {
        let live = |cell: &Arc<Cell>| {
            cell.last_used.lock().elapsed() < IDLE || cell.session.try_lock().is_err()
        };
        self.by_token.lock().retain(|_, cell| live(cell));
        self.by_transaction.lock().retain(|_, cell| live(cell));
    }
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
