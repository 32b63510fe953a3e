//! The state of TCP connections, and when sessions end.

use crate::common::*;

const CLIENT: (&str, u16) = (A, 5000);
const PEER: (&str, u16) = (SERVER, 443);

/// A connection from `a` to the server. Segments are sent by their flags.
struct Connection {
    world: World,
}

impl Connection {
    fn new() -> Connection {
        Connection::of(BASE)
    }

    fn of(text: &str) -> Connection {
        Connection {
            world: World::new(text),
        }
    }

    fn established() -> Connection {
        let mut c = Connection::new();
        c.establish();
        c
    }

    fn establish(&mut self) {
        self.out(SYN);
        self.back(SYN | ACK);
        self.out(ACK);
        assert_eq!(self.state(), "established");
    }

    #[track_caller]
    fn out(&mut self, flags: u8) -> Packet {
        at(
            "wan",
            self.world.from("a", Packet::tcp(CLIENT, PEER, flags)),
        )
    }

    #[track_caller]
    fn back(&mut self, flags: u8) -> Packet {
        at("a", self.world.net(Packet::tcp(PEER, (EIP1, 5000), flags)))
    }

    fn state(&self) -> String {
        self.world.session().state
    }

    /// After how many seconds without a packet the session ends.
    fn lasts(mut self) -> u64 {
        let expected = self.world.session().expires;
        for second in 1..=1000 {
            self.world.seconds(1);
            if self.world.sessions().is_empty() {
                assert_eq!(self.world.flows(), []);
                assert!(
                    (expected..=expected + 2).contains(&second),
                    "{expected} {second}"
                );
                return second;
            }
        }
        panic!("the session does not end");
    }
}

#[track_caller]
fn about(seconds: u64, expected: u64) {
    assert!(
        (expected..=expected + 2).contains(&seconds),
        "{seconds} s, not {expected}"
    );
}

#[test]
fn an_established_connection_lasts_900_seconds() {
    about(Connection::established().lasts(), 900);
}

#[test]
fn packets_of_either_end_keep_it_alive() {
    let mut c = Connection::established();
    for _ in 0..3 {
        c.world.seconds(850);
        c.back(ACK);
        c.world.seconds(850);
        c.out(ACK);
    }
    assert_eq!(c.world.session().age, 6 * 850);
}

#[test]
fn a_half_open_connection_lasts_60_seconds() {
    let mut c = Connection::new();
    c.out(SYN);
    assert_eq!(c.state(), "syn_sent");
    about(c.lasts(), 60);
    let mut c = Connection::new();
    c.out(SYN);
    c.back(SYN | ACK);
    assert_eq!(c.state(), "syn_sent");
    about(c.lasts(), 60);
}

#[test]
fn a_half_closed_connection_lasts_as_long_as_an_open_one() {
    let mut c = Connection::established();
    c.out(FIN | ACK);
    assert_eq!(c.state(), "half_closed");
    about(c.lasts(), 900);
}

#[test]
fn a_closed_connection_lasts_60_seconds() {
    let mut c = Connection::established();
    c.back(FIN | ACK);
    c.out(FIN | ACK);
    c.back(ACK);
    assert_eq!(c.state(), "closed");
    about(c.lasts(), 60);
}

#[test]
fn a_reset_connection_lasts_60_seconds() {
    let mut c = Connection::established();
    c.out(RST | ACK);
    assert_eq!(c.state(), "reset");
    about(c.lasts(), 60);
}

/// RFC 7857, section 2.2: a reset that the other end does not believe.
#[test]
fn a_forged_reset_does_not_end_a_connection() {
    let mut c = Connection::established();
    c.back(RST);
    assert_eq!(c.state(), "reset");
    // The client sends on; the server answers, for it never sent the reset.
    c.out(ACK);
    assert_eq!(c.state(), "reset");
    c.back(ACK);
    assert_eq!(c.state(), "established");
    about(c.lasts(), 900);
}

#[test]
fn a_forged_reset_and_a_forged_syn_do_not_end_a_connection() {
    let mut c = Connection::established();
    c.back(RST);
    // Goes through to the client, which will not believe it.
    c.back(SYN);
    c.out(ACK);
    c.back(ACK);
    assert_eq!(c.state(), "established");
}

/// RFC 5382, REQ-2.
#[test]
fn both_ends_open_at_once() {
    let mut c = Connection::new();
    c.out(SYN);
    c.back(SYN);
    c.out(SYN | ACK);
    c.back(SYN | ACK);
    assert_eq!(c.state(), "established");
    about(c.lasts(), 900);
}

#[test]
fn a_syn_on_a_closed_tuple_opens_again_with_the_same_mapping() {
    for reset in [false, true] {
        let mut c = Connection::new();
        // The port is not the client's own.
        c.world.from("b", Packet::tcp((B, 5000), PEER, SYN));
        let syn = Packet::tcp(CLIENT, PEER, SYN);
        let port = at("wan", c.world.from("a", syn.clone())).sport();
        assert_ne!(port, 5000);
        let back = |c: &mut Connection, flags| {
            at("a", c.world.net(Packet::tcp(PEER, (EIP1, port), flags)));
        };
        let state = |c: &Connection| {
            let all = c.world.sessions();
            let mine = all.iter().find(|s| s.eni == "a").unwrap();
            (mine.state.clone(), mine.packets_out)
        };
        back(&mut c, SYN | ACK);
        c.out(ACK);
        if reset {
            back(&mut c, RST);
        } else {
            c.out(FIN | ACK);
            back(&mut c, FIN | ACK);
        }
        c.world.seconds(20);
        let opened = c.world.stats().opened;
        assert_eq!(at("wan", c.world.from("a", syn)).sport(), port);
        assert_eq!(state(&c), ("syn_sent".into(), 1));
        assert_eq!(c.world.stats().opened, opened + 1);
        back(&mut c, SYN | ACK);
        c.out(ACK);
        assert_eq!(state(&c).0, "established");
    }
}

#[test]
fn a_syn_from_outside_on_a_closed_tuple_opens_what_an_entry_allows() {
    let mut world = World::new(BASE);
    let syn = Packet::tcp((SERVER, 999), (EIP1, 80), SYN);
    let inside = at("b", world.net(syn.clone()));
    at("wan", world.from("b", inside.answer(RST | ACK)));
    assert_eq!(world.session().state, "reset");
    at("b", world.net(syn));
    assert_eq!(world.session().state, "syn_sent");
    at("wan", world.from("b", inside.answer(SYN | ACK)));
}

#[test]
fn a_syn_on_a_live_connection_changes_nothing() {
    let mut c = Connection::established();
    let opened = c.world.stats().opened;
    c.out(SYN);
    c.back(ACK);
    assert_eq!(c.state(), "established");
    assert_eq!(c.world.stats().opened, opened);
}

/// RFC 9293, section 3.10.7.1: reset with the sequence number that was acknowledged, or acknowledging all.
#[test]
fn a_segment_from_inside_without_a_session_is_reset() {
    let mut world = World::new(BASE);
    let why = reason(&mut world, |w| {
        let told = at("a", w.from("a", Packet::tcp(CLIENT, PEER, ACK).len(10)));
        assert_eq!(told.tuple(), "198.51.100.7:443 > 10.0.1.10:5000");
        assert!(matches!(
            told.body,
            Body::Tcp {
                flags: RST,
                seq: 2000,
                ..
            }
        ));
    });
    assert_eq!(why, "tcp_out_of_state");
    let told = at("a", world.from("a", Packet::tcp(CLIENT, PEER, FIN).len(10)));
    assert!(matches!(told.body, Body::Tcp { flags, seq: 0, ack: 1011, .. } if flags == RST | ACK));
    // A reset is not answered, nor anything from outside.
    none(world.from("a", Packet::tcp(CLIENT, PEER, RST)));
    none(world.net(Packet::tcp(PEER, (EIP1, 80), ACK)));
    none(world.net(Packet::tcp(PEER, (EIP1, 5000), SYN | ACK)));
    assert_eq!(world.dropped(flow::reason::Reason::TcpOutOfState), 5);
    assert_eq!(world.sessions(), []);
}

#[test]
fn a_gateway_can_be_silent_about_it() {
    let text = base(&[("id = \"ngw\"", "id = \"ngw\"\ntcp_out_of_state = \"drop\"")]);
    let mut world = World::new(&text);
    none(world.from("a", Packet::tcp(CLIENT, PEER, ACK)));
    // Between instances it takes no part.
    let told = at("a", world.from("a", Packet::tcp(CLIENT, (B, 1), ACK)));
    assert_eq!(told.flags(), RST);
    // Nor is what no SNAT entry covers; else it is told, for one may have covered it until now.
    let entry = "[[nat_gateway.snat]]\nvpc = true\neips = [\"eip-1\"]\n";
    let mut world = World::new(&text.replace(entry, ""));
    none(world.from("a", Packet::tcp(CLIENT, PEER, ACK)));
    let mut world = World::new(&base(&[(entry, "")]));
    let told = at("a", world.from("a", Packet::tcp(CLIENT, PEER, ACK)));
    assert_eq!(told.flags(), RST);
    // What may not go there is not told anything either.
    let text = text.replace("cidr = \"0.0.0.0/0\"", "cidr = \"10.9.0.0/16\"");
    let mut world = World::new(&text.replace("kind = \"normal\"", ""));
    none(world.from("a", Packet::tcp(CLIENT, PEER, ACK)));
}

#[test]
fn udp_and_ping_end_when_they_are_idle() {
    let mut c = Connection::new();
    c.world.from("a", Packet::udp(CLIENT, PEER));
    about(c.lasts(), 60);
    let mut c = Connection::new();
    c.world.from("a", Packet::ping(A, SERVER, 1));
    about(c.lasts(), 30);
    let mut c = Connection::new();
    c.world.from("a", Packet::other(47, A, B));
    about(c.lasts(), 60);
    // Answers refresh, too.
    let mut c = Connection::new();
    let out = at("wan", c.world.from("a", Packet::udp(CLIENT, PEER)));
    for _ in 0..4 {
        c.world.seconds(50);
        c.world.net(out.answer(0));
    }
    about(c.lasts(), 60);
}

#[test]
fn timeouts_are_the_gateways() {
    let text = format!(
        "{BASE}\n[nat_gateway.timeouts]\ntcp_established = 100\ntcp_transitory = 5\nudp = 7\nicmp = 3\n"
    );
    let mut c = Connection::of(&text);
    c.establish();
    about(c.lasts(), 100);
    let mut c = Connection::of(&text);
    c.out(SYN);
    about(c.lasts(), 5);
    let mut c = Connection::of(&text);
    c.world.from("a", Packet::udp(CLIENT, PEER));
    about(c.lasts(), 7);
    // Between instances the defaults hold.
    let mut c = Connection::of(&text);
    c.world.from("a", Packet::udp(CLIENT, (B, 1)));
    about(c.lasts(), 60);
    // A change holds for sessions that are there.
    let mut c = Connection::of(&text);
    c.world.from("a", Packet::udp(CLIENT, PEER));
    c.world.apply(BASE);
    about(c.lasts(), 60);
}
