//! `SECRET[backend.key]`: read when a topology is loaded, never written anywhere.
use std::path::Path;

/// Folder of the `file` backend unless `MILLSTREAM_SECRETS_DIR` says otherwise (as Kubernetes mounts them).
const SECRETS_DIR: &str = "/run/secrets";
/// A secret file larger than this is a mistake.
const SECRET_MAX_BYTES: u64 = 64 << 10;

/// Put secrets into settings that name them, for commands that connect by themselves.
pub fn fill(settings: &mut serde_json::Value) -> anyhow::Result<()> {
    match settings {
        serde_json::Value::String(text) => {
            let (mut filled, mut rest) = (String::new(), text.as_str());
            while let Some((before, (name, after))) =
                rest.split_once("SECRET[").and_then(|(before, r)| Some((before, r.split_once(']')?)))
            {
                filled += before;
                filled += &resolve(name).map_err(|e| anyhow::anyhow!("SECRET[{name}]: {e}"))?;
                rest = after;
            }
            *text = filled + rest;
            Ok(())
        }
        serde_json::Value::Array(all) => all.iter_mut().try_for_each(fill),
        serde_json::Value::Object(all) => all.values_mut().try_for_each(fill),
        _ => Ok(()),
    }
}

/// Resolve `env.NAME` or `file.name`. Errors name the key, never a value.
pub fn resolve(name: &str) -> Result<String, String> {
    match name.split_once('.') {
        Some(("env", key)) => std::env::var(key).map_err(|_| format!("the environment has no variable {key}")),
        Some(("file", key)) if !key.contains(['/', '\\']) && key != ".." => {
            let dir = std::env::var("MILLSTREAM_SECRETS_DIR").unwrap_or_else(|_| SECRETS_DIR.into());
            let path = Path::new(&dir).join(key);
            let meta = std::fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            if meta.len() > SECRET_MAX_BYTES {
                return Err(format!("{} is larger than {SECRET_MAX_BYTES} bytes", path.display()));
            }
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_string())
        }
        Some(("file", key)) => Err(format!("`{key}` is not a plain file name")),
        Some((other, _)) => Err(format!("there is no secrets backend `{other}` (env, file)")),
        None => Err("write SECRET[backend.key], as in SECRET[env.API_TOKEN]".into()),
    }
}
