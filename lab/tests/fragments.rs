//! IPv4 fragments (RFC 4787, REQ-14).

use lab::raw::{self, Packet};
use lab::site::{CLIENT, SERVER};
use lab::sockets::{UdpEcho, echoes, receive, udp};
use lab::{Lab, Site, config, in_both_hooks};

fn data(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n / 7) as u8 ^ seed).collect()
}

in_both_hooks! {
    fn large_datagrams_pass_both_ways(hook) {
        let lab = Lab::new("large");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
        let nat = site.standard() + &dnat + &config::dnat_any("eip-2", "web-2");
        let gateway = site.gateway(&nat);
        let instance = gateway.instance("web-1");

        instance.ok(&format!("ping -c 3 -i 0.05 -W 1 -s 4000 {SERVER}"));
        site.client.ok("ping -c 3 -i 0.05 -W 1 -s 4000 203.0.113.12");
        let _outside = UdpEcho::start(&site.server, "0.0.0.0:7000");
        let _inside = UdpEcho::start(&instance, "0.0.0.0:9000");
        for (host, to) in [(&instance, format!("{SERVER}:7000")), (&site.client, "203.0.113.11:7000".into())] {
            let socket = udp(host, "0.0.0.0:0");
            for seed in 0..20 {
                for length in [1472, 1473, 8000, 60_000] {
                    assert!(echoes(&socket, &to, &data(length, seed)), "{length} bytes to {to}");
                }
            }
        }
    }

    fn fragments_in_any_order(hook) {
        let lab = Lab::new("order");
        let site = Site::new(&lab, hook);
        let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
        let gateway = site.gateway(&(site.standard() + &dnat));
        let instance = gateway.instance("web-1");
        let outside = udp(&site.server, "0.0.0.0:7000");
        let inside = udp(&instance, "0.0.0.0:9000");
        let orders: [fn(&mut Vec<Vec<u8>>); 4] = [
            |_| {},
            |pieces| pieces.reverse(),
            |pieces| pieces.rotate_left(1),
            // The first piece comes last, and the last twice.
            |pieces| {
                let first = pieces.remove(0);
                pieces.push(pieces[pieces.len() - 1].clone());
                pieces.push(first);
            },
        ];
        for (host, from, to, receiver) in [
            (&instance, "192.168.1.10:8000", format!("{SERVER}:7000"), &outside),
            (&site.client, &*format!("{CLIENT}:8000"), "203.0.113.11:7000".into(), &inside),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            for (n, order) in orders.iter().enumerate() {
                let data = data(5_000, n as u8);
                let mut packet = Packet::udp(from, to, &data);
                packet.id = 0x4000 + n as u16;
                let mut pieces = packet.fragments(1000);
                order(&mut pieces);
                raw::send(host, &pieces);
                let (got, _) = receive(receiver).unwrap_or_else(|| panic!("order {n} from {from}"));
                assert!(got == data, "order {n} from {from}");
            }
        }
    }
}

/// Two senders behind one EIP may choose the same identification: their pieces are not mixed up.
#[test]
fn pieces_of_two_senders_with_one_identification_do_not_mix() {
    let lab = Lab::new("mix");
    let site = Site::new(&lab, "tc");
    let gateway = site.gateway(&site.standard());
    let hosts = ["web-1", "web-2"].map(|id| gateway.instance(id));
    let outside = udp(&site.server, "0.0.0.0:7000");
    let to = format!("{SERVER}:7000").parse().unwrap();
    let sent: Vec<Vec<u8>> = (0..2).map(|seed| data(3_000, seed)).collect();
    let pieces: Vec<Vec<Vec<u8>>> = ["192.168.1.10:8000", "192.168.2.10:8001"]
        .iter()
        .zip(&sent)
        .map(|(from, data)| Packet::udp(from.parse().unwrap(), to, data).fragments(1000))
        .collect();
    for n in 0..pieces[0].len() {
        for (host, pieces) in hosts.iter().zip(&pieces) {
            raw::send(host, [&pieces[n]]);
        }
    }
    let mut got: Vec<Vec<u8>> = (0..2).map(|_| receive(&outside).unwrap().0).collect();
    got.sort();
    let mut sent = sent;
    sent.sort();
    assert!(got == sent);
}

/// What cannot be a packet is dropped, and counted, and does no harm.
#[test]
fn false_fragments_are_dropped() {
    let lab = Lab::new("false");
    let site = Site::new(&lab, "tc");
    let dnat = config::dnat("eip-1", "udp", "7000", "web-1", "9000");
    let gateway = site.gateway(&(site.standard() + &dnat));
    let instance = gateway.instance("web-1");
    let inside = udp(&instance, "0.0.0.0:9000");
    let from = format!("{CLIENT}:8000").parse().unwrap();
    let to = "203.0.113.11:7000".parse().unwrap();
    let good = data(2_000, 1);

    let mut packet = Packet::udp(from, to, &good);
    // Pieces without a beginning: more than anybody waits for.
    for id in 1..200 {
        packet.id = id;
        let late = packet.piece(1000, 2008, false);
        raw::send(&site.client, std::iter::repeat_n(&late, 100));
    }
    lab::wait_for("the pieces to be dropped", 5.0, || {
        gateway.drops("fragment_limit") >= 100
    });
    packet.id = 1000;
    raw::send(&site.client, &packet.fragments(1000));
    assert!(receive(&inside).is_some_and(|(got, _)| got == good));
    // Those that wait for a beginning are given up in time.
    lab::wait_for("the pieces to be forgotten", 25.0, || {
        gateway.drops("fragment_timeout") >= 64
    });
}
