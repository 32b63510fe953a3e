//! Bringing Linux and the configuration together: what is made, what is left alone, what is undone.

use crate::common::Scratch;
use crate::common::site::Site;
use datapath::links::Links;
use datapath::{Datapath, Error, Feature, PortStatus};
use engine::PortRef;

/// What must not change when nothing about a port changes.
fn identity(ports: &[PortStatus]) -> Vec<(PortRef, String, u32, u16, [u8; 6])> {
    let identity = |p: &PortStatus| (p.port.clone(), p.device.clone(), p.ifindex, p.zone, p.mac);
    ports.iter().map(identity).collect()
}

fn port<'a>(ports: &'a [PortStatus], id: &str) -> &'a PortStatus {
    let is = |p: &&PortStatus| match &p.port {
        PortRef::Eni(eni) => eni == id,
        PortRef::Uplink(uplink) => uplink == id,
    };
    ports.iter().find(is).expect("the port should be there")
}

#[test]
fn everything_is_made_as_configured_and_removed_whole() {
    let site = Site::new();
    let datapath = site.open(&site.config("", "")).unwrap();
    let ports = datapath.ports().unwrap();
    assert_eq!(ports.len(), 3);
    let (wan, web) = (port(&ports, "wan"), port(&ports, "web-1"));
    assert_eq!((wan.device.as_str(), wan.zone, wan.mtu), ("wan", 1, 1500));
    assert_eq!((wan.driver.as_str(), &wan.namespace), ("veth", &None));
    assert!(web.zone > 1 && web.zone != port(&ports, "web-2").zone);
    assert_eq!(web.namespace, Some(site.namespace("web-1")));
    assert!(ports.iter().all(|port| port.up));

    let address = site.run("web-1", "ip -4 -o addr show eth0");
    assert!(address.contains("192.168.1.10/24"), "{address}");
    let route = site.run("web-1", "ip -4 route show default");
    assert!(
        route.starts_with("default via 192.168.1.253 dev eth0"),
        "{route}"
    );
    let features = site.run("web-1", "ethtool -k eth0");
    assert!(
        features.contains("generic-receive-offload: on"),
        "{features}"
    );
    assert!(features.contains("tx-checksumming: on"), "{features}");
    assert_eq!(site.run("web-1", "ip -6 addr show dev eth0"), "");
    assert!(site.run("web-1", "ip link show lo").contains("LOOPBACK,UP"));
    let link = site.home.run(&format!("ip link show {}", web.device));
    assert!(
        link.contains(&format!("alias sluice:{}:web-1", site.system)),
        "{link}"
    );

    datapath.remove().unwrap();
    assert_eq!(site.traces(), Vec::<String>::new());
    assert!(
        site.home.run("ip link show wan").contains("UP"),
        "not ours to delete"
    );
}

#[test]
fn a_second_start_and_a_second_apply_change_nothing() {
    let site = Site::new();
    let config = site.config("", "");
    let datapath = site.open(&config).unwrap();
    let before = identity(&datapath.ports().unwrap());
    let far = site.nic("web-1", "eth0");
    datapath.apply(&config).unwrap();
    assert_eq!(identity(&datapath.ports().unwrap()), before);
    drop(datapath);

    assert_eq!(
        site.traces().len(),
        5,
        "two namespaces, two pairs, the pins: {:?}",
        site.traces()
    );
    let datapath = site.open(&config).unwrap();
    assert_eq!(identity(&datapath.ports().unwrap()), before);
    let now = site.nic("web-1", "eth0");
    assert_eq!(
        (now.index, now.mac, now.peer),
        (far.index, far.mac, far.peer)
    );
}

#[test]
fn what_a_change_does_not_concern_is_left_alone() {
    let site = Site::new();
    let datapath = site.open(&site.config("", "")).unwrap();
    let before = datapath.ports().unwrap();
    let kept = |ports: &[PortStatus]| {
        identity(&[port(ports, "wan").clone(), port(ports, "web-1").clone()])
    };

    let more = r#"
        [[instance]]
        id = "web-3"
        vswitch = "vsw-1"
        address = "192.168.1.30"
        mtu = 1400
    "#;
    datapath.apply(&site.config("", more)).unwrap();
    let with = datapath.ports().unwrap();
    assert_eq!((with.len(), kept(&with)), (4, kept(&before)));
    assert_eq!(site.nic("web-3", "eth0").mtu, 1400);

    let gone = port(&with, "web-2").clone();
    datapath
        .apply(&site.config_without("web-2", "", more))
        .unwrap();
    let without = datapath.ports().unwrap();
    assert_eq!((without.len(), kept(&without)), (3, kept(&before)));
    assert!(!datapath::netns::exists(&site.namespace("web-2")));
    assert_eq!(
        Links::open_in(&site.home.0)
            .unwrap()
            .find(&gone.device)
            .unwrap(),
        None
    );

    // The zone of what has gone is free again after that, not before.
    let web3 = port(&with, "web-3").zone;
    assert!(before.iter().all(|port| port.zone != web3));
    datapath.apply(&site.config("", more)).unwrap();
    let back = port(&datapath.ports().unwrap(), "web-2").clone();
    assert_ne!(back.ifindex, gone.ifindex);
    assert_eq!(back.mac, gone.mac);
}

#[test]
fn a_change_that_fails_leaves_everything_as_it_was() {
    let site = Site::new();
    let datapath = site.open(&site.config("", "")).unwrap();
    let (before, traces) = (identity(&datapath.ports().unwrap()), site.traces());

    let missing = "[[instance]]\nid = \"vm\"\nvswitch = \"vsw-1\"\naddress = \"192.168.1.40\"\ndevice = \"tap9\"";
    let error = datapath.apply(&site.config("", missing)).unwrap_err();
    assert!(
        matches!(&error, Error::NoDevice { device, .. } if device == "tap9"),
        "{error}"
    );
    assert!(
        error.to_string().contains("network interface vm"),
        "{error}"
    );

    // web-4 and web-5 can be made, web-6 cannot: somebody has its namespace and the name in it.
    let taken = Scratch(site.namespace("web-6"));
    datapath::netns::create(&taken.0, || Ok(())).unwrap();
    taken.run("ip link add eth0 type veth peer name other");
    let more: String = (4..=6)
        .map(|n| {
            let address = format!("192.168.1.{}", n * 10);
            format!(
                "[[instance]]\nid = \"web-{n}\"\nvswitch = \"vsw-1\"\naddress = \"{address}\"\n"
            )
        })
        .collect();
    let mut changed = site.config("hook = \"xdp\"", &more);
    let first = changed
        .enis
        .iter_mut()
        .find(|eni| eni.id == "web-1")
        .unwrap();
    first.mtu = 1300;
    let error = datapath.apply(&changed).unwrap_err();
    assert!(
        error.to_string().contains("network interface web-6"),
        "{error}"
    );
    assert!(error.to_string().contains("eth0"), "{error}");

    assert_eq!(identity(&datapath.ports().unwrap()), before);
    assert!(datapath::netns::exists(&taken.0), "not ours to delete");
    drop(taken);
    assert_eq!(site.traces(), traces);
    assert_eq!(site.nic("web-1", "eth0").mtu, 1500);
    assert!(
        datapath
            .ports()
            .unwrap()
            .iter()
            .all(|port| port.hook.name() == "tc")
    );
    drop(datapath);

    // The same for a start: what an earlier gateway has left stays, nothing is added.
    assert!(site.open(&site.config("", missing)).is_err());
    assert_eq!(site.traces(), traces);
}

#[test]
fn an_interface_follows_its_configuration() {
    let site = Site::new();
    let mut config = site.config("", "");
    let datapath = site.open(&config).unwrap();
    let before = identity(&datapath.ports().unwrap());
    let index = site.nic("web-1", "eth0").index;

    let eni = config
        .enis
        .iter_mut()
        .find(|eni| eni.id == "web-1")
        .unwrap();
    eni.address = "192.168.1.99".parse().unwrap();
    eni.mtu = 1400;
    config.nat_gateways[0].dnat.clear();
    datapath.apply(&config).unwrap();
    let address = site.run("web-1", "ip -4 -o addr show eth0");
    assert!(
        address.contains("192.168.1.99/24") && address.lines().count() == 1,
        "{address}"
    );
    assert!(
        site.run("web-1", "ip -4 route")
            .contains("default via 192.168.1.253 dev eth0")
    );
    assert_eq!(
        (
            site.nic("web-1", "eth0").index,
            site.nic("web-1", "eth0").mtu
        ),
        (index, 1400)
    );
    assert_eq!(identity(&datapath.ports().unwrap()), before);

    // To XDP and back. Under XDP nothing may be sent with its checksum undone.
    let checksums = || {
        let links = Links::open_in(&site.namespace("web-1")).unwrap();
        links.offload("eth0", Feature::TxChecksum).unwrap()
    };
    for (hook, name, left_undone) in [("xdp", "xdp", false), ("auto", "tc", true)] {
        let mut config = site.config(&format!("hook = \"{hook}\""), "");
        config.uplinks[0].mtu = Some(1450);
        datapath.apply(&config).unwrap();
        let ports = datapath.ports().unwrap();
        assert!(
            ports.iter().all(|port| port.hook.name() == name),
            "{ports:?}"
        );
        assert_eq!(checksums(), left_undone);
        assert_eq!(port(&ports, "wan").mtu, 1450);
        assert_eq!(identity(&ports), before);
    }
}

#[test]
fn further_interfaces_are_routed_by_source() {
    let site = Site::new();
    let more = r#"
        [[eni]]
        id = "web-1-b"
        instance = "web-1"
        vswitch = "vsw-2"
        address = "192.168.2.11"
        [[eni]]
        id = "web-1-c"
        instance = "web-1"
        vswitch = "vsw-1"
        address = "192.168.1.12"
    "#;
    let datapath = site.open(&site.config("", more)).unwrap();
    let before = identity(&datapath.ports().unwrap());
    assert_eq!(site.nic("web-1", "eth0").name, "eth0");
    let main = site.run("web-1", "ip route get 198.51.100.1");
    assert!(main.contains("dev eth0 src 192.168.1.10"), "{main}");
    for (source, gateway, name) in [
        ("192.168.2.11", "192.168.2.253", "eth1"),
        ("192.168.1.12", "192.168.1.253", "eth2"),
    ] {
        let route = site.run("web-1", &format!("ip route get 198.51.100.1 from {source}"));
        assert!(
            route.contains(&format!("via {gateway} dev {name}")),
            "{route}"
        );
    }
    // The first of the two goes; the other keeps its name, and so does a gateway that starts anew.
    let mut config = site.config("", more);
    config.enis.retain(|eni| eni.id != "web-1-b");
    datapath.apply(&config).unwrap();
    assert_eq!(site.nic("web-1", "eth2").mtu, 1500);
    drop(datapath);
    let datapath = site.open(&config).unwrap();
    let after = identity(&datapath.ports().unwrap());
    assert!(after.iter().all(|port| before.contains(port)) && after.len() == 4);
}

#[test]
fn an_interface_moves_to_another_instance() {
    let site = Site::new();
    let eni = |instance: &str| {
        format!(
            "[[eni]]\nid = \"extra\"\ninstance = \"{instance}\"\nvswitch = \"vsw-1\"\naddress = \"192.168.1.50\"\n"
        )
    };
    let datapath = site.open(&site.config("", &eni("web-1"))).unwrap();
    assert_eq!(site.nic("web-1", "eth1").name, "eth1");
    datapath.apply(&site.config("", &eni("web-2"))).unwrap();
    assert_eq!(site.nic("web-2", "eth1").name, "eth1");
    let mut there = Links::open_in(&site.namespace("web-1")).unwrap();
    assert_eq!(there.find("eth1").unwrap(), None);
    assert_eq!(datapath.ports().unwrap().len(), 4);
}

#[test]
fn what_somebody_deleted_comes_back() {
    let site = Site::new();
    let config = site.config("", "");
    let datapath = site.open(&config).unwrap();
    let before = datapath.ports().unwrap();
    let web = port(&before, "web-1");
    site.home.run(&format!("ip link del {}", web.device));
    assert!(!port(&datapath.ports().unwrap(), "web-1").up);
    site.run("web-2", "ip route del default");
    datapath::netns::delete(&site.namespace("web-1")).unwrap();

    datapath.apply(&config).unwrap();
    let after = datapath.ports().unwrap();
    let again = port(&after, "web-1");
    assert!(again.up && again.ifindex != web.ifindex && again.mac == web.mac);
    assert_eq!(
        port(&after, "web-2").ifindex,
        port(&before, "web-2").ifindex
    );
    assert!(
        site.run("web-2", "ip route")
            .contains("default via 192.168.2.253")
    );
}

#[test]
fn a_device_is_used_but_never_made_or_removed() {
    let site = Site::new();
    let vm = Scratch::new();
    let far = site.cable("tap0", &vm, 1400);
    site.home.run("ip link set tap0 down");
    let more = "[[instance]]\nid = \"vm\"\nvswitch = \"vsw-1\"\naddress = \"192.168.1.40\"\ndevice = \"tap0\"";
    let datapath = site.open(&site.config("", more)).unwrap();
    let status = port(&datapath.ports().unwrap(), "vm").clone();
    assert_eq!(
        (status.device.as_str(), status.mtu, status.up),
        ("tap0", 1400, true)
    );
    assert_eq!((status.namespace, Some(status.ifindex)), (None, far.peer));
    assert!(!datapath::netns::exists(&site.namespace("vm")));
    // The same device for another instance keeps its zone: it is the interface's.
    let other = more.replace("\"vm\"", "\"vm-2\"");
    datapath.apply(&site.config("", &other)).unwrap();
    assert_eq!(port(&datapath.ports().unwrap(), "vm-2").zone, status.zone);
    datapath.apply(&site.config("", "")).unwrap();
    assert!(site.home.run("ip link show tap0").contains("UP"));
    datapath.remove().unwrap();
    assert!(site.home.run("ip link show tap0").contains("UP"));

    let loopback = more.replace("tap0", "lo");
    let error = site.open(&site.config("", &loopback)).err().unwrap();
    let problem = "interface lo is no Ethernet interface";
    assert!(error.to_string().contains(problem), "{error}");
    let mut config = site.config("", "");
    config.uplinks[0].mtu = Some(1501);
    let error = site.open(&config).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("uplink wan: interface wan takes 1500 bytes"),
        "{error}"
    );
    assert!(
        site.traces().len() <= 1,
        "at most the pins: {:?}",
        site.traces()
    );
}

#[test]
fn there_is_one_gateway_of_a_name() {
    let site = Site::new();
    let config = site.config("", "");
    let datapath = site.open(&config).unwrap();
    let error = site.open(&config).err().unwrap();
    assert!(error.to_string().contains("another daemon"), "{error}");
    let error = datapath::remove(&site.system, Some(&site.home.0)).unwrap_err();
    assert!(error.to_string().contains("another daemon"), "{error}");
    let mut other = config.clone();
    other.system.name = "another".into();
    let error = datapath.apply(&other).unwrap_err();
    assert!(error.to_string().contains(&site.system), "{error}");
    drop(datapath);
    datapath::remove(&site.system, Some(&site.home.0)).unwrap();
    assert_eq!(site.traces(), Vec::<String>::new());
    datapath::remove(&site.system, Some(&site.home.0)).unwrap();
}

#[test]
fn the_namespace_is_that_of_the_thread_that_opened() {
    let site = Site::new();
    let config = site.config("", "");
    let datapath = site.home.inside(|| Datapath::open(&config, None).unwrap());
    let before = identity(&datapath.ports().unwrap());
    datapath.apply(&config).unwrap();
    assert_eq!(identity(&datapath.ports().unwrap()), before);
    // An instance whose namespace would be the gateway's own is refused.
    let mut own = site.config("", "");
    own.system.name = "sld".into();
    let eni = own.enis.iter_mut().find(|eni| eni.id == "web-1").unwrap();
    eni.instance = "own".into();
    let gateway = Scratch("sld-own".into());
    datapath::netns::create(&gateway.0, || Ok(())).unwrap();
    own.uplinks.clear();
    let error = Datapath::open(&own, Some(&gateway.0)).err().unwrap();
    assert!(error.to_string().contains("the gateway's own"), "{error}");
    datapath::remove("sld", Some(&gateway.0)).unwrap();
}
