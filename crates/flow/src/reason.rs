//! Why a packet was dropped. One list for kernel and daemon: each reason has a counter.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The reason's name, as counters and traces print it.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// What the reason means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The frame is shorter than the headers it claims to have.
    Malformed = "malformed",
    /// The packet is neither IPv4 nor ARP.
    NotIpv4 = "not_ipv4",
    /// The frame is addressed to another station, or to all of them.
    NotForUs = "not_for_us",
    /// The destination is none of our EIPs.
    NotOurAddress = "not_our_address",
    /// The queue to the slow path was full, or the port had its share of it.
    QueueFull = "queue_full",
    /// The next hop's port is gone.
    HopGone = "hop_gone",
    /// The source address does not belong to the port that the packet came in by.
    Spoofed = "spoofed",
    /// The security group of the sender does not allow it.
    SecurityGroupOut = "security_group_out",
    /// The security group of the receiver does not allow it.
    SecurityGroupIn = "security_group_in",
    /// No route leads to the destination.
    NoRoute = "no_route",
    /// The route to the destination is a blackhole.
    Blackhole = "blackhole",
    /// The address is in a vSwitch, but nothing has it.
    NoHost = "no_host",
    /// The routes lead in a circle.
    RouteLoop = "route_loop",
    /// The next hop does not answer ARP.
    NeighbourUnreachable = "neighbour_unreachable",
    /// No SNAT entry of the gateway covers the source.
    NoSnat = "no_snat",
    /// Neither a DNAT entry nor a session takes what comes to this port of the EIP.
    NotMapped = "not_mapped",
    /// The protocol has no ports to translate and the EIP is not mapped whole.
    ProtocolNotTranslatable = "protocol_not_translatable",
    /// Every port of the EIPs is in use towards this destination.
    PortsExhausted = "ports_exhausted",
    /// Every way to write the translated packet belongs to another session already.
    TupleConflict = "tuple_conflict",
    /// The source has as many sessions as its gateway allows one.
    SourceLimit = "source_limit",
    /// The table of sessions is full.
    SessionLimit = "session_limit",
    /// A TCP segment that opens nothing and belongs to no session.
    TcpOutOfState = "tcp_out_of_state",
    /// An ICMP error or reply that belongs to no session.
    IcmpUnmatched = "icmp_unmatched",
    /// An ICMP message of a type that is not translated.
    IcmpUnsupported = "icmp_unsupported",
    /// The time to live ran out here.
    TtlExpired = "ttl_expired",
    /// The packet is larger than the next link takes and must not be fragmented.
    FragmentationNeeded = "fragmentation_needed",
    /// A fragment whose first part never came, or came too late.
    FragmentTimeout = "fragment_timeout",
    /// More fragments than the gateway holds at once.
    FragmentLimit = "fragment_limit",
    /// A fragment that overlaps another or ends beyond the largest packet (RFC 1858, RFC 5722).
    FragmentMalformed = "fragment_malformed",
    /// More packets wait for this neighbour's address than the gateway holds at once.
    NeighbourQueueFull = "neighbour_queue_full",
    /// The interface that the packet should leave by did not take it.
    SendFailed = "send_failed",
    /// A packet to the gateway itself that it does not answer.
    GatewayUnanswered = "gateway_unanswered",
    /// An ARP message that is false, not for us, or that we do not answer.
    ArpIgnored = "arp_ignored",
    /// The bandwidth of the EIP, or of its package, is used up.
    RateLimit = "rate_limit",
    /// A policy of the Internet border firewall, or its default action, refuses it.
    BorderFirewall = "border_firewall",
    /// A policy of the NAT firewall, or its default action, refuses it.
    NatFirewall = "nat_firewall",
    /// A policy of the DNS firewall refuses the name that it asks for.
    DnsFirewall = "dns_firewall",
    /// Threat intelligence knows the other end, or the name that it tells.
    Threat = "threat",
    /// The name that it tells does not stand for the address that it goes to.
    NameMismatch = "name_mismatch",
    /// The firewalls have as much traffic as their licence lets them process, and let no more pass.
    FirewallCapacity = "firewall_capacity",
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Reason::ALL.len();
}
