//! FTP: a control connection that tells where the data are. In passive mode no helper is needed, outwards by SNAT or
//! inwards by a range of ports; in active mode the client tells an address that leads to it.

use lab::servers::{self, get};
use lab::site::SERVER;
use lab::{Lab, Site, config, in_both_hooks, wait_for};

in_both_hooks! {
    fn passive_ftp_works_out_and_in(hook) {
        let lab = Lab::new("ftp");
        let site = Site::new(&lab, hook);
        let gateway = site.gateway(
            &(site.standard()
                + &config::dnat("eip-2", "tcp", "21", "web-1", "21")
                + &config::dnat("eip-2", "tcp", "\"9000-9019\"", "web-1", "\"9000-9019\"")),
        );
        let instance = gateway.instance("web-1");
        let _outside = servers::ftp(&site.server, SERVER, 9000, 9019, b"outside");
        let _inside = servers::ftp(&instance, "203.0.113.12", 9000, 9019, b"inside");
        for _ in 0..5 {
            assert_eq!(
                get(&instance, &format!("ftp://{SERVER}/pub/file")),
                "outside"
            );
            assert_eq!(get(&site.client, "ftp://203.0.113.12/pub/file"), "inside");
        }
        let listing = get(&site.client, "ftp://203.0.113.12/pub/");
        assert!(listing.contains("file"), "{listing}");
    }
}

/// A client in active mode that has the server come to `argv[2]`, port 9000.
const ACTIVE: &str = "
import ftplib, socket, sys
listener = socket.create_server(('', 9000))
class Active(ftplib.FTP):
    def makeport(self):
        self.sendport(sys.argv[2], 9000)
        return listener
client = Active(sys.argv[1], timeout=8)
client.set_pasv(False)
client.login()
client.retrbinary('RETR pub/file', sys.stdout.buffer.write)
";

in_both_hooks! {
    /// A policy that allows FTP allows its data connections, whatever is denied below.
    fn data_connections_are_ftp_to_the_firewall(hook) {
        let lab = Lab::new("fw-ftp");
        let site = Site::new(&lab, hook);
        let policies = |app: &str| {
            let ftp = format!("protocol = \"tcp\"; applications = [\"{app}\"]; action = \"accept\"");
            site.standard()
                + &config::dnat("eip-1", "tcp", "9000", "web-1", "9000")
                + &config::firewall("mode = \"strict\"\ninbound = true")
                + &config::policy(&ftp)
                + &config::policy("action = \"drop\"")
        };
        let gateway = site.gateway(&policies("FTP"));
        let instance = gateway.instance("web-1");
        let _server = servers::ftp(&site.server, SERVER, 9000, 9019, b"the file");
        // By PASV and by EPSV.
        for more in ["--disable-epsv", ""] {
            let url = format!("{more} ftp://{SERVER}/pub/file");
            assert_eq!(get(&instance, &url), "the file");
        }
        let script = instance.write("active.py", ACTIVE);
        let active = format!("python3 {} {SERVER} 203.0.113.11", script.display());
        assert_eq!(instance.ok(&active), "the file");
        wait_for("records of data connections both ways", 20.0, || {
            let records = gateway.cli("records --json --limit 100").ok();
            let related = |way: &str| {
                let way = format!("\"direction\":\"{way}\"");
                let mut lines = records.lines();
                lines.any(|it| it.contains(&way) && it.contains("\"identified\":\"related\""))
            };
            related("out") && related("in")
        });
        // It is the policy that lets them pass.
        gateway.apply(&policies("SSH"));
        instance.fails(&format!("curl -sS -m 5 ftp://{SERVER}/pub/file"));
        instance.fails(&active);
    }
}
