//! The HTTP port for monitoring: `/metrics`, `/health` and `/ready`.
//!
//! Small on purpose: a request line, an answer, and the connection ends. It is meant for a network
//! of one's own, as the metrics tell names of nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::process::Failure;

/// What a process tells of itself.
pub trait Monitored: Send + Sync + 'static {
    /// In Prometheus's text format.
    fn metrics(&self) -> String;

    /// Whether it can serve at this moment.
    fn is_ready(&self) -> bool;
}

/// Requests served at once; more wait.
const MOST_REQUESTS: usize = 16;
/// A request's head is no longer than this.
const MAX_HEAD: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until the process ends; nothing without an address.
pub async fn serve(address: Option<&str>, monitored: Arc<dyn Monitored>) -> Result<(), Failure> {
    let Some(address) = address else { return Ok(()) };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Other(format!("could not listen on {address}: {error}")))?;
    let permits = Arc::new(Semaphore::new(MOST_REQUESTS));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let monitored = monitored.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        let _ = tokio::time::timeout(PATIENCE, answer(stream, &*monitored)).await;
                    });
                }
                // Out of file descriptors, perhaps.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream, monitored: &dyn Monitored) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await? {
            0 => break,
            len => head.extend_from_slice(&piece[..len]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let (status, kind, body) = respond(head.lines().next().unwrap_or_default(), monitored);
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn respond(request: &str, monitored: &dyn Monitored) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    let mut words = request.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => {
            ("200 OK", "text/plain; version=0.0.4; charset=utf-8", monitored.metrics())
        }
        ("GET", "/health") => ("200 OK", TEXT, "ok\n".into()),
        ("GET", "/ready") if monitored.is_ready() => ("200 OK", TEXT, "ready\n".into()),
        ("GET", "/ready") => ("503 Service Unavailable", TEXT, "not ready\n".into()),
        ("GET", _) => ("404 Not Found", TEXT, "try /metrics, /health or /ready\n".into()),
        _ => ("405 Method Not Allowed", TEXT, "GET only\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Asleep;

    impl Monitored for Asleep {
        fn metrics(&self) -> String {
            "satsuma_up 1\n".into()
        }

        fn is_ready(&self) -> bool {
            false
        }
    }

    #[test]
    fn paths_and_methods() {
        let status = |request| respond(request, &Asleep).0;
        assert_eq!(status("GET /metrics HTTP/1.1"), "200 OK");
        assert_eq!(status("GET /health?verbose HTTP/1.1"), "200 OK");
        assert_eq!(status("GET /ready HTTP/1.1"), "503 Service Unavailable");
        assert_eq!(status("GET / HTTP/1.1"), "404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1"), "405 Method Not Allowed");
        assert_eq!(status(""), "405 Method Not Allowed");
    }
}
