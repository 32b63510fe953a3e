//! What the demo proves, and how what is seen is compared with what is expected.

use super::scenario::DOWNLOAD;
use super::stage::Output;
use crate::socket::protocol::StatsReport;
use engine::SessionView;
use std::net::Ipv4Addr;

/// What a command must show.
pub enum Expect {
    /// Success, and exactly this line.
    Line(String),
    /// That nothing comes back: curl gives up after its time.
    Silence,
    /// That the connection is reset: curl says so.
    Reset,
    /// Every ping answered.
    Replies(u32),
    /// These hops, in this order.
    Hops(&'static [&'static str]),
    /// Success, and a last line that begins with this.
    End(&'static str),
}

/// A proof: what it shows, the command, what must be seen.
pub struct Proof {
    /// What it shows, in a sentence.
    pub claim: &'static str,
    /// The command line.
    pub command: String,
    /// What must be seen.
    pub expect: Expect,
}

/// What comes before a command that runs on the Internet's side.
const OUTSIDE: &str = "ip netns exec sluice-demo-net";

/// All proofs that are a command and what it must show, in order.
pub fn proofs() -> Vec<Proof> {
    let sees = |server: &str, port: u16, address: &str| {
        Expect::Line(format!("{server} port {port} sees {address}"))
    };
    let curl = |place: &str, url: &str| format!("{place} curl -sS --max-time 5 http://{url}");
    let web = |n: u8, url: &str| curl(&format!("sluice exec web-{n} --"), url);
    let ping = |place: &str, to: &str| format!("{place} ping -n -c 3 -i 0.2 -W 2 {to}");
    let proof = |claim, command, expect| Proof {
        claim,
        command,
        expect,
    };
    vec![
        proof(
            "Port mapping: port 80 of eip-1 leads to web-1, which sees who asks",
            curl(OUTSIDE, "203.0.113.10/"),
            sees("web-1", 80, "198.51.100.9"),
        ),
        proof(
            "Port range: port 8003 of eip-1 leads to port 9003 of web-2",
            curl(OUTSIDE, "203.0.113.10:8003/"),
            sees("web-2", 9003, "198.51.100.9"),
        ),
        proof(
            "IP mapping: every port of eip-2 leads to web-2",
            curl(OUTSIDE, "203.0.113.11/"),
            sees("web-2", 80, "198.51.100.9"),
        ),
        proof(
            "SNAT: web-1 is seen on the Internet as eip-1",
            web(1, "198.51.100.7/"),
            sees("internet", 80, "203.0.113.10"),
        ),
        proof(
            "An IP mapping goes before SNAT: web-2 is seen as eip-2",
            web(2, "198.51.100.7/"),
            sees("internet", 80, "203.0.113.11"),
        ),
        proof(
            "Inside the VPC nothing is translated, and members of a security group reach each other",
            web(1, "192.168.2.20:8080/"),
            sees("web-2", 8080, "192.168.1.10"),
        ),
        proof(
            "Hairpin: web-2 reaches web-1 by its public address, and is seen by its own",
            web(2, "203.0.113.10/"),
            sees("web-1", 80, "203.0.113.11"),
        ),
        proof(
            "Hairpin: web-1 reaches itself by its public address",
            web(1, "203.0.113.10/"),
            sees("web-1", 80, "203.0.113.10"),
        ),
        proof(
            "NAT firewall: on one and the same address, one name is allowed",
            web(
                1,
                "www.shop.example/ --resolve www.shop.example:80:198.51.100.7",
            ),
            sees("internet", 80, "203.0.113.10"),
        ),
        proof(
            "NAT firewall: and another name is not",
            web(
                1,
                "www.ads.example/ --resolve www.ads.example:80:198.51.100.7",
            ),
            Expect::Reset,
        ),
        proof(
            "Ping from the Internet: eip-1 is answered by the gateway",
            ping(OUTSIDE, "203.0.113.10"),
            Expect::Replies(3),
        ),
        proof(
            "Ping from the Internet: eip-2 is answered by web-2",
            ping(OUTSIDE, "203.0.113.11"),
            Expect::Replies(3),
        ),
        proof(
            "Ping from an instance to the Internet",
            ping("sluice exec web-1 --", "198.51.100.7"),
            Expect::Replies(3),
        ),
        proof(
            "Traceroute from an instance: the gateway, the router, the server",
            "sluice exec web-1 -- traceroute -n -q 1 -N 1 -w 2 -m 6 198.51.100.7".into(),
            Expect::Hops(&["192.168.1.253", "203.0.113.1", "198.51.100.7"]),
        ),
        proof(
            "A download through the kernel's fast path",
            "sluice exec web-1 -- curl -sS --max-time 30 -o /dev/null -w %{size_download} \
             http://198.51.100.7/download"
                .into(),
            Expect::Line(DOWNLOAD.to_string()),
        ),
    ]
}

/// What the security group does not allow: it is proven by the counter too.
pub fn blocked() -> Proof {
    Proof {
        claim: "What the security group does not allow does not get in: port 8080 of web-2",
        command: format!("{OUTSIDE} curl -sS --max-time 2 http://203.0.113.11:8080/"),
        expect: Expect::Silence,
    }
}

/// Two packets that are only thought of.
pub fn traces() -> Vec<Proof> {
    vec![
        Proof {
            claim: "What would happen to a packet from web-1 to the Internet",
            command: "sluice trace --from web-1 --to 198.51.100.7:443/tcp".into(),
            expect: Expect::End("forwarded: arrives as 203.0.113.10:"),
        },
        Proof {
            claim: "What would happen to a packet from the Internet to SSH on web-2",
            command: "sluice trace --from 203.0.113.9:5555 --to eip-2:22/tcp".into(),
            expect: Expect::End("dropped: security_group_in"),
        },
    ]
}

impl Expect {
    /// Compares what a command printed; the error says what was expected.
    pub fn check(&self, seen: &Output) -> Result<(), String> {
        let succeeded = || match seen.code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("success, but it exits with {code}")),
            None => Err("success, but a signal ended it".to_owned()),
        };
        match self {
            Expect::Line(line) => {
                succeeded()?;
                same("", seen.stdout.trim(), line)
            }
            // 28 is curl's code for a time that ran out; a refusal would be 7.
            Expect::Silence => match seen.code {
                Some(28) => Ok(()),
                _ => Err("no answer at all (curl's exit code 28)".into()),
            },
            Expect::Reset => match seen.code {
                Some(56) => Ok(()),
                _ => Err("a connection that is reset (curl's exit code 56)".into()),
            },
            Expect::Replies(count) => {
                succeeded()?;
                match seen.stdout.contains(&format!(" {count} received")) {
                    true => Ok(()),
                    false => Err(format!("{count} received")),
                }
            }
            Expect::Hops(hops) => {
                succeeded()?;
                same(
                    "the hops ",
                    &hops_of(&seen.stdout).join(" "),
                    &hops.join(" "),
                )
            }
            Expect::End(begin) => {
                succeeded()?;
                match seen.stdout.lines().last() {
                    Some(last) if last.starts_with(begin) => Ok(()),
                    _ => Err(format!("a last line that begins with `{begin}`")),
                }
            }
        }
    }
}

fn same(what: &str, seen: &str, expected: &str) -> Result<(), String> {
    match seen == expected {
        true => Ok(()),
        false => Err(format!("{what}`{expected}`")),
    }
}

/// The addresses that traceroute prints, `*` where nobody answered.
fn hops_of(text: &str) -> Vec<&str> {
    let mut hops = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words
            .next()
            .is_some_and(|first| first.parse::<u8>().is_ok())
        {
            hops.extend(words.next());
        }
    }
    hops
}

/// Whether the sessions tell of the download: translated, counted, and forwarded by the kernel.
pub fn check_download(sessions: &[SessionView]) -> Result<(), String> {
    let eip = Ipv4Addr::new(203, 0, 113, 10);
    let download = sessions.iter().find(|session| {
        session.eni == "web-1" && session.translated.src == eip && session.bytes_in >= DOWNLOAD
    });
    match download {
        Some(session) if session.offloaded => Ok(()),
        Some(_) => Err("the download's session to be forwarded by the kernel".into()),
        None => Err(format!(
            "a session of web-1, translated to {eip}, that received at least {DOWNLOAD} bytes"
        )),
    }
}

/// How many packets were dropped for a reason.
pub fn dropped(stats: &StatsReport, reason: &str) -> u64 {
    let drops = stats.drops.iter().filter(|drop| drop.reason == reason);
    drops.map(|drop| drop.packets).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(code: i32, stdout: &str) -> Output {
        Output {
            code: Some(code),
            stdout: stdout.into(),
            stderr: String::new(),
        }
    }

    #[test]
    fn a_line_must_be_the_line() {
        let expect = Expect::Line("web-1 port 80 sees 198.51.100.9".into());
        let right = "web-1 port 80 sees 198.51.100.9\n";
        assert!(expect.check(&output(0, right)).is_ok());
        assert!(expect.check(&output(7, right)).is_err());
        assert!(
            expect
                .check(&output(0, "web-2 port 80 sees 198.51.100.9\n"))
                .is_err()
        );
        assert!(expect.check(&output(0, "")).is_err());
    }

    #[test]
    fn silence_is_neither_an_answer_nor_a_refusal() {
        assert!(Expect::Silence.check(&output(28, "")).is_ok());
        for code in [0, 7, 1] {
            assert!(Expect::Silence.check(&output(code, "")).is_err());
        }
    }

    #[test]
    fn a_reset_is_no_silence() {
        assert!(Expect::Reset.check(&output(56, "")).is_ok());
        for code in [0, 7, 28] {
            assert!(Expect::Reset.check(&output(code, "")).is_err());
        }
    }

    #[test]
    fn every_ping_must_be_answered() {
        let summary = |n| format!("3 packets transmitted, {n} received, 0% packet loss\n");
        assert!(Expect::Replies(3).check(&output(0, &summary(3))).is_ok());
        assert!(Expect::Replies(3).check(&output(0, &summary(2))).is_err());
        assert!(Expect::Replies(3).check(&output(0, &summary(13))).is_err());
        assert!(Expect::Replies(3).check(&output(1, &summary(3))).is_err());
    }

    #[test]
    fn hops_must_be_these_and_no_others() {
        let text = "traceroute to 198.51.100.7 (198.51.100.7), 6 hops max, 60 byte packets\n \
                    1  192.168.1.253  0.050 ms\n 2  203.0.113.1  0.080 ms\n 3  198.51.100.7  0.1 ms\n";
        let expect = Expect::Hops(&["192.168.1.253", "203.0.113.1", "198.51.100.7"]);
        assert!(expect.check(&output(0, text)).is_ok());
        let silent = text.replace("203.0.113.1  0.080 ms", "*");
        assert!(expect.check(&output(0, &silent)).is_err());
        let more = format!("{text} 4  198.51.100.8  0.1 ms\n");
        assert!(expect.check(&output(0, &more)).is_err());
    }

    #[test]
    fn the_end_must_begin_so() {
        let expect = Expect::End("dropped: security_group_in");
        assert!(
            expect
                .check(&output(0, "STEP\n\ndropped: security_group_in\n"))
                .is_ok()
        );
        assert!(expect.check(&output(0, "STEP\n\nforwarded\n")).is_err());
        assert!(expect.check(&output(0, "")).is_err());
    }

    #[test]
    fn drops_are_counted_by_reason() {
        let drop = |reason: &str, packets| engine::DropView {
            reason: reason.into(),
            meaning: String::new(),
            packets,
        };
        let stats = StatsReport {
            drops: vec![drop("no_route", 2), drop("security_group_in", 3)],
            ..StatsReport::default()
        };
        assert_eq!(dropped(&stats, "security_group_in"), 3);
        assert_eq!(dropped(&stats, "spoofed"), 0);
    }
}
