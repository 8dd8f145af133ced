//! The one carrier of secret bytes. It must never print, compare in variable time, or leave its bytes behind when dropped. Bytes come
//! from a constructor of this crate and go out through [`Secret::expose_secret`] only, so each use of a secret can be found by name.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes: redacted in `Debug`, compared in constant time, wiped on drop.
///
/// ```
/// use lockplate_oprf::Secret;
/// let secret = Secret::new([7; 32]);
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose_secret(), &[7; 32]);
/// ```
///
/// There is no `Display`:
///
/// ```compile_fail,E0277
/// # use lockplate_oprf::Secret;
/// println!("{}", Secret::new([7; 32]));
/// ```
///
/// and no way to the bytes but the one named method:
///
/// ```compile_fail,E0616
/// # use lockplate_oprf::Secret;
/// let bytes = Secret::new([7; 32]).0;
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes `N` bytes. The caller's own copy of the array is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Takes a slice of exactly `N` bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// `N` bytes from the generator.
    #[must_use]
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut secret = Self([0; N]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// The bytes. Each call site is a place where a secret is used: do not copy what it returns.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    /// Time depends on `N` only.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
