//! Processes as threads of one test: the sockets are real.
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn peers(n: usize) -> Vec<Peers> {
    let ports: Vec<TcpListener> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: Vec<String> = ports.iter().map(|p| p.local_addr().unwrap().to_string()).collect();
    let peer = |me| Peers {
        hosts: hosts.clone(),
        bind: None,
        me,
        secret: "a secret of some length".into(),
        name: "test".into(),
        build: "1".into(),
        timeout: Duration::from_secs(5),
    };
    (0..n).map(peer).collect()
}

fn member(p: Peers) -> std::thread::JoinHandle<model::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let m = Member::join(p)?;
        let Next::Order(text) = m.next() else { return Err("no order".into()) };
        let file = m.want("abc")?;
        let mesh = m.mesh(7, 1)?;
        assert_eq!(mesh.sockets.iter().filter(|s| s.is_some()).count(), mesh.sockets.len() - 1);
        assert!(matches!(m.next(), Next::End));
        Ok([text, file].concat())
    })
}

fn assemble(hub: &mut Hub) -> Mesh {
    hub.assemble(7, |session| format!("order {session} ").into_bytes(), |hash| Some(format!("file {hash}").into()))
        .unwrap()
}

#[test]
fn three_processes_meet_while_strangers_knock() {
    let p = peers(3);
    let mut hub = Hub::open(p[0].clone()).unwrap();
    let address = p[0].hosts[0].clone();
    // One that says nothing, many that say something else, one that says what timely expects.
    let silent = TcpStream::connect(&address).unwrap();
    for i in 0..200u32 {
        if let Ok(mut s) = TcpStream::connect(&address) {
            let _ = s.write_all(&[i as u8; 64]);
        }
    }
    TcpStream::connect(&address).unwrap().write_all(&1u64.to_be_bytes()).unwrap();
    let members: Vec<_> = p[1..].iter().cloned().map(member).collect();
    let began = Instant::now();
    let mesh = assemble(&mut hub);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!((mesh.me, mesh.sockets.len()), (0, 3));
    hub.end();
    for m in members {
        assert_eq!(m.join().unwrap().unwrap(), b"order 1 file abc");
    }
    drop(silent);
}

#[test]
fn a_member_that_came_early_hears_that_process_0_lives() {
    let mut p = peers(2);
    for p in &mut p {
        p.timeout = Duration::from_millis(500);
    }
    let mut hub = Hub::open(p[0].clone()).unwrap();
    let m = member(p[1].clone());
    // Process 0 waits for its log. Silence that long would end the member, and this process with it.
    std::thread::sleep(Duration::from_secs(2));
    assemble(&mut hub);
    hub.end();
    assert!(m.join().unwrap().is_ok());
}

#[test]
fn who_does_not_fit_is_told_why_and_does_not_get_in() {
    let p = peers(2);
    let mut hub = Hub::open(p[0].clone()).unwrap();
    let with = |change: &dyn Fn(&mut Peers)| {
        let mut p = p[1].clone();
        change(&mut p);
        // Its own port stays free for the right one.
        p.bind = Some("127.0.0.1:0".into());
        let e = Member::join(p).map(drop).unwrap_err();
        assert!(e.is::<Refused>(), "{e}");
        e.to_string()
    };
    assert!(with(&|p| p.secret = "another secret of some length".into()).contains("the cluster secret differs"));
    assert!(with(&|p| p.name = "other".into()).contains("the name of the topology differs: process 1 has other"));
    assert!(with(&|p| p.build = "2".into()).contains("the program differs"));
    assert!(with(&|p| p.hosts.push("127.0.0.1:1".into())).contains("the number of processes differs"));
    assert!(with(&|p| p.me = 0).contains("the lists of hosts differ"));
    let right = member(p[1].clone());
    assemble(&mut hub);
    hub.end();
    assert!(right.join().unwrap().is_ok());
}

#[test]
fn a_proof_cannot_be_used_twice_or_reflected() {
    let p = peers(2);
    let _hub = Hub::open(p[0].clone()).unwrap();
    let frame = |s: &mut TcpStream| {
        let mut len = [0; 4];
        s.read_exact(&mut len)?;
        let mut b = vec![0; u32::from_be_bytes(len) as usize];
        s.read_exact(&mut b).map(|()| b)
    };
    let say = |s: &mut TcpStream, b: &[u8]| {
        s.write_all(&(b.len() as u32).to_be_bytes()).and_then(|()| s.write_all(b)).unwrap();
    };
    // Reflect the acceptor's own hello, with the numbers turned round, and any 32 bytes as proof.
    let mut s = TcpStream::connect(&p[0].hosts[0]).unwrap();
    let hello = r#"{"magic":"millstream","protocol":1,"nonce":"00","build":"1","name":"test","processes":2,"from":1,"to":0,"purpose":"control"}"#;
    say(&mut s, hello.as_bytes());
    frame(&mut s).unwrap();
    say(&mut s, &[0; 32]);
    assert_eq!(frame(&mut s).unwrap(), b"refused: the cluster secret differs");
    // A hello that is too long is not read.
    let mut s = TcpStream::connect(&p[0].hosts[0]).unwrap();
    s.write_all(&u32::MAX.to_be_bytes()).unwrap();
    assert!(matches!(s.read(&mut [0; 1]), Ok(0) | Err(_)), "the door closes");
}
