//! Each protocol, allowed and denied by each kind of policy, in both modes, with real clients and servers.

use lab::names::{self, Names, curl, dig};
use lab::quic::Web3;
use lab::servers::Ssh;
use lab::site::{SERVER, SERVER_2};
use lab::{Host, Lab, Site, config};

/// Which clients a policy means: they go to addresses of their own, speak applications of their own, and tell names of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    One,
    Other,
}

impl Half {
    fn server(self) -> &'static str {
        match self {
            Half::One => SERVER,
            Half::Other => SERVER_2,
        }
    }

    /// A name that stands for the server.
    fn name(self) -> &'static str {
        match self {
            Half::One => "one.test",
            Half::Other => "other.test",
        }
    }
}

/// What a policy goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Address,
    Application,
    /// The name that is told.
    Domain,
    /// The name that the client was answered the address for.
    DomainByDns,
}

/// How a client asks, and how it is known that it was answered.
enum Ask {
    Program(String, &'static str),
    Http3,
}

struct Client {
    half: Half,
    over: &'static str,
    app: &'static str,
    /// The name that it tells.
    name: Option<&'static str>,
    /// It is TLS, and tells no name: which one it is for cannot be known.
    nameless: bool,
    ask: Ask,
}

const NAMES: [&str; 7] = [
    "http.test",
    "tls12.test",
    "tls13.test",
    "http2.test",
    "s-client.test",
    "http3.test",
    "mail.test",
];

/// How long a client waits that is not answered, in seconds.
const PATIENCE: u32 = 4;

fn clients(ssh: &Ssh) -> Vec<Client> {
    use Half::{One, Other};
    let tcp = |half: Half, app, name, line: String, sign| Client {
        half,
        over: "tcp",
        app,
        name,
        nameless: false,
        ask: Ask::Program(format!("timeout {PATIENCE} {line}"), sign),
    };
    let page = |scheme, name, half: Half, more| curl(scheme, name, half.server(), more);
    let https = |name, more| {
        tcp(
            Other,
            "HTTPS",
            Some(name),
            page("https", name, Other, more),
            name,
        )
    };
    let s_client =
        |more: &str| format!("openssl s_client -connect {SERVER_2}:443 {more} </dev/null");
    let mail = format!(
        "openssl s_client -connect {SERVER_2}:25 -starttls smtp -servername mail.test </dev/null 2>/dev/null"
    );
    let (cert, dns) = ("BEGIN CERTIFICATE", "192.0.2.1");
    let dig = format!("dig +short +time={PATIENCE} +tries=1 @{SERVER} a.test");
    vec![
        tcp(
            One,
            "HTTP",
            Some("http.test"),
            page("http", "http.test", One, ""),
            "http.test",
        ),
        https("tls12.test", "--http1.1 --tls-max 1.2"),
        https("tls13.test", "--http1.1 --tlsv1.3"),
        https("http2.test", "--http2 --tlsv1.3"),
        tcp(
            Other,
            "HTTPS",
            Some("s-client.test"),
            s_client("-servername s-client.test"),
            cert,
        ),
        Client {
            nameless: true,
            ..tcp(Other, "HTTPS", None, s_client("-noservername"), cert)
        },
        Client {
            over: "udp",
            ask: Ask::Http3,
            ..tcp(One, "QUIC", Some("http3.test"), String::new(), "")
        },
        tcp(
            One,
            "SSH",
            None,
            ssh.client(SERVER) + " echo hello",
            "hello",
        ),
        tcp(
            One,
            "MySQL",
            None,
            format!("mariadb --skip-ssl -h {SERVER} -u x -py -e 'select version()' 2>&1"),
            "MariaDB",
        ),
        tcp(
            Other,
            "Redis",
            None,
            format!("redis-cli -h {SERVER_2} ping"),
            "PONG",
        ),
        tcp(Other, "SMTP", Some("mail.test"), mail, cert),
        tcp(One, "DNS", None, format!("{dig} +tcp"), dns),
        Client {
            over: "udp",
            ..tcp(One, "DNS", None, dig, dns)
        },
    ]
}

impl Client {
    fn is_answered(&self, host: &Host, web3: &Web3) -> bool {
        match (&self.ask, self.name) {
            (Ask::Program(line, sign), _) => host.run(line).stdout.contains(sign),
            (Ask::Http3, Some(name)) => web3.get(host, name, self.half.server()).is_ok(),
            (Ask::Http3, None) => unreachable!("HTTP/3 tells a name"),
        }
    }

    /// Whether a kind of policy can mean it, or not mean it, by what it is.
    fn is_for(&self, kind: Kind) -> bool {
        // By DNS, questions are let pass before.
        kind != Kind::DomainByDns || self.app != "DNS"
    }

    /// A policy that means it.
    fn policy(&self, kind: Kind, action: &str) -> Option<String> {
        let (over, app, half) = (self.over, self.app, self.half);
        let says = match kind {
            Kind::Address => format!("destination = \"{}/32\"", half.server()),
            Kind::Application => format!("protocol = \"{over}\"; applications = [\"{app}\"]"),
            Kind::Domain if over == "udp" => {
                format!(
                    "domain = \"{}\"; protocol = \"udp\"; applications = [\"QUIC\"]",
                    self.name?
                )
            }
            Kind::Domain => format!("domain = \"{}\"; protocol = \"tcp\"", self.name?),
            Kind::DomainByDns => format!("domain = \"{}\"; resolve = \"dns\"", half.name()),
        };
        Some(config::policy(&format!("{says}; action = \"{action}\"")))
    }

    /// Whether it comes through, if only what policies of a kind mean about a half of all is dropped, or nothing else.
    fn passes(&self, kind: Kind, half: Half, action: &str, mode: &str) -> bool {
        let dropped = action == "drop";
        if kind == Kind::Domain && self.name.is_none() {
            // Nobody means it; but what might be for each name is allowed in loose mode.
            return dropped || self.nameless && mode == "loose";
        }
        (self.half == half) != dropped
    }
}

fn with(site: &Site, mode: &str, policies: &str) -> String {
    let firewall = config::firewall(&format!("mode = \"{mode}\""));
    site.no_nat() + config::SHORT + config::SNAT + &firewall + policies
}

#[test]
fn each_protocol_is_allowed_and_denied_by_each_kind_of_policy_in_both_modes() {
    let lab = Lab::new("fw-protocols");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&with(&site, "loose", ""));
    let instance = gateway.instance("web-1");
    let _names = Names::start(&site.server, &NAMES);
    let web3 = Web3::start(&site.server, &NAMES);
    let _redis = names::redis(&site.server);
    let _mysql = names::mysql(&site.server);
    let _smtp = names::smtp(&site.server, &NAMES);
    let one = (Half::One.name(), Half::One.server());
    let other = (Half::Other.name(), Half::Other.server());
    let _dns = names::dns(&site.server, &[("a.test", "192.0.2.1"), one, other]);
    let ssh = Ssh::start(&site.server);
    let clients = clients(&ssh);
    let questions = config::policy("protocol = \"udp\"; ports = 53; action = \"accept\"");
    let rest = config::policy("action = \"drop\"");

    // All at once; who should come through may try again, since the machine may be busy.
    let check = |what: &str, expected: &dyn Fn(&Client) -> Option<bool>| {
        std::thread::scope(|scope| {
            let asked = clients.iter().filter_map(|it| Some((it, expected(it)?)));
            let asked: Vec<_> = asked
                .map(|(client, passes)| {
                    let (instance, web3) = (&instance, &web3);
                    let ask = move || {
                        let times = if passes { 3 } else { 1 };
                        (0..times).any(|_| client.is_answered(instance, web3))
                    };
                    (client, passes, scope.spawn(ask))
                })
                .collect();
            for (client, passes, answered) in asked {
                let (app, over, name) = (client.app, client.over, client.name);
                let answered = answered.join().unwrap();
                assert_eq!(answered, passes, "{what}: {app} over {over}, {name:?}");
            }
        });
    };
    check("without policies", &|_| Some(true));
    for mode in ["loose", "strict"] {
        for kind in [
            Kind::Address,
            Kind::Application,
            Kind::Domain,
            Kind::DomainByDns,
        ] {
            for half in [Half::One, Half::Other] {
                for action in ["drop", "accept"] {
                    let mut policies: Vec<String> = clients
                        .iter()
                        .filter(|it| it.half == half && it.is_for(kind))
                        .filter_map(|it| it.policy(kind, action))
                        .collect();
                    policies.dedup();
                    if kind == Kind::DomainByDns {
                        policies.insert(0, questions.clone());
                    }
                    if action == "accept" {
                        policies.push(rest.clone());
                    }
                    gateway.apply(&with(&site, mode, &policies.concat()));
                    if kind == Kind::DomainByDns {
                        for it in [Half::One, Half::Other] {
                            let told = dig(&instance, SERVER, it.name());
                            assert_eq!(told, format!("NOERROR {}", it.server()));
                        }
                    }
                    let what = format!("{mode}, {kind:?}: {action} {half:?}");
                    check(&what, &|it| {
                        it.is_for(kind).then(|| it.passes(kind, half, action, mode))
                    });
                }
            }
        }
    }
}
