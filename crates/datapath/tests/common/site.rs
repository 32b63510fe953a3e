//! A gateway between instances and an "Internet", all in namespaces of the test's own.

use super::{Scratch, unique_name};
use datapath::links::{Interface, Links, VethPair};
use datapath::{Datapath, Error, netns};
use model::Config;

/// The Internet's address, and the EIPs.
pub const INTERNET: &str = "203.0.113.1";
/// The EIP that everything goes out by, and that is forwarded from.
pub const EIP: &str = "203.0.113.11";

/// Two instances, `web-1` (192.168.1.10) and `web-2` (192.168.2.10); everything goes out by an EIP, of
/// which port 8080 leads to `web-1`. Everything is let in.
const BASE: &str = r#"
[[uplink]]
id = "wan"
device = "wan"
address = "203.0.113.2/24"
gateway = "203.0.113.1"

[[vpc]]
id = "vpc"
cidr = "192.168.0.0/16"

[[vswitch]]
id = "vsw-1"
vpc = "vpc"
cidr = "192.168.1.0/24"

[[vswitch]]
id = "vsw-2"
vpc = "vpc"
cidr = "192.168.2.0/24"

[[security_group]]
id = "sg"
vpc = "vpc"
rule = [{ direction = "ingress", cidr = "0.0.0.0/0" }]

[[instance]]
id = "web-1"
vswitch = "vsw-1"
address = "192.168.1.10"
security_groups = ["sg"]

[[instance]]
id = "web-2"
vswitch = "vsw-2"
address = "192.168.2.10"
security_groups = ["sg"]

[[eip]]
id = "eip-1"
address = "203.0.113.11"

[[nat_gateway]]
id = "ngw"
vpc = "vpc"
eips = ["eip-1"]
snat = [{ vpc = true, eips = ["eip-1"] }]
dnat = [{ eip = "eip-1", protocol = "tcp", external_port = 8080, instance = "web-1", internal_port = 80 }]
"#;

/// The place where a gateway can be.
pub struct Site {
    /// The gateway's name.
    pub system: String,
    /// The gateway's namespace, with the uplink `wan`.
    pub home: Scratch,
    /// What is at the other end of the uplink.
    pub internet: Scratch,
}

impl Site {
    pub fn new() -> Site {
        let site = Site {
            system: unique_name(),
            home: Scratch::new(),
            internet: Scratch::new(),
        };
        let far = site.cable("wan", &site.internet, 1500);
        let mut links = Links::open_in(&site.internet.0).unwrap();
        let address = format!("{INTERNET}/24").parse().unwrap();
        links.add_address(far.index, address).unwrap();
        site
    }

    /// An interface of the gateway's namespace whose other end is `eth0` of another. Both are up; the
    /// far end is returned.
    pub fn cable(&self, name: &str, to: &Scratch, mtu: u32) -> Interface {
        let mut here = Links::open_in(&self.home.0).unwrap();
        let mut there = Links::open_in(&to.0).unwrap();
        let last = name.bytes().map(u32::from).sum::<u32>() as u8;
        let pair = VethPair {
            name,
            mac: [2, 1, 0, 0, 0, last],
            alias: "",
            far_name: "eth0",
            far_mac: [2, 2, 0, 0, 0, last],
            mtu,
        };
        let near = here.add_veth(&pair, &netns::open(&to.0).unwrap()).unwrap();
        here.set_up(near.index).unwrap();
        let far = there.find("eth0").unwrap().unwrap();
        there.set_up(far.index).unwrap();
        here.wait_operational(near.index).unwrap();
        there.wait_operational(far.index).unwrap();
        far
    }

    /// The configuration, with settings of the system and further resources.
    pub fn config(&self, system: &str, more: &str) -> Config {
        config(&self.system, system, more)
    }

    /// The configuration without the instance `without`.
    pub fn config_without(&self, without: &str, system: &str, more: &str) -> Config {
        let mut config = self.config(system, more);
        config.enis.retain(|eni| eni.id != without);
        config
    }

    /// Starts a gateway here.
    pub fn open(&self, config: &Config) -> Result<Datapath, Error> {
        Datapath::open(config, Some(&self.home.0))
    }

    /// The namespace of an instance.
    pub fn namespace(&self, instance: &str) -> String {
        format!("{}-{instance}", self.system)
    }

    /// An interface of an instance.
    pub fn nic(&self, instance: &str, name: &str) -> Interface {
        let mut links = Links::open_in(&self.namespace(instance)).unwrap();
        links
            .find(name)
            .unwrap()
            .expect("the interface should be there")
    }

    /// Runs `work` in an instance.
    pub fn inside<R: Send>(&self, instance: &str, work: impl FnOnce() -> R + Send) -> R {
        netns::in_namespace(&self.namespace(instance), work).unwrap()
    }

    /// Runs a command in an instance and gives what it printed.
    pub fn run(&self, instance: &str, command: &str) -> String {
        let mut words = command.split_whitespace();
        let namespace = self.namespace(instance);
        let mut command = netns::command(&namespace, words.next().unwrap()).unwrap();
        super::succeed(command.args(words))
    }

    /// Everything of this system that Linux has: namespaces, our ends of veth pairs, pins.
    pub fn traces(&self) -> Vec<String> {
        let prefix = format!("{}-", self.system);
        let mut traces = netns::list().unwrap();
        traces.retain(|name| name.starts_with(&prefix));
        let interfaces = Links::open_in(&self.home.0).unwrap().list().unwrap();
        let ours = interfaces.into_iter().filter(|i| i.name.starts_with("sl"));
        traces.extend(ours.map(|interface| interface.name));
        let pins = std::path::Path::new(datapath::PINS).join(&self.system);
        traces.extend(pins.exists().then(|| pins.display().to_string()));
        traces
    }
}

/// The configuration of a gateway with a name.
pub fn config(name: &str, system: &str, more: &str) -> Config {
    let text =
        format!("[system]\nname = \"{name}\"\nmax_sessions = 4096\n{system}\n{BASE}\n{more}\n");
    model::file::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = datapath::remove(&self.system, Some(&self.home.0)) {
            eprintln!("{error}");
        }
    }
}
