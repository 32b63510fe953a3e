//! Interfaces made over rtnetlink, against what `ip` says of them.

use crate::common::Scratch;
use datapath::links::{self, Links, MAIN_TABLE, VethPair};
use datapath::{Feature, netns};

const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn pair(near: &Scratch, far: &Scratch) -> (Links, Links, datapath::links::Interface) {
    let mut here = Links::open_in(&near.0).unwrap();
    let there = Links::open_in(&far.0).unwrap();
    let made = here
        .add_veth(
            &VethPair {
                name: "sld0",
                mac: NEAR,
                alias: "sluice:test:i-1",
                far_name: "eth0",
                far_mac: FAR,
                mtu: 1400,
            },
            &netns::open(&far.0).unwrap(),
        )
        .unwrap();
    (here, there, made)
}

#[test]
fn a_veth_pair_is_as_asked_and_goes_whole() {
    let (near, far) = (Scratch::new(), Scratch::new());
    let (mut here, mut there, made) = pair(&near, &far);
    assert_eq!((made.name.as_str(), made.kind.as_str()), ("sld0", "veth"));
    assert_eq!((made.mac, made.mtu, made.up), (Some(NEAR), 1400, false));
    assert_eq!(made.alias, "sluice:test:i-1");
    assert_eq!(here.by_index(made.index).unwrap().unwrap(), made);
    assert_eq!(here.driver("sld0"), "veth");

    let end = there.find("eth0").unwrap().unwrap();
    assert_eq!((end.mac, end.mtu, end.up), (Some(FAR), 1400, false));
    assert_eq!((made.peer, end.peer), (Some(end.index), Some(made.index)));

    here.set_up(made.index).unwrap();
    there.set_up(end.index).unwrap();
    here.set_mtu(made.index, 1300).unwrap();
    there.set_mac(end.index, [2, 0, 0, 0, 0, 9]).unwrap();
    let made = here.find("sld0").unwrap().unwrap();
    assert!(made.up && made.carrier && made.mtu == 1300);
    assert!(near.run("ip link show sld0").contains("mtu 1300"));
    assert!(far.run("ip link show eth0").contains("02:00:00:00:00:09"));
    assert_eq!(here.list().unwrap().len(), 2, "lo and sld0");

    here.delete(made.index).unwrap();
    assert_eq!(here.find("sld0").unwrap(), None);
    assert_eq!(there.find("eth0").unwrap(), None);
    here.delete(made.index).unwrap();
}

#[test]
fn a_name_that_is_taken_is_an_error_with_the_kernels_words() {
    let (near, far) = (Scratch::new(), Scratch::new());
    let (mut here, _, made) = pair(&near, &far);
    let again = VethPair {
        name: "sld0",
        mac: NEAR,
        alias: "",
        far_name: "eth1",
        far_mac: FAR,
        mtu: 1500,
    };
    let error = here
        .add_veth(&again, &netns::open(&far.0).unwrap())
        .unwrap_err();
    assert!(
        error.to_string().contains("sld0") && error.to_string().contains("exist"),
        "{error}"
    );
    assert_eq!(here.find("sld0").unwrap(), Some(made));
    assert_eq!(here.find("a-name-of-more-than-15-bytes").unwrap(), None);
}

#[test]
fn addresses_routes_and_rules() {
    let (near, far) = (Scratch::new(), Scratch::new());
    let (mut here, mut there, made) = pair(&near, &far);
    let end = there.find("eth0").unwrap().unwrap().index;
    here.set_up(made.index).unwrap();
    there.set_up(end).unwrap();

    let address = "192.168.1.5/24".parse().unwrap();
    there.add_address(end, address).unwrap();
    there.add_address(end, address).unwrap();
    assert_eq!(there.addresses(end).unwrap(), [address]);
    assert!(
        far.run("ip -4 addr show eth0")
            .contains("192.168.1.5/24 brd 192.168.1.255")
    );

    let gateway = "192.168.1.253".parse().unwrap();
    assert_eq!(there.default_route(MAIN_TABLE).unwrap(), None);
    there.set_default_route(end, gateway, MAIN_TABLE).unwrap();
    there.set_default_route(end, gateway, MAIN_TABLE).unwrap();
    assert_eq!(
        there.default_route(MAIN_TABLE).unwrap(),
        Some((gateway, end))
    );
    assert_eq!(far.run("ip -4 route show default").lines().count(), 1);

    there.set_default_route(end, gateway, 1001).unwrap();
    there.add_source_rule(address.addr(), 1001).unwrap();
    assert_eq!(there.default_route(1001).unwrap(), Some((gateway, end)));
    assert_eq!(there.source_rules().unwrap(), [(address.addr(), 1001)]);
    assert!(far.run("ip rule").contains("from 192.168.1.5 lookup 1001"));
    there.delete_source_rule(address.addr(), 1001).unwrap();
    assert_eq!(there.source_rules().unwrap(), []);

    there.delete_address(end, address).unwrap();
    assert_eq!(there.addresses(end).unwrap(), []);
}

#[test]
fn offloads_are_switched_and_read_back() {
    let (near, far) = (Scratch::new(), Scratch::new());
    let (_here, there, _) = pair(&near, &far);
    assert!(!there.offload("eth0", Feature::Gro).unwrap());
    assert!(there.offload("eth0", Feature::TxChecksum).unwrap());
    there.set_offload("eth0", Feature::Gro, true).unwrap();
    there
        .set_offload("eth0", Feature::TxChecksum, false)
        .unwrap();
    assert!(there.offload("eth0", Feature::Gro).unwrap());
    assert!(!there.offload("eth0", Feature::TxChecksum).unwrap());
    let features = far.run("ethtool -k eth0");
    assert!(
        features.contains("generic-receive-offload: on"),
        "{features}"
    );
    assert!(features.contains("tx-checksumming: off"), "{features}");
    assert!(there.offload("not-there", Feature::Gro).is_err());
}

#[test]
fn ipv6_is_kept_off() {
    let (near, far) = (Scratch::new(), Scratch::new());
    let (mut here, mut there, made) = pair(&near, &far);
    near.inside(|| links::disable_ipv6("sld0")).unwrap();
    here.set_up(made.index).unwrap();
    let end = there.find("eth0").unwrap().unwrap();
    there.set_up(end.index).unwrap();
    assert_eq!(near.run("ip -6 addr show dev sld0").trim(), "");
    near.inside(|| links::disable_ipv6("not-there")).unwrap();
}
