//! Network namespaces: machines on this machine. Each has one link to a bridge, and rules of its own that cut, thin out or
//! slow down what comes and goes. Needs root, `ip` and `nft`; everything has a prefix of its own and is removed at the end.
use anyhow::{Context, Result, bail, ensure};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces of one network at most: their number is the last byte of the address.
const HOSTS_MAX: usize = 200;

/// A small network of namespaces.
pub struct Network {
    prefix: String,
    subnet: String,
    hosts: usize,
}

impl Network {
    /// A network with so many hosts. Networks of processes that are gone are removed first.
    pub fn new(hosts: usize) -> Result<Network> {
        ensure!((1..=HOSTS_MAX).contains(&hosts), "1 to {HOSTS_MAX} hosts");
        // SAFETY: geteuid has no preconditions.
        ensure!(unsafe { libc::geteuid() } == 0, "network namespaces need root");
        sweep()?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Interface names have 15 bytes.
        let prefix = format!("ms{pid}n{n}");
        let subnet = format!("10.{}.{}", 100 + (pid / 250) % 100, (pid + n) % 250);
        // Made before the parts, so that an error half-way still removes what is there.
        let net = Network { prefix, subnet, hosts };
        // The bridge is in a namespace too: nothing of the machine's own network is touched.
        let bridge = net.name("b");
        run(&["ip", "netns", "add", &bridge])?;
        run(&["ip", "-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", &bridge, "link", "set", "br0", "up"])?;
        for h in 0..hosts {
            let (host, port) = (net.host(h), format!("p{h}"));
            run(&["ip", "netns", "add", &host])?;
            run(&["ip", "-n", &host, "link", "set", "lo", "up"])?;
            run(&["ip", "-n", &host, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &bridge])?;
            run(&["ip", "-n", &host, "addr", "add", &format!("{}/24", net.address(h)), "dev", "eth0"])?;
            run(&["ip", "-n", &host, "link", "set", "eth0", "up"])?;
            run(&["ip", "-n", &bridge, "link", "set", &port, "master", "br0", "up"])?;
        }
        Ok(net)
    }
    /// This process joins as the host with the last number: a link from the root namespace into the bridge, so that the
    /// harness can talk to the others.
    pub fn join(&self) -> Result<String> {
        let (mine, bridge) = (format!("{}h", self.prefix), self.name("b"));
        run(&["ip", "link", "add", &mine, "type", "veth", "peer", "name", "harness", "netns", &bridge])?;
        run(&["ip", "addr", "add", &format!("{}.254/24", self.subnet), "dev", &mine])?;
        run(&["ip", "link", "set", &mine, "up"])?;
        run(&["ip", "-n", &bridge, "link", "set", "harness", "master", "br0", "up"])?;
        Ok(format!("{}.254", self.subnet))
    }
    /// Address of a host.
    pub fn address(&self, host: usize) -> String {
        format!("{}.{}", self.subnet, host + 1)
    }
    /// Words in front of a command that is to run on a host. They replace themselves by the command.
    pub fn on(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.host(host)].map(String::from).to_vec()
    }
    /// Cut everything from `from` to `to`; the other way is left alone.
    pub fn cut(&self, from: usize, to: usize) -> Result<()> {
        self.rule(to, &format!("ip saddr {} drop", self.address(from)))
    }
    /// Refuse connections from `from` to `to` with a reset.
    pub fn reset(&self, from: usize, to: usize) -> Result<()> {
        self.rule(to, &format!("ip saddr {} meta l4proto tcp reject with tcp reset", self.address(from)))
    }
    /// Lose so many of a hundred packets that a host receives.
    pub fn lose(&self, host: usize, percent: u32) -> Result<()> {
        self.rule(host, &format!("iifname eth0 numgen random mod 100 < {} drop", percent.min(99)))
    }
    /// Let a host send only so many kilobits per second.
    pub fn slow(&self, host: usize, kbit: u32) -> Result<()> {
        let rate = format!("{kbit}kbit");
        run(&[
            "ip",
            "netns",
            "exec",
            &self.host(host),
            "tc",
            "qdisc",
            "replace",
            "dev",
            "eth0",
            "root",
            "tbf",
            "rate",
            &rate,
            "burst",
            "10kb",
            "latency",
            "1500ms",
        ])
    }
    /// Undo every cut, loss and limit.
    pub fn heal(&self) -> Result<()> {
        for h in 0..self.hosts {
            let host = self.host(h);
            run(&["ip", "netns", "exec", &host, "nft", "flush", "ruleset"])?;
            // There may be none.
            let _ = run(&["ip", "netns", "exec", &host, "tc", "qdisc", "del", "dev", "eth0", "root"]);
        }
        Ok(())
    }

    fn rule(&self, host: usize, rule: &str) -> Result<()> {
        let text = format!(
            "add table inet chaos\nadd chain inet chaos input {{ type filter hook input priority 0; policy accept; }}\n\
             add rule inet chaos input {rule}\n"
        );
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.host(host), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start ip netns exec … nft")?;
        std::io::Write::write_all(child.stdin.as_mut().context("no stdin")?, text.as_bytes())?;
        let out = child.wait_with_output()?;
        ensure!(out.status.success(), "nft: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }
    fn host(&self, n: usize) -> String {
        self.name(&n.to_string())
    }
    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.prefix);
    }
}

/// Remove namespaces of a prefix; their links go with them.
fn remove(prefix: &str) {
    for name in names().into_iter().filter(|n| n.strip_prefix(prefix).is_some_and(|r| r.starts_with('-'))) {
        let _ = run(&["ip", "netns", "del", &name]);
    }
    let _ = run(&["ip", "link", "del", &format!("{prefix}h")]);
}

fn names() -> Vec<String> {
    let out = Command::new("ip").args(["netns", "list"]).output();
    let text = out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(|l| l.split_whitespace().next()).map(String::from).collect()
}

/// Remove what processes left that were killed.
fn sweep() -> Result<()> {
    for name in names() {
        let Some((prefix, _)) = name.split_once('-') else { continue };
        let pid = prefix.strip_prefix("ms").and_then(|r| r.split('n').next()).and_then(|p| p.parse::<u32>().ok());
        if pid.is_some_and(|p| !std::path::Path::new(&format!("/proc/{p}")).exists()) {
            remove(prefix);
        }
    }
    Ok(())
}

fn run(command: &[&str]) -> Result<()> {
    let (program, args) = command.split_first().context("a command")?;
    let out = Command::new(program).args(args).output().with_context(|| format!("start {program}"))?;
    if !out.status.success() {
        bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
