//! Packets that are a little out of the ordinary, and right all the same.

use lab::raw::{self, Packet};
use lab::servers::{Web, fetch};
use lab::site::{CLIENT, SERVER};
use lab::sockets::{UdpEcho, echoes, receive, retry, tcp, udp};
use lab::{Host, Lab, Site, config, in_both_hooks, wait_for, wait_some};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A socket for all packets of a protocol that come to a host.
fn raw_socket(host: &Host, protocol: i32) -> Socket {
    let protocol = Some(Protocol::from(protocol));
    let socket = host
        .inside(|| Socket::new(Domain::IPV4, Type::RAW, protocol))
        .unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    socket
}

/// Source and payload of the next packet, if one comes.
fn next(socket: &Socket) -> Option<(Ipv4Addr, Vec<u8>)> {
    let mut buffer = [0; 2048];
    let mut socket = socket;
    let length = retry(|| socket.read(&mut buffer)).ok()?;
    let header = (buffer[0] & 15) as usize * 4;
    let src: [u8; 4] = buffer[12..16].try_into().unwrap();
    Some((src.into(), buffer[header..length].to_vec()))
}

in_both_hooks! {
    /// Protocols without ports pass where a whole address is mapped, and nowhere else.
    fn protocols_without_ports_need_a_whole_address(hook) {
        let lab = Lab::new("gre");
        let site = Site::new(&lab, hook);
        let all_in = "rule = [\n{ direction = \"ingress\", protocol = \"gre\", cidr = \"0.0.0.0/0\" },";
        let config = site.standard().replace("rule = [", all_in) + &config::dnat_any("eip-2", "web-2");
        let gateway = site.gateway(&config);
        let [web_1, web_2] = ["web-1", "web-2"].map(|id| gateway.instance(id));
        let (outside, inside) = (raw_socket(&site.client, 47), raw_socket(&web_2, 47));
        let client: Ipv4Addr = CLIENT.parse().unwrap();
        let eip = "203.0.113.12".parse().unwrap();
        for n in 0..5u8 {
            let packet = Packet::new(client, eip, 47, vec![0, 0, 8, 0, n]);
            raw::send(&site.client, [&packet.whole()]);
            assert_eq!(next(&inside), Some((client, vec![0, 0, 8, 0, n])));
            let packet = Packet::new("192.168.2.10".parse().unwrap(), client, 47, vec![0, 0, 8, 0, n, 1]);
            raw::send(&web_2, [&packet.whole()]);
            assert_eq!(next(&outside), Some((eip, vec![0, 0, 8, 0, n, 1])));
        }
        let sessions = gateway.sessions();
        assert_eq!((sessions.len(), sessions[0].packets_out, sessions[0].packets_in), (1, 5, 5));
        let packet = Packet::new("192.168.1.10".parse().unwrap(), client, 47, vec![0; 8]);
        raw::send(&web_1, [&packet.whole()]);
        assert_eq!(next(&outside), None);
        assert_eq!(gateway.drops("protocol_not_translatable"), 1);
    }

    /// A UDP datagram without a checksum has none afterwards (RFC 768): the receiver would mind a wrong one.
    fn datagrams_without_a_checksum_stay_so(hook) {
        let lab = Lab::new("zero");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let outside = raw_socket(&site.client, 17);
        let inside = raw_socket(&instance, 17);
        let send = |host: &Host, from: &str, to: &str| {
            let mut packet = Packet::udp(from.parse().unwrap(), to.parse().unwrap(), b"data");
            packet.payload[6..8].fill(0);
            raw::send(host, [&packet.whole()]);
        };
        let client = format!("{CLIENT}:8000");
        for _ in 0..3 {
            send(&site.client, &client, "203.0.113.11:7000");
            let (_, datagram) = next(&inside).unwrap();
            assert_eq!(datagram[2..8], [0x23, 0x28, 0, 12, 0, 0]);
            send(&instance, "192.168.1.10:9000", &client);
            let (src, datagram) = next(&outside).unwrap();
            assert_eq!(src.to_string(), "203.0.113.11");
            assert_eq!(datagram[..8], [0x1b, 0x58, 0x1f, 0x40, 0, 12, 0, 0]);
        }
    }

    /// Several datagrams in one, which somebody after the sender takes apart (UDP GSO, as QUIC servers
    /// send): also as the first packet of a session, which the kernel hands to the daemon.
    fn several_datagrams_in_one(hook) {
        let lab = Lab::new("gso");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let outside = udp(&site.server, "0.0.0.0:7000");
        let inside = udp(&instance, "0.0.0.0:9000");
        // While the router's MAC address is asked for only a few packets wait.
        instance.ok(&format!("ping -c 1 -W 1 {SERVER}"));
        for (host, to, receiver) in [
            (&instance, format!("{SERVER}:7000"), &outside),
            (&site.client, "203.0.113.11:7000".into(), &inside),
        ] {
            let socket = udp(host, "0.0.0.0:0");
            let to: SocketAddrV4 = to.parse().unwrap();
            for round in 0..3u8 {
                let data: Vec<u8> = (0..20u8).flat_map(|n| vec![n + round; 1000]).collect();
                let size = 1000;
                let sent = sendmsg(
                    socket.as_raw_fd(),
                    &[IoSlice::new(&data)],
                    &[ControlMessage::UdpGsoSegments(&size)],
                    MsgFlags::empty(),
                    Some(&SockaddrIn::from(to)),
                );
                assert_eq!(sent, Ok(20_000));
                let mut pieces: Vec<Vec<u8>> = (0..20)
                    .map(|n| receive(receiver).unwrap_or_else(|| panic!("{to}: {n} of {round} is lost")).0)
                    .collect();
                // In a session's first moments the kernel's packets may overtake those that the daemon holds.
                if round == 0 {
                    pieces.sort();
                }
                assert!(pieces.concat() == data, "{to}: round {round} is not what was sent");
            }
        }
    }

    /// The same ports at both ends, as soon as the last connection is over, or reset.
    fn a_port_is_used_again_at_once(hook) {
        let lab = Lab::new("reuse");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "tcp", "80", "web-1", "80");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let _outside = Web::start(&site.server, &[80]);
        let _inside = Web::start(&instance, &[80]);
        for (host, to) in [(&instance, format!("{SERVER}:80")), (&site.client, "203.0.113.11:80".into())] {
            for _ in 0..20 {
                // The server closes first, so the client's port is free at once.
                let mut stream = bound(host, 4000, &to);
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
                let mut page = String::new();
                stream.read_to_string(&mut page).unwrap();
                assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            }
            for _ in 0..20 {
                // A connection that is dropped like this ends with a reset.
                let stream = bound(host, 4001, &to);
                stream.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        assert_eq!(gateway.sessions().len(), 4, "{:?}", gateway.sessions());
    }

    /// IP options make the header longer; record route is filled in by the hosts on the way that care to.
    fn headers_with_options_pass(hook) {
        let lab = Lab::new("options");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(&(site.standard() + &config::dnat_any("eip-2", "web-2")));
        let instance = gateway.instance("web-1");
        instance.ok(&format!("ping -n -c 3 -i 0.1 -W 1 -R {SERVER}"));
        site.client.ok("ping -n -c 3 -i 0.1 -W 1 -T tsonly 203.0.113.12");
    }
}

/// What an instance leaves to hardware is completed where it leaves the machine, by what the gateway has made of it:
/// receivers, who would believe in it within the machine, see that it is right. Small and large packets, by kernel and
/// daemon, in fragments, out, in and by hairpin.
#[test]
fn what_is_left_to_hardware_is_right_on_the_wire() {
    let lab = Lab::new("wire");
    let site = Site::new(&lab, "tc");
    let guest = lab.host("guest");
    lab.link((&site.gw, "ve0", ""), (&guest, "eth0", "192.168.1.30/24"));
    guest.default_route("192.168.1.253");
    for device in ["wan", "ve0"] {
        site.gw.ok(&format!("ethtool -K {device} tx off"));
    }
    let instance = config::instance("guest", "vsw-1", "192.168.1.30") + "device = \"ve0\"\n";
    let gateway = site.gateway(
        &(site.standard()
            + &config::dnat("eip-1", "tcp", "80", "guest", "80")
            + &config::dnat("eip-1", "udp", "7000", "guest", "7000")
            + &instance),
    );
    let web_1 = gateway.instance("web-1");
    let (outside, inside) = (Web::start(&site.server, &[80]), Web::start(&guest, &[80]));
    let _echoes = [&site.server, &guest].map(|host| UdpEcho::start(host, "0.0.0.0:7000"));
    let content = [&outside, &inside].map(|web| web.publish("file", 3_000_000));
    for (host, to, content) in [
        (&web_1, SERVER, &content[0]),
        (&guest, SERVER, &content[0]),
        (&web_1, "203.0.113.11", &content[1]),
        (&guest, "203.0.113.11", &content[1]),
        (&web_1, "192.168.1.30", &content[1]),
        (&site.client, "203.0.113.11", &content[1]),
    ] {
        fetch(host, &format!("http://{to}/files/file"), content);
        let socket = udp(host, "0.0.0.0:0");
        for length in [1, 2, 1000, 1001, 5000, 20_001] {
            let data: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let echoed = echoes(&socket, &format!("{to}:7000"), &data);
            assert!(echoed, "{} to {to}: {length}", host.name());
        }
    }
    let packets = gateway.stats().packets;
    assert!(
        packets.kernel > 100 && packets.forwarded > 100,
        "{packets:?}"
    );
}

/// A TCP connection from a port of one's choice, which the last one from there may not have left yet.
fn bound(host: &Host, port: u16, to: &str) -> Socket {
    let to: SocketAddrV4 = to.parse().unwrap();
    let connect = || -> std::io::Result<Socket> {
        let socket = host.inside(|| Socket::new(Domain::IPV4, Type::STREAM, None))?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
        socket.connect_timeout(&to.into(), Duration::from_secs(2))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(socket)
    };
    wait_some("the port to be free", 2.0, || match connect() {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => None,
        done => Some(done.unwrap_or_else(|error| panic!("{port} to {to}: {error}"))),
    })
}

/// A full table turns new sessions away, and is none of the others' business.
#[test]
fn a_full_table_turns_new_sessions_away() {
    let lab = Lab::new("full");
    let site = Site::new(&lab, "auto");
    let small = site
        .standard()
        .replace("max_sessions = 65536", "max_sessions = 1024");
    let gateway = site.gateway(&small);
    let instance = gateway.instance("web-1");
    let _echo = UdpEcho::start(&site.server, "0.0.0.0:7000");
    let to = format!("{SERVER}:7000");
    let sockets: Vec<_> = (0..1024).map(|_| udp(&instance, "0.0.0.0:0")).collect();
    for (n, socket) in sockets.iter().enumerate() {
        assert!(echoes(socket, &to, b"hello"), "{n}: {:?}", gateway.stats());
    }
    let one_more = udp(&instance, "0.0.0.0:0");
    assert!(!echoes(&one_more, &to, b"hello"));
    assert_eq!(gateway.drops("session_limit"), 1);
    assert!(tcp(&instance, &format!("{SERVER}:7001")).is_err());
    for socket in &sockets {
        assert!(echoes(socket, &to, b"still there"));
    }
    let quick = "[nat_gateway.timeouts]\nudp = 1\n".to_owned() + config::SNAT;
    gateway.apply(&small.replace(config::SNAT, &quick));
    wait_for("room", 10.0, || gateway.stats().sessions == 0);
    assert!(echoes(&one_more, &to, b"hello"));
}
