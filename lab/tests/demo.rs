//! `sluice demo` works, and leaves nothing, however it ends.

use lab::{Lab, orphans_named};
use nix::sys::signal::Signal;
use std::time::Duration;

/// What the names of all that the demo makes begin with.
const NAME: &str = "sluice-demo";

/// Whatever there is of a demo: namespaces, interfaces, pins, files, processes.
fn left(lab: &Lab) -> Vec<String> {
    let mut found = orphans_named(NAME);
    let links = lab.run("ip -o link show").ok();
    let ours = links
        .lines()
        .filter(|line| line.contains(NAME) || line.contains("alias sluice:"));
    found.extend(ours.map(str::to_owned));
    found
}

/// One after the other: there can be only one demo on a machine.
#[test]
fn the_demo_works_and_leaves_nothing() {
    let lab = Lab::new("demo");
    let sluice = lab::binary().display().to_string();
    lab.run(&format!("{sluice} demo --remove")).ok();
    assert_eq!(left(&lab), Vec::<String>::new());

    for hook in ["", "--xdp"] {
        let output = lab.spawn(&format!("{sluice} demo {hook}")).wait(120.0);
        println!("{}", output.stdout);
        output.ok();
        assert_eq!(left(&lab), Vec::<String>::new(), "after a demo {hook}");
    }
    // Ctrl-C is for the demo and all that it runs; a signal from a service manager for itself only.
    for (seconds, signal) in [
        (0.3, Signal::SIGINT),
        (0.8, Signal::SIGTERM),
        (1.5, Signal::SIGINT),
        (2.5, Signal::SIGHUP),
    ] {
        let demo = lab.spawn(&format!("{sluice} demo"));
        std::thread::sleep(Duration::from_secs_f64(seconds));
        match signal {
            Signal::SIGINT => demo.signal(signal),
            _ => demo.signal_alone(signal),
        }
        let output = demo.wait(30.0);
        assert!(!output.success(), "interrupted after {seconds} s: {output}");
        let left = left(&lab);
        assert_eq!(left, Vec::<String>::new(), "after {seconds} s: {output}");
    }
    // One that is killed can clean up nothing; the next one does.
    let demo = lab.spawn(&format!("{sluice} demo"));
    std::thread::sleep(Duration::from_secs(3));
    demo.kill();
    assert_ne!(left(&lab), Vec::<String>::new());
    lab.run(&format!("{sluice} demo --remove")).ok();
    assert_eq!(left(&lab), Vec::<String>::new());

    // And one that is told to stay does.
    lab.spawn(&format!("{sluice} demo --keep")).wait(120.0).ok();
    let page = lab
        .run("ip netns exec sluice-demo-net curl -sS -m 5 http://203.0.113.10/")
        .ok();
    assert!(page.contains("web-1"), "{page}");
    lab.run(&format!("{sluice} demo --remove")).ok();
    assert_eq!(left(&lab), Vec::<String>::new());
}
