//! Packets through a whole data path: kernel programs, punts, worker, engine, sender.

use crate::common::site::{self, EIP, INTERNET, Site};
use datapath::Datapath;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

const HOOKS: [&str; 2] = ["hook = \"tc\"", "hook = \"xdp\""];
const PATIENCE: Duration = Duration::from_secs(5);

fn site() -> Site {
    let site = Site::new();
    // What XDP takes must not have its checksum left undone: the far end of the uplink is not ours.
    site.internet.run("ethtool -K eth0 tx off gro on");
    site
}

/// A connection from an instance to a server on the Internet: both ends.
fn connect(site: &Site, instance: &str) -> (TcpStream, TcpStream, SocketAddr) {
    let server = site
        .internet
        .inside(|| TcpListener::bind((INTERNET, 0)).unwrap());
    let to = server.local_addr().unwrap();
    let client = site.inside(instance, || {
        TcpStream::connect_timeout(&to, PATIENCE).unwrap()
    });
    let (server, from) = server.accept().unwrap();
    for end in [&client, &server] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        end.set_nodelay(true).unwrap();
    }
    (client, server, from)
}

/// Sends a line each way.
fn talk(client: &TcpStream, server: &TcpStream, what: &str) {
    for (mut from, mut to) in [(client, server), (server, client)] {
        from.write_all(what.as_bytes()).unwrap();
        let mut heard = vec![0; what.len()];
        to.read_exact(&mut heard).unwrap();
        assert_eq!(heard, what.as_bytes());
    }
}

#[test]
fn instances_reach_out_as_their_eip_and_are_reached_by_it() {
    for hook in HOOKS {
        let site = site();
        let datapath = site.open(&site.config(hook, "")).unwrap();

        let (client, server, from) = connect(&site, "web-2");
        assert_eq!(from.ip().to_string(), EIP);
        talk(&client, &server, "out");

        let inside = site.inside("web-1", || TcpListener::bind("192.168.1.10:80").unwrap());
        let port = format!("{EIP}:8080").parse().unwrap();
        let client = site
            .internet
            .inside(|| TcpStream::connect_timeout(&port, PATIENCE).unwrap());
        let (server, from) = inside.accept().unwrap();
        assert_eq!(from.ip().to_string(), INTERNET);
        talk(&client, &server, "in");

        // Between instances, and datagrams.
        let inside = site.inside("web-1", || UdpSocket::bind("192.168.1.10:7000").unwrap());
        inside.set_read_timeout(Some(PATIENCE)).unwrap();
        let outside = site.inside("web-2", || UdpSocket::bind("192.168.2.10:0").unwrap());
        outside.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 8];
        outside.send_to(b"ask", "192.168.1.10:7000").unwrap();
        let (len, from) = inside.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..len], from),
            (&b"ask"[..], outside.local_addr().unwrap())
        );
        inside.send_to(b"answer", from).unwrap();
        assert_eq!(outside.recv(&mut buffer).unwrap(), 6);

        site.run("web-1", &format!("ping -c 2 -i 0.2 -W 5 {INTERNET}"));
        site.run("web-1", "ping -c 2 -i 0.2 -W 5 192.168.1.253");

        let stats = datapath.engine(|engine, _, _| engine.stats()).unwrap();
        assert!(stats.sessions >= 4 && stats.not_offloaded == 0, "{stats:?}");
        assert!(
            datapath.counters().unwrap().hit() > 8,
            "{:?}",
            datapath.counters()
        );
        assert_eq!(datapath.sent().failed(), 0);
    }
}

#[test]
fn bulk_goes_through_intact() {
    for hook in HOOKS {
        let site = site();
        let _datapath = site.open(&site.config(hook, "")).unwrap();
        let (client, server, _) = connect(&site, "web-1");
        let mix = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8;
        let data: Vec<u8> = (0..8 << 20).map(mix).collect();
        for (mut from, mut to) in [(&client, &server), (&server, &client)] {
            thread::scope(|scope| {
                scope.spawn(|| from.write_all(&data).unwrap());
                let mut got = vec![0; data.len()];
                to.read_exact(&mut got).unwrap();
                assert!(got == data, "{hook}");
            });
        }
    }
}

#[test]
fn sessions_outlive_the_daemon_and_are_taken_over() {
    for hook in HOOKS {
        let site = site();
        let config = site.config(hook, "");
        let datapath = site.open(&config).unwrap();
        assert_eq!(*datapath.adopted(), datapath::maps::Adopted::Fresh);
        let (client, server, _) = connect(&site, "web-1");
        talk(&client, &server, "before");
        drop(datapath);

        talk(&client, &server, "nobody is there");
        let datapath = site.open(&config).unwrap();
        assert_eq!(*datapath.adopted(), datapath::maps::Adopted::Same);
        let stats = datapath.engine(|engine, _, _| engine.stats()).unwrap();
        assert!(stats.adopted >= 1, "{stats:?}");
        talk(&client, &server, "after");
        let (second, other, _) = connect(&site, "web-1");
        talk(&second, &other, "new");
    }
}

#[test]
fn a_change_costs_other_sessions_no_packet() {
    for hook in HOOKS {
        let site = site();
        let config = site.config(hook, "");
        let datapath = site.open(&config).unwrap();
        let server = site
            .internet
            .inside(|| UdpSocket::bind((INTERNET, 0)).unwrap());
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let to = server.local_addr().unwrap();
        let client = site.inside("web-1", || UdpSocket::bind("192.168.1.10:0").unwrap());
        client.connect(to).unwrap();

        // Until the kernel has the flow, packets may overtake each other.
        let mut buffer = [0; 4];
        client.send(b"open").unwrap();
        server.recv(&mut buffer).unwrap();

        let count = 2000u32;
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..count {
                    client.send(&n.to_be_bytes()).unwrap();
                    thread::sleep(Duration::from_micros(500));
                }
            });
            scope.spawn(|| {
                let more = "[[instance]]\nid = \"web-3\"\nvswitch = \"vsw-1\"\naddress = \"192.168.1.30\"\n";
                for _ in 0..3 {
                    datapath.apply(&site.config(hook, more)).unwrap();
                    datapath.apply(&config).unwrap();
                }
            });
            for n in 0..count {
                assert_eq!(server.recv(&mut buffer).unwrap(), 4);
                assert_eq!(u32::from_be_bytes(buffer), n, "{hook}");
            }
        });
    }
}

#[test]
fn a_first_packet_that_stands_for_many_is_punted_and_sent_whole() {
    let site = site();
    let datapath = site.open(&site.config(HOOKS[0], "")).unwrap();
    let server = site
        .internet
        .inside(|| UdpSocket::bind((INTERNET, 0)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = site.inside("web-1", || UdpSocket::bind("192.168.1.10:0").unwrap());
    setsockopt(&client, sockopt::UdpGsoSegment, &1200).unwrap();
    let payload: Vec<u8> = (0..30_000u32).map(|n| (n / 7) as u8).collect();
    client
        .send_to(&payload, server.local_addr().unwrap())
        .unwrap();
    let mut buffer = [0; 2000];
    for datagram in payload.chunks(1200) {
        let len = server.recv(&mut buffer).unwrap();
        assert!(&buffer[..len] == datagram);
    }
    let stats = datapath.engine(|engine, _, _| engine.stats()).unwrap();
    let frames = stats.forwarded;
    assert!(
        frames < payload.len() as u64 / 1200,
        "one frame, not {frames} packets"
    );
}

const SYSTEM: &str = "SLD_SYSTEM";
const HOME: &str = "SLD_HOME";

#[test]
fn a_panic_ends_the_process_and_no_session() {
    let site = site();
    let config = site.config(HOOKS[0], "");
    let datapath = site.open(&config).unwrap();
    let (client, server, _) = connect(&site, "web-1");
    talk(&client, &server, "before");
    drop(datapath);

    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "traffic::a_daemon_that_panics", "--ignored"])
        .env(SYSTEM, &site.system)
        .env(HOME, &site.home.0)
        .output()
        .unwrap();
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{ended:?}");

    talk(&client, &server, "nobody is there");
    let _datapath = site.open(&config).unwrap();
    talk(&client, &server, "after");
}

#[test]
#[ignore = "the process that another test watches"]
fn a_daemon_that_panics() {
    let (Ok(system), Ok(home)) = (std::env::var(SYSTEM), std::env::var(HOME)) else {
        return;
    };
    let config = site::config(&system, HOOKS[0], "");
    let datapath = Datapath::open(&config, Some(&home)).unwrap();
    let _: Result<(), _> = datapath.engine(|_, _, _| panic!("as the test wants"));
}
