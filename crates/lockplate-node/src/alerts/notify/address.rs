//! Where a webhook may connect to. The address in a configuration is a name, and whoever answers for the name decides at each connection
//! what it means: an address inside the agency's network, or the one at which clouds hand out keys. So it is resolved here, each
//! address is judged, and the connection goes to what was judged.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::intake::AddressRange;

/// Asks for the addresses of a name.
pub(in crate::alerts) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's.
pub(in crate::alerts) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Which addresses are good.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct Allowed {
    /// Ranges that are not public and may be used.
    pub(in crate::alerts) ranges: Vec<AddressRange>,
    /// Without TLS nothing else may be.
    pub(in crate::alerts) ranges_only: bool,
}

impl Allowed {
    /// True if a connection may go there.
    pub(in crate::alerts) fn admits(&self, address: IpAddr) -> bool {
        let listed = self.ranges.iter().any(|range| range.contains(address));
        listed || (!self.ranges_only && is_public(address))
    }
}

/// Resolves names for one receiver.
pub(in crate::alerts) struct Judged {
    pub(in crate::alerts) allowed: Allowed,
    pub(in crate::alerts) lookup: Lookup,
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, found) = (self.allowed.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found = found.await?;
            // One bad address condemns the name: an honest receiver has no reason to be both here and there.
            if found.is_empty() || !found.iter().all(|address| allowed.admits(*address)) {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// True for an address that anybody on the internet could reach. Not for what embeds another address: `::ffff:0:0/96` is judged as that
/// address, translated and tunnelled ones (64:ff9b::/96, 2002::/16, Teredo) are refused.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Against the IANA registry of special-purpose addresses.
const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// The same: only 2000::/3 is given out, and of it not what is for protocols, documents and tunnels.
const fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    matches!(a, 0x2000..=0x3ffe) && !matches!((a, b), (0x2001, ..=0x01ff | 0x0db8) | (0x2002, _))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_internet_reaches_is_public() {
        let table = [
            ("8.8.8.8", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("2606:4700::1111", true),
            ("2001:4860:4860::8888", true),
            ("::ffff:8.8.8.8", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("239.255.255.250", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ];
        for (text, public) in table {
            assert_eq!(is_public(text.parse().unwrap()), public, "{text}");
        }
    }

    #[test]
    fn a_range_opens_itself_and_nothing_beside_it() {
        let ranges = vec![AddressRange::parse("10.1.0.0/16").unwrap()];
        let allowed = Allowed { ranges: ranges.clone(), ranges_only: false };
        let admits = |allowed: &Allowed, text: &str| allowed.admits(text.parse().unwrap());
        assert!(admits(&allowed, "10.1.2.3") && admits(&allowed, "::ffff:10.1.2.3") && admits(&allowed, "8.8.8.8"));
        assert!(!admits(&allowed, "10.2.0.1") && !admits(&allowed, "127.0.0.1"));
        let plain = Allowed { ranges, ranges_only: true };
        assert!(admits(&plain, "10.1.2.3") && !admits(&plain, "8.8.8.8"), "in clear over the internet");
    }

    #[tokio::test]
    async fn one_bad_address_condemns_a_name() {
        let resolve = |found: &'static [&'static str]| {
            let lookup: Lookup = Arc::new(move |_name| {
                Box::pin(async move { Ok(found.iter().map(|text| text.parse().unwrap()).collect()) })
            });
            let judged = Judged { allowed: Allowed { ranges: Vec::new(), ranges_only: false }, lookup };
            async move { judged.resolve("hook.example".parse().unwrap()).await.map(Iterator::count) }
        };
        assert_eq!(resolve(&["8.8.8.8", "2606:4700::1111"]).await.unwrap(), 2);
        assert!(resolve(&["8.8.8.8", "127.0.0.1"]).await.is_err());
        assert!(resolve(&["fd00:ec2::254", "8.8.8.8"]).await.is_err());
        assert!(resolve(&[]).await.is_err());
    }
}
