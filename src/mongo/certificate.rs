//! Certificates that are refused, the server's by us or ours by the server: what is wrong, and what to do. An operator
//! must act; a connection that breaks for another reason says nothing about certificates.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What is wrong with a certificate, if that is why the connection failed.
pub(super) fn fault(error: &io::Error) -> Option<String> {
    let source = error.get_ref()?.downcast_ref::<TlsError>()?;
    match source {
        TlsError::InvalidCertificate(why) => Some(format!(
            "the certificate of MongoDB can't be verified: {why}; {}",
            advice(why)
        )),
        TlsError::AlertReceived(alert) if is_about_our_certificate(*alert) => Some(format!(
            "MongoDB refused the worker's certificate: {source}; set `tlsCertificateKeyFile` of `mongodb.uri` to a \
             certificate, with its key, that MongoDB accepts"
        )),
        _ => None,
    }
}

fn advice(why: &CertificateError) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext,
    };
    match why {
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            "give MongoDB a certificate that is valid now, and check this host's clock"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "name MongoDB's hosts in `mongodb.uri` as its certificate does"
        }
        _ => "set `tlsCAFile` of `mongodb.uri` to the certificate of the authority that signed it",
    }
}

/// The alerts by which a server says that it refuses a client's certificate, or that there is none.
fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_of_certificates_are_named_with_advice() {
        let fault_of = |error: TlsError| fault(&io::Error::new(io::ErrorKind::InvalidData, error));
        for (why, advice) in [
            (CertificateError::UnknownIssuer, "`tlsCAFile`"),
            (CertificateError::Expired, "valid now"),
            (CertificateError::NotValidForName, "as its certificate does"),
        ] {
            let said = fault_of(TlsError::InvalidCertificate(why)).unwrap();
            assert!(said.contains(advice), "{said}");
        }
        let said = fault_of(TlsError::AlertReceived(AlertDescription::UnknownCA)).unwrap();
        assert!(said.contains("`tlsCertificateKeyFile`"), "{said}");
        let overload = AlertDescription::InternalError;
        assert_eq!(fault_of(TlsError::AlertReceived(overload)), None);
        assert_eq!(fault(&io::Error::other("refused")), None);
        assert_eq!(fault(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
