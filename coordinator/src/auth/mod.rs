//! Who may connect, and how they prove it. Both front ends ask here.
//!
//! | from | role has a password, or a password file is given | neither |
//! |---|---|---|
//! | loopback | SCRAM-SHA-256 (basic over gRPC) | trusted |
//! | elsewhere | the same | refused, as a wrong password |
//!
//! An unknown role goes through the same exchange as a wrong password, so that a stranger cannot
//! tell one from the other.

mod verifier;

use std::net::IpAddr;
use std::sync::Arc;

use satsuma_common::{SqlError, SqlResult, SqlState};

use crate::session_api::{LoginRole, SessionFactory};
pub use verifier::Verifier;

/// What a client has to show.
#[derive(Debug)]
pub enum Challenge {
    Trust,
    /// `known` is false for a verifier that no password fits, or that has expired.
    Password {
        verifier: Verifier,
        known: bool,
    },
}

/// The server's side of authentication.
pub struct Authenticator {
    factory: Arc<dyn SessionFactory>,
    superuser: String,
    /// From the password file: rules over the catalog's, and makes passwords compulsory.
    superuser_verifier: Option<Verifier>,
    /// Makes the salts of unknown roles look as steady as those of real ones.
    secret: [u8; 32],
}

impl Authenticator {
    /// `password` is the content of the password file.
    pub fn new(
        factory: Arc<dyn SessionFactory>,
        superuser: &str,
        password: Option<&str>,
    ) -> SqlResult<Self> {
        let superuser_verifier = match password {
            Some(stored) if stored.starts_with("SCRAM-SHA-256$") => Some(stored.parse()?),
            Some(password) => Some(Verifier::from_password(password)),
            None => None,
        };
        Ok(Self {
            factory,
            superuser: superuser.to_owned(),
            superuser_verifier,
            secret: rand::random(),
        })
    }

    /// What `user`, coming from `client`, must show.
    pub async fn challenge(&self, user: &str, client: Option<IpAddr>) -> SqlResult<Challenge> {
        let role = self.factory.login_role(user).await?;
        let verifier = self.verifier(user, role.as_ref())?;
        let by_file = user == self.superuser && self.superuser_verifier.is_some();
        let is_expired = !by_file && role.is_some_and(|role| role.is_expired);
        let local = client.is_none_or(|address| address.to_canonical().is_loopback());
        Ok(match verifier {
            Some(verifier) => Challenge::Password { verifier, known: !is_expired },
            None if self.superuser_verifier.is_none() && local => Challenge::Trust,
            None => Challenge::Password {
                verifier: Verifier::unknown(user, &self.secret),
                known: false,
            },
        })
    }

    fn verifier(&self, user: &str, role: Option<&LoginRole>) -> SqlResult<Option<Verifier>> {
        if user == self.superuser
            && let Some(verifier) = &self.superuser_verifier
        {
            return Ok(Some(verifier.clone()));
        }
        match role.and_then(|role| role.verifier.as_deref()) {
            Some(stored) => Ok(Some(stored.parse()?)),
            None => Ok(None),
        }
    }

    /// Checks a password that came in the clear (gRPC basic authentication).
    pub async fn check_password(
        &self,
        user: &str,
        password: Option<&str>,
        client: Option<IpAddr>,
    ) -> SqlResult<()> {
        match self.challenge(user, client).await? {
            Challenge::Trust => Ok(()),
            Challenge::Password { verifier, known } => match password {
                Some(password) if verifier.matches(password) && known => Ok(()),
                _ => Err(wrong_password(user)),
            },
        }
    }
}

/// PostgreSQL's answer to every failed password, whatever the reason.
pub fn wrong_password(user: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PASSWORD,
        format!("password authentication failed for user \"{user}\""),
    )
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::session_api::{ConnectInfo, Session};

    struct Roles;

    #[async_trait]
    impl SessionFactory for Roles {
        async fn login_role(&self, user: &str) -> SqlResult<Option<LoginRole>> {
            let verifier = match user {
                "boss" => None,
                "ann" | "old" => Some(Verifier::from_password("secret").to_string()),
                _ => return Ok(None),
            };
            Ok(Some(LoginRole { verifier, can_login: true, is_expired: user == "old" }))
        }

        async fn connect(&self, _: ConnectInfo) -> SqlResult<Box<dyn Session>> {
            Err(SqlError::internal("not in this test"))
        }
    }

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const AWAY: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)));

    #[tokio::test]
    async fn loopback_is_trusted_only_without_passwords() {
        let open = Authenticator::new(Arc::new(Roles), "boss", None).unwrap();
        assert!(open.check_password("boss", None, HERE).await.is_ok());
        assert!(open.check_password("boss", Some("x"), AWAY).await.is_err());
        assert!(open.check_password("ann", None, HERE).await.is_err());
        assert!(open.check_password("ann", Some("secret"), AWAY).await.is_ok());
        assert!(open.check_password("old", Some("secret"), AWAY).await.is_err());

        let closed = Authenticator::new(Arc::new(Roles), "boss", Some("pw")).unwrap();
        let error = closed.check_password("boss", Some("wrong"), HERE).await.unwrap_err();
        assert_eq!(error.message(), "password authentication failed for user \"boss\"");
        assert_eq!(error.state(), SqlState::INVALID_PASSWORD);
        assert!(closed.check_password("boss", Some("pw"), AWAY).await.is_ok());
        assert!(closed.check_password("nobody", Some("pw"), HERE).await.is_err());
    }
}
