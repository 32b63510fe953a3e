//! The programs on interfaces.
//!
//! An attachment is a link that is pinned in the maps' directory: `links/NAMESPACE-IFINDEX-tc` or
//! `-xdp`. It outlives the daemon, and the next one exchanges the program in it without a packet going
//! by. Every interface here is one of the current thread's network namespace.

use crate::ethtool::Ethtool;
use crate::maps::Maps;
use crate::object::{self, KernelError, Meaning, errno};
use crate::pin::{self, detach, names, remove};
use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType, TestRun, TestRunOptions, TestRunResult, Xdp,
};
use nix::net::if_::if_indextoname;
use std::error::Error;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the programs take packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// XDP in driver mode where hardware has it, else TC.
    #[default]
    Auto,
    /// Traffic control.
    Tc,
    /// XDP: in the driver if it can, else generic.
    Xdp,
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Hook, String> {
        match text {
            "auto" => Ok(Hook::Auto),
            "tc" => Ok(Hook::Tc),
            "xdp" => Ok(Hook::Xdp),
            _ => Err(format!("{text:?} is no hook; take auto, tc or xdp")),
        }
    }
}

/// Where the programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// At traffic control.
    Tc,
    /// In the driver.
    XdpDriver,
    /// At generic XDP: correct, but slower than TC.
    XdpGeneric,
}

impl Attached {
    const ALL: [Attached; 3] = [Attached::Tc, Attached::XdpDriver, Attached::XdpGeneric];

    /// How pins and tables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Attached::Tc => "tc",
            Attached::XdpDriver => "xdp",
            Attached::XdpGeneric => "xdpgeneric",
        }
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Drivers whose XDP gains nothing, or loses packets: they get packets as socket buffers, with segments
/// merged and checksums not yet there, which XDP cannot carry along.
const SOFTWARE: [&str; 9] = [
    "bonding",
    "bridge",
    "dummy",
    "ipvlan",
    "macvlan",
    "team",
    "tun",
    "veth",
    "virtio_net",
];

/// The programs. Each is given to the kernel when it is first wanted, for its verifier takes 30 ms for one.
#[derive(Debug)]
pub struct Programs {
    ebpf: Ebpf,
    links: PathBuf,
}

impl Programs {
    /// The programs on `maps`, with their clock set.
    pub fn load(maps: &Maps) -> Result<Programs, KernelError> {
        let mut ebpf = maps.object()?;
        // No packet at all is none that the kernel takes.
        let options = TestRunOptions {
            data_in: Some(&[0; 64]),
            ..Default::default()
        };
        xdp(&mut ebpf, "sluice_clock")?
            .test_run(options)
            .meaning(|| "set the kernel programs' clock".into())?;
        let links = maps.dir().join("links");
        fs::create_dir_all(&links).meaning(|| format!("create {}", links.display()))?;
        Ok(Programs { ebpf, links })
    }

    /// Puts a program on an interface, or exchanges the one that an earlier daemon left there, and says
    /// where it is now.
    pub fn attach(&mut self, ifindex: u32, hook: Hook) -> Result<Attached, KernelError> {
        let name = if_indextoname(ifindex).unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if name.is_empty() {
            return Err(KernelError::NoInterface(ifindex));
        }
        let attached = match hook {
            Hook::Tc => self.attach_tc(ifindex, &name)?,
            Hook::Auto if !in_hardware(&name) => self.attach_tc(ifindex, &name)?,
            Hook::Auto => match self.attach_xdp(ifindex, &name, Attached::XdpDriver) {
                Err(KernelError::Attach { .. }) => self.attach_tc(ifindex, &name)?,
                attached => attached?,
            },
            Hook::Xdp => match self.attach_xdp(ifindex, &name, Attached::XdpDriver) {
                Err(KernelError::Attach { .. }) => {
                    self.attach_xdp(ifindex, &name, Attached::XdpGeneric)?
                }
                attached => attached?,
            },
        };
        // Only now, so that there is no moment without a program.
        for other in Attached::ALL {
            if other != attached {
                detach(&self.pin(ifindex, other)?)?;
            }
        }
        Ok(attached)
    }

    /// Takes the programs off an interface.
    pub fn detach(&mut self, ifindex: u32) -> Result<(), KernelError> {
        for attached in Attached::ALL {
            detach(&self.pin(ifindex, attached)?)?;
        }
        Ok(())
    }

    /// The interfaces with programs on them, by index.
    pub fn attached(&self) -> Result<Vec<(u32, Attached)>, KernelError> {
        let namespace = namespace()?;
        let pins = names(&self.links)?;
        let mut attached: Vec<_> = pins
            .iter()
            .filter_map(|pin| parse(pin))
            .filter(|(of, ..)| *of == namespace)
            .map(|(_, ifindex, attached)| (ifindex, attached))
            .collect();
        attached.sort_unstable_by_key(|(ifindex, _)| *ifindex);
        Ok(attached)
    }

    /// Another gateway that has its programs on an interface, whether its daemon runs or not.
    pub fn other_on(&self, ifindex: u32) -> Result<Option<String>, KernelError> {
        let namespace = namespace()?;
        let Some((ours, all)) = self.links.parent().and_then(|it| Some((it, it.parent()?))) else {
            return Ok(None);
        };
        for other in names(all)?.into_iter().filter(|it| all.join(it) != ours) {
            for attached in Attached::ALL {
                let pin = format!("{other}/links/{namespace}-{ifindex}-{attached}");
                if pin::interface(&all.join(pin))? == Some(ifindex) {
                    return Ok(Some(other));
                }
            }
        }
        Ok(None)
    }

    /// Takes the programs off every interface but those that `keep` says: what an earlier daemon left.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) -> Result<(), KernelError> {
        let namespace = namespace()?;
        for pin in names(&self.links)? {
            let kept = parse(&pin).is_some_and(|(of, ifindex, _)| of == namespace && keep(ifindex));
            if !kept {
                detach(&self.links.join(pin))?;
            }
        }
        Ok(())
    }

    /// Runs a program on a packet that is made up, without an interface: for tests and measurement.
    /// `hook` must be TC or XDP.
    pub fn test_run(
        &mut self,
        hook: Hook,
        options: TestRunOptions<'_>,
    ) -> Result<TestRunResult, KernelError> {
        match hook {
            Hook::Tc => tc(&mut self.ebpf)?.test_run(options),
            Hook::Xdp | Hook::Auto => xdp(&mut self.ebpf, XDP)?.test_run(options),
        }
        .meaning(|| "run a program on a test packet".into())
    }

    fn pin(&self, ifindex: u32, attached: Attached) -> Result<PathBuf, KernelError> {
        let namespace = namespace()?;
        Ok(self.links.join(format!("{namespace}-{ifindex}-{attached}")))
    }

    fn attach_tc(&mut self, ifindex: u32, interface: &str) -> Result<Attached, KernelError> {
        let pin = self.pin(ifindex, Attached::Tc)?;
        let program = tc(&mut self.ebpf)?;
        let refused = |error: &(dyn Error + 'static)| refused(interface, "tc", error);

        if let Some(link) = pinned::<SchedClassifierLink>(&pin)? {
            match program.attach_to_link(link) {
                Ok(id) => {
                    program.take_link(id).map_err(|error| refused(&error))?;
                    return Ok(Attached::Tc);
                }
                Err(error) if errno(&error) == Some(libc::ENOLINK) => remove(&pin)?,
                Err(error) => return Err(refused(&error)),
            }
        }
        // First, so that no other program takes what is ours; the rest goes on to the others.
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(interface, TcAttachType::Ingress, options)
            .map_err(|error| refused(&error))?;
        let link = program.take_link(id).map_err(|error| refused(&error))?;
        let link = FdLink::try_from(link).map_err(|error| refused(&error))?;
        link.pin(&pin)
            .meaning(|| format!("create {}", pin.display()))?;
        Ok(Attached::Tc)
    }

    fn attach_xdp(
        &mut self,
        ifindex: u32,
        interface: &str,
        attached: Attached,
    ) -> Result<Attached, KernelError> {
        let pin = self.pin(ifindex, attached)?;
        let program = xdp(&mut self.ebpf, XDP)?;
        let (hook, mode) = match attached {
            Attached::XdpGeneric => ("generic XDP", XdpMode::Skb),
            _ => ("XDP", XdpMode::Driver),
        };
        let refused = |error: &(dyn Error + 'static)| refused(interface, hook, error);

        if let Some(link) = pinned::<XdpLink>(&pin)? {
            match program.attach_to_link(link) {
                Ok(id) => {
                    program.take_link(id).map_err(|error| refused(&error))?;
                    return Ok(attached);
                }
                Err(error) if errno(&error) == Some(libc::ENOLINK) => remove(&pin)?,
                Err(error) => return Err(refused(&error)),
            }
        }
        let id = program
            .attach_to_if_index(ifindex, mode)
            .map_err(|error| refused(&error))?;
        let link = program.take_link(id).map_err(|error| refused(&error))?;
        let link = FdLink::try_from(link).map_err(|error| refused(&error))?;
        link.pin(&pin)
            .meaning(|| format!("create {}", pin.display()))?;
        Ok(attached)
    }
}

/// The names of the programs in the object.
const TC: &str = "sluice_tc";
const XDP: &str = "sluice_xdp";

/// The program for traffic control, loaded.
fn tc(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, KernelError> {
    let what = || format!("load the kernel program {TC}");
    let program = ebpf.program_mut(TC).ok_or_else(|| missing(TC))?;
    let program: &mut SchedClassifier = program.try_into().meaning(what)?;
    if program.fd().is_err() {
        program.load().meaning(what)?;
    }
    Ok(program)
}

/// A program for XDP, loaded.
fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, KernelError> {
    let what = || format!("load the kernel program {name}");
    let program = ebpf.program_mut(name).ok_or_else(|| missing(name))?;
    let program: &mut Xdp = program.try_into().meaning(what)?;
    if program.fd().is_err() {
        program.load().meaning(what)?;
    }
    Ok(program)
}

fn missing(program: &str) -> KernelError {
    KernelError::Failed {
        what: format!("load {program}"),
        problem: "the programs' object does not define it".into(),
    }
}

/// What it means that an interface did not take a program.
fn refused(interface: &str, hook: &'static str, error: &(dyn Error + 'static)) -> KernelError {
    let what = format!("attach a {hook} program to {interface}");
    match object::explain(what, error) {
        KernelError::Failed { problem, .. } => KernelError::Attach {
            interface: interface.into(),
            hook,
            problem,
        },
        other => other,
    }
}

/// Opens a pinned link, if there is one.
fn pinned<L: TryFrom<FdLink, Error: Error + 'static>>(
    pin: &PathBuf,
) -> Result<Option<L>, KernelError> {
    let what = || format!("open {}", pin.display());
    let link = match PinnedLink::from_pin(pin) {
        Err(error) if errno(&error) == Some(libc::ENOENT) => return Ok(None),
        link => FdLink::from(link.meaning(what)?),
    };
    L::try_from(link).meaning(what).map(Some)
}

/// The parts of a pin's name: namespace, interface index, hook.
fn parse(pin: &str) -> Option<(u64, u32, Attached)> {
    let (namespace, rest) = pin.split_once('-')?;
    let (ifindex, hook) = rest.split_once('-')?;
    let attached = Attached::ALL.into_iter().find(|a| a.name() == hook)?;
    Some((namespace.parse().ok()?, ifindex.parse().ok()?, attached))
}

/// The identity of the current thread's network namespace: the inode number.
fn namespace() -> Result<u64, KernelError> {
    const PATH: &str = "/proc/thread-self/ns/net";
    let file = fs::metadata(PATH).meaning(|| format!("look at {PATH}"))?;
    Ok(file.ino())
}

/// Whether packets come out of hardware here. Whether its driver knows XDP, only trying tells.
fn in_hardware(interface: &str) -> bool {
    let driver = Ethtool::open().and_then(|ethtool| ethtool.driver(interface));
    driver.is_ok_and(|driver| !SOFTWARE.contains(&driver.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_they_are_written() {
        for attached in Attached::ALL {
            let pin = format!("4026531840-7-{attached}");
            assert_eq!(parse(&pin), Some((4026531840, 7, attached)));
        }
        for bad in ["", "7", "7-8", "7-8-", "7-8-sk", "x-8-tc", "7-x-tc"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
