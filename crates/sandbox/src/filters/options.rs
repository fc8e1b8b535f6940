//! Which socket options a program may set: lists by level, a reason for what is left out.
//!
//! The levels hold some 200 options, and what has been broken among them is what few programs use. An option that is not
//! listed answers ENOPROTOOPT, as a kernel without it does, so callers do without. Left out on purpose:
//! - programs for the kernel's BPF: SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and _EBPF;
//! - pages of the program inside the network stack: SO_ZEROCOPY, SO_DEVMEM_DONTNEED, SO_RESERVE_MEM;
//! - other protocols over a plain socket: TCP_ULP (kernel TLS: CVE-2023-0461), UDP_ENCAP (ESP in UDP, RxRPC, L2TP);
//! - what replaces tables or policies of the host, where the network is the host's: IP_XFRM_POLICY, IP_IPSEC_POLICY and the
//!   netfilter options from 64 on, each also guarded by a capability;
//! - lists and headers that the kernel parses: IP_OPTIONS, IP_MSFILTER, MCAST_MSFILTER, IPV6_HOPOPTS, IPV6_RTHDR,
//!   IPV6_DSTOPTS, IPV6_2292*, IPV6_FLOWLABEL_MGR, IPV6_ADDRFORM, TCP_MD5SIG, TCP_AO_*, TCP_REPAIR*;
//! - labels and marks: SO_MARK, SO_PASSSEC, SO_TXTIME.

/// Options by level. The values are the same on both architectures.
pub(super) const SETTABLE: &[(u32, &[u32])] = &[(1, SOCKET), (6, TCP), (0, IP), (41, IPV6), (17, UDP), (270, NETLINK)];

/// What a connected pair of UNIX sockets may be told in a strict run: sizes and time limits of its queues.
pub(super) const OF_A_PAIR: &[u32] = &[7, 8, 13, 18, 20, 21, 66, 67];

/// SOL_SOCKET.
const SOCKET: &[u32] = &[
    2,  // SO_REUSEADDR
    5,  // SO_DONTROUTE
    6,  // SO_BROADCAST
    7,  // SO_SNDBUF
    8,  // SO_RCVBUF
    9,  // SO_KEEPALIVE
    10, // SO_OOBINLINE: only ever sees what a peer beyond the sandbox sends
    11, // SO_NO_CHECK
    12, // SO_PRIORITY: above 6 needs a capability
    13, // SO_LINGER
    15, // SO_REUSEPORT
    16, // SO_PASSCRED
    18, // SO_RCVLOWAT
    20, // SO_RCVTIMEO
    21, // SO_SNDTIMEO
    25, // SO_BINDTODEVICE: curl --interface
    29, // SO_TIMESTAMP: ping
    35, // SO_TIMESTAMPNS
    37, // SO_TIMESTAMPING
    40, // SO_RXQ_OVFL
    42, // SO_PEEK_OFF
    46, // SO_BUSY_POLL
    47, // SO_MAX_PACING_RATE
    49, // SO_INCOMING_CPU
    63, // SO_TIMESTAMP, 64-bit
    64, // SO_TIMESTAMPNS, 64-bit
    65, // SO_TIMESTAMPING, 64-bit
    66, // SO_RCVTIMEO, 64-bit
    67, // SO_SNDTIMEO, 64-bit
    69, // SO_PREFER_BUSY_POLL
    70, // SO_BUSY_POLL_BUDGET
    74, // SO_TXREHASH
    76, // SO_PASSPIDFD: of the same pid namespace
    83, // SO_PASSRIGHTS: refuses descriptors that come along, so only tightens
];

/// IPPROTO_TCP.
const TCP: &[u32] = &[
    1,  // TCP_NODELAY
    2,  // TCP_MAXSEG
    3,  // TCP_CORK
    4,  // TCP_KEEPIDLE
    5,  // TCP_KEEPINTVL
    6,  // TCP_KEEPCNT
    7,  // TCP_SYNCNT
    8,  // TCP_LINGER2
    9,  // TCP_DEFER_ACCEPT: nginx
    10, // TCP_WINDOW_CLAMP
    12, // TCP_QUICKACK
    13, // TCP_CONGESTION: without a capability, among those that the host has loaded
    16, // TCP_THIN_LINEAR_TIMEOUTS
    18, // TCP_USER_TIMEOUT: gRPC, PostgreSQL
    23, // TCP_FASTOPEN
    25, // TCP_NOTSENT_LOWAT
    27, // TCP_SAVE_SYN
    30, // TCP_FASTOPEN_CONNECT: curl --tcp-fastopen
    34, // TCP_FASTOPEN_NO_COOKIE
    36, // TCP_INQ
];

/// IPPROTO_IP.
const IP: &[u32] = &[
    1,  // IP_TOS
    2,  // IP_TTL: traceroute
    6,  // IP_RECVOPTS
    7,  // IP_RETOPTS: ping
    8,  // IP_PKTINFO: DNS servers
    10, // IP_MTU_DISCOVER: QUIC
    11, // IP_RECVERR: resolvers, ping
    12, // IP_RECVTTL
    13, // IP_RECVTOS: QUIC
    15, // IP_FREEBIND
    20, // IP_RECVORIGDSTADDR
    21, // IP_MINTTL
    23, // IP_CHECKSUM
    24, // IP_BIND_ADDRESS_NO_PORT: proxies
    25, // IP_RECVFRAGSIZE
    26, // IP_RECVERR_RFC4884
    32, // IP_MULTICAST_IF
    33, // IP_MULTICAST_TTL
    34, // IP_MULTICAST_LOOP
    35, // IP_ADD_MEMBERSHIP
    36, // IP_DROP_MEMBERSHIP
    37, // IP_UNBLOCK_SOURCE
    38, // IP_BLOCK_SOURCE
    39, // IP_ADD_SOURCE_MEMBERSHIP
    40, // IP_DROP_SOURCE_MEMBERSHIP
    42, // MCAST_JOIN_GROUP: Java
    43, // MCAST_BLOCK_SOURCE
    44, // MCAST_UNBLOCK_SOURCE
    45, // MCAST_LEAVE_GROUP
    46, // MCAST_JOIN_SOURCE_GROUP
    47, // MCAST_LEAVE_SOURCE_GROUP
    49, // IP_MULTICAST_ALL: Java
    50, // IP_UNICAST_IF
    51, // IP_LOCAL_PORT_RANGE
];

/// IPPROTO_IPV6.
const IPV6: &[u32] = &[
    16, // IPV6_UNICAST_HOPS
    17, // IPV6_MULTICAST_IF
    18, // IPV6_MULTICAST_HOPS
    19, // IPV6_MULTICAST_LOOP
    20, // IPV6_JOIN_GROUP
    21, // IPV6_LEAVE_GROUP
    23, // IPV6_MTU_DISCOVER
    24, // IPV6_MTU
    25, // IPV6_RECVERR
    26, // IPV6_V6ONLY: every server
    29, // IPV6_MULTICAST_ALL
    31, // IPV6_RECVERR_RFC4884
    33, // IPV6_FLOWINFO_SEND
    42, // MCAST_JOIN_GROUP
    43, // MCAST_BLOCK_SOURCE
    44, // MCAST_UNBLOCK_SOURCE
    45, // MCAST_LEAVE_GROUP
    46, // MCAST_JOIN_SOURCE_GROUP
    47, // MCAST_LEAVE_SOURCE_GROUP
    49, // IPV6_RECVPKTINFO: DNS servers
    50, // IPV6_PKTINFO
    51, // IPV6_RECVHOPLIMIT
    60, // IPV6_RECVPATHMTU
    62, // IPV6_DONTFRAG
    66, // IPV6_RECVTCLASS
    67, // IPV6_TCLASS: Java
    70, // IPV6_AUTOFLOWLABEL
    72, // IPV6_ADDR_PREFERENCES
    73, // IPV6_MINHOPCOUNT
    74, // IPV6_RECVORIGDSTADDR
    76, // IPV6_UNICAST_IF
    77, // IPV6_RECVFRAGSIZE
    78, // IPV6_FREEBIND
];

/// IPPROTO_UDP.
const UDP: &[u32] = &[
    1,   // UDP_CORK
    101, // UDP_NO_CHECK6_TX
    102, // UDP_NO_CHECK6_RX
    103, // UDP_SEGMENT: QUIC
    104, // UDP_GRO: QUIC
];

/// SOL_NETLINK.
const NETLINK: &[u32] = &[
    1,  // NETLINK_ADD_MEMBERSHIP: address changes, as avahi and Go's resolver watch them
    2,  // NETLINK_DROP_MEMBERSHIP
    3,  // NETLINK_PKTINFO
    4,  // NETLINK_BROADCAST_ERROR
    5,  // NETLINK_NO_ENOBUFS
    10, // NETLINK_CAP_ACK
    11, // NETLINK_EXT_ACK: iproute2
    12, // NETLINK_GET_STRICT_CHK: iproute2
];
