//! What is wrong with a configuration is said in words, with the file's name.

use crate::{
    BadTls, ClientConfig, Identity, MemoryFiles, Pem, Problem, ServerConfig, Trust,
    testing::{Authority, Issued, now},
};
use rcgen::date_time_ymd;
use std::path::Path;

/// What `openssl x509 -req` makes without any extension.
const OF_VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIzCBywIURacorr7Nl6DysPBDlYT4N9/PrF4wCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE3NDExNFoYDzIxMjYxMDMwMTc0MTE0
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQHfBPaKG8fA4oV5uq1T8DvudKm0qea4eZ3zRNe10LmNZOd1x4BrJV8AZgxBvFM
mfFNIlB2x6agVMulUe7JKWNmMAoGCCqGSM49BAMCA0cAMEQCICDw/cg6LGIpTF/U
A61yhvViTwoZDmbAA41O4MtOXpCbAiAm9zSN5ctVosKTV+f+J4pqnPaibD9/MhFu
TtlxVvoEMQ==
-----END CERTIFICATE-----
";

fn files() -> MemoryFiles {
    let authority = Authority::new("authority");
    let good = authority.issue(&["localhost"]);
    let other = authority.issue(&["localhost"]);
    let files = MemoryFiles::new();
    files.write("cert.pem", good.certificate.clone());
    files.write("key.pem", good.key.clone());
    files.write("pair.pem", good.pair());
    files.write("other.pem", other.key);
    files.write("ca.pem", authority.pem());
    files.write("empty.pem", "");
    files.write("text.pem", "no PEM at all\n");
    files.write("cut.pem", &good.certificate[..200]);
    files.write("base64.pem", good.certificate.replacen("MII", "!!!", 1));
    files.write(
        "der.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    files.write(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    files.write(
        "kind.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let early = authority.issue_with(&["localhost"], |p| p.not_before = date_time_ymd(1999, 1, 1));
    files.write("early.pem", early.pair());
    files.write("old.pem", OF_VERSION_1);
    files
}

#[track_caller]
fn check(certificate: &str, key: &str, chain: Option<&str>, expected: &str) {
    let files = files();
    let chain = chain.map(Path::new);
    let error = Identity::read(&files, certificate, key, chain, now()).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_error_names_the_file_and_the_reason() {
    check(
        "no.pem",
        "key.pem",
        None,
        "`no.pem`: cannot be read: entity not found",
    );
    check(
        "cert.pem",
        "no.pem",
        None,
        "`no.pem`: cannot be read: entity not found",
    );
    let no_certificate = "no PEM certificate in it: expected `-----BEGIN CERTIFICATE-----`";
    for file in ["empty.pem", "text.pem", "key.pem"] {
        check(
            file,
            "key.pem",
            None,
            &format!("`{file}`: {no_certificate}"),
        );
        check(
            "cert.pem",
            "key.pem",
            Some(file),
            &format!("`{file}`: {no_certificate}"),
        );
    }
    let no_key = "no private key in it: expected `-----BEGIN PRIVATE KEY-----`";
    for file in ["empty.pem", "text.pem", "cert.pem"] {
        check("cert.pem", file, None, &format!("`{file}`: {no_key}"));
    }
    check(
        "cert.pem",
        "other.pem",
        None,
        "`cert.pem`: its certificate does not belong to the private key of `other.pem`",
    );
    check(
        "cert.pem",
        "encrypted.pem",
        None,
        "`encrypted.pem`: its private key is encrypted: decrypt it, as with `openssl pkey -in FILE -out FILE`",
    );
    check(
        "cert.pem",
        "kind.pem",
        None,
        "`kind.pem`: its private key is neither RSA, ECDSA (P-256, P-384, P-521) nor Ed25519",
    );
    check(
        "cut.pem",
        "key.pem",
        None,
        "`cut.pem`: malformed: `-----END CERTIFICATE-----` is missing",
    );
    let no_x509 = "malformed: what stands in `-----BEGIN CERTIFICATE-----` is no X.509 certificate";
    check("der.pem", "key.pem", None, &format!("`der.pem`: {no_x509}"));
    check(
        "cert.pem",
        "key.pem",
        Some("der.pem"),
        &format!("`der.pem`: {no_x509}"),
    );
    check(
        "early.pem",
        "early.pem",
        None,
        "`early.pem`: its certificate is not valid before 1999-01-01 00:00:00 UTC",
    );
}

#[test]
fn a_certificate_that_can_name_no_host_is_refused() {
    let why = "its certificate is of X.509 version 1 or 2: expected version 3, with the names in subjectAltName";
    check("old.pem", "key.pem", None, &format!("`old.pem`: {why}"));
}

#[test]
fn broken_base64_is_malformed() {
    let error = Identity::read(&files(), "base64.pem", "key.pem", None, now()).unwrap_err();
    assert_eq!(error.file, "base64.pem");
    assert!(matches!(error.problem, Problem::Malformed(_)), "{error}");
}

#[test]
fn an_expired_certificate_is_refused() {
    let later = now() + std::time::Duration::from_secs(80 * 365 * 86_400);
    let error = Identity::read(&files(), "cert.pem", "key.pem", None, later).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`cert.pem`: its certificate expired at 2049-01-01 00:00:00 UTC"
    );
}

#[test]
fn one_file_may_hold_everything() {
    let files = files();
    let pair = Identity::read(&files, "pair.pem", "pair.pem", None, now()).unwrap();
    assert_eq!(format!("{pair:?}"), "Identity(1 certificates)");
    let chain = Some(Path::new("ca.pem"));
    let chain = Identity::read(&files, "cert.pem", "key.pem", chain, now()).unwrap();
    assert_eq!(format!("{chain:?}"), "Identity(2 certificates)");
}

#[test]
fn keys_are_not_shown() {
    let pem = Pem::new("key.pem", Issued::new("localhost").key);
    assert_eq!(
        format!("{pem:?}"),
        format!("Pem(key.pem, {} bytes)", pem.text.len())
    );
}

#[test]
fn trust_is_a_file_or_the_pem_files_of_a_directory() {
    let files = MemoryFiles::new();
    let authority = Authority::new("authority");
    files.write("/roots/a.pem", authority.pem());
    files.write("/roots/b.PEM", authority.pem());
    files.write("/roots/readme.txt", "no PEM");
    files.write("/roots/below/c.pem", "no PEM, and not looked at");
    files.write("/none/readme.txt", "");
    files.write("/broken/a.pem", authority.pem());
    files.write("/broken/b.pem", "");
    for path in ["/roots", "/roots/a.pem"] {
        Trust::read(&files, path).unwrap();
    }
    let problem = |path| Trust::read(&files, path).unwrap_err();
    assert_eq!(
        problem("/none"),
        BadTls::new("/none".into(), Problem::NoCertificate)
    );
    assert_eq!(problem("/broken").file, "/broken/b.pem");
    assert_eq!(
        problem("/nowhere").to_string(),
        "`/nowhere`: cannot be read: entity not found"
    );
}

/// TLS-06.
#[test]
fn a_malformed_revocation_list_is_an_error() {
    let authority = Authority::new("authority");
    let good = authority.revoke(&[7]);
    let trust = || authority.trust();
    trust()
        .revocation_lists(&[Pem::new("good.crl", good.clone())])
        .unwrap();
    let check = |text: &str, expected: &str| {
        let error = trust()
            .revocation_lists(&[Pem::new("bad.crl", text)])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("`bad.crl`: {expected}")),
            "{error}"
        );
    };
    check(
        "",
        "no revocation list in it: expected `-----BEGIN X509 CRL-----`",
    );
    check(&authority.pem(), "no revocation list in it");
    check(
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        "malformed: revocation list",
    );
    // With every bit of it turned over once: an error or not, but no panic.
    let (head, rest) = good.split_at(26);
    for (index, c) in rest
        .char_indices()
        .filter(|(_, c)| c.is_ascii_alphanumeric())
    {
        let other = if c == 'A' { 'B' } else { 'A' };
        let broken = format!("{head}{}{other}{}", &rest[..index], &rest[index + 1..]);
        trust()
            .revocation_lists(&[Pem::new("bad.crl", broken)])
            .ok();
    }
}

#[test]
fn the_platform_answers_for_servers_only() {
    let identity = Issued::new("localhost").identity();
    let config = ServerConfig::new(identity).require_client_certificates(Trust::platform());
    let error = config.build(now()).unwrap_err().to_string();
    assert_eq!(
        error,
        "`the platform's authorities`: malformed: clients are verified against authorities of one's own"
    );
    let lists =
        Trust::platform().revocation_lists(&[Pem::new("a.crl", Authority::new("a").revoke(&[]))]);
    assert!(lists.is_err());
}

#[test]
fn a_client_is_for_names_and_addresses() {
    let authority = Authority::new("authority");
    let client = ClientConfig::new()
        .trust(authority.trust())
        .build()
        .unwrap();
    for name in ["localhost", "example.org", "127.0.0.1", "::1"] {
        client.layer(name).unwrap();
    }
    for name in ["", "a b", "-", "exämple.org", "[::1]"] {
        assert!(client.layer(name).is_err(), "{name}");
    }
}
