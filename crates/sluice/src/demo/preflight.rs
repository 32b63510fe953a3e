//! What the demo needs of the machine, and how to get what is missing.

use model::Hook;
use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The oldest kernel that can attach programs at TC the way we do (TCX links).
const KERNEL: (u32, u32) = (6, 6);

/// Programs that the demo runs, and the Debian package of each.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nginx", "nginx-light"),
    ("curl", "curl"),
    ("ping", "iputils-ping"),
    ("traceroute", "traceroute"),
    ("sysctl", "procps"),
];

/// Another one that it runs for XDP.
const ETHTOOL: (&str, &str) = ("ethtool", "ethtool");

/// Capabilities that root can lack in a container: number and name (`linux/capability.h`).
const CAPABILITIES: [(u32, &str); 3] = [
    (12, "CAP_NET_ADMIN"),
    (21, "CAP_SYS_ADMIN"),
    (39, "CAP_BPF"),
];

/// Everything that is missing, each in a sentence with the way to get it. Empty if the demo can run with
/// this hook.
pub fn missing(hook: Hook) -> Vec<String> {
    let mut missing = Vec::new();
    if geteuid().is_root() {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        missing.extend(missing_capabilities(&status));
    } else {
        missing.push(
            "root: network namespaces and kernel programs need it. Run `sudo sluice demo`".into(),
        );
    }
    if let Ok(name) = uname() {
        missing.extend(old_kernel(&name.release().to_string_lossy()));
    }
    for (path, what) in [
        (
            "/proc/sys/kernel/unprivileged_bpf_disabled",
            "eBPF (CONFIG_BPF_SYSCALL)",
        ),
        ("/proc/self/ns/net", "network namespaces (CONFIG_NET_NS)"),
    ] {
        if !Path::new(path).exists() {
            missing.push(format!(
                "{what}: this kernel was built without. Boot a distribution's kernel"
            ));
        }
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut tools = TOOLS.to_vec();
    tools.extend((hook == Hook::Xdp).then_some(ETHTOOL));
    missing.extend(missing_tools(&tools, &path));
    missing
}

/// `release` as in `uname -r`.
fn old_kernel(release: &str) -> Option<String> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        // A kernel that does not tell is given the benefit of the doubt.
        _ => return None,
    };
    (version < KERNEL).then(|| {
        format!(
            "Linux {}.{} or newer: this is {release}. On Debian 12: \
             `apt-get install -t bookworm-backports linux-image-amd64`, and reboot",
            KERNEL.0, KERNEL.1
        )
    })
}

/// `status` as in `/proc/self/status`.
fn missing_capabilities(status: &str) -> Option<String> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let lacking: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| effective >> bit & 1 == 0)
        .map(|(_, name)| *name)
        .collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "{}: this root has them not. Run outside of the container, or give it `--privileged`",
            lacking.join(", ")
        )
    })
}

fn missing_tools(tools: &[(&str, &str)], path: &[PathBuf]) -> Option<String> {
    let found = |dir: &Path, name: &str| {
        fs::metadata(dir.join(name))
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let lacking = tools
        .iter()
        .filter(|(name, _)| !path.iter().any(|dir| found(dir, name)));
    let (names, packages): (Vec<&str>, Vec<&str>) = lacking.copied().unzip();
    (!names.is_empty()).then(|| {
        format!(
            "{}: not found in PATH. On Debian: `apt-get install {}`",
            names.join(", "),
            packages.join(" ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for release in [
            "6.6.0",
            "6.12.3-amd64",
            "6.18.44-fc-v445",
            "7.0-rc1",
            "10.1",
            "strange",
        ] {
            assert_eq!(old_kernel(release), None, "{release}");
        }
        for release in ["6.5.13", "6.1.0-13-amd64", "5.15.0"] {
            let sentence = old_kernel(release).unwrap();
            assert!(
                sentence.contains("Linux 6.6") && sentence.contains(release),
                "{sentence}"
            );
        }
    }

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let status = |set: &str| format!("Name:\tsluice\nCapPrm:\t0\nCapEff:\t{set}\nCapBnd:\t0\n");
        assert_eq!(missing_capabilities(&status("000001ffffffffff")), None);
        let docker = missing_capabilities(&status("00000000a80425fb")).unwrap();
        assert!(
            docker.starts_with("CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF:"),
            "{docker}"
        );
        let one = missing_capabilities(&status("0000017fffffffff")).unwrap();
        assert!(one.starts_with("CAP_BPF:"), "{one}");
        assert_eq!(missing_capabilities("nothing"), None);
    }

    #[test]
    fn tools_are_looked_for_and_their_packages_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = [dir.path().to_owned()];
        let all = missing_tools(&TOOLS, &path).unwrap();
        assert!(
            all.starts_with("ip, nginx, curl, ping, traceroute, sysctl:"),
            "{all}"
        );
        for (name, _) in TOOLS {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            missing_tools(&TOOLS, &path).unwrap(),
            all,
            "files that cannot be run"
        );
        let executable = fs::Permissions::from_mode(0o755);
        for (name, _) in TOOLS {
            fs::set_permissions(dir.path().join(name), executable.clone()).unwrap();
        }
        assert_eq!(missing_tools(&TOOLS, &path), None);
        fs::remove_file(dir.path().join("ping")).unwrap();
        let one = missing_tools(&TOOLS, &path).unwrap();
        assert!(one.ends_with("`apt-get install iputils-ping`"), "{one}");
    }
}
