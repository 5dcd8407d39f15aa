//! `tress cert`: a certificate and its key for development. Asks nobody, so nobody trusts it who is not told to.

use crate::Ended;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};
use tress_core::endpoint::quote;

/// Clients take no certificate that is valid for longer.
const VALID_FOR: Duration = Duration::from_secs(397 * 86_400);

/// Clocks may differ by this.
const VALID_SINCE: Duration = Duration::from_secs(86_400);

/// Writes `cert.pem` and `key.pem` into a directory, which is made if it is not there, and says how to use them.
pub(crate) fn make(names: &[String], out: &Path, force: bool) -> Result<(), Ended> {
    let now = tress::reactor().map_err(Ended::NoReactor)?.wall();
    let (certificate, key) = pair(names, now).map_err(|error| {
        Ended::NotMade(format!("no certificate for {}: {error}", names.join(", ")))
    })?;
    let (certificate_path, key_path) = (out.join("cert.pem"), out.join("key.pem"));
    fs::create_dir_all(out).map_err(|error| not_made(out, &error))?;
    if !force
        && let Some(there) = [&certificate_path, &key_path]
            .into_iter()
            .find(|p| p.exists())
    {
        return Err(Ended::NotMade(format!(
            "`{}` is there already; --force replaces it",
            there.display()
        )));
    }
    write(&key_path, &key, 0o600)?;
    write(&certificate_path, &certificate, 0o644)?;
    let quoted = |path: &Path| quote(&path.display().to_string());
    let (certificate, key) = (quoted(&certificate_path), quoted(&key_path));
    let host = quote(&names[0]);
    let text = format!(
        "{}: a certificate for {}, signed by itself, valid for {} days\n\
         {}: its key, for your eyes only\n\n\
         a server listens at   ssl:8443:certKey={certificate}:privateKey={key}\n\
         a client connects to  tls:{host}:8443:trustRoots={certificate}\n",
        certificate_path.display(),
        names.join(", "),
        (VALID_FOR - VALID_SINCE).as_secs() / 86_400,
        key_path.display(),
    );
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Certificate and key, PEM.
fn pair(names: &[String], now: SystemTime) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.not_before = (now - VALID_SINCE).into();
    params.not_after = (now - VALID_SINCE + VALID_FOR).into();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "tress development");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file that nobody could open before it had this mode.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Ended> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(not_made(path, &error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| not_made(path, &error))
}

fn not_made(path: &Path, error: &io::Error) -> Ended {
    Ended::NotMade(format!("cannot write `{}`: {error}", path.display()))
}
