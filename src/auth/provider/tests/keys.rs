//! Keys that a provider of the tests signs with.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Making RSA keys is slow, so all tests of a process share them.
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static OTHER_RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap());
static ED: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    Rsa,
    /// Another RSA key.
    OtherRsa,
    P256,
    P384,
    Ed25519,
}

impl Signer {
    /// The public key.
    pub(super) fn jwk(self, kid: &str) -> Value {
        let b64 = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let rsa = |key: &RsaKeyPair| {
            let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
            json!({"kty": "RSA", "use": "sig", "kid": kid, "n": b64(&public.n), "e": b64(&public.e)})
        };
        let ec = |key: &EcdsaKeyPair, curve: &str| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y)})
        };
        match self {
            Self::Rsa => rsa(&RSA),
            Self::OtherRsa => rsa(&OTHER_RSA),
            Self::P256 => ec(&P256, "P-256"),
            Self::P384 => ec(&P384, "P-384"),
            Self::Ed25519 => {
                let x = b64(ED.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    /// Signs as an algorithm says; as this key can where the algorithm is none of its own.
    pub(super) fn sign(self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |key: &RsaKeyPair| {
            let encoding: &'static dyn RsaEncoding = match algorithm {
                "RS384" => &RSA_PKCS1_SHA384,
                "RS512" => &RSA_PKCS1_SHA512,
                "PS256" => &RSA_PSS_SHA256,
                "PS384" => &RSA_PSS_SHA384,
                "PS512" => &RSA_PSS_SHA512,
                _ => &RSA_PKCS1_SHA256,
            };
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature)
                .unwrap();
            signature
        };
        match self {
            Self::Rsa => rsa(&RSA),
            Self::OtherRsa => rsa(&OTHER_RSA),
            Self::P256 => P256.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::P384 => P384.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519 => ED.sign(message).as_ref().to_vec(),
        }
    }

    /// The private key, PEM.
    pub(super) fn pem(self) -> String {
        let der = match self {
            Self::Rsa => RSA.as_der().unwrap().as_ref().to_vec(),
            Self::OtherRsa => OTHER_RSA.as_der().unwrap().as_ref().to_vec(),
            Self::P256 => P256.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::P384 => P384.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Ed25519 => ED.to_pkcs8().unwrap().as_ref().to_vec(),
        };
        crate::certs::pem("PRIVATE KEY", &der)
    }
}

/// A modulus that can be broken. Nothing is signed with it.
pub(super) fn weak_jwk(kid: &str) -> Value {
    let n = URL_SAFE_NO_PAD.encode([0xc5; 128]);
    json!({"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"})
}
