//! What AMD says about a machine (57230): its chip's certificate, the chain above, and a revocation list.

use anyhow::{Context, bail};
use attestation::snp::{SigningKey, SnpReport};
use attestation::{Base64, Product, SnpEndorsements};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::fetch::Fetcher;
use super::shelf::{Document, RENEW_STATEMENTS, Shelf};

/// Longest document; the longest of AMD's has some 6 KiB.
const BYTES_MAX: usize = 64 << 10;

pub(super) fn endorsements(shelf: &Shelf, report: &SnpReport) -> anyhow::Result<SnpEndorsements> {
    let cpu = report.cpu.context("a report of version 2 does not name its processor; update the firmware")?;
    let product = Product::from_cpuid(cpu.family, cpu.model)?;
    let amd = shelf.services().amd.trim_end_matches('/');
    let (kind, vek) = match report.key_information.signing_key {
        SigningKey::Vcek => {
            let (name, path) = vcek(product, report)?;
            ("vcek", shelf.get(document(name, &format!("{amd}{path}"), None, certificate))?)
        }
        SigningKey::Vlek => {
            let advice = "only your cloud provider has this certificate".to_owned();
            let name = "vlek.der".to_owned();
            ("vlek", shelf.get(Document { name, bytes_max: BYTES_MAX, renew: None, advice, source: None })?)
        }
    };
    let of = |what: &str| format!("{amd}/{kind}/v1/{product}/{what}");
    let name = format!("{kind}-{product}-cert_chain.pem");
    let pem = shelf.get(document(name.clone(), &of("cert_chain"), None, certificates))?;
    let [intermediate, root] = chain(&pem).context(name)?;
    let list = document(format!("{kind}-{product}.crl"), &of("crl"), Some(RENEW_STATEMENTS), revocation_list);
    Ok(SnpEndorsements {
        vek: Base64(vek),
        intermediate: Base64(intermediate.to_vec()),
        root: Base64(root.to_vec()),
        crl: Some(Base64(shelf.get(list)?)),
    })
}

fn document(
    name: String,
    url: &str,
    renew: Option<std::time::Duration>,
    read: fn(&[u8]) -> anyhow::Result<()>,
) -> Document {
    let advice = format!("fetch it there (or start with --fetch): curl --fail --output FILE '{url}'");
    let url = url.to_owned();
    let source = move |fetcher: &Fetcher| {
        let bytes = fetcher.get(&url, BYTES_MAX)?.body;
        read(&bytes).with_context(|| format!("read what {url} answered"))?;
        Ok(bytes)
    };
    Document { name, bytes_max: BYTES_MAX, renew, advice, source: Some(Box::new(source)) }
}

fn certificate(der: &[u8]) -> anyhow::Result<()> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], _)) => Ok(()),
        _ => bail!("it is no certificate"),
    }
}

pub(super) fn revocation_list(der: &[u8]) -> anyhow::Result<()> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], _)) => Ok(()),
        _ => bail!("it is no revocation list"),
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<()> {
    chain(pem)?.iter().try_for_each(|der| certificate(der))
}

fn chain(pem: &[u8]) -> anyhow::Result<[CertificateDer<'static>; 2]> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow::anyhow!("it is not PEM: {error}"))?;
    <[_; 2]>::try_from(chain)
        .map_err(|got| anyhow::anyhow!("it has {} certificates, not the two of AMD's chain", got.len()))
}

/// The file of the chip's certificate at its reported firmware, and where AMD's service has it (57230 §4.1).
pub(super) fn vcek(product: Product, report: &SnpReport) -> anyhow::Result<(String, String)> {
    let tcb = report.reported_tcb.decode(product)?;
    if report.chip_id.iter().all(|byte| *byte == 0) {
        bail!(
            "the report does not name its chip: the firmware masks it (MaskChipId), and nobody has a certificate for none"
        );
    }
    let chip = hex::encode(report.chip_id.iter().take(product.chip_id_len()).copied().collect::<Vec<_>>());
    let fmc = tcb.fmc.map(|fmc| format!("&fmcSPL={fmc}")).unwrap_or_default();
    let query =
        format!("blSPL={}&teeSPL={}&snpSPL={}&ucodeSPL={}{fmc}", tcb.boot_loader, tcb.tee, tcb.snp, tcb.microcode);
    let short: String = chip.chars().take(16).collect();
    let name = format!("vcek-{product}-{short}-{}.der", hex::encode(report.reported_tcb.bytes));
    Ok((name, format!("/vcek/v1/{product}/{chip}?{query}")))
}
