//! A stand-in for S3, SQS and SNS for tests: `moto_server` from PyPI, in a virtual environment of its own, on loopback.
use crate::kafka::{free_port, spawn};
use crate::python::environment;
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The version that is installed.
pub const VERSION: &str = "5.2.5";
/// A server that is not ready by then never will be: a loaded machine needs a while.
const READY_MAX: Duration = Duration::from_secs(90);

/// A running server. Its data is gone when it is dropped.
pub struct Moto {
    process: Child,
    /// Port on 127.0.0.1.
    pub port: u16,
}

impl Moto {
    /// The server of this process, started with the first use. Tests share it: use names of their own.
    pub fn shared() -> &'static Moto {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(|| Moto::start().unwrap_or_else(|e| panic!("start moto: {e:#}")))
    }

    /// Start a server and wait until it answers.
    pub fn start() -> Result<Moto> {
        let program = environment(&[&format!("moto[server]=={VERSION}")])?.join("moto_server");
        let port = free_port("127.0.0.1")?;
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut moto = Moto { process: spawn(command)?, port };
        let begun = Instant::now();
        while !moto.answers() {
            if let Some(status) = moto.process.try_wait()? {
                bail!("moto_server ended with {status}");
            }
            ensure!(begun.elapsed() < READY_MAX, "moto_server does not answer after {READY_MAX:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(moto)
    }

    /// URL of every service.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Make a topic of SNS and subscribe a queue to it; the topic's ARN. `raw`: without SNS's envelope.
    pub fn topic(&self, name: &str, queue_arn: &str, raw: bool) -> Result<String> {
        let made = self.ask("sns", &format!("Action=CreateTopic&Name={name}"))?;
        let arn = between(&made, "TopicArn")?;
        let how = format!("&Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value={raw}");
        self.ask("sns", &format!("Action=Subscribe&TopicArn={arn}&Protocol=sqs&Endpoint={queue_arn}{how}"))?;
        Ok(arn)
    }
    /// Make a bucket.
    pub fn bucket(&self, name: &str) -> Result<()> {
        self.request("PUT", &format!("/{name}"), "s3", "").map(drop)
    }
    /// Make a bucket that everybody may use without credentials.
    pub fn public_bucket(&self, name: &str) -> Result<()> {
        self.bucket(name)?;
        let allow =
            format!(r#"{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::{name}/*"}}"#);
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{allow}]}}"#);
        self.request("PUT", &format!("/{name}?policy"), "s3", &policy).map(drop)
    }
    /// Make a bucket, and a queue that hears of its objects; the queue's URL.
    pub fn bucket_with_queue(&self, name: &str) -> Result<String> {
        self.bucket(name)?;
        let url = between(&self.ask("sqs", &format!("Action=CreateQueue&QueueName={name}"))?, "QueueUrl")?;
        let to = format!("<Queue>arn:aws:sqs:us-east-1:123456789012:{name}</Queue><Event>s3:ObjectCreated:*</Event>");
        let xml = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>1</Id>{to}</QueueConfiguration></NotificationConfiguration>"
        );
        self.request("PUT", &format!("/{name}?notification"), "s3", &xml)?;
        Ok(url)
    }
    /// Write an object; the key must not need encoding.
    pub fn put(&self, bucket: &str, key: &str, body: &str) -> Result<()> {
        self.request("PUT", &format!("/{bucket}/{key}"), "s3", body).map(drop)
    }
    /// Keys of a bucket, at most a thousand.
    pub fn keys(&self, bucket: &str) -> Result<Vec<String>> {
        let list = self.request("GET", &format!("/{bucket}?list-type=2"), "s3", "")?;
        Ok(list.split("<Key>").skip(1).filter_map(|k| k.split('<').next()).map(str::to_string).collect())
    }
    /// Messages of a queue: those that can be received, and those that are hidden.
    pub fn messages(&self, url: &str) -> Result<(u64, u64)> {
        let form = format!("Action=GetQueueAttributes&QueueUrl={url}&AttributeName.1=All");
        let answer = self.ask("sqs", &form)?;
        let count = |name: &str| -> Result<u64> {
            let rest = answer.split(&format!("<Name>{name}</Name>")).nth(1).with_context(|| format!("no {name}"))?;
            Ok(between(rest, "Value")?.parse()?)
        };
        Ok((count("ApproximateNumberOfMessages")?, count("ApproximateNumberOfMessagesNotVisible")?))
    }

    /// A request of the query protocol.
    fn ask(&self, service: &str, form: &str) -> Result<String> {
        self.request("POST", "/", service, form)
    }

    fn request(&self, method: &str, path: &str, service: &str, body: &str) -> Result<String> {
        let mut c = TcpStream::connect(("127.0.0.1", self.port))?;
        c.set_read_timeout(Some(Duration::from_secs(30)))?;
        // The service is found by the scope of the credentials; signatures are not checked.
        let scope =
            format!("Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0");
        let kind = if method == "POST" { "Content-Type: application/x-www-form-urlencoded\r\n" } else { "" };
        let len = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n{kind}\
             Content-Length: {len}\r\n\r\n"
        );
        c.write_all(head.as_bytes())?;
        c.write_all(body.as_bytes())?;
        let mut answer = String::new();
        c.read_to_string(&mut answer)?;
        let done = answer.split_whitespace().nth(1).is_some_and(|status| status.starts_with('2'));
        ensure!(done, "{method} {path} {body}: {answer}");
        Ok(answer)
    }

    fn answers(&self) -> bool {
        let Ok(mut c) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _ = c.set_read_timeout(Some(Duration::from_secs(5)));
        let mut head = [0; 12];
        c.write_all(b"GET /moto-api/ HTTP/1.0\r\n\r\n").is_ok()
            && c.read_exact(&mut head).is_ok()
            && head.ends_with(b"200")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Text of the first XML element of a name.
fn between(xml: &str, name: &str) -> Result<String> {
    let rest = xml.split(&format!("<{name}>")).nth(1);
    let text = rest.and_then(|r| r.split('<').next()).with_context(|| format!("no {name} in {xml}"))?;
    Ok(text.to_string())
}
