//! Connections to the simulated brokers.
use super::library::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};
pub use super::library::{ClientContext, OAuthToken};
use model::Problem;
use model::units::Dur;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Settings of a connection: there is one cluster.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Connection {
    /// How long a broker may take to answer.
    #[serde(default = "request_timeout")]
    pub request_timeout: Dur,
}

fn request_timeout() -> Dur {
    Dur(300_000)
}

impl Connection {
    /// None.
    pub fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    /// Configuration of a client.
    pub fn config(&self, _: &str) -> ClientConfig {
        ClientConfig::default()
    }
    /// State of the connection of one user.
    pub fn link(&self, _: &str) -> Link {
        Link::default()
    }
}

/// State of a connection.
#[derive(Clone, Default)]
pub struct Link(Arc<AtomicBool>);

impl Link {
    /// Nobody is told in a simulation.
    pub fn waiting(&self, _: &str) {}
    /// See [`Link::waiting`].
    pub fn reached(&self) {}
    /// True once after something went wrong with the connection.
    pub fn take_disturbed(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
    /// Nothing is refused.
    pub fn refused(&self) -> Option<String> {
        None
    }
}

impl ClientContext for Link {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {
        self.0.store(true, Relaxed);
    }
    fn error(&self, _: KafkaError, _: &str) {
        self.0.store(true, Relaxed);
    }
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Err("there are no tokens here".into())
    }
}
