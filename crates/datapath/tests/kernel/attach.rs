//! Attachments: what takes which program, how they outlive a daemon and are exchanged.

use super::rig::{Pins, need_root};
use aya::programs::{SchedClassifier, TcAttachType};
use datapath::maps::{Maps, Sizes};
use datapath::netns;
use datapath::object::KernelError;
use datapath::programs::{Attached, Hook, Programs};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A network namespace of our own, deleted at the end.
pub struct Namespace(String);

impl Namespace {
    pub fn new() -> Namespace {
        need_root();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("slk{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        netns::create(&name, || Ok(())).unwrap();
        Namespace(name)
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        netns::in_namespace(&self.0, work).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = netns::delete(&self.0);
    }
}

/// Runs `work` in a network namespace of its own, with a veth pair `va` and `vb` and a bridge `br0`.
fn in_lab(work: impl FnOnce() + Send) {
    Namespace::new().inside(|| {
        ip("link add name va type veth peer name vb");
        ip("link add name br0 type bridge");
        for interface in ["va", "vb", "br0"] {
            ip(&format!("link set {interface} up"));
        }
        work();
    });
}

pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

/// The TCX programs of an interface, by identifier.
fn tcx(interface: &str) -> Vec<u32> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).unwrap();
    programs.iter().map(|program| program.id()).collect()
}

fn xdp(interface: &str) -> Option<&'static str> {
    let text = ip(&format!("link show {interface}"));
    ["xdpgeneric", "xdp"]
        .into_iter()
        .find(|mode| text.contains(&format!("{mode}/id")) || text.contains(&format!(" {mode} ")))
}

fn open(pins: &Pins) -> (Maps, Programs) {
    let (maps, _) = Maps::open(&pins.0, Sizes::new(64)).unwrap();
    let programs = Programs::load(&maps).unwrap();
    (maps, programs)
}

#[test]
fn an_attachment_outlives_the_daemon_and_gets_the_next_ones_program() {
    in_lab(|| {
        let pins = Pins::new();
        let a = index("va");
        let (maps, mut programs) = open(&pins);
        assert_eq!(programs.attach(a, Hook::Tc).unwrap(), Attached::Tc);
        let first = tcx("va");
        assert_eq!(first.len(), 1);
        assert_eq!(programs.attach(a, Hook::Tc).unwrap(), Attached::Tc);
        assert_eq!(tcx("va"), first, "the second time changes nothing");
        drop((programs, maps));
        assert_eq!(tcx("va"), first, "still there without a daemon");

        let (maps, mut programs) = open(&pins);
        assert_eq!(programs.attached().unwrap(), [(a, Attached::Tc)]);
        assert_eq!(programs.attach(a, Hook::Auto).unwrap(), Attached::Tc);
        let second = tcx("va");
        assert_eq!(second.len(), 1);
        assert_ne!(second, first);
        programs.detach(a).unwrap();
        assert!(tcx("va").is_empty());
        assert_eq!(programs.attached().unwrap(), []);
        programs.detach(a).unwrap();
        drop((programs, maps));
    });
}

#[test]
fn xdp_is_in_the_driver_where_it_can_be() {
    in_lab(|| {
        let pins = Pins::new();
        let (_maps, mut programs) = open(&pins);
        assert_eq!(
            programs.attach(index("va"), Hook::Xdp).unwrap(),
            Attached::XdpDriver
        );
        assert_eq!(xdp("va"), Some("xdp"));
        assert_eq!(
            programs.attach(index("br0"), Hook::Xdp).unwrap(),
            Attached::XdpGeneric
        );
        assert_eq!(xdp("br0"), Some("xdpgeneric"));
        for interface in ["va", "br0"] {
            programs.detach(index(interface)).unwrap();
            assert_eq!(xdp(interface), None);
        }
    });
}

#[test]
fn auto_takes_tc_where_there_is_no_hardware() {
    in_lab(|| {
        let pins = Pins::new();
        let (_maps, mut programs) = open(&pins);
        ip("tuntap add tap0 mode tap");
        for interface in ["va", "br0", "tap0"] {
            let attached = programs.attach(index(interface), Hook::Auto).unwrap();
            assert_eq!(attached, Attached::Tc, "{interface}");
        }
    });
}

#[test]
fn a_change_of_hook_leaves_one_program() {
    in_lab(|| {
        let pins = Pins::new();
        let a = index("va");
        let (_maps, mut programs) = open(&pins);
        for (hook, at) in [
            (Hook::Tc, Attached::Tc),
            (Hook::Xdp, Attached::XdpDriver),
            (Hook::Tc, Attached::Tc),
        ] {
            assert_eq!(programs.attach(a, hook).unwrap(), at);
            assert_eq!(programs.attached().unwrap(), [(a, at)]);
            assert_eq!(tcx("va").len(), usize::from(at == Attached::Tc));
            assert_eq!(xdp("va").is_some(), at == Attached::XdpDriver);
        }
    });
}

#[test]
fn an_interface_with_the_index_of_one_that_is_gone_gets_its_own() {
    in_lab(|| {
        for (hook, at) in [(Hook::Tc, Attached::Tc), (Hook::Xdp, Attached::XdpDriver)] {
            let pins = Pins::new();
            let (_maps, mut programs) = open(&pins);
            ip("link add index 777 name vx type veth peer name vy");
            assert_eq!(programs.attach(777, hook).unwrap(), at);
            ip("link delete vx");
            ip("link add index 777 name vx type veth peer name vy");
            assert_eq!(programs.attach(777, hook).unwrap(), at);
            assert_eq!(tcx("vx").len() + usize::from(xdp("vx").is_some()), 1);
            ip("link delete vx");
        }
    });
}

#[test]
fn another_namespaces_interface_of_the_same_index_is_not_touched() {
    let pins = Pins::new();
    let pins = &pins;
    in_lab(|| {
        let (maps, mut programs) = open(pins);
        programs.attach(index("va"), Hook::Tc).unwrap();
        drop((programs, maps));
        let here = tcx("va");
        in_lab(|| {
            let (_maps, mut programs) = open(pins);
            assert_eq!(programs.attached().unwrap(), []);
            programs.attach(index("va"), Hook::Tc).unwrap();
            assert_eq!(tcx("va").len(), 1);
            assert_ne!(tcx("va"), here);
        });
        assert_eq!(tcx("va"), here);

        // What is not kept goes, wherever it is.
        let (_maps, mut programs) = open(pins);
        let a = index("va");
        programs.attach(index("vb"), Hook::Tc).unwrap();
        programs.retain(|ifindex| ifindex == a).unwrap();
        assert_eq!(programs.attached().unwrap(), [(a, Attached::Tc)]);
        assert_eq!((tcx("va"), tcx("vb")), (here, vec![]));
    });
}

#[test]
fn others_programs_stay_and_an_interface_of_theirs_is_refused() {
    in_lab(|| {
        let (others, pins) = (Pins::new(), Pins::new());
        let (_maps, mut other) = open(&others);
        let (_maps, mut programs) = open(&pins);
        let a = index("va");
        other.attach(a, Hook::Tc).unwrap();
        let theirs = tcx("va");
        programs.attach(a, Hook::Tc).unwrap();
        // Ours comes first and leaves to theirs what it passes.
        assert_eq!(tcx("va").len(), 2);
        assert_eq!(tcx("va")[1..], theirs[..]);
        programs.detach(a).unwrap();
        assert_eq!(tcx("va"), theirs);

        // XDP is one program's alone.
        other.attach(a, Hook::Xdp).unwrap();
        let error = programs.attach(a, Hook::Xdp).unwrap_err();
        assert!(matches!(error, KernelError::Attach { .. }), "{error}");
        assert!(
            error.to_string().contains("interface va takes no"),
            "{error}"
        );
    });
}

#[test]
fn replaced_maps_take_their_attachments_along() {
    in_lab(|| {
        let pins = Pins::new();
        let (maps, mut programs) = open(&pins);
        programs.attach(index("va"), Hook::Tc).unwrap();
        drop((programs, maps));
        let (_maps, _) = Maps::open(&pins.0, Sizes::new(128)).unwrap();
        assert!(tcx("va").is_empty());
    });
}

#[test]
fn no_interface_is_said_to_be_none() {
    let pins = Pins::new();
    let (_maps, mut programs) = open(&pins);
    let error = programs.attach(0x7fff_fff0, Hook::Tc).unwrap_err();
    assert!(
        matches!(error, KernelError::NoInterface(0x7fff_fff0)),
        "{error}"
    );
}
