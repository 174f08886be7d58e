//! A certificate authority, and the certificates that it signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority whose files are in a folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// The authority's own certificate.
    pub file: PathBuf,
}

/// A certificate with its key.
pub struct Identity {
    /// The file that has both.
    pub file: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Identity {
    /// For a server that shows this certificate and asks its clients for none.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("authorities", name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder: folder.to_owned(),
            file,
        }
    }

    /// A certificate of a server at 127.0.0.1, and not at `localhost`.
    pub fn server(&self, name: &str) -> Identity {
        self.sign("servers", name, false)
    }

    /// The same, no longer valid.
    pub fn expired_server(&self, name: &str) -> Identity {
        self.sign("servers", name, true)
    }

    /// A client's certificate, for the subject `O=clients,CN=name`.
    pub fn client(&self, name: &str) -> Identity {
        self.sign("clients", name, false)
    }

    fn sign(&self, organization: &str, name: &str, is_expired: bool) -> Identity {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = subject(organization, name);
        if is_expired {
            params.not_after = date_time_ymd(2001, 1, 1);
            params.not_before = date_time_ymd(2000, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |suffix: &str, content: &str| {
            let file = self.folder.join(format!("{name}.{suffix}.pem"));
            fs::write(&file, content).unwrap();
            file
        };
        Identity {
            file: write("both", &(key.serialize_pem() + &certificate)),
            certificate: write("certificate", &certificate),
            key: write("key", &key.serialize_pem()),
        }
    }
}

fn subject(organization: &str, name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, name);
    subject
}
