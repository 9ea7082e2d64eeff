//! From the first byte of a connection to its session: encryption, startup packet, proof of
//! identity.
//!
//! ```text
//! SSLRequest -> 'S', TLS        GSSENCRequest -> 'N'       CancelRequest -> cancel, close
//! StartupMessage -> [NegotiateProtocolVersion] -> SCRAM or trust -> session
//!   -> AuthenticationOk, ParameterStatus.., BackendKeyData, ReadyForQuery
//! ```

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::error::PgWireError;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey,
};
use satsuma_common::{SqlError, SqlState, utf8};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frontend::{self, Frontend, SMALL_MESSAGE_LIMIT, violation};
use super::wire::{Wire, WireError};
use super::{AUTHENTICATION_TIMEOUT, Server, backend};
use crate::auth::{Challenge, Verifier, wrong_password};
use crate::client_stream::ClientStream;
use crate::session_api::{ConnectInfo, Via};
use crate::tls::Encryption;

const SSL_REQUEST: u32 = 80877103;
const GSSENC_REQUEST: u32 = 80877104;
const CANCEL_REQUEST: u32 = 80877102;
const NEWEST_MINOR: u32 = 2;

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Why a connection ended before it had a session.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Told to the client as FATAL.
    #[error(transparent)]
    Refused(#[from] SqlError),
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A cancel request, or a client that only looked.
    #[error("no session wanted")]
    Finished,
}

impl From<std::io::Error> for StartupError {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(error.into())
    }
}

/// A client that said who it is; not yet believed.
pub struct Hello {
    pub info: ConnectInfo,
    /// Minor version of protocol 3 that is spoken from here on.
    pub minor: u32,
}

/// Reads packets up to the StartupMessage, changing to TLS when asked. The socket comes back also
/// where no session follows: TLS has a farewell of its own, which clients wait for.
pub async fn receive(
    server: &Server,
    mut wire: Wire<ClientStream>,
    client_addr: Option<SocketAddr>,
) -> Result<(Wire<ClientStream>, Result<Hello, StartupError>), StartupError> {
    let deadline = Instant::now() + AUTHENTICATION_TIMEOUT;
    let mut tls = None;
    loop {
        let mut packet = match startup_packet(&mut wire, deadline).await {
            Ok(packet) => packet,
            Err(error) => {
                tracing::debug!(%error, "no startup packet");
                return Ok((wire, Err(StartupError::Finished)));
            }
        };
        match packet.get_u32() {
            SSL_REQUEST => match &server.tls {
                Some(identity) if tls.is_none() => {
                    wire.output.extend_from_slice(b"S");
                    wire.flush().await?;
                    let (stream, early) = wire.into_parts();
                    // Bytes sent ahead of the handshake were never encrypted: do not trust them.
                    let ClientStream::Plain(tcp) = stream else {
                        return Err(StartupError::Finished);
                    };
                    if !early.is_empty() {
                        let wire = Wire::new(ClientStream::Plain(tcp), BytesMut::new());
                        let error = violation("received unencrypted data after SSL request");
                        return Ok((wire, Err(error.into())));
                    }
                    let handshake = identity.acceptor.accept(tcp);
                    let Ok(stream) = tokio::time::timeout_at(deadline, handshake).await else {
                        return Err(StartupError::Finished);
                    };
                    let stream = stream?;
                    tls = Some(Encryption::of(stream.get_ref().1));
                    wire = Wire::new(ClientStream::Tls(Box::new(stream)), BytesMut::new());
                }
                _ => wire.output.extend_from_slice(b"N"),
            },
            GSSENC_REQUEST => wire.output.extend_from_slice(b"N"),
            CANCEL_REQUEST => {
                if packet.len() > 4 {
                    let process_id = packet.get_i32();
                    server.registry.cancel(process_id, &packet);
                }
                return Ok((wire, Err(StartupError::Finished)));
            }
            version => {
                let hello = startup_message(version, packet, client_addr, tls, &mut wire.output);
                return Ok((wire, hello.map_err(StartupError::Refused)));
            }
        }
    }
}

async fn startup_packet(
    wire: &mut Wire<ClientStream>,
    deadline: Instant,
) -> Result<Bytes, StartupError> {
    let packet = async {
        let length = wire.read_raw(4).await?.get_u32() as usize;
        if !(8..=SMALL_MESSAGE_LIMIT).contains(&length) {
            return Err(WireError::InvalidLength);
        }
        wire.read_raw(length - 4).await
    };
    match tokio::time::timeout_at(deadline, packet).await {
        Ok(packet) => Ok(packet?),
        Err(_) => Err(StartupError::Finished),
    }
}

fn startup_message(
    version: u32,
    packet: Bytes,
    client_addr: Option<SocketAddr>,
    tls: Option<Encryption>,
    output: &mut BytesMut,
) -> Result<Hello, SqlError> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != 3 {
        return Err(SqlError::unsupported(format!(
            "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"
        )));
    }
    let parameters = Parameters::parse(&packet)?;
    if minor > NEWEST_MINOR || !parameters.unknown_options.is_empty() {
        let newest = (3 << 16) | minor.min(NEWEST_MINOR);
        let options = parameters.unknown_options.clone();
        backend::put(output, &NegotiateProtocolVersion::new(newest as i32, options));
    }
    let info = parameters.into_info(client_addr, tls)?;
    Ok(Hello { info, minor: minor.min(NEWEST_MINOR) })
}

/// The name and value pairs of a StartupMessage, sorted out.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    user: String,
    database: String,
    replication: Option<String>,
    settings: Vec<(String, String)>,
    /// `_pq_.` names, none of which this server knows.
    unknown_options: Vec<String>,
}

impl Parameters {
    fn parse(packet: &[u8]) -> Result<Self, SqlError> {
        let layout =
            || violation("invalid startup packet layout: expected terminator as last byte");
        let Some((0, pairs)) = packet.split_last() else { return Err(layout()) };
        let mut parameters = Self::default();
        if pairs.is_empty() {
            return Ok(parameters);
        }
        let Some((0, pairs)) = pairs.split_last() else { return Err(layout()) };
        let mut strings = pairs.split(|byte| *byte == 0);
        while let Some(name) = strings.next() {
            let value = utf8::check(strings.next().ok_or_else(layout)?)?;
            parameters.take(utf8::check(name)?, value);
        }
        Ok(parameters)
    }

    fn take(&mut self, name: &str, value: &str) {
        match name {
            "user" => self.user = value.to_owned(),
            "database" => self.database = value.to_owned(),
            "replication" => self.replication = Some(value.to_owned()),
            "options" => self.settings.extend(command_line_settings(value)),
            _ if name.starts_with("_pq_.") => self.unknown_options.push(name.to_owned()),
            _ => self.settings.push((name.to_ascii_lowercase(), value.to_owned())),
        }
    }

    fn into_info(
        self,
        client_addr: Option<SocketAddr>,
        tls: Option<Encryption>,
    ) -> Result<ConnectInfo, SqlError> {
        if self.user.is_empty() {
            return Err(SqlError::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        if self.replication.is_some_and(|value| !matches!(value.as_str(), "false" | "off" | "0")) {
            return Err(SqlError::unsupported("replication connections are not supported"));
        }
        let database = if self.database.is_empty() { self.user.clone() } else { self.database };
        Ok(ConnectInfo {
            user: self.user,
            database,
            settings: self.settings,
            client_addr,
            server_addr: None,
            via: Via::Pg,
            tls,
            process_id: 0,
            terminate: CancellationToken::new(),
        })
    }
}

/// Settings in `options`: `-c name=value`, `-cname=value`, `--name=value`; a backslash quotes
/// the next character. Dashes in a long name mean underscores.
fn command_line_settings(options: &str) -> Vec<(String, String)> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);

    let mut settings = vec![];
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next()
        } else if let Some(long) = word.strip_prefix("--") {
            long.split_once('=').map(|(name, value)| format!("{}={value}", name.replace('-', "_")))
        } else {
            word.strip_prefix("-c").map(str::to_owned)
        };
        if let Some((name, value)) = assignment.as_deref().and_then(|a| a.split_once('=')) {
            settings.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        }
    }
    settings
}

/// Has the client prove that it is who it says.
pub async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    wire: &mut Wire<S>,
    info: &ConnectInfo,
) -> Result<(), StartupError> {
    let client = info.client_addr.map(|address| address.ip());
    match server.authenticator.challenge(&info.user, client).await? {
        Challenge::Trust => Ok(()),
        Challenge::Password { verifier, known } => {
            scram(server, wire, info, verifier).await?;
            if known { Ok(()) } else { Err(wrong_password(&info.user).into()) }
        }
    }
}

async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    wire: &mut Wire<S>,
    info: &ConnectInfo,
    verifier: Verifier,
) -> Result<(), StartupError> {
    let mut exchange = ScramServerAuth::new();
    let mut mechanisms = vec![SCRAM.to_owned()];
    if info.tls.is_some()
        && let Some(identity) = &server.tls
        && exchange.configure_certificate(&identity.certificate_pem).is_ok()
    {
        mechanisms.insert(0, SCRAM_PLUS.to_owned());
    }
    backend::put_authentication(&mut wire.output, &Authentication::SASL(mechanisms.clone()));

    let (mechanism, first) = initial_response(password_message(wire).await?)?;
    if !mechanisms.contains(&mechanism) {
        return Err(violation("client selected an invalid SASL authentication mechanism").into());
    }
    let failed = |error: PgWireError| match error {
        PgWireError::InvalidPassword(_) => wrong_password(&info.user),
        _ => violation("malformed SCRAM message"),
    };
    let (server_first, exchange) =
        exchange.on_client_first_message_with_secret(&first, verifier.secret()).map_err(failed)?;
    let message = Authentication::SASLContinue(server_first.into());
    backend::put_authentication(&mut wire.output, &message);

    let last = password_message(wire).await?;
    let server_final = exchange.on_client_final_message(&last).map_err(failed)?;
    let message = Authentication::SASLFinal(server_final.into());
    backend::put_authentication(&mut wire.output, &message);
    Ok(())
}

async fn password_message<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
) -> Result<Bytes, StartupError> {
    let frame = wire.read_frame().await?;
    match frontend::decode(frame.kind, frame.body)? {
        Frontend::Password(body) => Ok(body),
        Frontend::Terminate => Err(StartupError::Finished),
        _ => {
            Err(violation(format!("expected SASL response, got message type {}", frame.kind))
                .into())
        }
    }
}

/// Mechanism and client-first message of a SASLInitialResponse.
fn initial_response(mut body: Bytes) -> Result<(String, Bytes), SqlError> {
    let malformed = || violation("malformed SASL initial response");
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    let mechanism = utf8::check(&body.split_to(end))?.to_owned();
    body.advance(1);
    if body.len() < 4 || body.get_i32() as usize != body.len() {
        return Err(malformed());
    }
    Ok((mechanism, body))
}

/// AuthenticationOk and the key for cancel requests, which is returned.
pub fn welcome(output: &mut BytesMut, process_id: i32, minor: u32) -> Vec<u8> {
    let key: Vec<u8> = if minor >= 2 {
        rand::random::<[u8; 32]>().to_vec()
    } else {
        rand::random::<[u8; 4]>().to_vec()
    };
    let secret = SecretKey::Bytes(key.clone().into());
    backend::put(output, &BackendKeyData::new(process_id, secret));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_parameters_are_sorted_out() {
        let packet = b"user\0ann\0DateStyle\0ISO\0options\0-c statement_timeout=5s --work-mem=4MB\0_pq_.x\0y\0\0";
        let parameters = Parameters::parse(packet).unwrap();
        assert_eq!(parameters.unknown_options, ["_pq_.x"]);
        let info = parameters.into_info(None, None).unwrap();
        assert_eq!((info.user.as_str(), info.database.as_str()), ("ann", "ann"));
        let settings = [("datestyle", "ISO"), ("statement_timeout", "5s"), ("work_mem", "4MB")];
        assert_eq!(info.settings, settings.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn broken_startup_packets_are_refused() {
        for packet in
            [&b""[..], b"user", b"user\0", b"user\0ann", b"user\0ann\0", b"user\0ann\0x\0\0"]
        {
            let error = Parameters::parse(packet).unwrap_err();
            assert_eq!(error.state(), SqlState::PROTOCOL_VIOLATION, "{packet:?}");
        }
        let nobody = Parameters::parse(b"\0").unwrap().into_info(None, None).unwrap_err();
        assert_eq!(nobody.state(), SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    }

    #[test]
    fn options_keep_quoted_blanks() {
        let settings = command_line_settings("-c search_path=a,\\ b -ctimezone=UTC");
        assert_eq!(settings[0], ("search_path".into(), "a, b".into()));
        assert_eq!(settings[1], ("timezone".into(), "UTC".into()));
    }

    #[test]
    fn sasl_initial_response_must_fit() {
        let body = Bytes::from_static(b"SCRAM-SHA-256\0\0\0\0\x03n,,");
        assert_eq!(initial_response(body).unwrap().1, Bytes::from_static(b"n,,"));
        for bad in [&b"x"[..], b"x\0\0\0", b"x\0\xff\xff\xff\xff", b"x\0\0\0\0\x09abc"] {
            assert!(initial_response(Bytes::copy_from_slice(bad)).is_err());
        }
    }
}
