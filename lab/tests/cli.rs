//! The commands, as people use them.

use lab::servers::get;
use lab::site::SERVER;
use lab::{Lab, Site, config};

#[test]
fn commands_print_tables() {
    let lab = Lab::new("cli");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let _web = lab::servers::Web::start(&site.server, &[80]);
    let instance = gateway.instance("web-1");
    get(&instance, &format!("http://{SERVER}/"));
    instance.ok(&format!("ping -c 1 -W 1 {SERVER}"));

    let sessions = gateway.cli("sessions").ok();
    for part in ["tcp", "icmp", "192.168.1.10", SERVER, "203.0.113.11"] {
        assert!(sessions.contains(part), "{part}: {sessions}");
    }
    let only = gateway.cli("sessions --protocol icmp").ok();
    assert!(only.contains("icmp") && !only.contains("tcp"), "{only}");
    assert!(
        !gateway
            .cli("sessions --instance web-2")
            .ok()
            .contains("192.168.1.10")
    );
    let ports = gateway.cli("ports").ok();
    for part in ["wan", "web-1", "web-2", "192.168.1.10", "tc"] {
        assert!(ports.contains(part), "{part}: {ports}");
    }
    let stats = gateway.cli("stats").ok();
    for part in ["eip-1", "203.0.113.11"] {
        assert!(stats.contains(part), "{part}: {stats}");
    }
    let version = gateway.cli("version").ok();
    assert!(version.contains(lab.name()), "{version}");
}

/// What `apply` would have cut off is not in force, and would be gone.
#[test]
fn a_configuration_that_is_too_large_is_not_cut_short() {
    let lab = Lab::new("large");
    let zeros = "head -c 34000000 /dev/zero | tr '\\0' '#'";
    let sluice = lab::binary().display();
    let output = lab.run(&format!("{zeros} | {sluice} apply --check -"));
    assert!(!output.success());
    assert!(output.stderr.contains("32 MiB"), "{}", output.stderr);
}

/// A pipe whose first command failed does not take everything away.
#[test]
fn a_configuration_that_is_empty_is_refused() {
    let lab = Lab::new("empty");
    let sluice = lab::binary().display();
    for command in [
        "false | SLUICE apply -",
        "SLUICE apply /dev/null",
        "echo | SLUICE apply --check -",
    ] {
        let output = lab.run(&command.replace("SLUICE", &sluice.to_string()));
        assert!(!output.success(), "{command}");
        assert!(
            output.stderr.contains("is empty"),
            "{command}: {}",
            output.stderr
        );
    }
}

#[test]
fn exec_runs_a_program_in_an_instance() {
    let lab = Lab::new("exec");
    let site = Site::new(&lab, "auto");
    let gateway = site.gateway(&site.standard());
    let text = gateway.cli("exec web-1 -- ip -4 -o address show eth0").ok();
    assert!(text.contains("192.168.1.10/24"), "{text}");
    gateway
        .cli(&format!("exec web-2 -- ping -c 1 -W 1 {SERVER}"))
        .ok();
    assert_eq!(
        gateway.cli("exec web-1 -- sh -c exit\\ 7").status.code(),
        Some(7)
    );
    for (words, part) in [
        ("exec nobody -- true", "nobody"),
        ("exec web-1 -- no-such-program", "no-such-program"),
    ] {
        let message = gateway.cli(words).fails();
        assert!(message.contains(part), "{message}");
    }
}

/// Without a gateway each command says so.
#[test]
fn without_a_gateway_commands_say_so() {
    let lab = Lab::new("nobody");
    let host = lab.host("gw");
    let socket = lab.dir().join("none.sock");
    let sluice = lab::binary().display();
    for words in [
        "sessions",
        "ports",
        "stats",
        "trace --from a --to 192.0.2.1:80/tcp",
        "exec a -- true",
    ] {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        let line = format!("{sluice} {command} --socket {} {rest}", socket.display());
        let message = lab.run(&line).fails();
        assert!(message.contains("no gateway runs on"), "{message}");
    }
    // A configuration with nothing right in it: each line is named, and nothing is made.
    let path = host.write(
        "bad.toml",
        "[system]\nname = \"a b\"\n[[vpc]]\nid = \"v\"\n",
    );
    let line = format!(
        "{sluice} serve --config {} --state {} --netns {}",
        path.display(),
        lab.dir().join("state").display(),
        host.namespace()
    );
    let message = lab.run(&line).fails();
    assert!(
        message.contains("line 2:") && message.contains("line 3:"),
        "{message}"
    );
}

/// What a stopped gateway has left is gone after `sluice down`, and a gateway that was started with
/// `--remove-on-exit` leaves nothing.
#[test]
fn down_removes_what_is_left() {
    let lab = Lab::new("down");
    let site = Site::new(&lab, "auto");
    let config = site.standard() + &config::dnat("eip-1", "tcp", "80", "web-1", "80");
    let left = || {
        let namespaces = lab.run("ip netns list").ok();
        let instances = namespaces
            .lines()
            .filter(|line| line.contains("-web-") && line.contains(lab.name()));
        let links = site.gw.ip("-o link show type veth");
        let pins = std::fs::read_dir("/run/sluice/bpf").unwrap();
        let pins =
            pins.filter(|pin| pin.as_ref().unwrap().file_name().to_string_lossy() == lab.name());
        (instances.count(), links.lines().count(), pins.count())
    };
    let nothing = (0, 1, 0);
    assert_eq!(left(), nothing);
    let mut gateway = site.gateway(&config);
    assert_eq!(left(), (2, 3, 1));
    let down = gateway
        .command()
        .replace(" serve ", " down ")
        .split(" --socket ")
        .next()
        .unwrap()
        .to_owned();
    // Not under a gateway that runs.
    let message = lab.run(&down).fails();
    assert!(message.contains("run"), "{message}");
    assert_eq!(left(), (2, 3, 1));
    gateway.kill9();
    assert_eq!(left(), (2, 3, 1));
    lab.run(&down).ok();
    assert_eq!(left(), nothing);
    lab.run(&down).ok();

    let daemon = lab.spawn(&(gateway.command() + " --remove-on-exit"));
    lab::wait_for("the gateway to answer", 30.0, || {
        gateway.cli("version").success()
    });
    assert_eq!(left(), (2, 3, 1));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.wait(10.0).success());
    assert_eq!(left(), nothing);
}
