//! The source translation of what an instance sends out (step four of [`crate::decide`]).

use crate::decide::{Denied, Entry, Source, Unreachable, deny};
use crate::drain::Holder;
use crate::explain::Recorder;
use crate::inbound;
use crate::nat::Nat;
use crate::snapshot::{Binding, EipIx, Eni, GatewayIx, Snapshot};
use crate::tuple;
use flow::Key;
use flow::reason::Reason;
use model::Pooling;

/// What becomes of a source.
pub(crate) struct Translated {
    pub source: Source,
    /// What decided that.
    pub entry: Entry,
    /// An EIP that the packet may be seen as.
    pub eip: EipIx,
    /// When the session ends, in seconds since 1970 UTC, if nothing would make it any more.
    pub drains: Option<u32>,
}

impl Translated {
    fn fixed(eip: EipIx, entry: Entry) -> Translated {
        Translated {
            source: Source::Fixed(eip),
            entry,
            eip,
            drains: None,
        }
    }
}

/// What the source becomes: the instance's own EIP, else that of an IP mapping, else one of the SNAT entry
/// with the longest prefix, else the EIP of the gateway that it calls. Of a VPC NAT gateway these are NAT IPs, and an EIP of the instance does not count.
/// `had` is the address that a session is seen as already.
pub(crate) fn translate(
    s: &Snapshot,
    nat: &Nat,
    eni: &Eni,
    gateway: Option<GatewayIx>,
    key: &Key,
    had: Option<u32>,
    rec: &mut impl Recorder,
) -> Result<Translated, Denied> {
    let src = tuple::ip(key.src);
    let private = gateway.is_some_and(|g| s.gateway(g).private);
    if let Some(eip) = eni.eip.filter(|_| src == eni.address && !private) {
        rec.step("eip", || {
            (
                Some(s.eip(eip).id.clone()),
                format!("{src} leaves as {}", s.eip(eip).address),
            )
        });
        return Ok(Translated::fixed(eip, Entry::Eip(eip)));
    }
    let Some(g) = gateway else {
        return deny(Reason::NoRoute, Some(Unreachable::Net));
    };
    let gateway = s.gateway(g);
    if let Some(&(eip, entry)) = gateway.whole.get(&src) {
        rec.step("dnat", || {
            let id = gateway.dnat[entry as usize].clone();
            (
                Some(id),
                format!("IP mapping: {src} leaves as {}", s.eip(eip).address),
            )
        });
        return Ok(Translated::fixed(eip, Entry::Dnat(g, entry)));
    }
    let covers = gateway.snat.get(src);
    if covers.is_none()
        && let Some((eip, entry)) = called(s, nat, g, key, had)?
    {
        rec.step("snat", || {
            let address = s.eip(eip).address;
            let text = format!("no SNAT entry covers {src}: it is seen as {address} itself");
            (Some(gateway.id.clone()), text)
        });
        return Ok(Translated::fixed(eip, entry));
    }
    let held = had.and_then(|had| gateway.holder(src, tuple::ip(had)));
    let Some(snat) = held.map(|it| it.entry).or(covers) else {
        rec.step("snat", || {
            (
                Some(gateway.id.clone()),
                format!("no SNAT entry covers {src}"),
            )
        });
        return deny(Reason::NoSnat, Some(Unreachable::Prohibited));
    };
    let entry = &gateway.entries[snat as usize];
    if !tuple::has_ports(key.proto) {
        rec.step("snat", || {
            let what = format!("protocol {} has no ports to translate", key.proto);
            (Some(entry.id.clone()), what)
        });
        return deny(
            Reason::ProtocolNotTranslatable,
            Some(Unreachable::Prohibited),
        );
    }
    let holder = held.or_else(|| {
        Some(Holder {
            eip: pool(s, nat, g, snat, key).next()?,
            entry: snat,
            drains: None,
        })
    });
    let Some(Holder { eip, drains, .. }) = holder else {
        return deny(Reason::NoSnat, Some(Unreachable::Prohibited));
    };
    rec.step("snat", || {
        let address = s.eip(eip).address;
        let of = match entry.eips.len() {
            1 => String::new(),
            n => format!(", picked from {n} by {}", pooling_name(entry.pooling)),
        };
        (
            Some(entry.id.clone()),
            format!("{src} leaves as {address}{of}"),
        )
    });
    Ok(Translated {
        source: Source::Pool {
            gateway: g,
            snat,
            first: eip,
        },
        entry: Entry::Snat(g, snat),
        eip,
        drains,
    })
}

/// The EIP of the gateway that a packet is for, if it is for one, and the entry that takes it there: what goes no further
/// needs no SNAT entry, only an address that its answers come back to.
fn called(
    s: &Snapshot,
    nat: &Nat,
    gateway: GatewayIx,
    key: &Key,
    had: Option<u32>,
) -> Result<Option<(EipIx, Entry)>, Denied> {
    let Some(&eip) = s.by_eip.get(&tuple::ip(key.dst)) else {
        return Ok(None);
    };
    let bound = s.eip(eip).binding == Binding::Gateway(gateway);
    if !bound || had.is_some_and(|had| had != key.dst) {
        return Ok(None);
    }
    let entry = inbound::entry(s, nat, eip, key, had.is_some())?;
    Ok(Some((eip, entry)))
}

fn pooling_name(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::Hash => "hash of source address and port",
        Pooling::Affinity => "hash of source and destination address",
        Pooling::Paired => "hash of the source address",
    }
}

/// The EIPs of an SNAT entry in the order in which this packet prefers them (rendezvous hashing: a
/// change of the pool moves as few as it can).
pub(crate) fn pool<'a>(
    s: &'a Snapshot,
    nat: &Nat,
    gateway: GatewayIx,
    snat: u32,
    key: &Key,
) -> impl Iterator<Item = EipIx> + use<'a> {
    let entry = &s.gateway(gateway).entries[snat as usize];
    let by = match entry.pooling {
        Pooling::Hash => nat.spread(key.src, key.proto as u32, key.sport),
        Pooling::Affinity => nat.spread(key.src, key.dst, 0),
        Pooling::Paired => nat.spread(key.src, 0, 0),
    };
    // Different for different addresses, for each step of it can be undone.
    let score = move |address: u32| {
        let mixed = (by ^ u64::from(address)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    // The next best each time: the first is nearly always the last that is asked for.
    let mut last: Option<u64> = None;
    std::iter::from_fn(move || {
        let scores = entry
            .eips
            .iter()
            .map(|&(address, eip)| (score(address), eip));
        let best = match last {
            None => scores.max_by_key(|&(score, _)| score),
            Some(last) => scores
                .filter(|&(score, _)| score < last)
                .max_by_key(|&(score, _)| score),
        };
        last = best.map(|(score, _)| score);
        best.map(|(_, eip)| eip)
    })
}
