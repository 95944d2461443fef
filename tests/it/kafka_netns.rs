//! Namespaces are machines that can be cut off from each other, one way or both, and healed.
use std::process::Command;
use tests::netns::Network;

fn reaches(net: &Network, from: usize, to: usize, port: u16) -> bool {
    let (on, address) = (net.on(from), net.address(to));
    let code = format!("import socket; socket.create_connection(('{address}', {port}), 0.5).close()");
    let mut c = Command::new(&on[0]);
    c.args(&on[1..]).args(["python3", "-c", &code]);
    c.output().unwrap().status.success()
}

#[test]
fn hosts_are_cut_off_and_healed_and_nothing_is_left() {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        println!("not root: network namespaces are not tested");
        return;
    }
    let net = Network::new(2).unwrap();
    let on = net.on(1);
    let code =
        "import socket,time\ns=socket.create_server(('0.0.0.0',7000),backlog=50)\nwhile True: s.accept()[0].close()";
    let mut server = Command::new(&on[0]);
    server.args(&on[1..]).args(["python3", "-c", code]);
    let mut server = tests::kafka::spawn(server).unwrap();
    tests::run::eventually("the server listens", std::time::Duration::from_secs(10), || reaches(&net, 0, 1, 7000));
    net.cut(0, 1).unwrap();
    assert!(!reaches(&net, 0, 1, 7000));
    net.heal().unwrap();
    assert!(reaches(&net, 0, 1, 7000));
    net.cut(1, 0).unwrap();
    assert!(!reaches(&net, 0, 1, 7000), "the answer does not come back");
    net.heal().unwrap();
    net.lose(1, 10).unwrap();
    net.slow(1, 1000).unwrap();
    net.heal().unwrap();
    assert!(reaches(&net, 0, 1, 7000));
    let mine = net.join().unwrap();
    assert!(std::net::TcpStream::connect((net.address(1).as_str(), 7000)).is_ok(), "from {mine}");
    server.kill().unwrap();
    server.wait().unwrap();
    drop(net);
    let left = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let prefix = format!("ms{}n", std::process::id());
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&prefix));
}
