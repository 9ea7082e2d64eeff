//! Clients that go on whatever happens to the cluster.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::cluster::Address;

/// Longer than any fault and any patience of the cluster: a statement that takes longer hangs.
pub const HANGS: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);

/// A client that connects again, to the next coordinator, whenever something goes wrong.
pub struct Caller {
    addresses: Vec<Address>,
    next: usize,
    client: Option<Client>,
}

impl Caller {
    pub fn new(addresses: Vec<Address>, first: usize) -> Self {
        Self { addresses, next: first, client: None }
    }

    /// `None` when this attempt to connect failed, after a short wait.
    pub async fn client(&mut self) -> Option<&Client> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.next = (self.next + 1) % self.addresses.len();
            let connect = self.addresses[self.next].connect();
            self.client = timeout(CONNECT, connect).await.ok().and_then(Result::ok);
            if self.client.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        self.client.as_ref()
    }

    pub fn hang_up(&mut self) {
        self.client = None;
    }
}

/// First values of the rows of a query.
///
/// # Panics
/// When there is no answer for [`HANGS`].
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let messages = timeout(HANGS, client.simple_query(sql)).await;
    let messages = messages.unwrap_or_else(|_| panic!("{sql} hangs"))?;
    let value = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    Ok(messages.iter().filter_map(value).collect())
}

/// First values of the rows of a query that is asked until it answers.
///
/// # Panics
/// When it does not within [`HANGS`].
pub async fn eventually(addresses: &[Address], sql: &str) -> Vec<String> {
    let mut caller = Caller::new(addresses.to_vec(), 0);
    let deadline = Instant::now() + HANGS;
    loop {
        let problem = match caller.client().await {
            None => "no connection".to_owned(),
            Some(client) => match rows(client, sql).await {
                Ok(rows) => return rows,
                Err(error) => format!("{error:?}"),
            },
        };
        caller.hang_up();
        assert!(Instant::now() < deadline, "{sql}: {problem}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
