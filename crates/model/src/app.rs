//! Applications, as policies and records name them.

use crate::text::UnknownWord;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! apps {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// What a stream speaks. The words are the cloud's where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum App { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl App {
            /// All of them.
            pub const ALL: &'static [App] = &[$(App::$variant),+];

            /// Its word.
            pub fn name(self) -> &'static str {
                match self { $(App::$variant => $word),+ }
            }
        }

        impl FromStr for App {
            type Err = UnknownWord;

            /// Reads a word, in upper or lower case.
            fn from_str(given: &str) -> Result<App, UnknownWord> {
                let found = App::ALL.iter().find(|app| app.name().eq_ignore_ascii_case(given));
                found.copied().ok_or_else(|| UnknownWord {
                    given: given.into(),
                    expected: &[$($word),+],
                })
            }
        }
    };
}

apps! {
    /// DNS, over UDP or TCP.
    Dns = "DNS",
    /// FTP: control and, as related, data connections.
    Ftp = "FTP",
    /// HTTP in the clear.
    Http = "HTTP",
    /// TLS to port 443.
    Https = "HTTPS",
    /// IMAP in the clear.
    Imap = "IMAP",
    /// TLS to port 993.
    Imaps = "IMAPS",
    /// Memcached.
    Memcache = "Memcache",
    /// MongoDB.
    MongoDb = "MongoDB",
    /// MQTT.
    Mqtt = "MQTT",
    /// MySQL.
    MySql = "MySQL",
    /// POP3 in the clear.
    Pop3 = "POP3",
    /// TLS to port 995.
    Pops = "POPS",
    /// QUIC.
    Quic = "QUIC",
    /// Remote desktop.
    Rdp = "RDP",
    /// Redis.
    Redis = "Redis",
    /// SMTP in the clear.
    Smtp = "SMTP",
    /// TLS to port 465.
    Smtps = "SMTPS",
    /// SSH.
    Ssh = "SSH",
    /// TLS to any other port.
    Ssl = "SSL",
    /// TLS whose server shows no certificate.
    SslNoCert = "SSL_No_Cert",
    /// VNC.
    Vnc = "VNC",
}

impl App {
    /// Whether streams of it carry a domain name that policies can look at (Host, SNI).
    pub fn has_domain(self) -> bool {
        matches!(
            self,
            App::Http
                | App::Https
                | App::Smtp
                | App::Smtps
                | App::Ssl
                | App::Pops
                | App::Imaps
                | App::Quic
        )
    }

    /// Whether it goes over TCP.
    pub fn over_tcp(self) -> bool {
        self != App::Quic
    }

    /// Whether it goes over UDP.
    pub fn over_udp(self) -> bool {
        matches!(self, App::Dns | App::Quic)
    }

    /// What TLS to a port is called.
    pub fn tls(port: u16) -> App {
        match port {
            443 => App::Https,
            465 => App::Smtps,
            993 => App::Imaps,
            995 => App::Pops,
            _ => App::Ssl,
        }
    }
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
