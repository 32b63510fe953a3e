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
    for (seconds, signal) in [
        (0.3, Signal::SIGINT),
        (1.0, Signal::SIGTERM),
        (2.5, Signal::SIGINT),
        (4.0, Signal::SIGHUP),
    ] {
        let demo = lab.spawn(&format!("{sluice} demo"));
        std::thread::sleep(Duration::from_secs_f64(seconds));
        demo.signal(signal);
        assert!(
            !demo.wait(30.0).success(),
            "interrupted after {seconds} s it says that all is well"
        );
        assert_eq!(
            left(&lab),
            Vec::<String>::new(),
            "interrupted after {seconds} s"
        );
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
