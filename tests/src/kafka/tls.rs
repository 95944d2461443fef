//! A certificate for the listeners of a broker that speak TLS, made with Java's own tool.
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Password of the key store: a key that lives as long as a test.
pub(super) const PASSWORD: &str = "changeit";

/// A broker's key and self-signed certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Key store (PKCS 12) for the broker.
    pub(super) store: PathBuf,
    /// The certificate for clients, PEM.
    pub pem: PathBuf,
}

impl Certificate {
    /// Make one for an address, in a folder.
    pub fn new(dir: &Path, address: &str) -> Result<Certificate> {
        let (store, pem) = (dir.join("broker.p12"), dir.join("broker.pem"));
        let (path, out, san) = (store.to_string_lossy(), pem.to_string_lossy(), format!("san=ip:{address}"));
        let own = ["-keystore", &path, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "broker"];
        let name = format!("CN={address}");
        keytool("-genkeypair", &own, &["-keyalg", "RSA", "-validity", "2", "-dname", &name, "-ext", &san])?;
        keytool("-exportcert", &own, &["-rfc", "-file", &out])?;
        Ok(Certificate { store, pem })
    }
}

fn keytool(what: &str, own: &[&str], more: &[&str]) -> Result<()> {
    let out =
        Command::new("keytool").arg(what).args(own).args(more).output().context("start keytool, a part of Java")?;
    ensure!(out.status.success(), "keytool {what}: {}", String::from_utf8_lossy(&out.stdout));
    Ok(())
}
