//! What a STUN server finds out about the NAT (RFC 5780) is what we promise.

use lab::site::{SERVER, SERVER_2};
use lab::{Host, Lab, Site, config, in_both_hooks, servers};

/// What `turnutils_natdiscovery` says about mapping and filtering.
fn discover(host: &Host) -> String {
    let text = host.ok(&format!("turnutils_natdiscovery -m -f {SERVER}"));
    assert!(text.contains("203.0.113.11"), "{text}");
    text
}

in_both_hooks! {
    fn mapping_and_filtering_are_as_promised(hook) {
        let lab = Lab::new("stun");
        let site = Site::new(&lab, hook);
        let closed = site.standard();
        let all_in = "rule = [\n{ direction = \"ingress\", protocol = \"udp\", cidr = \"0.0.0.0/0\" },";
        let endpoint_independent = "filtering = \"endpoint-independent\"\n";
        let open = closed
            .replace(
                config::GATEWAY,
                &(config::GATEWAY.to_owned() + endpoint_independent),
            )
            .replace("rule = [", all_in);
        let gateway = site.gateway(&closed);
        let instance = gateway.instance("web-1");
        let _server = servers::stun(&site.server, [SERVER, SERVER_2]);

        let text = discover(&instance);
        assert!(
            text.contains("NAT with Endpoint Independent Mapping"),
            "{text}"
        );
        assert!(
            text.contains("NAT with Address and Port Dependent Filtering"),
            "{text}"
        );
        gateway.apply(&closed.replace(
            config::GATEWAY,
            &(config::GATEWAY.to_owned() + "mapping = \"address-and-port-dependent\"\n"),
        ));
        let text = discover(&instance);
        assert!(
            text.contains("NAT with Address and Port Dependent Mapping"),
            "{text}"
        );
        gateway.apply(&open);
        let text = discover(&instance);
        assert!(
            text.contains("NAT with Endpoint Independent Mapping"),
            "{text}"
        );
        assert!(
            text.contains("NAT with Endpoint Independent Filtering"),
            "{text}"
        );
    }
}
