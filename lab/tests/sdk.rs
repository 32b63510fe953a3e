//! The official SDKs drive the gateway: each runs the whole DNAT scenario over the API, with real requests.

use lab::{Gateway, Lab, Site};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the SDKs are installed.
fn sdks() -> &'static Path {
    static SDKS: OnceLock<PathBuf> = OnceLock::new();
    SDKS.get_or_init(|| {
        let target = lab::binary().ancestors().nth(2).unwrap();
        let sdks = target.join("sdk");
        let setup = Command::new(scenarios().join("setup"))
            .arg(&sdks)
            .status()
            .unwrap();
        assert!(setup.success(), "the SDKs cannot be installed");
        sdks
    })
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

/// An uplink with a pool of EIPs, and nothing else.
fn config(site: &Site) -> String {
    site.system() + "pool = [\"203.0.113.64/28\"]\n"
}

/// Runs a scenario against a gateway whose API listens on port 8080 of its host, with an access key.
#[track_caller]
fn run(site: &Site, gateway: &Gateway, (id, secret): &(String, String), program: &str) {
    let exec = gateway.cli_line("exec {instance} --");
    let records = gateway.cli_line("records --json --limit 1000");
    let scenario = format!(
        "env -u http_proxy -u HTTP_PROXY -u https_proxy -u HTTPS_PROXY SLUICE_ENDPOINT=127.0.0.1:8080 \
         SLUICE_KEY={id} SLUICE_SECRET={secret} NODE_PATH={}/node_modules PYTHONDONTWRITEBYTECODE=1 {program}",
        sdks().display()
    );
    // Words are separated by spaces, so what holds some comes by a file.
    let script = site.gw.write(
        "scenario",
        format!(
            "export SLUICE_EXEC='{exec}' SLUICE_CLIENT='ip netns exec {}' SLUICE_RECORDS='{records}'\nexec {scenario}\n",
            site.client.namespace()
        ),
    );
    let output = site.gw.run(&format!("sh {}", script.display())).ok();
    assert!(
        output
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("done")),
        "{output}"
    );
}

fn python(script: &str) -> String {
    format!(
        "{}/venv/bin/python {}/{script}",
        sdks().display(),
        scenarios().display()
    )
}

fn with_api(name: &str, test: impl FnOnce(&Site, &mut Gateway, (String, String))) {
    with_config(name, config, test);
}

fn with_config(
    name: &str,
    config: impl FnOnce(&Site) -> String,
    test: impl FnOnce(&Site, &mut Gateway, (String, String)),
) {
    let lab = Lab::new(name);
    let site = Site::new(&lab, "auto");
    site.gw.ip("link set dev lo up");
    let mut gateway = Gateway::start_with(&lab, &site.gw, &config(&site), "--api 8080");
    let key = gateway.first_key();
    test(&site, &mut gateway, key);
}

#[test]
fn the_new_python_sdks_run_the_scenario() {
    with_api("sdk-py", |site, gateway, key| {
        run(site, gateway, &key, &python("new_sdk.py v3"));
        assert!(gateway.ports().iter().all(|port| port.kind == "uplink"));
    });
}

#[test]
fn the_new_python_sdks_run_the_scenario_with_signature_version_1() {
    with_api("sdk-py1", |site, gateway, key| {
        run(site, gateway, &key, &python("new_sdk.py v2"))
    });
}

#[test]
fn the_sdks_of_ram_and_actiontrail_manage_access_and_read_the_trail() {
    with_api("sdk-ram", |site, gateway, key| {
        run(site, gateway, &key, &python("access_sdk.py"))
    });
}

#[test]
fn the_sdk_of_cloud_firewall_runs_the_life_of_a_firewall() {
    // The web server of the scenario as a cloud service.
    let service = |site: &Site| {
        let list = site.gw.write("ranges", "198.51.100.20\n");
        let list = list.display();
        format!(
            "{}\n[[address_book]]\nid = \"site\"\ncloud = \"{list}\"\n",
            config(site)
        )
    };
    with_config("sdk-cfw", service, |site, gateway, key| {
        run(site, gateway, &key, &python("cfw_sdk.py enforced"))
    });
}

#[test]
fn the_sdk_of_cloud_firewall_calls_every_operation() {
    with_api("sdk-cfw2", |site, gateway, key| {
        run(site, gateway, &key, &python("cfw_policies_sdk.py"))
    });
}

#[test]
fn the_old_python_sdk_runs_the_scenario() {
    with_api("sdk-core", |site, gateway, key| {
        run(site, gateway, &key, &python("core_sdk.py"))
    });
}

#[test]
fn the_typescript_sdks_run_the_scenario() {
    with_api("sdk-ts", |site, gateway, key| {
        let script = scenarios().join("typescript_sdk.cjs");
        run(site, gateway, &key, &format!("node {}", script.display()));
    });
}
