//! Who we are to AWS, and where it is: credentials, role, region, endpoint; and the clients made of that.
use crate::retry::Patience;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use std::time::Duration;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);
/// Region where nothing else says one (an endpoint of one's own does not care).
const DEFAULT_REGION: &str = "us-east-1";

/// A role to take on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    /// ARN of the role.
    pub(crate) arn: String,
    /// External id that its trust policy asks for.
    pub(crate) external_id: Option<String>,
}

/// How to reach AWS. What is not given is found as the AWS tools find it: environment, profile, container, instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) region: Option<String>,
    /// URL of a service that speaks the same protocol.
    pub(crate) endpoint: Option<String>,
    pub(crate) role: Option<Role>,
    /// Do not sign requests.
    pub(crate) anonymous: bool,
    /// Key id and secret, for tests.
    pub(crate) keys: Option<(&'static str, &'static str)>,
}

impl Access {
    /// The configuration clients are made of. Retries are ours (`retry.rs`).
    pub(crate) async fn load(&self, attempt: Duration) -> SdkConfig {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build();
        let mut c = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(e) = &self.endpoint {
            c = c.endpoint_url(e);
        }
        if let Some(r) = &self.region {
            c = c.region(Region::new(r.clone()));
        }
        if self.anonymous {
            c = c.no_credentials();
        }
        if let Some((id, secret)) = self.keys {
            c = c.credentials_provider(aws_sdk_s3::config::Credentials::new(id, secret, None, None, "keys"));
        }
        let mut base = c.load().await;
        if base.region().is_none() {
            base = base.into_builder().region(Region::new(DEFAULT_REGION)).build();
        }
        let Some(role) = &self.role else { return base };
        let mut p = AssumeRoleProvider::builder(&role.arn).session_name("millstream").configure(&base);
        if let Some(id) = &role.external_id {
            p = p.external_id(id);
        }
        let provider = p.build().await;
        base.into_builder().credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(provider)).build()
    }

    /// An S3 client; the bucket is part of the path if the endpoint is not AWS.
    pub(crate) fn s3(&self, config: &SdkConfig, region: Option<&str>) -> aws_sdk_s3::Client {
        let mut b = aws_sdk_s3::config::Builder::from(config).force_path_style(self.endpoint.is_some());
        if let Some(r) = region {
            b = b.region(Region::new(r.to_string()));
        }
        aws_sdk_s3::Client::from_conf(b.build())
    }
}

/// Time of one try of a call that a source makes.
pub(crate) const ATTEMPT: Duration = Patience::CALL.attempt;
