//! Users with SCRAM passwords, made with Kafka's own tool.
use super::jars::Jars;
use anyhow::{Context, Result, ensure};

/// Add a user, or change the password, for both kinds of SCRAM: one at a time, as the brokers want it.
pub(super) fn create(jars: &Jars, bootstrap: &str, name: &str, password: &str) -> Result<()> {
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut c = jars.java("org.apache.kafka.tools.ConfigCommand", "128m", false);
        c.args(["--bootstrap-server", bootstrap, "--alter", "--entity-type", "users", "--entity-name", name]);
        c.args(["--add-config", &format!("{mechanism}=[iterations=4096,password={password}]")]);
        let out = c.output().context("start java for kafka-configs")?;
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "kafka-configs: {}\n{said}", out.status);
    }
    Ok(())
}
