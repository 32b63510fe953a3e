//! FTP in passive mode: a control connection that tells where the data are. No helper is needed, outwards
//! by SNAT or inwards by a range of ports.

use lab::servers::{self, get};
use lab::site::SERVER;
use lab::{Lab, Site, config};

#[test]
fn passive_ftp_works_out_and_in() {
    let lab = Lab::new("ftp");
    let site = Site::new(&lab, "auto");
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
