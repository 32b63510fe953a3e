use super::*;
use std::net::IpAddr;

/// A query of dig: `www.Example.com A`, with EDNS and a cookie.
const QUERY: &[u8] = b"\x7c\x0d\x01\x20\0\x01\0\0\0\0\0\x01\x03www\x07Example\x03com\0\0\x01\0\x01\
    \0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08\xd9\x1c\x1f\x1a\x63\x0e\x7e\x2d";

/// `www.example.com` is `example.net`, that has two addresses; and there is another's.
const ANSWER: &[u8] =
    b"\x7c\x0d\x81\x80\0\x01\0\x04\0\0\0\0\x03www\x07Example\x03com\0\0\x01\0\x01\
    \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0d\x07example\x03net\0\
    \xc0\x2d\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01\
    \xc0\x2d\0\x01\0\x01\0\0\0\x0a\0\x04\xc0\0\x02\x02\
    \x05other\x07example\0\0\x01\0\x01\0\0\0\x0a\0\x04\xc0\0\x02\x03";

#[test]
fn a_query_is_read() {
    let query = Message::parse(QUERY).unwrap();
    assert_eq!((query.id, query.response), (0x7c0d, false));
    assert_eq!(
        (&*query.question.name, query.question.kind),
        ("www.example.com", 1)
    );
    assert!(query.addresses.is_empty());
    for end in 0..Header::LEN + 21 {
        assert_eq!(Message::parse(&QUERY[..end]), None);
    }
}

#[test]
fn aliases_are_followed_to_addresses() {
    let answer = Message::parse(ANSWER).unwrap();
    assert!(answer.response && answer.code == 0 && !answer.truncated);
    let found: Vec<(IpAddr, u32)> = answer
        .addresses
        .iter()
        .map(|it| (it.address, it.ttl))
        .collect();
    let address = |last| IpAddr::from([192, 0, 2, last]);
    assert_eq!(found, [(address(1), 60), (address(2), 10)]);
    // Of one that is cut short, what is whole.
    let cut = Message::parse(&ANSWER[..ANSWER.len() - 45]).unwrap();
    assert_eq!(cut.addresses.len(), 1);
}

#[test]
fn names_that_lead_to_themselves_end() {
    let pointer = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";
    assert_eq!(Message::parse(pointer), None);
    let long = [
        &b"\0\x01\x01\0\0\x01\0\0\0\0\0\0"[..],
        &[1; 600],
        b"\0\0\x01\0\x01",
    ]
    .concat();
    assert_eq!(Message::parse(&long), None);
    // Two aliases of each other.
    let aliases = b"\0\x01\x81\0\0\x01\0\x02\0\0\0\0\x01a\0\0\x01\0\x01\
        \x01a\0\0\x05\0\x01\0\0\0\x01\0\x03\x01b\0\x01b\0\0\x05\0\x01\0\0\0\x01\0\x03\x01a\0";
    assert!(Message::parse(aliases).unwrap().addresses.is_empty());
}

#[test]
fn a_refusal_repeats_the_question_only() {
    let refused = refuse(QUERY, false).unwrap();
    let answer = Message::parse(&refused).unwrap();
    assert_eq!((answer.id, answer.response, answer.code), (0x7c0d, true, 5));
    assert_eq!(answer.question.name, "www.example.com");
    // With the case of the query, which some resolvers vary to tell answers from forgeries.
    assert_eq!(refused[12..33], QUERY[12..33]);
    assert_eq!((refused.len(), refused[11]), (12 + 21 + 11, 1));
    let empty = Message::parse(&refuse(QUERY, true).unwrap()).unwrap();
    assert_eq!((empty.code, empty.addresses.len()), (0, 0));
    assert_eq!(refuse(ANSWER, false), None);
    // A name that points into the header would be another in the answer.
    let pointer = b"\x01a\0\0\0\x01\0\0\0\0\0\0\xc0\0\0\x01\0\x01";
    assert!(Message::parse(pointer).is_some() && refuse(pointer, false).is_none());
    assert_eq!(refuse(&QUERY[..20], false), None);
}

#[test]
fn messages_over_tcp_have_their_length_before_them() {
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
    let stream = [framed(QUERY), framed(ANSWER)].concat();
    assert_eq!(split(&stream), (vec![QUERY, ANSWER], stream.len()));
    assert_eq!(
        split(&stream[..stream.len() - 1]),
        (vec![QUERY], QUERY.len() + 2)
    );
    for port in [53, 5300] {
        let of = |client| {
            recognise(&Seen {
                client,
                server: &[],
                port,
                closed: false,
            })
        };
        for end in 0..QUERY.len() + 2 {
            assert_eq!(of(&stream[..end]), Match::More);
        }
        match of(&stream) {
            Match::Yes(identity) => assert_eq!(identity.domain.as_deref(), Some("www.example.com")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn other_ports_ask_for_more() {
    assert!(matches!(datagram(QUERY, 5300, true), Match::Yes(_)));
    assert_eq!(datagram(QUERY, 5353, true), Match::No);
    assert_eq!(datagram(ANSWER, 5300, true), Match::No);
    assert!(matches!(datagram(ANSWER, 53, true), Match::Yes(_)));
    assert_eq!(datagram(&[QUERY, b"x"].concat(), 5300, true), Match::No);
}
