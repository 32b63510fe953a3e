//! Servers that people run.

use crate::host::Host;
use crate::program::Program;
use crate::wait::wait_for;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take to start, in seconds.
const START: f64 = 10.0;

/// Waits until a TCP port of an address of the host's own is open.
pub(crate) fn wait_open(host: &Host, server: &Program, address: &str) {
    let to: SocketAddr = address.parse().unwrap();
    wait_for(&format!("{address} to be open"), START, || {
        assert!(
            server.ended().is_none(),
            "the server ended: {}",
            server.stderr()
        );
        let attempt = || TcpStream::connect_timeout(&to, Duration::from_millis(200)).is_ok();
        host.inside(attempt)
    });
}

/// An nginx.
#[derive(Debug)]
pub struct Web {
    host: Host,
    _nginx: Program,
}

impl Web {
    /// Starts one that listens on `ports`. Every page says `HOST PORT CLIENT`: the host's name, the port
    /// that was asked, and the client's address. Files are found under `/files/`.
    pub fn start(host: &Host, ports: &[u16]) -> Web {
        let dir = host.file("nginx");
        fs::create_dir_all(dir.join("files")).unwrap();
        let listen: String = ports.iter().map(|p| format!("listen {p};\n")).collect();
        let config = format!(
            "daemon off;
            user root;
            pid {dir}/pid;
            error_log stderr warn;
            worker_processes 1;
            worker_rlimit_nofile 65536;
            events {{ worker_connections 16384; }}
            http {{
                log_format plain '$remote_addr:$remote_port $server_port $status $request';
                access_log {dir}/access.log plain;
                client_body_temp_path {dir}/body;
                proxy_temp_path {dir}/proxy;
                fastcgi_temp_path {dir}/fastcgi;
                uwsgi_temp_path {dir}/uwsgi;
                scgi_temp_path {dir}/scgi;
                server {{
                    {listen}
                    default_type text/plain;
                    location / {{ return 200 '{name} $server_port $remote_addr\\n'; }}
                    location /files/ {{ root {dir}; }}
                }}
            }}",
            dir = dir.display(),
            name = host.name(),
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        let nginx = host.spawn(&format!("nginx -p {0} -c {0}/nginx.conf", dir.display()));
        wait_open(host, &nginx, &format!("127.0.0.1:{}", ports[0]));
        let web = Web {
            host: host.clone(),
            _nginx: nginx,
        };
        // The knock at the door above is in the log.
        fs::write(web.host.file("nginx/access.log"), "").unwrap();
        web
    }

    /// Makes a file of so many bytes, none of them like its neighbour, at `/files/NAME`.
    pub fn publish(&self, name: &str, bytes: usize) -> Vec<u8> {
        let content: Vec<u8> = (0..bytes as u64)
            .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        fs::write(self.host.file("nginx/files").join(name), &content).unwrap();
        content
    }

    /// The log up to now, a line for each request: `CLIENT:PORT PORT STATUS REQUEST`.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.host.file("nginx/access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Fetches a page.
#[track_caller]
pub fn get(host: &Host, url: &str) -> String {
    host.ok(&format!("curl -sS -m 10 {url}"))
}

/// Tries to fetch a page for a second, and gives what went wrong.
#[track_caller]
pub fn cannot_get(host: &Host, url: &str) -> String {
    host.fails(&format!("curl -sS -m 1 {url}"))
}

/// Fetches a file of a [`Web`] server and compares it with what was published.
#[track_caller]
pub fn fetch(host: &Host, url: &str, content: &[u8]) {
    let path = host.file("fetched");
    host.ok(&format!("curl -sS -m 20 -o {} {url}", path.display()));
    assert!(
        fs::read(path).unwrap() == content,
        "{url} is not what was published"
    );
}

/// Starts an FTP server: anonymous, passive data ports `from..=to`, one file `pub/file`. `public` is the address that
/// it tells its clients to come to.
pub fn ftp(host: &Host, public: &str, from: u16, to: u16, file: &[u8]) -> Program {
    let root = host.file("ftp");
    fs::create_dir_all(root.join("pub")).unwrap();
    fs::create_dir_all(host.file("ftp-empty")).unwrap();
    fs::write(root.join("pub/file"), file).unwrap();
    let config = host.write(
        "vsftpd.conf",
        format!(
            "listen=YES\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\n\
             anon_root={}\nsecure_chroot_dir={}\nftp_username=daemon\nport_enable=YES\npasv_enable=YES\n\
             pasv_address={public}\npasv_min_port={from}\npasv_max_port={to}\nseccomp_sandbox=NO\n\
             xferlog_enable=NO\none_process_model=NO\n",
            root.display(),
            host.file("ftp-empty").display()
        ),
    );
    let server = host.spawn(&format!("vsftpd {}", config.display()));
    wait_open(host, &server, "127.0.0.1:21");
    server
}

/// Starts a STUN server on two addresses, so that it can tell a NAT's behaviour (RFC 5780).
pub fn stun(host: &Host, addresses: [&str; 2]) -> Program {
    let [first, second] = addresses;
    let server = host.spawn(&format!(
        "turnserver -n -S -z -L {first} -L {second} --no-tls --no-dtls --no-cli --simple-log \
         --log-file stdout --pidfile {} --userdb {}",
        host.file("turnserver.pid").display(),
        host.file("turnserver.db").display(),
    ));
    wait_open(host, &server, &format!("{first}:3478"));
    server
}

/// An SSH server and a client that may log in.
#[derive(Debug)]
pub struct Ssh {
    key: String,
    _server: Program,
}

impl Ssh {
    /// Starts the server on port 22.
    pub fn start(host: &Host) -> Ssh {
        // sshd wants it for the processes that it does not trust.
        fs::create_dir_all("/run/sshd").unwrap();
        let file = |name: &str| host.file(name).display().to_string();
        for key in ["host-key", "user-key"] {
            host.ok(&format!("ssh-keygen -q -t ed25519 -N '' -f {}", file(key)));
        }
        // What the machine's users have their shells do at the start is none of ours, and may take long.
        let config = host.write(
            "sshd_config",
            format!(
                "Port 22\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile {}\nStrictModes no\n\
                 UsePAM no\nPermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n\
                 SetEnv HOME=/nonexistent\n",
                file("host-key"),
                file("user-key"),
                file("sshd.pid"),
            ),
        );
        let server = host.spawn(&format!("/usr/sbin/sshd -D -e -f {}", config.display()));
        wait_open(host, &server, "127.0.0.1:22");
        Ssh {
            key: file("user-key"),
            _server: server,
        }
    }

    /// The client's command line, to which a remote command is added.
    pub fn client(&self, address: &str) -> String {
        format!(
            "ssh -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes root@{address}",
            self.key
        )
    }
}
