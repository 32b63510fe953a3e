//! Network namespaces, against `ip netns`.

use crate::common::{Scratch, need_root, succeed, unique_name};
use datapath::{Error, netns};
use std::process::Command;

#[test]
fn ip_sees_ours_and_we_see_those_of_ip() {
    let ours = Scratch::new();
    let listed = succeed(Command::new("ip").args(["netns", "list"]));
    assert!(
        listed
            .lines()
            .any(|line| line.split(' ').next() == Some(&ours.0)),
        "{listed}"
    );
    succeed(Command::new("ip").args(["netns", "exec", &ours.0, "ip", "link", "show", "lo"]));

    let theirs = Scratch(unique_name());
    assert!(!netns::exists(&theirs.0));
    succeed(Command::new("ip").args(["netns", "add", &theirs.0]));
    assert!(netns::exists(&theirs.0));
    assert!(netns::list().unwrap().contains(&theirs.0));
    netns::delete(&theirs.0).unwrap();
    assert!(!succeed(Command::new("ip").args(["netns", "list"])).contains(&theirs.0));
}

#[test]
fn a_namespace_that_cannot_be_prepared_is_not_left_behind() {
    need_root();
    let name = unique_name();
    let failed = netns::create(&name, || Err(Error::Stopped));
    assert!(matches!(failed, Err(Error::Stopped)));
    assert!(!netns::exists(&name));
    assert!(!std::path::Path::new(netns::RUN_DIR).join(&name).exists());
}

#[test]
fn a_name_is_given_once_and_a_stale_file_is_no_namespace() {
    let first = Scratch::new();
    let second = netns::create(&first.0, || Ok(()));
    assert!(matches!(second, Err(Error::NamespaceExists(name)) if name == first.0));

    let stale = Scratch(unique_name());
    std::fs::write(std::path::Path::new(netns::RUN_DIR).join(&stale.0), "").unwrap();
    assert!(!netns::exists(&stale.0));
    netns::create(&stale.0, || Ok(())).unwrap();
    assert!(netns::exists(&stale.0));
}

#[test]
fn work_is_done_inside_and_nowhere_else() {
    let scratch = Scratch::new();
    let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let outside = here();
    assert_ne!(scratch.inside(here), outside);
    assert_eq!(here(), outside);
}

#[test]
fn a_program_runs_inside_with_its_own_sys_and_etc() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run("ls /sys/class/net").trim(), "lo");

    let etc = std::path::Path::new("/etc/netns").join(&scratch.0);
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::write(etc.join("hosts"), "192.0.2.1 sld-only-here\n").unwrap();
    let hosts = std::panic::catch_unwind(|| scratch.run("cat /etc/hosts"));
    std::fs::remove_dir_all(&etc).unwrap();
    let _ = std::fs::remove_dir("/etc/netns");
    assert_eq!(hosts.unwrap(), "192.0.2.1 sld-only-here\n");
    assert!(
        !std::fs::read_to_string("/etc/hosts")
            .unwrap()
            .contains("sld-only-here")
    );

    let status = netns::command(&scratch.0, "sh")
        .unwrap()
        .args(["-c", "exit 7"])
        .status();
    assert_eq!(status.unwrap().code(), Some(7));
}
