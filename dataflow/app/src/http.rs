//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz`, `/status`. Reads what the engine has written down already, on a
//! thread of its own; nobody who asks can hold up the dataflow.
use crate::stats::Stats;
use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::Status;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use topology::EngineSettings;

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 32;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that are read ahead of a connection: the head of a request must fit.
const HEAD_MAX: usize = 16 << 10;
/// Bytes of a request's body; no route wants one.
const BODY_MAX: usize = 4 << 10;
/// Time for the head of a request to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time for a whole exchange. Connections are not kept: a scrape every few seconds has no use for it.
const EXCHANGE_TIME: Duration = Duration::from_secs(15);
/// Pause after the system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Content type of [`crate::metrics::text`].
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where to listen: `--http` if given, else the topology's `http`; `None` for nowhere. The processes of one machine
/// listen on ports that follow each other: `process` is added to the port.
///
/// # Errors
/// What is not an address, or can be reached from other machines without `http_public = true`.
pub fn address(flag: Option<&str>, engine: &EngineSettings, process: u16) -> Result<Option<SocketAddr>> {
    let Some(text) = flag.or(engine.http.as_deref()) else { return Ok(None) };
    let Ok(mut address) = text.parse::<SocketAddr>() else {
        bail!("http: `{text}` is not an address with a port; write \"127.0.0.1:9600\"")
    };
    if !address.ip().is_loopback() && !engine.http_public {
        bail!(
            "http: `{address}` can be reached from other machines, and nobody is asked who they are there; listen on \
             127.0.0.1, or set http_public = true in [engine] behind a firewall"
        );
    }
    if address.port() > 0 {
        let port = address.port().checked_add(process);
        address.set_port(port.with_context(|| format!("http: process {process} has no port after `{text}`"))?);
    }
    Ok(Some(address))
}

/// Serves until the process ends. Returns the address, with the port the system chose where it was 0.
///
/// # Errors
/// The address is taken, or not ours.
pub fn start(address: SocketAddr, status: Arc<Status>) -> Result<SocketAddr> {
    let socket = TcpListener::bind(address).with_context(|| {
        format!("http: listen on {address}: is another engine running? Choose another port, or leave `http` out")
    })?;
    socket.set_nonblocking(true).context("http: make the socket nonblocking")?;
    let bound = socket.local_addr().context("http: ask for the address")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("http: runtime")?;
    std::thread::Builder::new()
        .name("http".into())
        .spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => serve(socket, routes(status)).await,
                    Err(e) => eprintln!("millstream: http: {e}; the endpoint is off, the pipeline goes on"),
                }
            })
        })
        .context("http: start its thread")?;
    Ok(bound)
}

async fn serve(socket: tokio::net::TcpListener, routes: Router) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = free.clone().acquire_owned().await.expect("never closed");
        let Ok((client, _)) = socket.accept().await else {
            // No file descriptors left, or a client that went at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let exchange = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(client), TowerToHyperService::new(routes.clone()));
        tokio::spawn(async move {
            // What a client does wrong is its own affair.
            let _ = tokio::time::timeout(EXCHANGE_TIME, exchange).await;
            drop(slot);
        });
    }
}

fn routes(status: Arc<Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(figures))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(status)
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], crate::metrics::text(&Stats::of(&status))).into_response()
}

async fn figures(State(status): State<Arc<Status>>) -> Response {
    json(StatusCode::OK, &serde_json::to_value(Stats::of(&status)).unwrap_or_default())
}

async fn healthz(State(status): State<Arc<Status>>) -> Response {
    match status.health() {
        Ok(how) => json(StatusCode::OK, &serde_json::json!({ "status": "ok", "reason": how })),
        Err(why) => json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "status": "ill", "reason": why })),
    }
}

async fn readyz(State(status): State<Arc<Status>>) -> Response {
    match status.ready() {
        Ok(()) => json(StatusCode::OK, &serde_json::json!({ "status": "ready" })),
        Err(why) => json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "status": "not ready", "reason": why })),
    }
}

fn json(code: StatusCode, body: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::Ordering::Relaxed;

    fn exchange(at: SocketAddr, request: &str) -> String {
        let mut s = TcpStream::connect(at).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        s.write_all(request.as_bytes()).unwrap();
        let mut out = String::new();
        let _ = s.read_to_string(&mut out);
        out
    }

    fn get(at: SocketAddr, path: &str) -> String {
        exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    fn here() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn the_routes_answer_with_reasons() {
        let status = Arc::<Status>::default();
        let at = start(here(), status.clone()).unwrap();
        let ready = get(at, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""reason":"replaying""#), "{ready}");
        status.live.store(true, Relaxed);
        assert!(get(at, "/readyz").starts_with("HTTP/1.1 200"));
        status.draining.store(true, Relaxed);
        assert!(get(at, "/readyz").contains("draining"));
        assert!(get(at, "/healthz").starts_with("HTTP/1.1 200"));
        let figures = get(at, "/status");
        let body = figures.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(serde_json::from_str::<Stats>(body).unwrap().figures.state, "draining");
        let metrics = get(at, "/metrics");
        assert!(metrics.contains("openmetrics-text") && metrics.trim_end().ends_with("# EOF"), "{metrics}");
        assert!(get(at, "/other").starts_with("HTTP/1.1 404"));
        assert!(exchange(at, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").contains(" 405 "));
    }

    #[test]
    fn a_head_that_is_too_large_is_refused_and_idle_clients_do_not_keep_others_out() {
        let at = start(here(), Arc::default()).unwrap();
        let long = format!("GET /status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(2 * HEAD_MAX));
        assert!(!exchange(at, &long).contains(" 200 "));
        let many = format!("GET /status HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(!exchange(at, &many).contains(" 200 "));
        let idle: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| TcpStream::connect(at).unwrap()).collect();
        // They lose their places after HEAD_TIME.
        let mut s = TcpStream::connect(at).unwrap();
        s.set_read_timeout(Some(HEAD_TIME * 3)).unwrap();
        s.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut out = String::new();
        s.read_to_string(&mut out).unwrap();
        assert!(out.starts_with("HTTP/1.1 200"), "{out}");
        drop(idle);
    }

    #[test]
    fn addresses_that_others_can_reach_need_a_word() {
        let engine = EngineSettings { http: Some("0.0.0.0:9600".into()), ..Default::default() };
        let no = address(None, &engine, 0).unwrap_err().to_string();
        assert!(no.contains("http_public = true"), "{no}");
        assert_eq!(address(Some("127.0.0.1:1"), &engine, 2).unwrap(), Some("127.0.0.1:3".parse().unwrap()));
        assert!(address(Some("9600"), &engine, 0).unwrap_err().to_string().contains("not an address"));
        assert!(address(Some("127.0.0.1:65535"), &engine, 1).is_err());
        let public = EngineSettings { http_public: true, ..engine };
        assert!(address(None, &public, 0).unwrap().is_some());
        assert_eq!(address(None, &EngineSettings::default(), 0).unwrap(), None);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_with_its_address() {
        let taken = TcpListener::bind(here()).unwrap();
        let at = taken.local_addr().unwrap();
        let e = start(at, Arc::default()).unwrap_err().to_string();
        assert!(e.contains(&at.to_string()), "{e}");
    }
}
