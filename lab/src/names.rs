//! Servers that have names: web servers that tell several of them apart, name servers, mail servers.

use crate::host::Host;
use crate::program::Program;
use crate::servers::wait_open;
use std::fs;

/// Makes a certificate for names that signs itself; the paths of certificate and key.
#[track_caller]
pub fn certificate(host: &Host, names: &[&str]) -> [String; 2] {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let [certificate, key] =
        ["certificate.pem", "key.pem"].map(|it| host.file(it).display().to_string());
    host.ok(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab \
         -addext subjectAltName={} -keyout {key} -out {certificate}",
        names.join(",")
    ));
    [certificate, key]
}

/// An nginx with several names on one address: HTTP on port 80, HTTPS with HTTP/2 on 443.
#[derive(Debug)]
pub struct Names {
    _nginx: Program,
}

impl Names {
    /// Starts it. Every page says `NAME PROTOCOL`.
    pub fn start(host: &Host, names: &[&str]) -> Names {
        let dir = host.file("names");
        fs::create_dir_all(&dir).unwrap();
        let [certificate, key] = certificate(host, names);
        let server = |name: &str| {
            format!(
                "server {{
                    listen 80;
                    listen 443 ssl http2;
                    server_name {name};
                    location / {{ return 200 '{name} $server_protocol\\n'; }}
                }}\n"
            )
        };
        let servers: String = names.iter().map(|name| server(name)).collect();
        let config = format!(
            "daemon off;
            user root;
            pid {dir}/pid;
            error_log stderr warn;
            worker_processes 1;
            worker_rlimit_nofile 65536;
            events {{ worker_connections 32768; }}
            http {{
                access_log off;
                ssl_certificate {certificate};
                ssl_certificate_key {key};
                ssl_protocols TLSv1.2 TLSv1.3;
                client_header_timeout 120;
                client_body_temp_path {dir}/body;
                proxy_temp_path {dir}/proxy;
                fastcgi_temp_path {dir}/fastcgi;
                uwsgi_temp_path {dir}/uwsgi;
                scgi_temp_path {dir}/scgi;
                default_type text/plain;
                {servers}
            }}",
            dir = dir.display(),
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        let nginx = host.spawn(&format!("nginx -p {0} -c {0}/nginx.conf", dir.display()));
        wait_open(host, &nginx, "127.0.0.1:443");
        Names { _nginx: nginx }
    }
}

/// The command line of a client that asks the server at `address` for a page of a name.
pub fn curl(scheme: &str, name: &str, address: &str, more: &str) -> String {
    format!(
        "curl -sS -k -m 10 --resolve {name}:80:{address} --resolve {name}:443:{address} {more} {scheme}://{name}/"
    )
}

/// Starts a name server that knows these names, each with an address, and gives answers for a minute.
pub fn dns(host: &Host, names: &[(&str, &str)]) -> Program {
    let records: String = names
        .iter()
        .map(|(name, address)| format!(" --host-record={name},{address},60"))
        .collect();
    let server = host.spawn(&format!(
        "dnsmasq --keep-in-foreground --no-resolv --no-hosts --port=53 --user=root --pid-file={}{records}",
        host.file("dnsmasq.pid").display()
    ));
    wait_open(host, &server, "127.0.0.1:53");
    server
}

/// Asks a name server for a name with `dig`: what it answered with and the addresses, e.g. `NOERROR 192.0.2.1`.
#[track_caller]
pub fn dig(host: &Host, server: &str, name: &str) -> String {
    let text = host.ok(&format!("dig +time=3 +tries=1 @{server} {name} A"));
    let status = text.split("status: ").nth(1).unwrap_or_default();
    let status = status.split(',').next().unwrap_or_default();
    let answers = text.split("ANSWER SECTION:").nth(1).unwrap_or_default();
    let answers = answers.lines().skip(1).take_while(|line| !line.is_empty());
    let addresses = answers.filter_map(|line| line.split_whitespace().last());
    let words: Vec<&str> = std::iter::once(status).chain(addresses).collect();
    words.join(" ")
}

/// Starts a mail server, aiosmtpd, on port 25 that speaks TLS when it is asked to (STARTTLS).
pub fn smtp(host: &Host, names: &[&str]) -> Program {
    let [certificate, key] = certificate(host, names);
    let server = host.spawn(&format!(
        "aiosmtpd --nosetuid --listen 0.0.0.0:25 --tlscert {certificate} --tlskey {key}"
    ));
    wait_open(host, &server, "127.0.0.1:25");
    server
}

/// Starts a Redis server on port 6379.
pub fn redis(host: &Host) -> Program {
    let server = host.spawn(&format!(
        "redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' --dir {}",
        host.file(".").parent().unwrap().display()
    ));
    wait_open(host, &server, "127.0.0.1:6379");
    server
}

/// Starts a MariaDB server on port 3306 that has no databases and asks nobody for a password.
pub fn mysql(host: &Host) -> Program {
    let dir = host.file("mysql");
    fs::create_dir_all(&dir).unwrap();
    let server = host.spawn(&format!(
        "mariadbd --no-defaults --user=root --datadir={0} --socket={0}/socket --pid-file={0}/pid \
         --bind-address=0.0.0.0 --port=3306 --skip-name-resolve --skip-grant-tables \
         --skip-innodb --default-storage-engine=Aria --aria-pagecache-buffer-size=128K",
        dir.display()
    ));
    wait_open(host, &server, "127.0.0.1:3306");
    server
}
